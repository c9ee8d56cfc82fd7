"""A module of the stack: its database, the migration to its version, and the release behind that gate."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from settings import Plan, Role, StackSettings, Version

from .backup import Backup
from .configuration import Configuration, references
from .database import Database
from .migration import Migration, migration_container
from .names import NAME
from .record import record
from .rehearsal import Trial
from .release import Release
from .scope import Scope
from .witness import witness
from .worker import Worker
from .workload import Container, Mount


class Module(pulumi.ComponentResource):
    """One module at the version that the settings ask for.

    Args:
        name: of the module, its Service and its service account.
        settings: of the whole stack.
        plan: what its kind makes of them.
        scope: where to declare its resources.
        after: modules that must serve their version before this one is migrated.
        recorded: the versions a disabled module was migrated to: that of its settings keeps its Job, so that enabling it
            runs none again. None for a module that is not disabled.
        migrated: the version its database was migrated to last; None if nobody knows of one.

    Attributes:
        release: what serves; None for a disabled module.
    """

    def __init__(
        self,
        name: str,
        settings: StackSettings,
        plan: Plan,
        scope: Scope,
        after: Sequence[Module] = (),
        recorded: frozenset[str] | None = None,
        migrated: str | None = None,
    ) -> None:
        super().__init__("rollout:index:Module", name, None, scope.component())
        self._name, self._settings, self._scope = name, settings, scope.under(self)
        self.release: Release | None = None
        module, version = settings.modules[name], settings.version(name)
        earlier = [other.release.service for other in after if other.release]
        self._account = service_account(name, settings, self._scope)
        self._configuration = Configuration(name, self, self._scope)
        gate: list[pulumi.Resource] = list(earlier)
        if module.database:
            gate += self._migrated(plan, earlier, recorded, migrated)
        if recorded is None:
            worker = self._worker(plan.worker, gate) if plan.worker else None
            if worker:
                gate.append(worker.deployment)
            container, mounted = self._container(name, plan.api, gate)
            self.release = Release(
                name,
                version,
                module,
                container,
                self._account,
                [*gate, *mounted],
                self._scope,
                worker=worker.pods if worker else "",
            )
        self.register_outputs({"version": str(version)})

    def _migrated(
        self,
        plan: Plan,
        earlier: Sequence[pulumi.Resource],
        recorded: frozenset[str] | None,
        migrated: str | None,
    ) -> list[pulumi.Resource]:
        """Declares the database and the migration, and returns the gate."""
        name, settings = self._name, self._settings
        module, version = settings.modules[name], settings.version(name)
        if recorded is not None and version.label not in recorded:
            if migrated:
                record(name, migrated, self, self._scope)
            return []
        credentials = self._configuration.secrets([*plan.database, *plan.migration])
        server = settings.postgres_of(name)
        creator = None if server.aws_iam or not server.create_database else settings.migrator_image
        database = Database(
            name,
            settings.database(name),
            module,
            self._configuration.entries(plan.database),
            creator,
            module.jobs,
            self._scope.under(self, [self._account]),
            credentials,
        )
        env, image = self._configuration.entries(plan.migration), settings.image(name)
        # Both are clients of the database with a password; a rehearsal makes one too.
        seen = module.migration.witness and not server.aws_iam
        trial = (
            Trial(
                name,
                version,
                module,
                migration_container(module, image, env),
                settings.migrator_image,
                settings.starts_in_rehearsal(name),
                settings.compatibility(name),
            )
            if creator
            else None
        )
        backup = (
            Backup(name, version, module, self._configuration.entries(plan.database), settings.migrator_image)
            if module.backup != "off"
            else None
        )
        migration = Migration(
            name,
            version,
            module,
            image,
            env,
            database,
            witness(settings.migrator_image, module, self._configuration.entries(plan.database)) if seen else {},
            trial,
            backup,
            _newer(version, migrated) if migrated and not module.allow_downgrade else version.label,
            migrated is not None and _newer(version, migrated) == migrated and not module.allow_downgrade,
            self._scope.under(self, [self._account, *credentials]),
            earlier,
        )
        return [migration.job, *credentials]

    def _worker(self, role: Role, gate: Sequence[pulumi.Resource]) -> Worker:
        name, settings = self._name, self._settings
        container, mounted = self._container(f"{name}-worker", role, gate)
        version, module = settings.version(name), settings.modules[name]
        return Worker(name, version, module, container, self._account, [*gate, *mounted], self._scope)

    def _container(
        self, name: str, role: Role, gate: Sequence[pulumi.Resource]
    ) -> tuple[Container, list[pulumi.Resource]]:
        """A workload's container and the objects it is started with, which stand behind the gate."""
        objects: list[pulumi.Resource] = self._configuration.secrets(role.env, gate)
        mounts = []
        for file in role.files:
            config, made = self._configuration.file(file, gate)
            mounts.append(Mount(file.folder.strip("/"), file.folder, {"configMap": {"name": config}}))
            objects.append(made)
        container = Container(
            name,
            self._settings.image(self._name),
            role,
            self._configuration.entries(role.env),
            mounts,
            sorted(references(role.env)),
        )
        return container, objects


def _newer(version: Version, migrated: str) -> str:
    """The label of what a database is of after a module went back: a version that never became healthy has migrated it all the same."""
    return migrated if version.is_older_than(Version(migrated)) else version.label


def service_account(name: str, settings: StackSettings, scope: Scope) -> k8s.core.v1.ServiceAccount:
    """The account of a module's pods and Jobs: without a token, for its image pull secrets."""
    annotations = settings.modules[name].service_account.annotations
    return k8s.core.v1.ServiceAccount(
        name,
        metadata=scope.metadata(name, {NAME: name}, annotations),
        automount_service_account_token=False,
        image_pull_secrets=[{"name": s} for s in settings.pull_secrets(name)],
        opts=scope.resource(scope.parent),
    )
