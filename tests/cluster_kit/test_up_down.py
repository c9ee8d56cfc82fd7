"""The devkit's cluster as a whole: it comes up, comes back after any kind of death, and goes without a trace.

These tests take the machine's devkit's cluster down, so they run only when asked for: ``make test-kit``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devkit import paths
from devkit.cluster import config, containerd, files, network, postgres, processes

pytestmark = [
    pytest.mark.skipif(os.environ.get("TEST_KIT") != "1", reason="takes the cluster down (make test-kit)"),
    pytest.mark.timeout(600),
]

WORKLOAD = [
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "web",
                            "image": config.BUSYBOX_IMAGE,
                            "command": [
                                "sh",
                                "-c",
                                "mkdir -p /tmp/w && echo here > /tmp/w/index.html && httpd -f -p 8080 -h /tmp/w",
                            ],
                            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                            "volumeMounts": [{"name": "empty", "mountPath": "/empty"}],
                        }
                    ],
                    "volumes": [{"name": "empty", "emptyDir": {"medium": "Memory"}}],
                },
            },
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    },
]


def cluster(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "devkit.cluster", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == expect, result.stdout + result.stderr
    return result


def kubectl(*arguments: str, data: str | None = None) -> str:
    command = [str(paths.tool("kubectl")), f"--kubeconfig={paths.kubeconfig()}", *arguments]
    result = subprocess.run(command, input=data, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, f"{arguments}: {result.stderr}"
    return result.stdout


def everything() -> list[processes.Process]:
    """Every process of the cluster, those in pods too."""
    return [
        *processes.marked(paths.state_dir()),
        *processes.working_in(postgres.data_directory()),
        *containerd.in_cgroup(),
    ]


def serves() -> None:
    """A workload that was there before is there again: its Deployment, its Service by name from a pod, its row."""
    deadline = time.monotonic() + 60
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    name = f"probe-{time.monotonic_ns()}"
    # The status of pods may be one from before until the kubelet has seen them all: ask through the Service.
    script = f"for i in 1 2 3 4 5 6 7 8 9 10; do wget -qO- http://web.default.svc.{config.DOMAIN} && exit 0; sleep 1; done; exit 1"
    kubectl("run", name, f"--image={config.BUSYBOX_IMAGE}", "--restart=Never", "--command", "--", "sh", "-c", script)
    phase = ""
    while phase not in ("Succeeded", "Failed") and time.monotonic() < deadline:
        phase = kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")
        time.sleep(0.1)
    assert (phase, kubectl("logs", name).strip()) == ("Succeeded", "here")
    kubectl("delete", "pod", name, "--wait=false")
    with psycopg.connect(paths.postgres().uri("kit")) as connection:
        assert connection.execute("SELECT word FROM kit").fetchall() == [("survives",)]


@pytest.fixture(scope="module")
def before() -> Iterator[dict[str, object]]:
    """How the machine is without a cluster; the cluster is up with a workload afterwards, and down at the end."""
    cluster("down")
    traces = host_traces()
    cluster("up")
    kubectl("apply", "-f", "-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": WORKLOAD}))
    with psycopg.connect(paths.postgres().uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE kit")
    with psycopg.connect(paths.postgres().uri("kit")) as connection:
        connection.execute("CREATE TABLE kit (word text)")
        connection.execute("INSERT INTO kit VALUES ('survives')")
    serves()
    yield traces
    cluster("down")


def host_traces() -> dict[str, object]:
    """Everything on the host that a cluster could leave behind."""
    rules = [
        line
        for family in ("iptables", "ip6tables")
        for line in subprocess.run([f"{family}-save"], capture_output=True, text=True, check=True).stdout.splitlines()
        if line.startswith("-A") or (line.startswith(":") and line.split()[1] == "-")
    ]
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    unix = [line.split()[-1] for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()]
    segments = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    sysctls = {
        name: (Path("/proc/sys") / name).read_text()
        for name in ("net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic")
    }
    places = ("/run/rollout", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers",
              "/var/log/pods", "/var/run/kubernetes", "/run/netns", "/opt/containerd", str(paths.state_dir()))  # fmt: skip
    return {
        "processes": [process.pid for process in everything()],
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "rules": sorted(rules),
        "mounts": sorted(mounts),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("*/rollout")),
        "sockets": sorted(path for path in unix if "rollout" in path or "containerd" in path),
        "shared memory": sorted(int(line.split()[1]) for line in segments if line.split()[6] == "0"),
        "routes": subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout,
        "sysctls": sysctls,
        "places": [place for place in places if Path(place).exists()],
    }


def kill(which: Callable[[processes.Process], bool] = lambda _: True) -> None:
    while found := [process for process in everything() if which(process)]:
        processes.end(found, signal.SIGKILL)


def executable(process: processes.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/exe").readlink().name
    except OSError:
        return ""


def kill_all_but_pods() -> None:
    kill(
        lambda process: (
            process.pid not in {pod.pid for pod in containerd.in_cgroup()} and "shim" not in executable(process)
        )
    )


def kill_shims_but_not_pods() -> None:
    kill(lambda process: "shim" in executable(process))


def kill_shims_and_containerd_but_not_pods() -> None:
    kill(lambda process: "containerd" in executable(process))


def as_after_a_reboot() -> None:
    """What a reboot takes: every process, everything below /run, interfaces, rules, kernel settings."""
    kill()
    containerd.unmount_below(paths.run_dir())
    containerd.unmount_below(paths.state_dir())
    network.remove()
    shutil.rmtree(paths.run_dir())
    shutil.rmtree("/run/containerd", ignore_errors=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0", encoding="ascii")
    record = processes.pid_file("etcd")
    value = json.loads(record.read_text(encoding="utf-8"))
    # A pid of the boot before, given to an innocent process in this one.
    files.write_json(record, {**value, "pid": os.getpid(), "boot": "of another boot"})


def lose_pid_files() -> None:
    shutil.rmtree(processes.pid_directory())


def lose_interfaces_and_rules() -> None:
    network.remove()


def stop_everything() -> None:
    """Frozen processes: they are there, and answer nothing."""
    for process in everything():
        if executable(process) in ("etcd", "coredns", "kube-scheduler"):
            process.signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    "harm",
    [
        kill,
        kill_all_but_pods,
        kill_shims_but_not_pods,
        kill_shims_and_containerd_but_not_pods,
        as_after_a_reboot,
        lose_pid_files,
        lose_interfaces_and_rules,
        stop_everything,
    ],
)
def test_up_brings_back_what_was_harmed(before: dict[str, object], harm: Callable[[], None]) -> None:
    harm()
    cluster("up")
    serves()
    status = json.loads(cluster("status", "--json").stdout)
    assert status["healthy"]


@pytest.mark.parametrize(
    "name",
    [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "coredns",
        "postgresql",
    ],
)
def test_up_restarts_only_what_died(before: dict[str, object], name: str) -> None:
    pids = {part["name"]: part["pid"] for part in json.loads(cluster("status", "--json").stdout)["components"]}
    victim = processes.recorded(name)
    assert victim is not None
    processes.end([victim], signal.SIGKILL)
    cluster("up")
    now = {part["name"]: part["pid"] for part in json.loads(cluster("status", "--json").stdout)["components"]}
    assert {part for part, pid in now.items() if pid != pids[part]} == {name}
    serves()


def test_second_up_changes_nothing_and_takes_less_than_two_seconds(before: dict[str, object]) -> None:
    cluster("up")

    def traces() -> tuple[object, ...]:
        state = [path for path in paths.state_dir().glob("*/*") if path.parent.name in ("pids", "pki", "kubernetes")]
        return (
            sorted(process.pid for process in everything()),
            sorted((str(path), path.stat().st_mtime_ns) for path in state),
        )

    first, started = traces(), time.monotonic()
    cluster("up")
    assert time.monotonic() - started < 2
    assert traces() == first


def test_two_ups_at_once_both_succeed(before: dict[str, object]) -> None:
    kill()
    command = [sys.executable, "-m", "devkit.cluster", "up"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("waiting for process" in output for output in outputs) == 1
    serves()


def test_interrupted_up_is_finished_by_the_next(before: dict[str, object]) -> None:
    for seconds in (0.3, 0.8, 1.5, 3.0):
        cluster("down")
        interrupted = subprocess.Popen([sys.executable, "-m", "devkit.cluster", "up"], stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        interrupted.kill()
        interrupted.wait()
        cluster("up")
        assert json.loads(cluster("status", "--json").stdout)["healthy"]


def test_down_leaves_nothing_behind(before: dict[str, object]) -> None:
    kubectl("apply", "-f", "-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": WORKLOAD}))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster("down")
    assert host_traces() == before
    assert "no cluster" in cluster("down").stderr


@pytest.mark.parametrize("harm", [kill, kill_all_but_pods, kill_shims_but_not_pods, lose_pid_files, stop_everything])
def test_down_leaves_nothing_behind_of_a_harmed_cluster(before: dict[str, object], harm: Callable[[], None]) -> None:
    cluster("up")
    kubectl("apply", "-f", "-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": WORKLOAD}))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    harm()
    cluster("down")
    assert host_traces() == before


def test_component_that_cannot_start_is_named_with_its_last_log_lines(
    before: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster("up")
    processes.end([found for found in everything() if executable(found) == "etcd"])
    log = Path(paths.state_dir() / "etcd" / "member" / "snap" / "db")
    log.write_bytes(b"this is no database")
    result = cluster("up", expect=1)
    assert "error: etcd: ended instead of becoming healthy" in result.stderr
    assert "invalid database" in result.stderr
    assert "logs etcd" in result.stderr
    cluster("down")
    assert host_traces() == before
