"""Our own containerd: its own data, state and socket, apart from one that Debian or Docker may run."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from devkit import paths
from devkit.cluster import config, files, host, images, network, processes
from devkit.cluster.errors import ComponentError
from devkit.cluster.processes import Component

NAMESPACE = "k8s.io"
_MNT_DETACH = 2


def socket_path() -> Path:
    """Where containerd listens."""
    return paths.run_dir() / "containerd.sock"


def component() -> Component:
    """containerd, with its configuration written."""
    configuration = paths.state_dir() / "containerd.toml"
    files.write(configuration, _configuration())
    return Component("containerd", ["/usr/bin/containerd", "--config", str(configuration)], _healthy, [configuration])


def _configuration() -> str:
    return f"""\
version = 2
root = "{paths.state_dir()}/containerd"
state = "{paths.run_dir()}/containerd"
# Snapshotters that this kernel may not have, and "opt", which would make /opt/containerd.
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "{socket_path()}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{config.PAUSE_IMAGE}"
# The kubelet asks for negative scores; without CAP_SYS_RESOURCE setting one fails, and with it every pod.
restrict_oom_score_adj = true
# Otherwise pods' network namespaces are mounted below /run/netns, among those of others.
netns_mounts_under_state_dir = true
enable_unprivileged_ports = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{network.conflist().parent}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{paths.run_dir()}/runc"
SystemdCgroup = false
"""


def ctr(*arguments: str, data: bytes | None = None) -> str:
    """Run ``ctr`` against our containerd, in Kubernetes' namespace.

    Raises:
        ComponentError: it failed; with what it printed.
    """
    command = ["ctr", "--address", str(socket_path()), "--namespace", NAMESPACE, *arguments]
    result = subprocess.run(command, input=data, capture_output=True, check=False)
    if result.returncode != 0:
        raise ComponentError("containerd", f"ctr {' '.join(arguments)}: {result.stderr.decode().strip()}")
    return result.stdout.decode()


def load_images() -> None:
    """Load the images that the cluster itself needs, unless containerd has them."""
    present = ctr("images", "list", "--quiet").split()
    wanted = {config.PAUSE_IMAGE: images.pause, config.BUSYBOX_IMAGE: images.busybox}
    absent = [make() for name, make in wanted.items() if name not in present]
    if absent:
        ctr("images", "import", "-", data=images.archive(*absent))


def clear_runtime() -> None:
    """Make the machine as it is after a reboot, as far as containers are concerned.

    Called while containerd does not run: shims, containers' processes, mounts, sockets, cgroups and interfaces that
    outlived it are remains. What is on disk (images, the record of containers) stays, as it does in a reboot, and is
    what containerd and the kubelet start again from.
    """
    # Shims first, or one would report its containers' end to nobody and linger.
    processes.end(process for process in processes.marked(paths.state_dir()) if _is_shim(process.pid))
    processes.end(in_cgroup())
    network.remove_pods()
    unmount_below(paths.run_dir())
    unmount_below(paths.state_dir())
    for directory in ("containerd", "runc"):
        shutil.rmtree(paths.run_dir() / directory, ignore_errors=True)
    for file in (socket_path(), socket_path().with_name("containerd.sock.ttrpc")):
        file.unlink(missing_ok=True)
    host.remove_dead_sockets(Path("/run/containerd/s"))
    remove_cgroups()


def make_cgroups() -> None:
    """Make the cgroup below which the kubelet works; the kubelet refuses to start without."""
    for root in _cgroup_roots():
        (root / config.CGROUP).mkdir(exist_ok=True)
        if (root / "cgroup.controllers").exists():  # Version 2 hands controllers down only when told so.
            controllers = (root / "cgroup.controllers").read_text(encoding="ascii").split()
            for parent in (root, root / config.CGROUP):
                for controller in controllers:
                    try:
                        (parent / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
                    except OSError:
                        continue


def remove_cgroups() -> None:
    """Remove our cgroups. A cgroup with processes cannot be removed and stays."""
    for root in _cgroup_roots():
        for directory, _, _ in os.walk(root / config.CGROUP, topdown=False):
            try:
                Path(directory).rmdir()
            except OSError:
                continue


def unmount_below(directory: Path) -> None:
    """Detach every mount at or below a directory, the innermost first; lazily, as a busy or hung one must not stop us."""
    libc = ctypes.CDLL(None, use_errno=True)
    for point in reversed(mounts_below(directory)):
        if libc.umount2(os.fsencode(point), _MNT_DETACH) != 0:
            code = ctypes.get_errno()
            raise ComponentError("mounts", f"cannot unmount {point}: {os.strerror(code)}")


def mounts_below(directory: Path) -> list[str]:
    """The mount points at or below a directory, in the order of mounting."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        # The kernel writes blanks as \040 and the like.
        point = line.split(" ")[4].encode("latin-1", "surrogateescape").decode("unicode_escape")
        if Path(point).is_relative_to(directory):
            points.append(point)
    return points


def _healthy() -> bool:
    result = subprocess.run(
        ["ctr", "--address", str(socket_path()), "--connect-timeout", "2s", "version"],
        capture_output=True, check=False, timeout=10,
    )  # fmt: skip
    return result.returncode == 0


def _is_shim(pid: int) -> bool:
    try:
        return b"containerd-shim" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False


def _cgroup_roots() -> list[Path]:
    """The directories where cgroup hierarchies are mounted that a pod can be put into."""
    roots = []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind = line.split(" ")[:3]
        if kind in ("cgroup", "cgroup2"):
            roots.append(Path(point))
    return roots


def in_cgroup() -> list[processes.Process]:
    """Every process of every pod."""
    pids: set[int] = set()
    for root in _cgroup_roots():
        for file in (root / config.CGROUP).rglob("cgroup.procs"):
            try:
                pids.update(int(pid) for pid in file.read_text(encoding="ascii").split())
            except OSError:
                continue
    return [process for process in map(processes.identify, sorted(pids)) if process is not None]
