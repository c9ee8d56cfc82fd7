"""The Pulumi program: the same for ``pulumi up``, the Automation API and CI."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pulumi
from pulumi.runtime import config as runtime_config

import settings

from .backing_up import Backups
from .backing_up import Listener as BackupListener
from .cluster import LiveCluster
from .dropping import Drops
from .dropping import Listener as DropListener
from .errors import Frozen, ProgramError
from .names import Owner
from .rehearsal_cluster import LiveRehearsals
from .rehearsing import Listener as RehearsalListener
from .rehearsing import Rehearsals
from .stack import Stack


class Listener(RehearsalListener, BackupListener, DropListener, Protocol):
    """Told what goes on beside the engine."""


def program(
    root: Path | None = None, listener: Listener | None = None, drop_databases: bool = False
) -> tuple[Rehearsals, Backups]:
    """Declares the stack that the configuration describes.

    Args:
        root: folder of ``Pulumi.yaml``; default: where the engine says it is.
        listener: told what rehearsals and backups do.
        drop_databases: with the Jobs that have made them; for a destroy, and never a setting.

    Returns:
        The rehearsals and the backups that come before the migrations.

    Raises:
        pulumi.RunError: the configuration or the cluster cannot be used. The engine shows its text without a traceback.
    """
    try:
        wanted = settings.load(
            _configuration(),
            stack=pulumi.get_stack(),
            root=root or Path(pulumi.get_root_directory() or "."),
            secret_keys=runtime_config._SECRET_KEYS.get(),
        )
        if wanted.freeze and not pulumi.runtime.is_dry_run():
            raise Frozen(wanted.freeze)
        owner = Owner(pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack())
        cluster = LiveCluster(wanted.namespace_name, wanted.context, owner)
        live = LiveRehearsals(cluster)
        rehearsals = Rehearsals(live, wanted.namespace_name, owner, listener)
        backups = Backups(live, wanted.namespace_name, owner, listener)
        drops = Drops(live, listener) if drop_databases else None
        stack = Stack(wanted, cluster, owner, rehearsals, backups, drops)
    except (settings.SettingsError, ProgramError) as error:
        raise pulumi.RunError(str(error)) from None
    pulumi.export("namespace", wanted.namespace_name)
    pulumi.export("versions", {name: str(wanted.version(name)) for name in stack.modules})
    return rehearsals, backups


def _configuration() -> dict[str, str]:
    """Every key of the stack's configuration. The SDK's ``Config`` reads keys one by one, and so cannot tell of unknown ones."""
    return {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
