"""What the cluster changes on the host besides its own directories: remembered on `up`, put back on `down`.

Kernel settings are the kubelet's and ours; the directories are ones whose place is fixed in somebody's source code.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

from devkit import paths
from devkit.cluster import files

#: Set by us: packets are forwarded between pods and services, and traffic that crosses the bridge passes iptables
#: (otherwise a pod that calls a Service answered by a pod on the same bridge gets replies from the wrong address).
OURS = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
}
#: Set by the kubelet and kube-proxy when they start.
THEIRS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/conf/all/route_localnet",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
)
#: Not configurable: libcni's cache, the shims' sockets, the kubelet's device plugins and its links to containers' logs.
FOREIGN_DIRECTORIES = (
    "/var/lib/cni",
    "/var/lib/cni/results",
    "/var/lib/kubelet",
    "/var/lib/kubelet/device-plugins",
    "/var/log/containers",
    "/run/containerd",
    "/run/containerd/s",
    "/run/containerd/fifo",
)

_SYSCTL = Path("/proc/sys")


def _record() -> Path:
    return paths.state_dir() / "host.json"


def remembered() -> bool:
    """Whether the state directory is the cluster's own: this record is the first thing that is written to it."""
    return _record().exists()


def remember() -> None:
    """Note the host's settings as they are before the cluster first starts. Later calls change nothing."""
    if _record().exists():
        return
    values = {name: read_sysctl(name) for name in (*OURS, *THEIRS)}
    files.write_json(
        _record(),
        {
            "sysctl": {name: value for name, value in values.items() if value is not None},
            "absent": [directory for directory in FOREIGN_DIRECTORIES if not Path(directory).exists()],
        },
    )


def configure() -> None:
    """Set the kernel settings that the cluster needs."""
    for name, value in OURS.items():
        if read_sysctl(name) not in (value, None):
            (_SYSCTL / name).write_text(value, encoding="ascii")


def configured() -> bool:
    """Whether they are set."""
    return all(read_sysctl(name) in (value, None) for name, value in OURS.items())


def restore() -> None:
    """Put back the settings, and remove what was left in the directories that are not the cluster's own."""
    for link in _entries("/var/log/containers"):
        if link.is_symlink() and link.readlink().is_relative_to(paths.state_dir()):
            link.unlink()
    for result in _entries("/var/lib/cni/results"):
        if result.name.startswith("rollout-"):
            result.unlink()
    for name in ("kubelet.sock", "kubelet_internal_checkpoint"):
        Path("/var/lib/kubelet/device-plugins", name).unlink(missing_ok=True)
    remove_dead_sockets(Path("/run/containerd/s"))
    try:
        record = json.loads(_record().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return
    for name, value in record["sysctl"].items():
        if read_sysctl(name) not in (value, None):
            (_SYSCTL / name).write_text(value, encoding="ascii")
    for directory in reversed(record["absent"]):
        try:
            Path(directory).rmdir()
        except OSError:
            continue  # Not there, or somebody else has put something in by now.


def read_sysctl(name: str) -> str | None:
    """A kernel setting's value; None when this kernel does not have it."""
    try:
        return (_SYSCTL / name).read_text(encoding="ascii").strip()
    except OSError:
        return None


def remove_dead_sockets(directory: Path) -> None:
    """Remove the Unix sockets in a directory on which nobody listens any more."""
    for path in _entries(str(directory)):
        if not path.is_socket():
            continue
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue


def _entries(directory: str) -> list[Path]:
    try:
        return list(Path(directory).iterdir())
    except FileNotFoundError:
        return []
