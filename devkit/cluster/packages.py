"""Debian packages: installs what is missing, and lets none of their own services run.

The cluster runs its own containerd and its own PostgreSQL with their own data; those that the packages bring would
only hold ports and memory, and would still be there after `down`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devkit.cluster import files
from devkit.cluster.errors import PackagesError
from devkit.cluster.progress import Progress

#: package -> a file of it that is used here.
PACKAGES = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "/usr/sbin/iptables",
    "conntrack": "/usr/sbin/conntrack",
    "iproute2": "/sbin/ip",
    "mount": "/bin/mount",
    "busybox-static": "/bin/busybox",
    "catatonit": "/usr/bin/catatonit",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    # The migrator's promise to work behind a transaction pooler is tested with it; the cluster does not run it.
    "pgbouncer": "/usr/sbin/pgbouncer",
}
SERVICES = ("containerd.service", "postgresql.service", "pgbouncer.service")
POSTGRESQL_ROOT = Path("/usr/lib/postgresql")
POSTGRESQL_OLDEST = 15

_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_SAVED = Path("/usr/sbin/policy-rc.d.before-rollout")
_POLICY_TEXT = (
    "#!/bin/sh\n# Placed by the devkit's cluster while it installs packages: start no services (101).\nexit 101\n"
)


def postgresql_bin() -> Path | None:
    """The directory of the newest installed PostgreSQL server's executables, 15 or newer; None without one."""
    versions = [
        int(path.parent.parent.name)
        for path in POSTGRESQL_ROOT.glob("*/bin/postgres")
        if re.fullmatch(r"\d+", path.parent.parent.name)
    ]
    newest = max(versions, default=0)
    return POSTGRESQL_ROOT / str(newest) / "bin" if newest >= POSTGRESQL_OLDEST else None


def missing() -> list[str]:
    """The packages that are to be installed, by the files they bring."""
    names = [package for package, file in PACKAGES.items() if not Path(file).exists()]
    # A dynamic busybox from the package of that name would not start in an image that has no C library.
    if "busybox-static" not in names and not Path("/usr/share/doc/busybox-static").exists():
        names.append("busybox-static")
    if postgresql_bin() is None:
        names.append("postgresql")
    return names


def ensure(progress: Progress) -> None:
    """Install what is missing.

    Raises:
        PackagesError: this is no Debian, the package lists cannot be fetched, or an installation failed.
    """
    names = missing()
    if not names:
        return
    if shutil.which("apt-get") is None:
        raise PackagesError(
            "the devkit's cluster installs these with apt-get, which is not here: " + ", ".join(names)
            + "\nrun it on Debian 12 or newer, or name another cluster with KUBE_CONTEXT"
        )  # fmt: skip
    with progress.step(f"installing Debian packages ({', '.join(names)})"):
        _apt("update", "-q")
        with _no_services():
            _apt("install", "-q", "-y", "--no-install-recommends", *names)
        _disable_services(names)
    still = missing()
    if still:
        raise PackagesError(f"apt-get reported success, but files of these are not where expected: {', '.join(still)}")


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    if result.returncode != 0:
        last = "\n  ".join(result.stdout.splitlines()[-15:])
        raise PackagesError(f"{' '.join(command)} ended with {result.returncode}:\n  {last}")


@contextmanager
def _no_services() -> Iterator[None]:
    """While packages are installed, tell invoke-rc.d(8) to start no service; put back what was there before."""
    _restore_policy()
    if _POLICY.exists():
        _POLICY.rename(_POLICY_SAVED)
    files.write(_POLICY, _POLICY_TEXT, 0o755)
    try:
        yield
    finally:
        _restore_policy()


def _restore_policy() -> None:
    """Also undoes what an installation that was killed left behind."""
    if _POLICY.exists() and _POLICY.read_text(encoding="utf-8") == _POLICY_TEXT:
        _POLICY.unlink()
    if _POLICY_SAVED.exists():
        _POLICY_SAVED.rename(_POLICY)


def _disable_services(installed: list[str]) -> None:
    """A service of a package that was installed just now would start at the next boot: disable it."""
    # Debian's own tool and not systemctl: it also works where systemd is installed later, or not running.
    helper = shutil.which("deb-systemd-helper")
    if helper is None:
        return
    for service in SERVICES:
        if service.removesuffix(".service") in installed:
            subprocess.run([helper, "disable", service], capture_output=True, check=False)
