"""Where a stack stands: wanted, deployed and migrated version of each module, and what an interrupted update left."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.foreign_text import flat
from components.redact import Redactor, secret_values

from .interrupt import Interrupt
from .pulumi_adapter import Project, Session
from .pulumi_cli import find
from .verdict import Snapshot

if TYPE_CHECKING:
    from settings import StackSettings


@dataclass(frozen=True)
class ModuleStatus:
    """One module.

    Args:
        name: of the module.
        wanted: by the configuration; None for one that is still deployed and no longer configured.
        deployed: the version its Service selects.
        migrated: of its latest migration Job that succeeded, or where its Jobs are gone what was written down then.
        ready: pods that get traffic.
        desired: pods there should be.
        others: versions that have a Deployment and no traffic.
        disabled: it is not to serve.
    """

    name: str
    wanted: str | None
    deployed: str | None
    migrated: str | None
    ready: int
    desired: int
    others: tuple[str, ...] = ()
    disabled: bool = False

    @property
    def settled(self) -> bool:
        """What is wanted serves, whole; of a disabled module, nothing does."""
        if self.disabled:
            return self.deployed is None and not self.others
        return self.wanted == self.deployed and self.ready >= self.desired > 0 and not self.others


@dataclass(frozen=True)
class Status:
    """A stack's state in the configuration, in Pulumi and in the cluster."""

    stack: str
    pulumi: str
    modules: tuple[ModuleStatus, ...]
    pending_operations: tuple[str, ...] = ()
    init_errors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lock: str = ""
    running_jobs: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 0

    def as_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {
            "stack": self.stack,
            "pulumi": self.pulumi,
            "modules": [{**asdict(m), "settled": m.settled} for m in self.modules],
            "pending_operations": list(self.pending_operations),
            "init_errors": {urn: list(errors) for urn, errors in self.init_errors.items()},
            "running_jobs": list(self.running_jobs),
            "lock": self.lock or None,
        }


def status(stack: str, cwd: Path = Path(), environment: Mapping[str, str] | None = None) -> Status:
    """Asks the configuration, the state and the cluster.

    Raises:
        AutomationError: one of them cannot be asked.
        settings.SettingsError: the configuration is not valid.
    """
    import settings

    whole = {**os.environ, **(environment or {})}
    project = Project.load(cwd.resolve())
    backend = project.check(stack, whole)
    cli = find(whole)
    session = Session(project, stack, cli, Interrupt(), backend, environment)
    with ThreadPoolExecutor(2) as pool:
        asked_state = pool.submit(session.state)
        config, secret = session.config()
        state = asked_state.result()
    wanted = settings.load(config, stack=stack, root=project.folder, secret_keys=secret)
    clean = Redactor(secret_values(config, secret))
    snapshot, records = _look(wanted, project, state)
    locks = session.files.locks() if session.files else []
    return Status(
        stack,
        cli.version,
        tuple(_modules(wanted, snapshot, records)),
        tuple(each["resource"]["urn"] for each in state.get("pending_operations") or []),
        {
            each["urn"]: tuple(clean(e) for e in each["initErrors"])
            for each in state.get("resources") or []
            if each.get("initErrors")
        },
        "; ".join(str(lock) for lock in locks),
        tuple(job.name for job in snapshot.jobs if job.state == "active"),
    )


def _look(wanted: StackSettings, project: Project, state: Mapping[str, Any]) -> tuple[Snapshot, Mapping[str, str]]:
    """The cluster now, and the versions that its databases were migrated to."""
    from components.names import Owner

    from .cluster import Cluster

    # A file backend has one organization of this name; other backends have the stack's own in the state.
    owner = _owner_in(state) or Owner("organization", project.name, wanted.stack).label
    cluster = Cluster(wanted.context, wanted.namespace_name, owner)
    try:
        return cluster.snapshot(), cluster.records()
    finally:
        cluster.close()


def _owner_in(state: Mapping[str, Any]) -> str:
    for resource in state.get("resources") or []:
        metadata = (resource.get("inputs") or {}).get("metadata") or {}
        label = (metadata.get("labels") or {}).get("rollout.formance.com/owner") if isinstance(metadata, dict) else None
        if label:
            return str(label)
    return ""


def _modules(wanted: StackSettings, snapshot: Snapshot, records: Mapping[str, str]) -> Iterator[ModuleStatus]:
    for name in [*wanted.modules, *(m for m in snapshot.serving if m not in wanted.modules)]:
        serving = snapshot.serving.get(name)
        deployed = serving.version if serving else None
        others = tuple(v for v in snapshot.versions.get(name, {}) if v != deployed)
        yield ModuleStatus(
            name,
            wanted.version(name).label if name in wanted.modules else None,
            deployed,
            snapshot.migrated(name) or records.get(name),
            serving.ready if serving else 0,
            serving.desired if serving else 0,
            others,
            name in wanted.modules and wanted.is_disabled(name),
        )


def text(status: Status) -> str:
    """The status as a table."""
    rows = [("MODULE", "WANTED", "DEPLOYED", "MIGRATED", "READY", "")]
    for m in status.modules:
        note = (
            ("disabled" if m.disabled else "ok")
            if m.settled
            else ", ".join(f"{v} left without traffic" for v in m.others) or ("not deployed" if not m.deployed else "")
        )
        if not note and m.wanted != m.deployed:
            note = "differs"
        rows.append((m.name, m.wanted or "-", m.deployed or "-", m.migrated or "-", f"{m.ready}/{m.desired}", note))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"running: Job {job}" for job in status.running_jobs]
    lines += [f"pending operation: {urn}" for urn in status.pending_operations]
    lines += [
        f"not ready at its last update: {urn.rpartition('::')[2]}: {'; '.join(errors)}"
        for urn, errors in status.init_errors.items()
    ]
    if status.lock:
        lines.append(f"locked: {status.lock}")
    return "\n".join(map(flat, lines))
