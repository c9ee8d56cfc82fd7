"""However many migration pods start together and however they are killed: every file is committed exactly once.

tests/cluster/migrator/test_once.py has the same with processes. Here the pods are real ones of the migrator's image, with SQL
files of a ConfigMap, and what ends them is what ends pods: a deletion, with grace or without, and a SIGKILL.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import psycopg
import pytest
from lightkube import ApiError, Client
from lightkube.models.core_v1 import (
    ConfigMapVolumeSource,
    Container,
    EnvVar,
    PodSpec,
    ResourceRequirements,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod, ServiceAccount

from components.cluster import prepare_types
from devkit import paths
from devkit.cluster import containerd
from devkit.cluster.errors import ComponentError
from migrator import Settings, database
from tests.cluster.stacks import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

# No IF NOT EXISTS where a file is one transaction: what runs twice fails, or counts two. The third file is resumed after its last
# statement that is recorded, so those must bear to run twice.
FILES = {
    "0001_counted.sql": "CREATE TABLE counted (file int); INSERT INTO counted VALUES (1); SELECT pg_sleep(0.3)",
    "0002_more.sql": "INSERT INTO counted VALUES (2); CREATE TABLE once (); SELECT pg_sleep(0.2)",
    "0003_index.sql": "-- migrate: non-transactional\n"
    "INSERT INTO counted SELECT 3 WHERE NOT EXISTS (SELECT FROM counted WHERE file = 3);\n"
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS counted_file ON counted (file)",
    "0004_last.sql": "INSERT INTO counted VALUES (4)",
}
CONTAINER = "migrate"
GRACE = 5  # seconds
AT_WORK = """
SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
"""
AIMED_SECONDS = 5.0


@dataclass
class Figures:
    """What the rounds of one number of pods came to."""

    rounds: int = 0
    pods: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    at_work: int = 0
    begun: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        how = ", ".join(f"{count} by {way}" for way, count in sorted(self.killed.items()))
        return (
            f"{self.rounds} rounds, {self.pods} pods, {self.killed.total()} killed ({how}), {self.at_work} of them while "
            f"they held the lock, in {time.monotonic() - self.begun:.0f} s"
        )


@pytest.fixture
def namespace(api: Client) -> Iterator[str]:
    """A namespace in which pods can be made, with the files."""
    prepare_types()  # the timers use the client too
    name = f"t{os.getpid() % 10_000}-once-{time.monotonic_ns() % 10_000}"
    api.create(Namespace(metadata=ObjectMeta(name=name)))
    api.create(ConfigMap(metadata=ObjectMeta(name="sql", namespace=name), data=FILES))

    def account() -> bool:
        with suppress(ApiError):
            return bool(api.get(ServiceAccount, "default", namespace=name))
        return False

    wait_for("the namespace's account, without which no pod can be made", account)
    yield name
    api.delete(Namespace, name, grace_period=0)


@pytest.fixture
def fresh(namespace: str) -> Iterator[Callable[[], database.Target]]:
    """Makes databases; those before are dropped."""
    made: list[database.Target] = []

    def drop() -> None:
        while made:
            database.drop(made.pop(), Settings(), lambda _line: None)

    def make() -> database.Target:
        drop()
        target = database.Target(f"{namespace}-{time.monotonic_ns()}", paths.postgres().uri())
        database.create(target, Settings(), lambda _line: None)
        made.append(target)
        return target

    yield make
    drop()


def pod(namespace: str, name: str, target: str) -> Pod:
    server = paths.postgres()
    uri = f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/{target}?sslmode=require"
    container = Container(
        name=CONTAINER,
        image="localhost/rollout/migrator:1",
        imagePullPolicy="IfNotPresent",
        args=["migrate", "--directory", "/sql"],
        env=[EnvVar(name="POSTGRES_URI", value=uri), EnvVar(name="MIGRATE_LOCK_TIMEOUT", value="0.5")],
        resources=ResourceRequirements(requests={"cpu": "5m", "memory": "16Mi"}),
        volumeMounts=[VolumeMount(name="sql", mountPath="/sql", readOnly=True)],
    )
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, labels={"round": target}),
        spec=PodSpec(
            restartPolicy="Never",
            terminationGracePeriodSeconds=GRACE,
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            containers=[container],
            volumes=[Volume(name="sql", configMap=ConfigMapVolumeSource(name="sql"))],
        ),
    )


class Round:
    """Some pods started together on one database, of which some are killed.

    Args:
        api: of the cluster.
        namespace: of the pods.
        target: the database.
        count: of pods.
        chance: by which pods are chosen, moments and ways to end them.
        figures: what is done is added to them.
    """

    def __init__(
        self, api: Client, namespace: str, target: str, count: int, chance: random.Random, figures: Figures
    ) -> None:
        self._api, self._namespace, self._target, self._figures = api, namespace, target, figures
        self.names = [f"{target.rpartition('-')[2]}-{n}" for n in range(count)]
        ways = ["deletion", "deletion without grace"]
        # Of a process in a container only its node can make an end; this is the devkit's.
        ways += [] if os.environ.get("KUBE_CONTEXT") else ["SIGKILL"]
        self._ways = {name: chance.choice(ways) for name in chance.sample(self.names, chance.randint(1, count - 1))}
        # Some before they run, most from then on: the more there are, the longer each takes to begin. And as only one is at work at
        # a time, some wait for that one, and take its place among those that are left.
        self._early = {n for n, way in self._ways.items() if way != "SIGKILL" and chance.random() < 0.2}
        self._aimed = {name for name in self._ways if chance.random() < 0.4}
        self._moments = {name: chance.uniform(0, 0.5 if name in self._aimed else 1 + count / 8) for name in self._ways}
        self._timers: dict[str, threading.Timer] = {}
        self._containers: dict[str, str] = {}
        self._ended: dict[str, Pod] = {}
        self._lock = threading.Lock()

    @property
    def survivors(self) -> set[str]:
        return set(self.names) - self._ways.keys()

    def run(self) -> dict[str, Pod]:
        """Starts the pods, kills some, and gives those that ended by themselves once all have ended."""
        labels = {"round": self._target}
        found = self._api.list(Pod, namespace=self._namespace, labels=labels)
        assert not list(found)
        for name in self.names:
            self._api.create(pod(self._namespace, name, self._target))
        for name in self._early:
            self._set_off(name)
        gone: set[str] = set()
        for event, seen in self._api.watch(
            Pod, namespace=self._namespace, labels=labels, resource_version=str(found.resourceVersion)
        ):
            name = str(seen.metadata.name)
            statuses = (seen.status and seen.status.containerStatuses) or []
            if statuses and statuses[0].state and statuses[0].state.running:
                self._containers[name] = str(statuses[0].containerID).rpartition("/")[2]
                if name in self._moments:
                    self._set_off(name)
            if event == "DELETED":
                gone.add(name)
            elif seen.status and seen.status.phase in ("Succeeded", "Failed"):
                self._ended[name] = seen
            if len(gone | self._ended.keys()) == len(self.names):
                break
        for timer in self._timers.values():
            timer.cancel()
            timer.join()
        self._figures.rounds += 1
        self._figures.pods += len(self.names)
        return self._ended

    def _set_off(self, name: str) -> None:
        if name not in self._timers:
            self._timers[name] = threading.Timer(self._moments[name], self._kill, [name])
            self._timers[name].start()

    def _kill(self, name: str) -> None:
        with psycopg.connect(paths.postgres().uri(self._target), autocommit=True) as connection:

            def at_work() -> str:
                row = connection.execute(AT_WORK).fetchone()
                return str(row[0]).split()[-1] if row else ""

            end = time.monotonic() + (AIMED_SECONDS if name in self._aimed else 0)
            while not (found := at_work()) and time.monotonic() < end:
                time.sleep(0.02)
            if found and name in self._aimed:
                time.sleep(self._moments[name])
                name, found = self._instead(name, found), at_work()
        with self._lock:
            if name in self._ended:
                return
            way = self._ways[name]
            self._figures.killed[way] += 1
            self._figures.at_work += name == found
        if way == "SIGKILL":
            with suppress(ComponentError):  # it has ended by itself
                containerd.ctr("tasks", "kill", "--signal", "SIGKILL", self._containers[name])
        else:
            with suppress(ApiError):
                grace = 0 if way == "deletion without grace" else None
                self._api.delete(Pod, name, namespace=self._namespace, grace_period=grace)

    def _instead(self, name: str, other: str) -> str:
        """The pod to kill: another, which is at work, if it is not to be killed anyway."""
        with self._lock:
            if other in self._ways or other not in self._containers:
                return name
            self._ways[other] = self._ways.pop(name)
            return other


def assert_once(uri: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:

        def value(query: str) -> object:
            return connection.execute(query.encode()).fetchall()[0][0]

        assert value("SELECT array_agg(file ORDER BY file) FROM counted") == [1, 2, 3, 4]
        rows = connection.execute(
            "SELECT name, done = statements, applied_at FROM migrator.migrations ORDER BY number"
        ).fetchall()
        assert [name for name, _, _ in rows] == list(FILES)
        assert all(whole for _, whole, _ in rows)
        assert all(a <= b for a, b in pairwise(at for _, _, at in rows)), "in their order"
        assert value("SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = 'counted_file'::regclass")
        assert value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("count", [2, 5, 20] if "ROUNDS" in os.environ else [2, 5])
def test_pods_started_together_and_killed_at_random_commit_once(
    count: int, api: Client, namespace: str, fresh: Callable[[], database.Target]
) -> None:
    """`make exactly-once` makes it 201 rounds, a third of them with twenty pods."""
    figures = Figures()
    for seed in range(int(os.environ.get("ROUNDS", "1"))):
        target = fresh()
        chance = random.Random(1000 * count + seed)
        each = Round(api, namespace, target.name, count, chance, figures)
        ended = each.run()
        said = f"{count} pods, seed {seed}"
        for name in each.survivors:
            terminated = ended[name].status.containerStatuses[0].state.terminated
            log = [] if terminated.exitCode == 0 else list(api.log(name, namespace=namespace, newlines=False))
            assert terminated.exitCode == 0, f"{said}: {terminated.message}\n" + "\n".join(log)
            assert json.loads(terminated.message)["outcome"] in ("migrated", "unchanged"), said
        assert_once(paths.postgres().uri(target.name))
        for name in ended:
            with suppress(ApiError):
                api.delete(Pod, name, namespace=namespace, grace_period=0)
    print(f"\n{count} pods at once: {figures}")
