"""The stack of the demo and what can be seen of it: what serves, what ran, what the database holds."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import psycopg
import yaml
from lightkube import ApiError, Client, KubeConfig
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace, Pod, Service

from devkit import paths
from devkit.workspace import Workspace

SETTINGS: dict[str, Any] = {
    "image": "localhost/rollout/ledger",
    "version": "1.0.0",
    "replicas": 2,
    "progressDeadlineSeconds": 15,
    "terminationGracePeriodSeconds": 20,
    "rehearsal": {"requests": [{"path": "/transactions/1"}]},
    # The default share of 25m would starve it whenever the machine builds or tests something beside it.
    "resources": {"requests": {"cpu": "150m", "memory": "64Mi"}},
}

# Tables, columns, constraints and indexes of everything that is not PostgreSQL's own, in a fixed order.
SCHEMA = """
SELECT 'column', c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', conrelid::regclass::text, contype::text, conname, pg_get_constraintdef(oid), '' FROM pg_constraint
 WHERE connamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT 'index', tablename, '', indexname, indexdef, '' FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1, 2, 3, 4, 5
"""


def schema(uri: str) -> list[tuple[Any, ...]]:
    """The schema of a database as pg_catalog has it: equal lists mean equal schemas."""
    with psycopg.connect(uri) as connection:
        return connection.execute(SCHEMA).fetchall()


def connect() -> Client:
    """The cluster that KUBECONFIG and KUBE_CONTEXT name, else the devkit's."""
    config = KubeConfig.from_file(os.environ.get("KUBECONFIG") or str(paths.kubeconfig()))
    return Client(config=config.get(context_name=os.environ.get("KUBE_CONTEXT") or None))


class Stage:
    """A stack named ``demo`` with one module, the sample ledger, made anew each time.

    Args:
        folder: where its project and its state are kept.
    """

    name = "demo"

    def __init__(self, folder: Path) -> None:
        self.api = connect()
        self._clear(folder)
        self.workspace = Workspace.create(folder, self.name, {"modules": {"ledger": SETTINGS}})

    @property
    def database(self) -> str:
        return paths.postgres().uri(f"{self.name}-ledger")

    def schema(self) -> list[tuple[Any, ...]]:
        return schema(self.database)

    def rehearse(self, mode: str) -> None:
        """Sets whether migrations are rehearsed; the version that is written beside it stays."""
        file = self.workspace.root / f"Pulumi.{self.name}.yaml"
        modules = yaml.safe_load(file.read_text())["config"]["rollout:modules"]
        modules["ledger"]["rehearse"] = mode
        self.workspace.configure({"modules": modules})

    def serving(self) -> str:
        """The version that the Service selects, with its ready pods."""
        try:
            version = self.api.get(Service, "ledger", namespace=self.name).spec.selector["app.kubernetes.io/version"]
        except ApiError as error:
            if error.status.code == 404:
                return "nothing"
            raise
        ready = sum(all(c.ready for c in p.status.containerStatuses or []) for p in self._pods(version))
        return f"{version} ({ready} ready)"

    def pods(self, version: str) -> dict[str, int]:
        """UID -> restarts of the pods of a version."""
        return {
            p.metadata.uid: sum(c.restartCount for c in p.status.containerStatuses or []) for p in self._pods(version)
        }

    def jobs(self) -> set[str]:
        """UIDs of all Jobs."""
        return {j.metadata.uid for j in self.api.list(Job, namespace=self.name)}

    def migration_is_running(self) -> bool:
        jobs = self.api.list(Job, namespace=self.name)
        return any(j.status and j.status.active and "-migrate-" in j.metadata.name for j in jobs)

    def _pods(self, version: str) -> list[Pod]:
        labels = {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": version}
        return list(self.api.list(Pod, namespace=self.name, labels=labels))

    def _clear(self, folder: Path) -> None:
        """Takes away what an earlier demo left, whatever became of it."""
        shutil.rmtree(folder, ignore_errors=True)
        try:
            self.api.delete(Namespace, self.name, grace_period=0)
            while True:
                self.api.get(Namespace, self.name)
                time.sleep(0.2)
        except ApiError as error:
            if error.status.code != 404:
                raise
        with psycopg.connect(paths.postgres().uri(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self.name}-ledger" WITH (FORCE)')
