"""The base of all images: Debian's Python, PostgreSQL's client and the libraries they need, nothing else. No shell, no package manager.

mmdebstrap unpacks the packages with this machine's own apt configuration, so it works wherever apt does.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from devkit.images import layers
from devkit.images.errors import BuildError

SUITE = "bookworm"
PYTHON = "3.11"  # the suite's
# pg_dump and psql are for the migrator; on a public base its Dockerfile installs them.
PACKAGES = ("python3", "libc-bin", "postgresql-client")
_TRIMMED = (
    "dev/*",
    "etc/cron.daily",
    "etc/logrotate.d",
    "etc/resolv.conf",
    "etc/hostname",
    "usr/lib/*/gconv",
    "usr/lib/*/perl-base",
    "usr/lib/*/libdb-5.3.so",
    "usr/lib/python3.11/ensurepip",
    "usr/lib/python3.11/idlelib",
    "usr/lib/python3.11/lib2to3",
    "usr/lib/python3.11/pydoc_data",
    "usr/lib/python3.11/test",
    "usr/lib/python3.11/tkinter",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/lib/*/perl",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/share/postgresql-common",
    "var/cache/*",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log/*",
)
_FILES = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_COMPILE = ("python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/usr/lib/python3.11")


def key() -> str:
    """Gives what the base depends on, as a short text: the recipe, not the day's state of the archive."""
    recipe = repr((1, SUITE, PACKAGES, _TRIMMED, sorted(_FILES.items()), _COMPILE))
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def make(blobs: Path) -> layers.Layer:
    """Makes the base and stores it as one layer.

    Args:
        blobs: where layers are stored.

    Raises:
        BuildError: mmdebstrap is missing or failed; the text has its last lines.
    """
    if shutil.which("mmdebstrap") is None:
        raise BuildError("mmdebstrap is not installed: apt-get install mmdebstrap (the devkit cluster's `up` does it)")
    with tempfile.TemporaryDirectory(prefix="base-", dir=blobs.parent) as temporary:
        root = Path(temporary, "root")
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=extract",
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            f"--include={','.join(PACKAGES)}",
            SUITE,
            str(root),
            *_sources(),
        ]
        _run(command, "making the base")
        for pattern in _TRIMMED:
            for path in root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, text in _FILES.items():
            (root / name).write_text(text)
        for name in ("app", "dev", "proc", "sys", "tmp", "run"):
            (root / name).mkdir(exist_ok=True)
        (root / "tmp").chmod(0o1777)
        # Debian compiles its modules when a package is configured, which `extract` does not do. Without, importing
        # asyncio takes three times as long, at every start of every pod.
        _run(["chroot", str(root), *_COMPILE], "compiling the base's Python modules")
        return layers.write(root, sorted(layers.snapshot(root)), [], blobs)


def _sources() -> list[str]:
    """This machine's own package sources if they are of the suite; mmdebstrap's default otherwise."""
    candidates = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
    return [str(path) for path in candidates if path.exists() and SUITE in path.read_text()][:1]


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        raise BuildError(f"{what} failed ({command[0]} exited with {done.returncode}):\n  {last}")
