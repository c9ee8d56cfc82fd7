"""Stacks of the sample ledger on the real cluster, and what tests look at: objects, pods, the database, the audit log."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from lightkube import ApiError, Client
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Event, Namespace, Pod, Secret, Service

from devkit import paths
from devkit.demo.stage import schema
from devkit.workspace import Workspace

T = TypeVar("T")

LEDGER: dict[str, Any] = {
    "image": "localhost/rollout/ledger",
    "version": "1.0.0",
    "replicas": 1,
    "drainSeconds": 1,
    "terminationGracePeriodSeconds": 10,
    "progressDeadlineSeconds": 30,
    "migration": {"activeDeadlineSeconds": 120, "witness": False},
    "rehearse": "off",
}
# As it comes. A witness and a rehearsal are pods and containers of their own before a migration: the tests that they are in ask for them.
WITNESSED: dict[str, Any] = {"migration": {"activeDeadlineSeconds": 120}}


def wait_for(what: str, look: Callable[[], T], seconds: float = 60.0) -> T:
    """Looks again and again until the answer is true."""
    end = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)
    return answer


@dataclass
class Stack:
    """One stack with the module `ledger` (and others a test adds), in a namespace of its own."""

    workspace: Workspace
    api: Client
    modules: dict[str, dict[str, Any]] = field(default_factory=lambda: {"ledger": dict(LEDGER)})
    _plain: str = ""
    _settled: object = None

    @property
    def name(self) -> str:
        return self.workspace.stack

    def configure(self, module: str = "ledger", **settings: Any) -> None:
        """Changes settings of a module in the stack's file, as an engineer would."""
        self.modules[module] = {**self.modules.get(module, LEDGER), **settings}
        self.workspace.configure({"modules": self.modules})

    def up(self, version: str | None = None, *more: str) -> tuple[int, dict[str, Any]]:
        """`rollout up`, of another version where one is given."""
        if version:
            self.configure(version=version)
        return self.workspace.rollout("up", *more)

    def deployed(self, version: str) -> dict[str, Any]:
        """Rolls a version out and requires that it went well."""
        code, verdict = self.up(version)
        assert code == 0, json.dumps(verdict, indent=1)
        return verdict

    def at(self, version: str, **settings: Any) -> Stack:
        """Has one version serve, with these settings and no others; nothing is run where it does so already.

        For a stack that several tests look at: each begins with what it needs, alone or after others.
        """
        self._plain = self._plain or self.workspace.file.read_text()
        self.workspace.file.write_text(self._plain)
        self.modules = {}
        self.configure(version=version, **settings)
        if self._settled != (self.modules, self._seen(version)):
            code, verdict = self.up(None, "--allow-downgrade")
            assert code == 0, json.dumps(verdict, indent=1)
            self._settled = (self.modules, self._seen(version))
        return self

    def _seen(self, version: str) -> object:
        return self.fingerprints(version), self.deployments(), self.job_uids(), self.pods(version)

    @contextmanager
    def running(self, *args: str, until: Callable[[], Any], what: str) -> Iterator[Any]:
        """`rollout ...` in the background, from the moment that something can be seen in the cluster."""
        process = self.workspace.start(*args)
        try:
            wait_for(what, lambda: until() or process.poll() is not None)
            assert process.poll() is None, f"exit {process.returncode} before {what}:\n{process.communicate()}"
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def kill(self, process: Any) -> None:
        """kill -9 of rollout, of the program and of the engine together."""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    # --- what is in the cluster ---

    def objects(self, kind: Any) -> list[Any]:
        return [
            o
            for o in self.api.list(kind, namespace=self.name)
            if o.metadata.name not in ("kube-root-ca.crt", "default")
        ]

    def deployments(self) -> dict[str, int]:
        """Name -> ready replicas."""
        return {d.metadata.name: (d.status.readyReplicas or 0) for d in self.objects(Deployment)}

    def jobs(self, beginning: str = "ledger-") -> dict[str, str]:
        """Name -> active, succeeded, failed or pending, of the migration Jobs."""
        found = {}
        for job in self.objects(Job):
            if "-migrate-" in job.metadata.name and job.metadata.name.startswith(beginning):
                s = job.status
                found[job.metadata.name] = (
                    "active" if s.active else "succeeded" if s.succeeded else "failed" if s.failed else "pending"
                )
        return found

    def job(self, version: str, module: str = "ledger") -> str:
        """The state of the migration Job of a version, "" if there is none."""
        return next(iter(self.jobs(f"{module}-{version.replace('.', '-')}-migrate-").values()), "")

    def gate_held(self) -> None:
        """Requires of every version that is deployed, however the update went, that its migration had succeeded before."""
        version = "app.kubernetes.io/version"
        for deployment in self.objects(Deployment):
            module, labels = deployment.metadata.labels["app.kubernetes.io/name"], deployment.metadata.labels
            name = f"{module}-{labels[version].replace('.', '-')}-migrate-"
            job = next((j for j in self.objects(Job) if j.metadata.name.startswith(name)), None)
            assert job, f"{deployment.metadata.name} is deployed without a migration"
            ended, made = job.status.completionTime, deployment.metadata.creationTimestamp
            assert ended, f"{deployment.metadata.name} is deployed, and {job.metadata.name} has not succeeded"
            assert ended <= made, f"{deployment.metadata.name} was made at {made}, and its migration ended at {ended}"

    def job_uids(self) -> set[str]:
        return {j.metadata.uid for j in self.objects(Job)}

    def serving(self, module: str = "ledger") -> str:
        """The version that the Service selects."""
        return str(self.api.get(Service, module, namespace=self.name).spec.selector["app.kubernetes.io/version"])

    def pods(self, version: str, module: str = "ledger") -> dict[str, int]:
        """UID -> restarts of the pods of a version."""
        labels = {"app.kubernetes.io/name": module, "app.kubernetes.io/version": version}
        pods = self.api.list(Pod, namespace=self.name, labels=labels)
        return {p.metadata.uid: sum(c.restartCount for c in p.status.containerStatuses or []) for p in pods}

    def fingerprints(self, version: str, module: str = "ledger") -> dict[str, str]:
        """Everything a version stands on, by resourceVersion: unchanged means that nobody wrote to it."""
        slug = version.replace(".", "-")
        kept = {}
        for kind in (Deployment, Service, ConfigMap, Secret):
            for o in self.objects(kind):
                if o.metadata.name in (module, f"{module}-{slug}") or o.metadata.name.startswith(f"{module}-postgres"):
                    kept[f"{kind.__name__}/{o.metadata.name}"] = o.metadata.resourceVersion
        return kept

    def events(self, reason: str) -> list[str]:
        return [e.message for e in self.api.list(Event, namespace=self.name) if e.reason == reason]

    def ask(self, path: str, module: str = "gateway") -> tuple[int, Any]:
        """Asks a module from outside the cluster, by the API server's proxy; status and body, parsed where it is JSON."""
        base = f"/api/v1/namespaces/{self.name}/services/{module}:http/proxy"
        answer = self.api._client._client.get(base + path)
        try:
            return answer.status_code, json.loads(answer.text)
        except ValueError:
            return answer.status_code, answer.text

    # --- what is in the database ---

    def sql(self, query: str, module: str = "ledger") -> list[tuple[Any, ...]]:
        with psycopg.connect(paths.postgres().uri(f"{self.name}-{module}"), autocommit=True) as connection:
            cursor = connection.execute(query)
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def holding(self, statement: str, module: str = "ledger") -> Iterator[None]:
        """A session that has run a statement and keeps its transaction open."""
        with psycopg.connect(paths.postgres().uri(f"{self.name}-{module}")) as connection:
            connection.execute(statement.encode())
            yield
            connection.rollback()

    def schema(self, module: str = "ledger") -> list[tuple[Any, ...]]:
        """Tables, columns, constraints and indexes, as pg_catalog has them."""
        return schema(paths.postgres().uri(f"{self.name}-{module}"))

    def databases(self) -> set[str]:
        with psycopg.connect(paths.postgres().uri()) as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{self.name}-%"]
            ).fetchall()
        return {str(r[0]) for r in rows}

    def remove(self) -> None:
        """Takes the namespace and the databases away, however the test ended."""
        try:
            self.api.delete(Namespace, self.name, grace_period=0)
        except ApiError as error:
            if error.status.code != 404:
                raise
        for database in self.databases():
            with psycopg.connect(paths.postgres().uri(), autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def audit_lines(log: Path, start: int) -> list[Mapping[str, Any]]:
    """The audit log's entries after a position in the file."""
    with log.open("rb") as file:
        file.seek(start)
        return [json.loads(line) for line in file.read().splitlines() if line.endswith(b"}")]
