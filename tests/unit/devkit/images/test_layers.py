"""The same files give the same layer, whoever builds it and whenever."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

from devkit.images import layers
from devkit.images.build import State
from devkit.images.catalogue import Image
from devkit.images.containerd import archive, manifest_digest


def tree(root: Path, umask: int, time: int) -> Path:
    before = os.umask(umask)
    try:
        for name in ("usr/bin/tool", "app/code.py", "tmp/x"):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (time, time))
        (root / "usr/bin/tool").chmod(0o700)
        (root / "bin").symlink_to("usr/bin")
        (root / "tmp").chmod(0o1777)
    finally:
        os.umask(before)
    return root


def blobs(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_layer_does_not_depend_on_time_or_umask(tmp_path: Path) -> None:
    here, there = tree(tmp_path / "a", 0o022, 1), tree(tmp_path / "b", 0o077, 10**9)
    stored = blobs(tmp_path / "blobs")
    first = layers.write(here, sorted(layers.snapshot(here)), [], stored)
    assert first == layers.write(there, sorted(layers.snapshot(there)), [], stored)
    with tarfile.open(stored / first.digest.removeprefix("sha256:")) as tar:
        modes = {member.name: oct(member.mode) for member in tar}
    assert modes["tmp"] == oct(0o1777)
    assert modes["usr/bin/tool"] == oct(0o755)
    assert modes["app/code.py"] == oct(0o644)


def test_a_layer_unpacked_and_written_again_is_the_same(tmp_path: Path) -> None:
    root, stored = tree(tmp_path / "a", 0o022, 1), blobs(tmp_path / "blobs")
    layer = layers.write(root, sorted(layers.snapshot(root)), [], stored)
    layers.extract(layer, stored, tmp_path / "again")
    again = tmp_path / "again"
    assert layers.write(again, sorted(layers.snapshot(again)), [], stored) == layer


def test_only_what_a_step_changed_is_in_its_layer(tmp_path: Path) -> None:
    root = tree(tmp_path / "a", 0o022, 1)
    before = layers.snapshot(root)
    (root / "app/new.py").write_text("new")
    (root / "usr/bin/tool").write_text("changed")
    (root / "app/code.py").unlink()
    changed, gone = layers.changed(before, layers.snapshot(root))
    assert changed == ["app/new.py", "usr/bin/tool"]
    assert gone == ["app/code.py"]


def test_images_that_share_layers_are_archived_with_one_copy_of_each(tmp_path: Path) -> None:
    root, stored = tree(tmp_path / "a", 0o022, 1), blobs(tmp_path / "blobs")
    layer = layers.write(root, sorted(layers.snapshot(root)), [], stored)
    images = [Image(f"localhost/x:{n}", State("", (layer,), {"VERSION": str(n)})) for n in (1, 2)]
    content = io.BytesIO()
    archive(images, stored, content)
    again = io.BytesIO()
    archive(images, stored, again)
    assert content.getvalue() == again.getvalue()
    content.seek(0)
    with tarfile.open(fileobj=content) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json") or io.BytesIO())
    assert names.count(f"blobs/{layer.digest.replace(':', '/')}") == 1
    assert [each["digest"] for each in index["manifests"]] == [manifest_digest(image.state) for image in images]
    assert [each["annotations"]["io.containerd.image.name"] for each in index["manifests"]] == [
        "localhost/x:1",
        "localhost/x:2",
    ]
