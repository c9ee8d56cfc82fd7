"""Where the devkit keeps things outside of the source tree: the one place that knows.

Two directories, because they live differently:

- the *cache* (``ROLLOUT_CACHE``): what can be made again from the registries at any time, only slower: the built
  tools, images, virtual environments. Safe to delete while nothing of the kit is being built.
- the *state* (``ROLLOUT_STATE``): what the running devkit's cluster stands on: etcd's and PostgreSQL's data,
  certificates, logs, pid files. Removed by ``python -m devkit.cluster down``.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Postgres:
    """How to reach the devkit's PostgreSQL, from this machine and from pods alike.

    Attributes:
        host: an address that both the host and the pods can reach.
        port: TCP port.
        user: a role that may create databases and roles, but is no superuser.
        password: that role's password.
        sslmode: libpq's ``sslmode`` that this server's certificate satisfies.
        ca: file of the certificate authority, for ``sslrootcert``.
        superuser_socket: directory of the Unix socket on which the operating system user ``superuser`` may log in
            as the superuser of that name.
        superuser: that name.
    """

    host: str
    port: int
    user: str
    password: str
    sslmode: str
    ca: str
    superuser_socket: str
    superuser: str = "postgres"

    def uri(self, database: str = "postgres") -> str:
        """The libpq URI of a database, for use on this machine (the CA is a path of this machine)."""
        return (
            f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"
            f"?sslmode={self.sslmode}&sslrootcert={self.ca}"
        )


def cache_dir() -> Path:
    """``ROLLOUT_CACHE``, by default ``$XDG_CACHE_HOME/rollout`` or ``~/.cache/rollout``."""
    given = os.environ.get("ROLLOUT_CACHE")
    if given:
        return Path(given).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "rollout"


def state_dir() -> Path:
    """``ROLLOUT_STATE``, by default ``/var/lib/rollout``."""
    return Path(os.environ.get("ROLLOUT_STATE") or "/var/lib/rollout").absolute()


def run_dir() -> Path:
    """Sockets and containerd's volatile state. Not configurable: socket paths are limited to 107 bytes."""
    return Path("/run/rollout")


def kubeconfig() -> Path:
    """The administrator's kubeconfig of the devkit's cluster (context ``devkit``)."""
    return state_dir() / "kubeconfig"


def postgres() -> Postgres:
    """What the running devkit's cluster wrote about its PostgreSQL.

    Raises:
        FileNotFoundError: the devkit's cluster is not up.
    """
    path = state_dir() / "postgres.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist: start the devkit's cluster (python -m devkit.cluster up)"
        ) from None
    return Postgres(**values)


def tool(name: str) -> Path:
    """The executable that the devkit's cluster runs as ``name``: the one built into the cache, or the system's.

    Args:
        name: ``kubectl``, ``kube-apiserver``, ``etcd``, ``ctr``, ``psql``...

    Raises:
        FileNotFoundError: it is neither built nor installed.
    """
    # Imported late: the builder reads this module for the cache's place.
    from devkit.tools import build

    built = build.executable(name)
    if built is not None and built.exists():
        return built
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is neither built nor installed: run python -m devkit.cluster up first")
    return Path(found)
