"""``rollout backups`` and ``rollout restore``: what there is to go back to, and going back with the question it deserves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.foreign_text import Fields, flat, read
from components.termination_message import TerminationMessage, parse

from .backup import size
from .errors import AutomationError, NotNow, UsageError
from .held import Holding, outputs_of, urns_of
from .interrupt import Interrupt
from .pulumi_adapter import Recorder, Session
from .rollout import Facts, Preflight, Request, Rollout
from .verdict import JobReport, ModuleVerdict, Outcome, RestoreReport, Snapshot, Verdict

if TYPE_CHECKING:
    from components.backing_up import Backups
    from components.backup import Backup
    from settings import StackSettings

    from .cluster import Cluster
    from .progress import OnProgress

_LOOK_SECONDS = 0.2
_TELL_SECONDS = 2.0
_FORGET_SECONDS = 60.0


@dataclass(frozen=True)
class Available:
    """A backup there is.

    Args:
        id: its name.
        version: that served then; empty where none did.
        target: that was to be migrated to.
        created: RFC 3339 time.
        size: bytes of the dump.
        rows: in it.
        tables: in it.
    """

    id: str
    version: str
    target: str
    created: str
    size: int
    rows: int
    tables: int

    @property
    def age(self) -> str:
        return _span((datetime.now(UTC) - datetime.fromisoformat(self.created)).total_seconds())


@dataclass(frozen=True)
class ModuleBackups:
    """The backups of one module.

    Args:
        module: name.
        kind: how it is backed up: `pvc`, `s3`, `command` or `off`.
        database: its name.
        backups: newest first.
        now: bytes and estimated rows of the database as it is; None where it could not be asked.
        message: why they could not be listed, or empty.
    """

    module: str
    kind: str
    database: str
    backups: tuple[Available, ...] = ()
    now: tuple[int, int] | None = None
    message: str = ""


@dataclass(frozen=True)
class Listing:
    """The backups of a stack."""

    stack: str
    pulumi: str
    modules: tuple[ModuleBackups, ...]

    @property
    def exit_code(self) -> int:
        """0; 2 where some could not be listed."""
        return 2 if any(m.message for m in self.modules) else 0

    def as_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {"stack": self.stack, "pulumi": self.pulumi, "modules": [asdict(m) for m in self.modules]}


@dataclass(frozen=True)
class Question:
    """What somebody should know before a database is replaced.

    Args:
        module: whose.
        database: its name.
        backup: that would take its place.
        now: bytes and estimated rows of what is there; None where it could not be asked.
        serving: the version that serves; None for none.
    """

    module: str
    database: str
    backup: Available
    now: tuple[int, int] | None
    serving: str | None

    @property
    def text(self) -> str:
        there = "what is there could not be looked at"
        if self.now:
            there = f"about {self.now[1]} rows, {size(self.now[0])} on disk, are there now"
        lines = [
            f"Database {self.database} of {self.module} is replaced by backup {self.backup.id}:",
            f"  made {self.backup.created} ({self.backup.age} ago), before the migration from "
            f"{self.backup.version or 'nothing'} to {self.backup.target}",
            f"  {self.backup.rows} rows in {self.backup.tables} tables; {there}",
            f"  {self.serving or 'nothing'} serves now",
            "EVERYTHING WRITTEN SINCE THEN IS LOST to the module; how much that is, nobody can tell.",
            f"What is there now is kept beside it as {self.database}_before_restore_<time>.",
            f"{self.module} is not to be reached for some seconds, while the databases change places and its pods start anew.",
        ]
        return "\n".join(map(flat, lines))


class Restoring(Rollout):
    """Lists and restores backups of a stack.

    Args:
        request: the stack.
        on_progress: told of each step.
        interrupt: may stop it.
    """

    def __init__(
        self, request: Request, on_progress: OnProgress | None = None, interrupt: Interrupt | None = None
    ) -> None:
        super().__init__(request, on_progress, None, interrupt)

    def listing(self, module: str | None = None) -> Listing:
        """The backups there are, of one module or of all.

        Raises:
            AutomationError: they cannot be asked for.
        """
        with self._planned(module) as (_, backups, _, plans):
            found = tuple(self._listed(backups, plan) for plan in plans)
        return Listing(self._request.stack, self._pulumi.version, found)

    def restore(
        self,
        module: str,
        wanted: str = "",
        *,
        confirmed: Callable[[Question], bool],
        other_version: bool = False,
        differences: bool = False,
    ) -> Verdict:
        """Puts a backup in the place of a module's database.

        Args:
            module: whose.
            wanted: the backup's id; the newest where none is named.
            confirmed: asked once everything is known.
            other_version: restore although another version serves than the backup is of.
            differences: restore although the result is not what was backed up.

        Raises:
            UsageError: there is no such module or backup, or nobody said yes.
            NotNow: a Job is at work on the database, or the backups cannot be listed.
            AutomationError: it cannot be begun.
        """
        if locked := self._held_lock():
            return locked
        with self._planned(module) as (settings, backups, facts, [plan]):
            served = facts.before.serving.get(module)
            serving = served.version if served else None
            verdict = ModuleVerdict(module, plan.version.label, serving, Outcome.REFUSED, serving=served)
            if settings.freeze:
                from components.errors import Frozen

                # What holds the stack while it is restored is no run of its program, which would say so.
                return self._ended(verdict, self._clean(str(Frozen(settings.freeze))))
            if not plan.can_be_listed:
                raise UsageError(
                    f"the backups of {module} are made by a command of its own (backup: {plan.settings.backup}); restore them with its tool"
                )
            if running := self._at_work(module, facts.before):
                raise NotNow(f"Job {', '.join(running)} is at work on the database of {module}; wait for its end")
            found = self._listed(backups, plan)
            if found.message:
                raise NotNow(f"the backups of {module} cannot be listed: {found.message}")
            chosen = _chosen(found, wanted)
            if serving and serving != chosen.version and not other_version:
                return self._ended(verdict, _other(module, serving, chosen, self._request.stack))
            if not confirmed(Question(module, found.database, chosen, found.now, serving)):
                raise UsageError("not confirmed; nothing was changed")
            self._go_on()
            assert facts.cluster is not None
            return self._alone(facts.cluster, backups, plan, chosen, differences, verdict)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Ends here where somebody has asked for it."""
        if self._interrupt.requested:
            raise KeyboardInterrupt

    def _alone(
        self,
        cluster: Cluster,
        backups: Backups,
        plan: Backup,
        chosen: Available,
        differences: bool,
        verdict: ModuleVerdict,
    ) -> Verdict:
        """Restores while the stack's lock is held."""
        state, recorded = self._session.state(), cluster.records().get(plan.module)

        def work() -> tuple[ModuleVerdict, str]:
            now = cluster.snapshot()
            served = now.serving.get(plan.module)
            if (served.version if served else None) != verdict.previous or self._at_work(plan.module, now):
                raise NotNow(f"{plan.module} has been updated since you were asked; nothing was changed")
            return self._restored(cluster, backups, plan, chosen, differences, verdict)

        # Ctrl-C is for the restore: the engine must go on holding the lock until that has come to an end.
        session = Session(self._project, self._request.stack, self._pulumi, Interrupt(), "", self._request.environment)
        holding = Holding(work, outputs_of(state))
        run = self._locking(lambda: session.hold(holding, f"rollout restore: {plan.module}, backup {chosen.id}"))
        result = holding.result()
        if not result:
            if run.failure and run.failure.kind == "locked":
                return self._locked(run.failure.locks)
            raise AutomationError(f"the stack could not be locked: {run.failure.text if run.failure else 'unknown'}")
        [(ended, error)] = result
        if ended.restore is not None:
            self._forget(session, cluster, backups, plan.module, chosen, recorded, state)
        return self._ended(ended, error)

    def _restored(
        self,
        cluster: Cluster,
        backups: Backups,
        plan: Backup,
        chosen: Available,
        differences: bool,
        verdict: ModuleVerdict,
    ) -> tuple[ModuleVerdict, str]:
        from components.backup import of_module, restoring
        from components.errors import ProgramError
        from components.following import run_job

        job = restoring(plan, chosen.id, differences, backups.place)
        name = job["metadata"]["name"]
        self._narrator.say(f"restoring backup {chosen.id} beside {plan.database}: Job {name}", plan.module)

        def tell(line: str) -> None:
            if not line.startswith("{"):
                self._narrator.say(line, plan.module, "log")

        try:
            ended = run_job(
                backups.cluster,
                job,
                of_module(plan.module, "restore"),
                stopped=lambda: self._interrupt.requested,
                tell=tell,
            )
        except ProgramError as error:
            left = f"{error}. If there is a Job {name}, it goes on; once it has succeeded, delete the pods of {plan.module}"
            return replace(verdict, outcome=Outcome.ROLLOUT_FAILED, detail=left), ""
        said = read(ended.words)
        if not ended.ok and said.text("outcome") != "restored":
            logs = tuple(self._clean(line) for line in ended.logs)
            words = parse(ended.words, logs).cleaned(self._clean)
            report = JobReport(name, "restore", logs, words, failed=True)
            after = self._after(cluster)
            served = after.serving.get(plan.module) if after else None
            outcome, text = Outcome.REFUSED, f"backup {chosen.id} was not restored: {words.message}. {words.hint}"
            if ended.stopped:
                outcome, text = Outcome.CANCELLED, _stopped(plan.database, known=bool(said) or not ended.began)
            return replace(verdict, outcome=outcome, job=report, serving=served), text.rstrip(". ")
        restored = RestoreReport(
            chosen.id,
            plan.database,
            self._clean(said.text("kept")),
            said.number("swap_seconds"),
            said.count("sessions"),
            tuple(self._clean(c) for c in said.texts("changes")),
        )
        self._narrator.say(f"restored; what was there is kept as {restored.kept}", plan.module)
        if self._interrupt.requested:
            self._notice("it was too late to stop: the databases had changed places")
        begun = time.monotonic()
        try:
            if chosen.version:
                cluster.record(plan.module, chosen.version)
            detail = self._begun_anew(cluster, plan)
        except Exception as error:  # what has happened must be told all the same
            detail = f"its pods could not all be started anew: {error}"
        after = self._after(cluster)
        told = replace(
            verdict,
            restore=replace(restored, pods_seconds=round(time.monotonic() - begun, 2)),
            serving=after.serving.get(plan.module) if after else None,
            outcome=Outcome.ROLLOUT_FAILED if detail else Outcome.RESTORED,
            detail=f"its database is restored, but {detail}" if detail else "",
        )
        return told, ""

    def _begun_anew(self, cluster: Cluster, plan: Backup) -> str:
        """Starts the module's pods anew: what they keep in memory is of the other database.

        Returns:
            What is wrong with them; nothing once they are ready.
        """
        names = (plan.module, f"{plan.module}-worker")
        old = cluster.end_pods(names)
        if not old:
            return ""
        self._narrator.say(f"{len(old)} pods start anew", plan.module)
        begun = told = time.monotonic()
        seconds = plan.settings.progress_deadline_seconds
        while not cluster.are_replaced(names, old):
            now = time.monotonic()
            if now - begun > seconds:
                return f"its pods are not ready {seconds} s later"
            if self._interrupt.requested:
                return "its pods were not ready when you asked for an end"
            if now - told > _TELL_SECONDS:
                told = now
                self._narrator.say(f"its pods are not ready yet, {now - begun:.0f} s", plan.module, "pod")
            time.sleep(_LOOK_SECONDS)
        return ""

    def _forget(
        self,
        session: Session,
        cluster: Cluster,
        backups: Backups,
        module: str,
        chosen: Available,
        recorded: str | None,
        state: Mapping[str, Any],
    ) -> None:
        """Forgets the migrations of a database that is not there any more: the next update runs them on the restored one."""
        from components.errors import ProgramError
        from components.names import JOB, MODULE, MODULE_VERSION, migrated_name

        if not chosen.version:
            return
        jobs = [j for j in cluster.snapshot().jobs if j.module == module and j.kind == "migrate"]
        stale = [j for j in jobs if j.version != chosen.version]
        try:
            for job in stale:
                labels = {MODULE: module, JOB: "migrate", MODULE_VERSION: job.version}
                backups.cluster.clear_jobs(labels, _FORGET_SECONDS)
        except ProgramError as error:
            self._notice(f"migration Job {job.name} is of the database that was replaced, and is still there: {error}")
        urns = urns_of(state, "Job", {job.name for job in stale})
        if recorded != chosen.version:
            urns += urns_of(state, "ConfigMap", {migrated_name(module)})
        if problem := session.refresh(urns) if urns else "":
            self._notice(
                f"Pulumi's state does not know of the restore ({problem}): pulumi refresh, before the next update"
            )

    @staticmethod
    def _at_work(module: str, snapshot: Snapshot) -> list[str]:
        return [j.name for j in snapshot.jobs if j.module == module and j.state == "active"]

    def _ended(self, module: ModuleVerdict, error: str = "") -> Verdict:
        return Verdict(
            self._request.stack,
            self._pulumi.version,
            module.outcome,
            self._seconds(),
            (module,),
            error=error,
            notices=tuple(self._notices),
        )

    @contextlib.contextmanager
    def _planned(self, module: str | None) -> Iterator[tuple[StackSettings, Backups, Facts, list[Backup]]]:
        """What is needed of the program, its settings and the backups of its modules; and of the cluster, what serves."""
        program = self._program()
        with Preflight(program) as preflight:
            run = self._session.preview(program, Recorder(), [])
            facts = preflight.result()
            self._go_on()
            problem = facts.unreachable or program.refusal or (run.failure.text if run.failure else "")
            if problem or program.backups is None or program.settings is None:
                raise UsageError(self.clean(problem or "the program declared nothing"))
            planned = program.backups.planned
            if module and module not in program.settings.modules:
                raise UsageError(f"the stack has no module {module}; it has {', '.join(program.settings.modules)}")
            if module and module not in planned:
                raise UsageError(f"{module} is not backed up: rollout:modules.{module}.backup is off")
            plans = [plan for name, plan in planned.items() if module in (None, name)]
            yield program.settings, program.backups, facts, plans

    def _listed(self, backups: Backups, plan: Backup) -> ModuleBackups:
        from components.backup import claim, listing, of_module
        from components.errors import ProgramError
        from components.following import run_job

        kind = plan.settings.backup
        found = ModuleBackups(plan.module, kind, plan.database)
        if not plan.can_be_listed:
            return replace(found, message="a command of its own makes them; only its tool can list them")
        wanted = claim(plan, backups.namespace, backups.owner)
        try:
            job = listing(plan, backups.place)
            if wanted is not None:
                backups.cluster.ensure_claim(wanted)
            ended = run_job(
                backups.cluster, job, of_module(plan.module, "backups"), stopped=lambda: self._interrupt.requested
            )
        except ProgramError as error:
            return replace(found, message=str(error))
        self._go_on()
        if not ended.ok:
            words: TerminationMessage = parse(ended.words, ended.logs).cleaned(self._clean)
            return replace(found, message=f"{words.message}. {words.hint}".rstrip(". "))
        # The last words are kept short; the log has them whole.
        said = read(ended.logs[-1] if ended.logs else "")
        said = said or read(ended.words)
        now = said.nested("now")
        return replace(
            found,
            backups=tuple(b for each in said.objects("backups") if (b := _available(each))),
            now=(now.count("bytes"), now.count("rows")) if now else None,
        )


