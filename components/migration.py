"""The migration of a module's database to one version: the gate that everything of that version stands behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from settings import ModuleSettings, Version

from .backup import ANNOTATION, Backup
from .database import Database
from .job import gate_job
from .names import SQL, job_labels
from .record import record
from .rehearsal import Trial
from .scope import Scope


class Migration(pulumi.ComponentResource):
    """Runs the *new* image's ``migrate`` against the module's database.

    The Job sees its image, its arguments, the database and its own environment, and nothing else of the module's settings:
    only a change of those runs it again.

    Args:
        module: name.
        version: to migrate to.
        settings: of the module.
        image: of the version.
        env: of the Job.
        database: to migrate.
        witness: that compares the database before and after, see `gate_job`.
        rehearsal: of it, before it is begun.
        backup: of the database, likewise; None for none.
        recorded: the version label that the database is of once the Job has succeeded.
        settled: it has succeeded already.
        scope: where to declare it.
        depends_on: what the Job waits for besides the database.
    """

    def __init__(
        self,
        module: str,
        version: Version,
        settings: ModuleSettings,
        image: str,
        env: list[dict[str, Any]],
        database: Database,
        witness: Mapping[str, Any],
        rehearsal: Trial | None,
        backup: Backup | None,
        recorded: str,
        settled: bool,
        scope: Scope,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("rollout:index:Migration", module, None, scope.component())
        self.job = gate_job(
            f"{module}-{version}-migrate",
            f"{module}-{version.slug}-migrate",
            container=migration_container(settings, image, env),
            labels=job_labels(module, "migrate", version),
            active_deadline_seconds=settings.migration.active_deadline_seconds,
            backoff_limit=settings.migration.backoff_limit,
            run_as_user=settings.run_as_user,
            service_account=module,
            jobs=settings.jobs,
            scope=scope,
            annotations={
                **settings.migration.annotations,
                # For policies; as annotations of the pod change no Job, neither does switching backups on.
                **({ANNOTATION: settings.backup} if backup else {}),
                **({SQL: settings.migration.sql} if settings.migration.sql else {}),
            },
            opts=scope.job(
                self,
                depends_on=[*database.ready, *depends_on],
                # Nothing is backed up for a migration that is refused.
                before=[*scope.rehearsals.hooks(rehearsal), *scope.backups.hooks(backup)],
            ),
            witness=witness,
            resources=settings.migration.resources.model_dump(),
            settled=settled,
        )
        record(module, recorded, self, scope, [self.job], settings.compatibility)
        self.register_outputs({})


def migration_container(settings: ModuleSettings, image: str, env: list[dict[str, Any]]) -> dict[str, Any]:
    """What runs a module's migration, in earnest and in its rehearsal."""
    return {"name": "migrate", "image": image, "args": list(settings.migration.args), "env": env}
