"""The verdict on a run: pure, from what the engine did and what the cluster looks like.

Outcomes and exit codes are a contract with CI; see `Outcome`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from components.termination_message import TerminationMessage

from .backup import BackupReport
from .database import Database
from .plan import Planned
from .rehearsal import Rehearsal
from .steps import Failure, Run, Step


class Outcome(StrEnum):
    """How a run, or a module in it, ended."""

    UNCHANGED = "unchanged"
    PREVIEWED = "previewed"
    DEPLOYED = "deployed"
    DESTROYED = "destroyed"
    REFUSED = "refused"
    MIGRATION_FAILED = "migration_failed"
    ROLLOUT_FAILED = "rollout_failed"
    REHEARSED = "rehearsed"
    RESTORED = "restored"
    LOCKED = "locked"
    CANCELLED = "cancelled"

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Outcome.UNCHANGED: 0,
    Outcome.PREVIEWED: 0,
    Outcome.REHEARSED: 0,
    Outcome.RESTORED: 0,
    Outcome.DEPLOYED: 0,
    Outcome.DESTROYED: 0,
    Outcome.REFUSED: 2,
    Outcome.MIGRATION_FAILED: 3,
    Outcome.ROLLOUT_FAILED: 4,
    Outcome.LOCKED: 5,
    Outcome.CANCELLED: 130,
}


@dataclass(frozen=True)
class Serving:
    """What a module's Service sends its traffic to.

    Args:
        version: the one it selects; None if there is no Service.
        ready: endpoints that get traffic and whose Deployment counts them as ready.
        desired: replicas of that version's Deployment.
    """

    version: str | None
    ready: int
    desired: int

    @property
    def is_whole(self) -> bool:
        return self.version is not None and self.desired > 0 and self.ready >= self.desired

    @property
    def is_up(self) -> bool:
        return self.version is not None and self.ready > 0


@dataclass(frozen=True)
class JobState:
    """A Job of a module as the cluster has it: "active", "succeeded" or "failed"."""

    name: str
    module: str
    kind: str
    version: str
    state: str


@dataclass(frozen=True)
class Snapshot:
    """The stack's objects at one moment.

    Args:
        serving: by module.
        jobs: of all modules.
        versions: module -> versions that have a Deployment, with ready and desired replicas.
    """

    serving: Mapping[str, Serving] = field(default_factory=dict)
    jobs: tuple[JobState, ...] = ()
    versions: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)

    def migrated(self, module: str) -> str | None:
        """The version of the module's latest migration Job that succeeded, None if there is none left to tell."""
        done = [j.version for j in self.jobs if j.module == module and j.kind == "migrate" and j.state == "succeeded"]
        return done[-1] if done else None


@dataclass(frozen=True)
class JobReport:
    """A migration or database Job as it was watched.

    Args:
        name: of the Job.
        kind: "migrate", "database", or "validate" for a gateway's configuration.
        logs: its last lines.
        words: why it ended.
        state: why its pod could not run (ImagePullBackOff, ...), or empty.
        failed: it did not succeed.
        database: what it has done to the database; None where nobody looked.
    """

    name: str
    kind: str = "migrate"
    logs: tuple[str, ...] = ()
    words: TerminationMessage = field(default_factory=TerminationMessage)
    state: str = ""
    failed: bool = False
    database: Database | None = None


@dataclass(frozen=True)
class PodReport:
    """A pod of a version that did not become healthy."""

    name: str
    state: str
    ready: bool
    restarts: int
    logs: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Watched:
    """What was seen in the cluster during a run.

    Args:
        jobs: by name.
        pods: of new versions that are not ready, by module.
        halted: module -> why its rollout was given up before the engine would have.
    """

    jobs: Mapping[str, JobReport] = field(default_factory=dict)
    pods: Mapping[str, Sequence[PodReport]] = field(default_factory=dict)
    halted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RestoreReport:
    """A database that a backup has taken the place of.

    Args:
        backup: its id.
        database: the name.
        kept: the name that what was there has now; empty where nothing was.
        swap_seconds: for which nobody could connect.
        sessions: that were ended.
        changes: what is not as it was backed up, and was accepted.
        pods_seconds: until the module's pods had started anew.
    """

    backup: str
    database: str
    kept: str
    swap_seconds: float
    sessions: int
    changes: tuple[str, ...] = ()
    pods_seconds: float = 0.0


