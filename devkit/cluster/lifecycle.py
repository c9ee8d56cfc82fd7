"""`up` and `down` of the whole cluster, and how it is in between."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devkit import paths
from devkit.cluster import (
    config,
    containerd,
    dns,
    files,
    host,
    kubernetes,
    lock,
    network,
    packages,
    postgres,
    processes,
)
from devkit.cluster.errors import ClusterError, ComponentError
from devkit.cluster.kubernetes import Identities
from devkit.cluster.processes import Component
from devkit.cluster.progress import Progress
from devkit.tools import build

#: A component that runs but does not serve yet, seconds: it may just have been started, or have lost its neighbour.
GRACE = 15.0
NODE_PATIENCE = 60.0


@dataclass(frozen=True)
class Plan:
    """Everything that runs, defined but not started."""

    identities: Identities
    etcd: Component
    apiserver: Component
    containerd: Component
    kubelet: Component
    kube_proxy: Component
    postgresql: Component
    #: Those that only need the API server.
    clients: tuple[Component, ...]

    def components(self) -> tuple[Component, ...]:
        """All of them."""
        return (
            self.etcd,
            self.apiserver,
            *self.clients,
            self.containerd,
            self.kubelet,
            self.kube_proxy,
            self.postgresql,
        )


def _plan() -> Plan:
    with ThreadPoolExecutor(1) as pool:
        # initdb takes as long as everything else here together.
        postgresql = pool.submit(postgres.prepare)
        identities = kubernetes.prepare()
        return Plan(
            identities=identities,
            etcd=kubernetes.etcd(identities),
            apiserver=kubernetes.apiserver(identities),
            containerd=containerd.component(),
            kubelet=kubernetes.kubelet(),
            kube_proxy=kubernetes.kube_proxy(),
            postgresql=postgresql.result(),
            clients=(
                kubernetes.controller_manager(identities),
                kubernetes.scheduler(identities),
                kubernetes.coredns(),
            ),
        )


def up(progress: Progress) -> None:
    """Bring the cluster up, from whatever state the machine is in; changes nothing when all is well.

    Raises:
        ClusterError: what failed and what to do; a :class:`ComponentError` has the last lines of the log.
    """
    _require_root()
    with lock.exclusive(progress):
        packages.ensure(progress)
        build.build_all(progress)
        _own_directories()
        plan = _plan()
        if _all_well(plan):
            progress.say(f"the cluster is up: KUBECONFIG={paths.kubeconfig()}")
            return
        _start(plan, progress)
        progress.say(f"the cluster is up after {progress.elapsed():.1f} s: KUBECONFIG={paths.kubeconfig()}")


def _own_directories() -> None:
    state, run = paths.state_dir(), paths.run_dir()
    if state.exists() and any(state.iterdir()) and not host.remembered():
        raise ClusterError(f"{state} holds files that are not the devkit cluster's: set ROLLOUT_STATE to another place")
    owner = run / "state"
    if owner.exists() and owner.read_text(encoding="utf-8") != str(state):
        other = owner.read_text(encoding="utf-8")
        raise ClusterError(f"this machine's devkit's cluster has its state in {other}: use ROLLOUT_STATE={other}")
    state.mkdir(parents=True, exist_ok=True)
    # PostgreSQL's user must be able to pass; what is secret in it has rights of its own.
    state.chmod(0o755)
    host.remember()
    run.mkdir(parents=True, exist_ok=True)
    files.write(owner, str(state))


def _all_well(plan: Plan) -> bool:
    if not (network.configured() and host.configured()):
        return False
    if not all(component.current() for component in plan.components()):
        return False
    checks: list[Callable[[], bool]] = [component.is_healthy for component in plan.components()]
    checks += [lambda: _node_ready(plan), _dns_answers]
    with ThreadPoolExecutor(len(checks)) as pool:
        return all(pool.map(lambda check: check(), checks))


def _start(plan: Plan, progress: Progress) -> None:
    # Pods that hung on a bridge which is gone have lost their interfaces, and nobody but us would notice.
    detached = not network.exists()
    host.configure()
    network.configure()
    containerd.make_cgroups()
    with ThreadPoolExecutor(2) as pool:
        database = pool.submit(_start_postgresql, plan, progress)
        runtime = pool.submit(_start_containerd, plan, progress, detached)
        with progress.step("etcd and API server"):
            # One after the other: an API server that finds no etcd backs off for longer than etcd takes.
            _ensure(plan.etcd)
            _ensure(plan.apiserver)
        with progress.step("controller manager, scheduler, kubelet, kube-proxy and CoreDNS"):
            restarted = runtime.result()
            # The kubelet first, as it takes longest.
            _ensure(plan.kubelet, wait=False, restart=restarted)
            for component in plan.clients:
                _ensure(component, wait=False)
            _retry("kube-apiserver", "the objects for DNS", lambda: _apply_dns(plan))
            # kube-proxy asks for its node once and then only every now and then.
            _retry("kubelet", "the node has not registered", lambda: _node(plan) is not None)
            _ensure(plan.kube_proxy, wait=False, restart=detached)
            for component in plan.components():
                component.wait()
        with progress.step("node Ready and DNS answering"):
            _retry("kubelet", "the node is not Ready", lambda: _node_ready(plan))
            _retry("coredns", "DNS gives no answer", _dns_answers)
            _retry("kube-controller-manager", "no default service account", lambda: _service_account(plan))
        database.result()


def _start_postgresql(plan: Plan, progress: Progress) -> None:
    with progress.step("PostgreSQL"):
        _ensure(plan.postgresql, before=postgres.clear_leftovers)
        postgres.ensure_admin()


def _start_containerd(plan: Plan, progress: Progress, detached: bool) -> bool:
    with progress.step("containerd and its images"):

        def clear() -> None:
            # Without containerd the kubelet cannot do anything but complain, and with the pods gone its view is wrong.
            plan.kubelet.end()
            containerd.clear_runtime()
            containerd.make_cgroups()

        started = _ensure(plan.containerd, before=clear, restart=detached)
        containerd.load_images()
    return started


def _ensure(
    component: Component,
    *,
    before: Callable[[], None] = lambda: None,
    wait: bool = True,
    restart: bool = False,
) -> bool:
    """Have a component running as defined today; return whether it had to be started."""
    if component.current() and not restart and _healthy_within(component, GRACE):
        return False
    component.end()
    processes.end(processes.strays(component.argv[0]))
    before()
    component.start()
    if wait:
        component.wait()
    return True


def _healthy_within(component: Component, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not component.is_healthy():
        if component.process() is None or time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _retry(component: str, what: str, check: Callable[[], bool], patience: float = NODE_PATIENCE) -> None:
    deadline = time.monotonic() + patience
    last = ""
    while True:
        try:
            if check():
                return
        except OSError as error:
            last = f" ({error})"
        if time.monotonic() > deadline:
            log = files.tail(processes.log_file(component))
            raise ComponentError(component, f"{what} after {patience:.0f} s{last}", log)
        time.sleep(0.1)


def _apply_dns(plan: Plan) -> bool:
    for path, value in kubernetes.dns_objects().items():
        kubernetes.client(plan.identities).apply(path, value)
    return True


def _service_account(plan: Plan) -> bool:
    return kubernetes.client(plan.identities).ok("/api/v1/namespaces/default/serviceaccounts/default")


def _dns_answers() -> bool:
    try:
        return dns.resolve(f"kubernetes.default.svc.{config.DOMAIN}") == config.KUBERNETES_SERVICE
    except OSError:
        return False


def _node(plan: Plan) -> Any:
    try:
        return kubernetes.client(plan.identities).get(f"/api/v1/nodes/{config.NODE}")
    except OSError:
        return None


def _node_ready(plan: Plan) -> bool:
    """Whether the running kubelet, and not one before it, has said that the node is Ready."""
    process = plan.kubelet.process()
    if process is None:
        return False
    node = _node(plan)
    if node is None:
        return False
    started = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=process.seconds())
    for condition in node["status"].get("conditions", ()):
        if condition["type"] == "Ready" and condition["status"] == "True":
            heartbeat = datetime.datetime.fromisoformat(condition["lastHeartbeatTime"])
            # Kubernetes cuts times to whole seconds.
            return heartbeat >= started.replace(microsecond=0)
    return False


def down(progress: Progress) -> None:
    """Take the cluster down, whatever state it is in, and everything with it that `up` ever made.

    Raises:
        ClusterError: something could not be removed.
    """
    _require_root()
    with lock.exclusive(progress):
        state, run = paths.state_dir(), paths.run_dir()
        if state.exists() and any(state.iterdir()) and not host.remembered():
            raise ClusterError(f"{state} holds files that are not the devkit cluster's: it is left alone")
        if not (state.exists() or run.exists() or network.exists() or processes.marked(state)):
            progress.say("there is no cluster to take down")
            return
        with progress.step("ending processes"):
            # What a process starts while the list is made is found the next time; an ended cluster starts nothing.
            while found := [*processes.marked(state), *processes.working_in(postgres.data_directory())]:
                processes.end(found)
            postgres.clear_leftovers()
            containerd.clear_runtime()
        with progress.step("removing network, mounts and files"):
            network.remove()
            host.restore()
            _remove(run)
            _remove(state)


def _remove(directory: Path) -> None:
    """Remove a directory; files of a process that ends only now may still appear while that is done."""
    for _ in range(5):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.2)
    left = next(iter(directory.rglob("*")), directory)
    raise ClusterError(
        f"{directory} cannot be removed, for instance {left}: see what uses it (fuser -v) and run down again"
    )


@dataclass(frozen=True)
class Condition:
    """How one part is: ``healthy``, ``unhealthy`` (it runs but does not serve) or ``stopped``."""

    name: str
    state: str
    pid: int | None
    seconds: float | None


def status() -> list[Condition]:
    """How every component is, and the node and DNS as a whole.

    Raises:
        ClusterError: there is no cluster.
    """
    _require_root()
    if not host.remembered():
        raise ClusterError("the devkit's cluster is not up: python -m devkit.cluster up")
    plan = _plan()

    def condition(component: Component) -> Condition:
        process = component.process()
        if process is None:
            return Condition(component.name, "stopped", None, None)
        state = "healthy" if component.is_healthy() else "unhealthy"
        return Condition(component.name, state, process.pid, round(process.seconds(), 1))

    def whole(name: str, check: Callable[[], bool]) -> Condition:
        return Condition(name, "healthy" if check() else "unhealthy", None, None)

    with ThreadPoolExecutor(12) as pool:
        components = pool.map(condition, plan.components())
        wholes = pool.map(lambda pair: whole(*pair), _wholes(plan))
        return [*components, *wholes]


def _wholes(plan: Plan) -> Iterable[tuple[str, Callable[[], bool]]]:
    yield "network", lambda: network.configured() and host.configured()
    yield "node", lambda: _node_ready(plan)
    yield "dns", _dns_answers


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("the devkit's cluster needs root (network, mounts, containers): run it with sudo")
