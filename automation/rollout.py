"""Preview, update, status and destroy of a stack: the order of things. How each is done is in the modules around this one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.redact import Redactor

from . import backup, locks, sql
from .errors import AutomationError, ClusterUnreachable, UsageError
from .interrupt import Interrupt
from .plan import planned
from .program import InlineProgram, Overlay, load
from .progress import Narrator, OnProgress
from .pulumi_adapter import PendingConfig, Project, Recorder, Session
from .pulumi_cli import find
from .rehearsal import Rehearsal, report
from .steps import LockHolder, Run, Step
from .verdict import (
    ModuleVerdict,
    Outcome,
    Snapshot,
    Verdict,
    Watched,
    halted_by,
    judge,
    refusal_of,
    refused,
    removals,
)

if TYPE_CHECKING:
    from pulumi.automation.events import EngineEvent

    from components.backing_up import BackedUp
    from components.rehearsing import Rehearsed
    from settings import StackSettings

    from .cluster import Cluster
    from .watch import Watch


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        stack: name.
        cwd: folder of Pulumi.yaml.
        versions: module -> version, laid over the configuration; an update writes them to it.
        continue_on_error: let other modules finish when one fails.
        allow_downgrade: accept versions older than those that serve.
        policy_packs: folders of policy packs to keep.
        environment: variables to add for the engine.
    """

    stack: str
    cwd: Path = Path()
    versions: Mapping[str, str] = field(default_factory=dict)
    continue_on_error: bool = False
    allow_downgrade: bool = False
    policy_packs: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Rollout:
    """One run on one stack. Holds no state beyond it.

    Args:
        request: what is asked for.
        on_progress: told of each change of state.
        on_event: given the engine's own events.
        interrupt: may stop the run.

    Attributes:
        clean: keeps the stack's secrets out of a text, from when the program has begun.

    Raises:
        AutomationError: the run cannot be started.
        settings.SettingsError: a version that was asked for cannot be one, or its module is unknown.
    """

    def __init__(
        self,
        request: Request,
        on_progress: OnProgress | None = None,
        on_event: Callable[[EngineEvent], None] | None = None,
        interrupt: Interrupt | None = None,
    ) -> None:
        self._begun = time.monotonic()
        self._request = request
        self._interrupt = interrupt or Interrupt()
        self._on_event = on_event
        self.clean = self._clean = Redactor()
        self._narrator = Narrator(on_progress, self._clean)
        self._policy_packs = [_policy_pack(pack) for pack in request.policy_packs]
        environment = {**os.environ, **request.environment}
        self._project = Project.load(request.cwd.resolve())
        backend = self._project.check(request.stack, environment)
        self._written = self._project.modules(request.stack)
        if self._written is not None and request.versions:
            from settings import set_versions

            set_versions(self._written, request.versions)
        self._pulumi = find(environment)
        self._session = Session(
            self._project, request.stack, self._pulumi, self._interrupt, backend, request.environment
        )
        self._notices: list[str] = []
        self._rehearsals: dict[str, Rehearsal] = {}
        self._backups: dict[str, backup.BackupReport] = {}
        self._dropped: dict[str, str] = {}

    # --- the four ways in ---------------------------------------------------------------------------------------------

    def preview(self) -> Verdict:
        """What an update would do, checked by the settings, the policies and the downgrade rule. Nothing is changed."""
        program = self._program()
        with Preflight(program) as preflight:
            run = self._session.preview(program, Recorder(on_event=self._on_event), self._policy_packs)
            return self._previewed(program, run, preflight.result())

    def up(self) -> Verdict:
        """Updates the stack, if its preview allows it and it would change anything."""
        locked = self._held_lock()
        if locked:
            return locked
        program = self._program()
        with _Pending(self._session, self._changed_versions()) as pending, Preflight(program) as preflight:
            open_operations = self._session.pending_operations()
            run = self._session.preview(program, Recorder(on_event=self._on_event), self._policy_packs)
            facts = preflight.result()
            verdict = self._previewed(program, run, facts)
            if self._interrupt.requested:
                untouched = tuple(replace(m, outcome=Outcome.UNCHANGED, detail="") for m in verdict.modules)
                return replace(
                    verdict,
                    outcome=Outcome.CANCELLED,
                    modules=untouched,
                    error="Interrupted before anything was changed.",
                )
            if verdict.outcome not in (Outcome.UNCHANGED, Outcome.PREVIEWED) or facts.cluster is None:
                return verdict
            if run.is_empty and not open_operations:
                pending.keep()
                return verdict
            if program.settings and program.settings.freeze:
                from components.errors import Frozen

                return self._early_failure(program, run, facts, str(Frozen(program.settings.freeze)))
            pending.keep()
            return self._update(facts.cluster, facts.before)

    def destroy(self, *, drop_databases: bool = False) -> Verdict:
        """Deletes everything the stack made but the databases, or with them.

        Args:
            drop_databases: each once nothing uses it any more, with all its data.
        """
        locked = self._held_lock()
        if locked:
            return locked
        program = self._program(drop_databases=drop_databases)
        with Preflight(program) as preflight:
            recorder = Recorder(on_event=self._on_event, on_step=self._narrator.step)
            run = self._locking(lambda: self._session.destroy(program, recorder))
            return self._destroyed(program, run, preflight.result(), everything=drop_databases)

    def rehearse(self) -> Verdict:
        """Rehearses the migrations that an update would run, and changes nothing."""
        locked = self._held_lock()
        if locked:
            return locked
        program = self._program()
        with Preflight(program) as preflight:
            run = self._session.preview(program, Recorder(on_event=self._on_event), self._policy_packs)
            verdict = self._previewed(program, run, preflight.result())
        if verdict.outcome not in (Outcome.UNCHANGED, Outcome.PREVIEWED) or program.rehearsals is None:
            return verdict
        trials = [trial for name, trial in program.rehearsals.trials.items() if name in run.migrating]
        from components.rehearsing import AT_ONCE

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(program.rehearsals.run, trials))
        return self._rehearsed(verdict)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _destroyed(self, program: InlineProgram, run: Run, facts: Facts, *, everything: bool) -> Verdict:
        """The verdict on a destroy; `everything`: databases too."""
        wanted = _wanted(program)
        if run.ok:
            outcome = Outcome.DESTROYED if any(s.changes for s in run.steps) else Outcome.UNCHANGED
            told = [f"databases are dropped: {', '.join(sorted(self._dropped.values()))}"] if self._dropped else []
            databases = (
                [program.settings.database(m) for m in wanted if m not in self._dropped] if program.settings else []
            )
            if databases:
                told.append(f"databases are kept: {', '.join(databases)}")
            told += self._of_namespace(program.settings, facts.cluster if everything else None)
            return Verdict(
                self._request.stack,
                self._pulumi.version,
                outcome,
                self._seconds(),
                changes=run.changes or {},
                notices=(*self._notices, *told),
            )
        if program.refusal or (run.failure and run.failure.kind != "failed"):
            return self._early_failure(program, run, facts)
        return self._without_secrets(judge(
            self._request.stack, self._pulumi.version, wanted, run, before=facts.before, after=self._after(facts.cluster),
            interrupted=self._interrupt.requested, seconds=self._seconds(), notices=self._notices,
        ))  # fmt: skip

    def _of_namespace(self, settings: StackSettings | None, cluster: Cluster | None) -> list[str]:
        """What is to be said of the namespace after a destroy, which has left it where it has records or backups.

        Args:
            settings: of the stack.
            cluster: where it is removed if nothing in it is needed any more; None where the databases are kept.
        """
        if settings is None or not settings.namespace.create or not any(m.database for m in settings.modules.values()):
            return []
        name = settings.namespace_name
        if cluster is None:
            backups = any(m.database and m.backup == "pvc" for m in settings.modules.values())
            also = "backups are kept, and " if backups else ""
            return [f"{also}namespace {name} is kept, which has the records of the databases' versions"]
        self._narrator.say(f"removing namespace {name}")
        try:
            why = cluster.remove_namespace()
        except ClusterUnreachable as error:
            why = str(error)
        return [f"namespace {name} is kept: {why}"] if why else []

    def _rehearsed(self, verdict: Verdict) -> Verdict:
        """The verdict on a preview whose migrations were rehearsed."""
        modules = []
        for module in verdict.modules:
            found = self._rehearsals.get(module.name)
            if found is None:
                modules.append(replace(module, outcome=Outcome.UNCHANGED, detail="nothing to rehearse"))
            elif found.passed:
                modules.append(replace(module, outcome=Outcome.REHEARSED, detail="", rehearsal=found))
            else:
                modules.append(halted_by(found, module))
        outcome = max((m.outcome for m in modules), key=lambda o: o.exit_code, default=Outcome.UNCHANGED)
        if not outcome.exit_code and self._rehearsals:
            outcome = Outcome.REHEARSED
        if self._interrupt.requested:
            outcome = Outcome.CANCELLED
        return replace(verdict, outcome=outcome, modules=tuple(modules), seconds=self._seconds(), changes={}, plan=())

    def _program(self, over: threading.Event | None = None, *, drop_databases: bool = False) -> InlineProgram:
        """The stack's program.

        Args:
            over: once it is set, rehearsals and backups end; as they do when somebody asks the run to.
            drop_databases: with the stack; for a destroy.
        """
        overlay = Overlay(self._request.versions, self._request.allow_downgrade)

        def stopped() -> bool:
            return self._interrupt.requested or (over is not None and over.is_set())

        return InlineProgram(self._project.folder, overlay, self._clean, self, stopped, drop_databases=drop_databases)

    # --- what rehearsals do (components.rehearsing.Listener) ----------------------------------------------------------

    def rehearsing(self, module: str, text: str) -> None:
        self._narrator.say(text, module)

    def rehearsed(self, result: Rehearsed) -> None:
        if result.stopped:
            self._narrator.say("rehearsal: ended; what it had made is removed", result.module)
            return
        found = self._rehearsals[result.module] = report(result, self._clean)
        if found.passed:
            self._narrator.say(f"rehearsal: passed in {found.seconds:.1f} s", result.module)
            if found.evidence:
                self._narrator.say(f"rehearsal: {found.evidence}", result.module)
        else:
            worst = next((f"{f.what}: {f.why}" for f in found.findings if f.level == "breaks"), found.message)
            self._narrator.say(f"rehearsal: {worst}", result.module, "cause")

    # --- what backups do (components.backing_up.Listener) -------------------------------------------------------------

    def backing_up(self, module: str, text: str) -> None:
        self._narrator.say(text, module)

    def backed_up(self, result: BackedUp) -> None:
        if result.stopped:
            self._narrator.say("backup: ended; what it had written is removed", result.module)
            return
        found = self._backups[result.module] = backup.report(result, self._clean)
        if found.ok:
            self._narrator.say(f"backup {found.text}", result.module)
        else:
            self._narrator.say(f"backup failed: {found.message}", result.module, "cause")

    # --- what a destroy with its databases does (components.dropping.Listener) ----------------------------------------

    def dropping(self, module: str, text: str) -> None:
        self._narrator.say(text, module)

    def dropped(self, module: str, database: str) -> None:
        self._dropped[module] = database

    def _changed_versions(self) -> dict[str, str]:
        written = self._written or {}
        return {
            name: version
            for name, version in self._request.versions.items()
            if not isinstance(written.get(name), dict) or str(written[name].get("version")) != version
        }

    def _held_lock(self) -> Verdict | None:
        """Breaks a dead process's lock; refuses at once where a living one holds the stack."""
        if self._session.files is None:
            return None
        held = self._session.files.locks()
        for lock in locks.stale(held):
            if locks.remove(lock):
                held.remove(lock)
                self._notice(f"the last update's process {lock.pid} is gone (since {lock.since}); its lock was removed")
        if not held:
            return None
        return self._locked(tuple(held))

    def _locking(self, call: Callable[[], Run]) -> Run:
        """Runs what takes the stack's lock, so that the next run can tell whether whoever took it still lives."""
        with locks.Signing(self._session.files) as signing:
            run = call()
            if run.failure and run.failure.kind == "locked":
                signing.forget()
        return run

    def _locked(self, held: tuple[LockHolder, ...]) -> Verdict:
        who = self._clean("; ".join(str(lock) for lock in held))
        error = f"another update holds the stack: {who}"
        return Verdict(
            self._request.stack,
            self._pulumi.version,
            Outcome.LOCKED,
            self._seconds(),
            error=error,
            lock=who,
            notices=tuple(self._notices),
        )

    def _previewed(self, program: InlineProgram, run: Run, facts: Facts) -> Verdict:
        """The verdict on a preview: refused, unchanged or previewed."""
        refusal = program.refusal or refusal_of(run)
        if facts.unreachable and program.settings is not None and not run.violations:
            # The program says so too, if it got that far; this one names the server.
            refusal = facts.unreachable
        if refusal:
            return self._early_failure(program, run, facts, refusal)
        try:
            read = list(self._sql(program, run))
        except sql.UnreadableSql as error:
            return self._early_failure(program, run, facts, str(error))
        told = any(f.policy == sql.RULE for f in run.findings)
        if refusing := [f"{f.module}: {f.text}" for f in read if f.refuses]:
            return self._early_failure(program, run, facts, "\n".join(refusing))
        notices = [
            *self._notices,
            *self._of_state(run, facts),
            *_warned(run),
            *(f"{f.module}: {f.text} [{f.rule}]" for f in read if not told),
            *_advice(run),
        ]
        modules = []
        wanted = _wanted(program)
        for name, version in wanted.items():
            served = facts.before.serving.get(name)
            what = _summary(run, name)
            outcome = Outcome.PREVIEWED if what else Outcome.UNCHANGED
            modules.append(
                ModuleVerdict(name, version, served.version if served else None, outcome, what, serving=served)
            )
        modules += removals(run, wanted, facts.before, Outcome.PREVIEWED)
        outcome = Outcome.UNCHANGED if run.is_empty else Outcome.PREVIEWED
        clean = tuple(self._clean(n) for n in notices)
        return Verdict(
            self._request.stack,
            self._pulumi.version,
            outcome,
            self._seconds(),
            tuple(modules),
            run.changes or {},
            notices=clean,
            plan=planned(run, self._clean),
        )

    def _sql(self, program: InlineProgram, run: Run) -> Iterator[sql.SqlFinding]:
        """What is wrong with the SQL files of modules that will migrate."""
        if program.settings is None:
            return
        yield from sql.read(
            program.settings, self._project.folder, sorted(run.migrating & program.settings.modules.keys())
        )

    def _early_failure(self, program: InlineProgram, run: Run, facts: Facts, refusal: str = "") -> Verdict:
        if run.failure and run.failure.kind == "locked":
            return self._locked(run.failure.locks)
        modules = [
            ModuleVerdict(name, version, served.version if served else None, Outcome.REFUSED, serving=served)
            for name, version in _wanted(program).items()
            for served in [facts.before.serving.get(name)]
        ]
        text = self._clean(refusal or program.refusal or (run.failure.text if run.failure else "the engine refused"))
        verdict = refused(
            self._request.stack,
            self._pulumi.version,
            text,
            seconds=self._seconds(),
            modules=modules,
            notices=[self._clean(n) for n in (*self._notices, *self._of_state(run, facts), *_advice(run))],
        )
        return replace(verdict, plan=planned(run, self._clean))

    def _of_state(self, run: Run, facts: Facts) -> Iterator[str]:
        """What is to be said of a state that has nothing: a backend other than the one that has it looks the same."""
        if self._session.made:
            yield f"stack {self._request.stack} was not in the backend, and was made there, empty"
        if facts.before.serving and run.ok and all(s.op == "create" for s in run.objects):
            serving = ", ".join(f"{name} {each.version}" for name, each in sorted(facts.before.serving.items()))
            yield (
                f"the stack's state is empty, though {serving} serves in the cluster: is PULUMI_BACKEND_URL that of the last update?"
            )

    def _update(self, cluster: Cluster, before: Snapshot) -> Verdict:
        from .watch import Watch

        # Nobody waits for a rehearsal or a backup whose engine has ended, for whatever reason.
        over = threading.Event()
        program = self._program(over)
        # A request of our own to stop is not the person's: it must not look like Ctrl-C in the verdict.
        engine_stop = Interrupt()
        forget = self._interrupt.listen(lambda _count: (engine_stop.request(), None)[1])
        session = Session(self._project, self._request.stack, self._pulumi, engine_stop, "", self._request.environment)

        def give_up() -> None:
            # With --continue-on-error the others are to finish; the engine then ends this one by its own deadline.
            if not self._request.continue_on_error:
                engine_stop.request()

        watch = Watch(cluster, self._narrator, self._clean, give_up)
        watch.start()
        recorder = Recorder(on_event=self._on_event, on_step=lambda step: self._told(step, watch))
        try:
            watch.wait_ready(2.0)
            run = self._locking(
                lambda: session.up(program, recorder, self._policy_packs, self._request.continue_on_error)
            )
        finally:
            forget()
            over.set()
            program.settle()
            watched = watch.stop(0.5)
        if not run.ok and not self._interrupt.requested:
            self._put_back(run, cluster)
        return self._judge(program, run, before, cluster, watched)

    def _put_back(self, run: Run, cluster: Cluster) -> None:
        """No worker is left without pods for a version that does not come up."""
        from .workers import put_back

        try:
            for said in put_back(run, cluster, self._session.refresh):
                self._notice(said)
        except Exception as error:  # the verdict on the run must be told all the same
            self._notice(f"whether a worker must be put back could not be found out: {error}")

    def _told(self, step: Step, watch: Watch) -> None:
        if step.kind == "Deployment" and step.changes and not step.deletes:
            if step.phase == "started":
                watch.deploying(step.module, step.version)
            elif step.phase == "done":
                watch.deployed(step.module)
        self._narrator.step(step)

    def _judge(self, program: InlineProgram, run: Run, before: Snapshot, cluster: Cluster, watched: Watched) -> Verdict:
        verdict = judge(
            self._request.stack,
            self._pulumi.version,
            _wanted(program),
            run,
            before=before,
            after=self._after(cluster),
            watched=watched,
            interrupted=self._interrupt.requested,
            seconds=self._seconds(),
            notices=[*self._notices, *_warned(run)],
            rehearsals=self._rehearsals,
            backups=self._backups,
        )
        return self._without_secrets(verdict)

    def _without_secrets(self, verdict: Verdict) -> Verdict:
        """The verdict with what the engine says cleaned; what pods say has been by whoever heard it."""
        modules = []
        for module in verdict.modules:
            job = module.job and replace(module.job, words=module.job.words.cleaned(self._clean))
            modules.append(replace(module, detail=self._clean(module.detail), job=job))
        return replace(verdict, error=self._clean(verdict.error), modules=tuple(modules))

    @staticmethod
    def _after(cluster: Cluster | None) -> Snapshot | None:
        if cluster is None:
            return None
        with suppress(
            Exception
        ):  # the API may be gone in the middle of a failure; the verdict then says that it does not know
            return cluster.snapshot()
        return None

    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _notice(self, text: str) -> None:
        self._notices.append(self._clean(text))
        self._narrator.say(text, kind="notice")


