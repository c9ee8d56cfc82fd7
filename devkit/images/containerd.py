"""Puts images into containerd, where the kubelet finds them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import IO

from devkit.images.build import State, digest
from devkit.images.catalogue import Image
from devkit.images.errors import ContainerdError

NAMESPACE = "k8s.io"  # the kubelet's


class Containerd:
    """One containerd.

    Args:
        address: its socket.
    """

    def __init__(self, address: str) -> None:
        self._command = ["ctr", "--address", address, "--connect-timeout", "5s", "--namespace", NAMESPACE]
        self._address = address

    def loaded(self) -> dict[str, str]:
        """Gives the digest of every image it has, by name.

        Raises:
            ContainerdError: it does not answer.
        """
        lines = self._run(["images", "list"]).splitlines()[1:]
        return {words[0]: words[2] for words in map(str.split, lines) if len(words) > 2}

    def load(self, images: list[Image], blobs: Path) -> None:
        """Imports images in one go; layers that several share are sent once.

        Args:
            images: what to import.
            blobs: where their layers are.

        Raises:
            ContainerdError: it refused.
        """
        with subprocess.Popen(
            [*self._command, "images", "import", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                archive(images, blobs, process.stdin)
                process.stdin.close()
            except BrokenPipeError:
                pass  # ctr has ended early; it says why
            output = process.stdout.read().decode(errors="replace")
        if process.returncode:
            raise ContainerdError(f"ctr images import exited with {process.returncode}: {output.strip()[-2000:]}")

    def _run(self, arguments: list[str]) -> str:
        try:
            done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise ContainerdError("ctr is not installed: apt-get install containerd") from None
        if done.returncode:
            raise ContainerdError(
                f"containerd at {self._address} does not answer ({done.stderr.strip()[-300:]}); "
                "start the devkit's cluster, or name another socket with --address"
            )
        return done.stdout


def archive(images: list[Image], blobs: Path, target: IO[bytes]) -> None:
    """Writes images as one OCI image layout in a tar archive.

    Args:
        images: what to write.
        blobs: where their layers are.
        target: where to.
    """
    small: dict[str, bytes] = {}
    entries = []
    for image in images:
        manifest = image.state.manifest()
        small[digest(manifest)] = manifest
        configuration = image.state.configuration()
        small[digest(configuration)] = configuration
        entries.append(
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(manifest),
                "size": len(manifest),
                "annotations": {
                    "io.containerd.image.name": image.name,
                    "org.opencontainers.image.ref.name": image.name,
                },
            }
        )
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        for name, content in sorted(small.items()):
            _add(tar, _blob(name), content)
        for layer in sorted({layer.digest for image in images for layer in image.state.layers}):
            tar.add(blobs / layer.removeprefix("sha256:"), _blob(layer), filter=_plain)
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": entries}).encode())


def manifest_digest(state: State) -> str:
    """Gives the digest by which containerd knows an image."""
    return digest(state.manifest())


def _blob(name: str) -> str:
    return "blobs/" + name.replace(":", "/")


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
