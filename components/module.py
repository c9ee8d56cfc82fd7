"""A module of the stack: its database, the migration to its version, and the release behind that gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from settings import ModuleSettings, StackSettings

from .database import Database
from .migration import Migration
from .names import NAME
from .objects import ServiceAccount
from .release import Release
from .scope import Scope


class Module(pulumi.ComponentResource):
    """One module at the version that the settings ask for.

    Args:
        name: of the module, its Service and its service account.
        settings: of the whole stack.
        scope: where to declare its resources.
        after: modules that must serve their version before this one is migrated.
    """

    release: Release

    def __init__(self, name: str, settings: StackSettings, scope: Scope, after: Sequence[Module] = ()) -> None:
        super().__init__("rollout:index:Module", name, None, scope.component())
        module, version = settings.modules[name], settings.version(name)
        earlier = [other.release.service for other in after]
        scope = scope.under(self)
        account = service_account(name, module, scope)
        env: list[dict[str, Any]] = []
        gate: list[pulumi.Resource] = list(earlier)
        if module.database:
            database = Database(
                name,
                settings.database(name),
                settings.server(name),
                settings.migrator_image,
                scope.under(self, [account]),
            )
            migration = Migration(name, version, module, database, scope, earlier)
            env += database.env
            gate += [migration.job, *database.credentials]
        debug = settings.debug if module.debug is None else module.debug
        own = {
            "STACK": settings.stack,
            "DEBUG": str(debug).lower(),
            "BIND": f":{module.port}",
            **dict(sorted(module.env.items())),
        }
        taken = {entry["name"] for entry in env}
        # Server-side apply refuses a list with the same name twice; the module's own value wins.
        env = [entry for entry in env if entry["name"] not in module.env] if taken & set(module.env) else env
        env += [{"name": k, "value": v} for k, v in own.items()]
        self.release = Release(name, version, module, env, account, gate, scope)
        self.register_outputs({"version": str(version)})


def service_account(name: str, module: ModuleSettings, scope: Scope) -> ServiceAccount:
    """The account of a module's pods and Jobs: without a token, for its image pull secrets."""
    return ServiceAccount(
        name,
        metadata=scope.metadata(name, {NAME: name}),
        automountServiceAccountToken=False,
        imagePullSecrets=[{"name": s} for s in module.image_pull_secrets],
        opts=scope.resource(scope.parent),
    )
