"""The migration of a module's database to one version: the gate that everything of that version stands behind."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from settings import ModuleSettings, Version

from .database import Database
from .job import gate_job
from .names import job_labels
from .scope import Scope


class Migration(pulumi.ComponentResource):
    """Runs the *new* image's ``migrate`` against the module's database.

    The Job sees its image, its arguments, the database and its own environment, and nothing else of the module's settings:
    only a change of those runs it again.
    """

    def __init__(
        self,
        module: str,
        version: Version,
        settings: ModuleSettings,
        database: Database,
        scope: Scope,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("rollout:index:Migration", module, None, scope.component())
        self.job = gate_job(
            f"{module}-{version}-migrate",
            f"{module}-{version.slug}-migrate",
            container={
                "name": "migrate",
                "image": version.image(settings.image),
                "args": list(settings.migration.args),
                "env": [*database.env, *({"name": k, "value": v} for k, v in sorted(settings.migration.env.items()))],
            },
            labels=job_labels(module, "migrate", version),
            active_deadline_seconds=settings.migration.active_deadline_seconds,
            backoff_limit=settings.migration.backoff_limit,
            run_as_user=settings.run_as_user,
            service_account=module,
            scope=scope,
            opts=scope.job(self, depends_on=[database.job, *depends_on]),
        )
        self.register_outputs({})