@dataclass(frozen=True)
class Facts:
    """The cluster as it was found, or why it was not."""

    cluster: Cluster | None = None
    before: Snapshot = field(default_factory=Snapshot)
    unreachable: str = ""


class Preflight:
    """Looks at the cluster while the engine previews; begins once the program knows which cluster and namespace."""

    def __init__(self, program: InlineProgram) -> None:
        self._program = program
        self._facts = Facts()
        self._thread = threading.Thread(target=self._look, name="preflight", daemon=True)

    def __enter__(self) -> Preflight:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._program.begun.set()
        self._thread.join()
        if self._facts.cluster:
            self._facts.cluster.close()

    def result(self) -> Facts:
        """What was found; waits for it, as the preview has ended by now."""
        self._program.begun.set()
        self._thread.join()
        return self._facts

    def _look(self) -> None:
        # While the engine starts, what its program and we need is loaded.
        load()
        from .cluster import Cluster

        self._program.begun.wait()
        wanted = self._program.settings
        if wanted is None:
            return
        try:
            cluster = Cluster(wanted.context, wanted.namespace_name, self._program.owner)
            self._facts = Facts(cluster, cluster.snapshot())
        except ClusterUnreachable as error:
            self._facts = Facts(unreachable=str(error))
        except Exception as error:
            self._facts = Facts(unreachable=f"the Kubernetes API refused to be read: {error}")


