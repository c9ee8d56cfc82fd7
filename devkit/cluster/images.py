"""The two images that the cluster itself needs, made of static executables that Debian packages.

``localhost/rollout/pause:1`` is the process that holds a pod's namespaces: catatonit's pause mode, which reaps
orphans and ends at once on SIGTERM. ``localhost/busybox:1`` is a shell with the usual commands, for trying things
(Debian's wget in it crashes when it is given ``-T``: use ``timeout 2 wget``).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devkit.cluster import config

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Entry:
    """One path of an image: a file's bytes, a symbolic link's target, or (neither) a directory."""

    content: bytes | None = None
    link: str | None = None
    mode: int = 0o755


@dataclass(frozen=True)
class Image:
    """An image of one layer.

    Attributes:
        name: repository and tag.
        entries: path without leading slash -> what is there.
        config: the OCI image's ``config`` (Entrypoint, Cmd, Env...).
    """

    name: str
    entries: Mapping[str, Entry]
    config: Mapping[str, object]


def pause() -> Image:
    """The pause image."""
    catatonit = Entry(Path("/usr/bin/catatonit").read_bytes())
    return Image(config.PAUSE_IMAGE, {"catatonit": catatonit}, {"Entrypoint": ["/catatonit", "-P"], "User": "65535"})


def busybox() -> Image:
    """The busybox image, every applet linked in /bin."""
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    entries = {
        "bin/busybox": Entry(Path("/bin/busybox").read_bytes()),
        **{f"bin/{applet}": Entry(link="busybox") for applet in applets if applet != "busybox"},
        "tmp": Entry(mode=0o1777),
        "root": Entry(mode=0o700),
        "etc/passwd": Entry(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", mode=0o644),
        "etc/group": Entry(b"root:x:0:\nnobody:x:65534:\n", mode=0o644),
    }
    return Image(config.BUSYBOX_IMAGE, entries, {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "WorkingDir": "/"})


def archive(*images: Image) -> bytes:
    """A tar archive of images as ``docker save`` writes it and ``ctr images import`` reads it.

    The same images give the same bytes: no time of day, owner or order of the file system goes in.
    """
    files: dict[str, bytes] = {}
    manifest = []
    for image in images:
        layer = _tar(image.entries)
        digest = hashlib.sha256(layer).hexdigest()
        configuration = json.dumps(
            {
                "architecture": ARCHITECTURES[os.uname().machine],
                "os": "linux",
                "config": dict(image.config),
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
        ).encode()
        name = hashlib.sha256(configuration).hexdigest() + ".json"
        files[f"{digest}.tar"] = layer
        files[name] = configuration
        manifest.append({"Config": name, "RepoTags": [image.name], "Layers": [f"{digest}.tar"]})
    files["manifest.json"] = json.dumps(manifest).encode()
    return _tar({name: Entry(content, mode=0o644) for name, content in files.items()})


def _tar(entries: Mapping[str, Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        parents = {str(parent) for name in entries for parent in Path(name).parents} - {"."} - set(entries)
        for name, entry in sorted({**{parent: Entry() for parent in parents}, **entries}.items()):
            info = tarfile.TarInfo(name)
            info.mode = entry.mode
            if entry.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                tar.addfile(info)
            elif entry.content is not None:
                info.size = len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content))
            else:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
    return buffer.getvalue()
