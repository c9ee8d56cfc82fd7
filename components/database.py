"""A module's database: created by a Job, or checked by it where something else created it; one that belongs to another stack or module is refused. No update drops it, and a destroy only when asked to (`dropping`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from settings import JobSettings, ModuleSettings

from .job import gate_job
from .names import MODULE_DATABASE, job_labels, owner_env
from .pod import job_resources
from .scope import Scope


class Database(pulumi.ComponentResource):
    """The database of one module on its PostgreSQL server.

    Args:
        module: name.
        database: its name.
        settings: of the module.
        env: how to connect to it.
        image: that makes it if it is not there; None where others do.
        jobs: where that Job runs.
        scope: where to declare it.
        depends_on: the credentials that ``env`` refers to.
        adopted: something else created and migrated it; it must exist.

    Attributes:
        ready: what a migration waits for.
    """

    def __init__(
        self,
        module: str,
        database: str,
        settings: ModuleSettings,
        env: list[dict[str, Any]],
        image: str | None,
        jobs: JobSettings,
        scope: Scope,
        depends_on: Sequence[pulumi.Resource],
        adopted: bool = False,
    ) -> None:
        super().__init__("rollout:index:Database", module, None, scope.component())
        self.ready: list[pulumi.Resource] = list(depends_on)
        command = "adopt-database" if adopted else "create-database"
        if image is not None:
            job = gate_job(
                f"{module}-database",
                f"{module}-database",
                container={
                    "name": command,
                    "image": image,
                    "args": [command],
                    "env": [*env, *owner_env(scope.owner.label, module)],
                },
                labels=job_labels(module, MODULE_DATABASE),
                active_deadline_seconds=60,
                backoff_limit=0,
                run_as_user=65_532,
                service_account=module,
                jobs=jobs,
                scope=scope,
                opts=scope.job(self, depends_on=depends_on),
                resources=job_resources(settings),
            )
            self.ready = [job]
        self.register_outputs({"database": database})