@dataclass(frozen=True)
class ModuleVerdict:
    """How one module came out.

    Args:
        name: of the module.
        version: wanted, empty for a module that is removed.
        previous: the version that served before the run, None for a first install.
        outcome: its own.
        detail: one sentence about it, or empty.
        job: the Job that failed or ran.
        pods: of the version that did not become healthy.
        serving: what gets traffic now; None where it was not asked.
        rehearsal: of its migration, None where there was none.
        backup: from before it, None where there was none.
        restore: of its database, None where there was none.
    """

    name: str
    version: str
    previous: str | None
    outcome: Outcome
    detail: str = ""
    job: JobReport | None = None
    pods: tuple[PodReport, ...] = ()
    serving: Serving | None = None
    rehearsal: Rehearsal | None = None
    backup: BackupReport | None = None
    restore: RestoreReport | None = None


@dataclass(frozen=True)
class Verdict:
    """How a run came out, for people by `wording.text` and for programs by `as_json`."""

    stack: str
    pulumi: str
    outcome: Outcome
    seconds: float
    modules: tuple[ModuleVerdict, ...] = ()
    changes: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    notices: tuple[str, ...] = ()
    lock: str = ""
    plan: tuple[Planned, ...] = ()

    @property
    def exit_code(self) -> int:
        return self.outcome.exit_code

    def as_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {
            "stack": self.stack,
            "pulumi": self.pulumi,
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 2),
            "modules": [_module_json(m) for m in self.modules],
            "changes": dict(self.changes),
            "error": self.error or None,
            "lock": self.lock or None,
            "notices": list(self.notices),
            "plan": [asdict(each) for each in self.plan],
        }


def _module_json(module: ModuleVerdict) -> dict[str, Any]:
    job = None
    if module.job:
        words = module.job.words
        job = {
            "name": module.job.name,
            "kind": module.job.kind,
            "failed": module.job.failed,
            "logs": list(module.job.logs),
            "sqlstate": words.sqlstate or None,
            "statement": words.statement or None,
            "file": words.file or None,
            "line": words.line,
            "message": module.job.state or words.message or None,
            "hint": words.hint or None,
            "blockers": list(words.blockers),
        }
    return {
        "name": module.name,
        "version": module.version,
        "previous": module.previous,
        "outcome": module.outcome.value,
        "detail": module.detail or None,
        "job": job,
        "database": asdict(module.job.database) if module.job and module.job.database else None,
        "rehearsal": module.rehearsal.as_json() if module.rehearsal else None,
        "backup": module.backup.as_json() if module.backup else None,
        "restore": asdict(module.restore) if module.restore else None,
        "pods": [asdict(p) for p in module.pods],
        "serving": asdict(module.serving) if module.serving else None,
    }


def judge(
    stack: str,
    pulumi: str,
    wanted: Mapping[str, str],
    run: Run,
    *,
    before: Snapshot,
    after: Snapshot | None,
    watched: Watched | None = None,
    interrupted: bool = False,
    seconds: float = 0.0,
    notices: Sequence[str] = (),
    rehearsals: Mapping[str, Rehearsal] | None = None,
    backups: Mapping[str, BackupReport] | None = None,
) -> Verdict:
    """The verdict on an update that was begun.

    Args:
        stack: name.
        pulumi: the version of the CLI that ran.
        wanted: module -> version label.
        run: what the engine did.
        before: the cluster before it.
        after: the cluster now; None if it could not be asked.
        watched: what was seen in between.
        interrupted: somebody asked to stop.
        seconds: from the command's start.
        notices: to pass on.
        rehearsals: by module, of those that ended.
        backups: likewise.
    """
    watched = watched or Watched()
    rehearsed, backed_up = rehearsals or {}, backups or {}
    modules = tuple(
        _judge_module(name, version, run, before, after, watched, interrupted, rehearsed.get(name), backed_up.get(name))
        for name, version in wanted.items()
    )
    if run.ok:
        modules += tuple(removals(run, wanted, before, Outcome.DESTROYED))
    failure = run.failure
    if failure and failure.kind == "locked":
        locked = tuple(
            replace(m, outcome=Outcome.LOCKED, job=None) if m.outcome is not Outcome.UNCHANGED else m for m in modules
        )
        return Verdict(
            stack, pulumi, Outcome.LOCKED, seconds, locked, {}, failure.text, tuple(notices), lock=_lock(failure)
        )
    outcome = max((m.outcome for m in modules), key=lambda o: o.exit_code, default=Outcome.UNCHANGED)
    error = ""
    if run.ok:
        if outcome in (Outcome.UNCHANGED, Outcome.DESTROYED) and any(
            s.changes and s.phase == "done" for s in run.steps
        ):
            outcome = Outcome.DEPLOYED
    elif (
        failure
        and failure.kind in ("passphrase", "backend", "no-stack", "program")
        and not any(s.changes for s in run.steps)
    ):
        outcome, error = Outcome.REFUSED, failure.text
    elif interrupted and outcome.exit_code in (0, Outcome.CANCELLED.exit_code):
        outcome, error = Outcome.CANCELLED, _left_over(after)
    elif failure and failure.kind == "killed":
        outcome, error = Outcome.CANCELLED, f"{failure.text}. {_left_over(after)}"
    elif outcome.exit_code == 0:
        # Something of the stack itself failed, such as its namespace.
        outcome, error = (
            Outcome.ROLLOUT_FAILED,
            "\n".join(run.errors()) or (failure.text if failure else "the update failed"),
        )
    return Verdict(stack, pulumi, outcome, seconds, modules, dict(run.changes or {}), error, tuple(notices))