def _chosen(found: ModuleBackups, wanted: str) -> Available:
    for each in found.backups:
        if wanted in ("", each.id):
            return each
    known = ", ".join(each.id for each in found.backups) or "none"
    raise UsageError(f"{found.module} has no backup {wanted}".rstrip() + f"; there are: {known}")


def _other(module: str, serving: str, chosen: Available, stack: str) -> str:
    version = chosen.version or "no version"
    return (
        f"backup {chosen.id} is of {version}, and {serving} serves: it would find a schema that is not its own until the next update "
        f"migrates again. Go back to {version} first: rollout up --stack {stack} --set {module}={version} --allow-downgrade; "
        f"or restore first, with --allow-other-version, and go back or migrate then"
    )


def _stopped(database: str, *, known: bool) -> str:
    if known:
        return f"interrupted: {database} is as it was; what was restored beside it is removed"
    return (
        f"interrupted, and whether the databases had changed places is not known. They have if there is a "
        f"{database}_before_restore_<time>: then delete the module's pods, for what they keep in memory is of the other one"
    )


def _available(said: Fields) -> Available | None:
    """A backup from the list; None for what is none."""
    made = Available(
        said.text("id"),
        said.text("version"),
        said.text("target"),
        said.text("created"),
        said.count("size"),
        said.count("rows"),
        said.count("tables"),
    )
    try:
        has_zone = datetime.fromisoformat(made.created).tzinfo is not None
    except ValueError:
        return None
    return made if made.id and has_zone else None


def text(listing: Listing) -> str:
    """The backups as tables."""
    return "\n".join(map(flat, _lines(listing)))


def _lines(listing: Listing) -> Iterator[str]:
    for module in listing.modules:
        now = f", now about {module.now[1]} rows, {size(module.now[0])} on disk" if module.now else ""
        yield f"{module.module} ({module.kind}, database {module.database}{now})"
        if module.message:
            yield f"  {module.message}"
        elif not module.backups:
            yield "  none"
        rows = [
            (b.id, f"before {b.version or '-'} -> {b.target}", f"{b.rows} rows", size(b.size), f"{b.age} ago")
            for b in module.backups
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(5)]
        for row in rows:
            yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if not listing.modules:
        yield "no module is backed up"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