class _Pending:
    """Prepares the changed configuration beside the preview; it takes effect only when the preview is accepted."""

    def __init__(self, session: Session, versions: Mapping[str, str]) -> None:
        self._session = session
        self._versions = versions
        self._config: PendingConfig | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> _Pending:
        if self._versions:
            self._thread = threading.Thread(target=self._prepare, name="config", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread:
            self._thread.join()
        if self._config:
            self._config.drop()

    def keep(self) -> None:
        if self._thread:
            self._thread.join()
        if self._error:
            raise AutomationError(
                f"the versions could not be written to the stack's configuration: {self._error}"
            ) from self._error
        if self._config:
            self._config.keep()
            self._config = None

    def _prepare(self) -> None:
        try:
            self._config = self._session.set_versions(self._versions)
        except Exception as error:
            self._error = error


def _policy_pack(given: str) -> str:
    """A pack's folder as the engine needs it, which runs in another one."""
    folder = Path(given).resolve()
    if not (folder / "PulumiPolicy.yaml").exists():
        raise UsageError(f"no policy pack in {folder}: it has no PulumiPolicy.yaml")
    return str(folder)


def _warned(run: Run) -> Iterator[str]:
    """What the program says of the capacity of new versions."""
    from components.names import FEWER

    for said in run.diagnostics:
        if said.severity == "warning" and said.message.startswith(FEWER):
            yield " ".join(said.message.split())


def _advice(run: Run) -> Iterator[str]:
    """What policies say that does not forbid the update."""
    for found in run.findings:
        if not found.mandatory:
            yield f"policy {found.pack}/{found.policy}: {found.resource}: {' '.join(found.message.split())}"


def _wanted(program: InlineProgram) -> dict[str, str]:
    wanted = program.settings
    return {name: wanted.version(name).label for name in wanted.modules} if wanted else {}


def _summary(run: Run, module: str) -> str:
    """What a preview would do to a module, in the order it would be done."""
    steps = [s for s in run.objects if s.module == module and s.changes]
    parts = ["migrate"] if module in run.migrating else []
    for op, word in (("create", "create"), ("update", "change"), ("replace", "replace"), ("delete", "remove")):
        kinds = [
            f"{s.kind} {s.object_name or s.name}" for s in steps if s.op == op and s.kind in ("Deployment", "Service")
        ]
        if kinds:
            parts.append(f"{word} {', '.join(kinds)}")
    return "; ".join(parts) or ("change " + ", ".join(sorted({s.kind for s in steps})) if steps else "")