def removals(run: Run, wanted: Mapping[str, str], before: Snapshot, outcome: Outcome) -> Iterator[ModuleVerdict]:
    """The verdicts on modules that are in the cluster and no longer in the settings."""
    for name in sorted(run.removed - wanted.keys()):
        served = before.serving.get(name)
        has_database = any(step.part in ("database", "migration") for step in run.of(name))
        detail = "removed" + ("; its database is kept" if has_database else "")
        yield ModuleVerdict(name, "", served.version if served else None, outcome, detail)


def refused(
    stack: str,
    pulumi: str,
    reason: str,
    *,
    seconds: float = 0.0,
    modules: Sequence[ModuleVerdict] = (),
    notices: Sequence[str] = (),
    changes: Mapping[str, int] | None = None,
) -> Verdict:
    """The verdict where something said no before anything moved."""
    return Verdict(stack, pulumi, Outcome.REFUSED, seconds, tuple(modules), changes or {}, reason, tuple(notices))


def refusal_of(preview: Run) -> str | None:
    """Why a preview forbids the update; None if it does not."""
    if preview.violations:
        return "\n".join(
            [
                f"{len(preview.violations)} mandatory polic{'y is' if len(preview.violations) == 1 else 'ies are'} not kept:",
                *(f"  {f.resource}: {' '.join(f.message.split())} ({f.pack}/{f.policy})" for f in preview.violations),
            ]
        )
    if preview.ok:
        return None
    if preview.failure and preview.failure.kind != "failed":
        return preview.failure.text
    return "\n".join(dict.fromkeys(preview.errors())) or (
        preview.failure.text if preview.failure else "the preview failed"
    )


def _judge_module(
    name: str,
    version: str,
    run: Run,
    before: Snapshot,
    after: Snapshot | None,
    watched: Watched,
    interrupted: bool,
    rehearsal: Rehearsal | None,
    backup: BackupReport | None,
) -> ModuleVerdict:
    served = before.serving.get(name)
    verdict = ModuleVerdict(
        name,
        version,
        served.version if served else None,
        Outcome.UNCHANGED,
        serving=after.serving.get(name, Serving(None, 0, 0)) if after else None,
        rehearsal=rehearsal,
        backup=backup,
    )
    if rehearsal and not rehearsal.passed:
        return halted_by(rehearsal, verdict)
    if backup and not backup.ok:
        return _not_backed_up(backup, verdict)
    steps = [s for s in run.of(name) if s.is_workload]
    failed = [s for s in steps if s.phase == "failed"]
    changed = [s for s in steps if s.changes]
    job_failure = _failed_job(failed, changed, watched, run, interrupted)
    if job_failure and job_failure.kind == "validate":
        detail = f"its configuration is rejected: {job_failure.state or job_failure.words.message}"
        return replace(verdict, outcome=Outcome.ROLLOUT_FAILED, detail=detail, job=job_failure)
    if job_failure:
        return replace(verdict, outcome=Outcome.MIGRATION_FAILED, job=job_failure)
    pods = tuple(watched.pods.get(name, ()))
    if name in watched.halted:
        return replace(
            verdict, outcome=Outcome.ROLLOUT_FAILED, detail=watched.halted[name], pods=pods, job=_ran(changed, watched)
        )
    if interrupted and not run.ok:
        done = bool(verdict.serving and verdict.serving.version == version and not _open_steps(changed) and not failed)
        if changed and not done:
            return replace(
                verdict, outcome=Outcome.CANCELLED, detail=_running_job(name, after), job=_ran(changed, watched)
            )
    if failed:
        kept = [s for s in failed if s.kind == "Deployment" and s.deletes]
        if len(kept) == len(failed) and verdict.serving and verdict.serving.version == version:
            detail = f"{version} serves, but what it replaces could not be removed: " + _first_error(run, kept[0])
        else:
            detail = _first_error(run, failed[0])
        return replace(verdict, outcome=Outcome.ROLLOUT_FAILED, detail=detail, pods=pods, job=_ran(changed, watched))
    if run.ok:
        if changed:
            return replace(verdict, outcome=Outcome.DEPLOYED, job=_ran(changed, watched))
        return verdict
    if any(s.kind == "Service" and s.phase == "done" for s in changed):
        return replace(verdict, outcome=Outcome.DEPLOYED, job=_ran(changed, watched))
    if changed or verdict.previous != version:
        return replace(verdict, detail="not reached: the run halted before", job=_ran(changed, watched))
    return verdict


def halted_by(rehearsal: Rehearsal, verdict: ModuleVerdict) -> ModuleVerdict:
    """The verdict on a module whose migration was not begun, because of its rehearsal: nothing real was touched."""
    if rehearsal.outcome != "migration_failed":
        return replace(verdict, outcome=Outcome.REFUSED, detail=rehearsal.message, rehearsal=rehearsal)
    untouched = Database(True, message="the migration ran on the scratch database alone")
    words = rehearsal.words or TerminationMessage(rehearsal.message)
    job = JobReport(rehearsal.job, "rehearse", rehearsal.logs, words, failed=True, database=untouched)
    detail = f"its migration fails in the rehearsal: {words.message}"
    return replace(verdict, outcome=Outcome.REFUSED, detail=detail, job=job, rehearsal=rehearsal)


def _not_backed_up(backup: BackupReport, verdict: ModuleVerdict) -> ModuleVerdict:
    """The verdict on a module whose migration was not begun, because there is no backup: as if it had failed."""
    untouched = Database(True, message="the migration was not begun")
    job = JobReport(
        backup.job,
        "backup",
        backup.logs,
        backup.words or TerminationMessage(backup.message),
        failed=True,
        database=untouched,
    )
    return replace(verdict, outcome=Outcome.MIGRATION_FAILED, job=job)


def _open_steps(changed: Iterable[Step]) -> set[str]:
    begun: set[str] = set()
    for step in changed:
        (begun.add if step.phase == "started" else begun.discard)(step.urn)
    return begun


def _failed_job(
    failed: Sequence[Step], changed: Sequence[Step], watched: Watched, run: Run, interrupted: bool
) -> JobReport | None:
    for step in failed:
        if step.kind != "Job" or step.deletes:
            continue
        seen = watched.jobs.get(step.object_name)
        if interrupted and not (seen and seen.failed):
            continue  # the engine was told to stop waiting for it; the Job itself goes on
        kind = {"database": "database", "migration": "migrate"}.get(step.part, "validate")
        report = seen or JobReport(step.object_name or step.name, kind)
        if not report.words.message and not report.state:
            report = replace(report, words=replace(report.words, message=_first_error(run, step)))
        return replace(report, failed=True)
    # The engine was killed, or stopped, after the Job had failed and before it could say so.
    for step in changed:
        seen = watched.jobs.get(step.object_name)
        if step.kind == "Job" and not run.ok and seen and seen.failed:
            return seen
    return None


def _ran(changed: Iterable[Step], watched: Watched) -> JobReport | None:
    for step in changed:
        if step.part == "migration" and step.kind == "Job" and not step.deletes:
            return watched.jobs.get(step.object_name) or JobReport(step.object_name or step.name)
    return None


def _first_error(run: Run, step: Step) -> str:
    errors = run.errors(step.urn)
    return essence(errors[0]) if errors else f"{step.op} of {step.kind} {step.object_name or step.name} failed"


def essence(message: str) -> str:
    """What matters of an engine's error: the list of causes without the frame around it."""
    lines = [line.strip().removeprefix("* ") for line in message.splitlines()]
    lines = [
        line
        for line in lines
        if line and not line.endswith("errors occurred:") and not line.endswith("error occurred:")
    ]
    kept = [line for line in lines if "failed to fully initialize or become live" not in line]
    if not kept and lines:
        kept = [lines[0].rpartition(" become live: ")[2]]
    return "; ".join(dict.fromkeys(kept))


def _running_job(module: str, after: Snapshot | None) -> str:
    running = [j for j in (after.jobs if after else ()) if j.module == module and j.state == "active"]
    return f"Job {running[0].name} is still running and was left alone; the next run waits for it" if running else ""


def _left_over(after: Snapshot | None) -> str:
    running = [j.name for j in (after.jobs if after else ()) if j.state == "active"]
    left = f"Still running, and never deleted by a run: Job {', Job '.join(running)}. " if running else ""
    return f"{left}Run the same command again: it goes on from here"


def _lock(failure: Failure) -> str:
    return "; ".join(str(holder) for holder in failure.locks)
