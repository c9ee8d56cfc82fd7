"""A verdict for people: the cause first, in the order they ask."""

from __future__ import annotations

from collections.abc import Iterator

from components.foreign_text import flat, labelled, one_line, quoted

from . import plan
from .database import Database, Finding
from .rehearsal import Rehearsal
from .verdict import JobReport, ModuleVerdict, Outcome, PodReport, RestoreReport, Serving, Verdict

_LOG_LINES = 20


def text(verdict: Verdict) -> str:
    """The whole report, without a newline at its end.

    What others say stands behind a word of ours or behind a bar, and a line has no newline in it: nothing of it can pass for a
    line of the report, or for a command of the pipeline that shows it.
    """
    return "\n".join(map(flat, _lines(verdict)))


def _lines(verdict: Verdict) -> Iterator[str]:
    worst_first = sorted(verdict.modules, key=lambda m: m.outcome.exit_code, reverse=True)
    if verdict.outcome is Outcome.LOCKED:
        yield f"stack {verdict.stack} is locked by another update: {verdict.lock or verdict.error}"
        yield "Wait for it to end. If it is no longer alive, `pulumi cancel` removes its lock; this command does so itself for its own runs in this boot and container."
    for module in worst_first:
        if module.outcome is Outcome.MIGRATION_FAILED:
            yield from _migration_failed(module)
        elif module.outcome is Outcome.ROLLOUT_FAILED:
            yield from _rollout_failed(module)
        elif module.outcome is Outcome.REFUSED and module.rehearsal:
            yield from _refused_by(module.rehearsal, module)
        elif module.outcome is Outcome.CANCELLED:
            yield f"{module.name} {module.version}: cancelled" + (f"; {module.detail}" if module.detail else "")
            yield f"  {_still_serving(module)}"
    if verdict.outcome is Outcome.REFUSED and verdict.error:
        yield from labelled("refused: ", verdict.error, "")
        yield "Nothing was changed."
    elif verdict.error and verdict.outcome is not Outcome.LOCKED:
        yield from labelled("" if verdict.outcome is Outcome.CANCELLED else "failed: ", verdict.error, "")
    for module in worst_first:
        if module.outcome in (
            Outcome.DEPLOYED,
            Outcome.UNCHANGED,
            Outcome.PREVIEWED,
            Outcome.REHEARSED,
            Outcome.RESTORED,
            Outcome.DESTROYED,
        ):
            yield _quiet(module)
            yield from (f"  {line}" for line in plan.lines(p for p in verdict.plan if p.module == module.name))
            if module.rehearsal:
                yield from _rehearsed(module.rehearsal)
            if module.restore:
                yield from _restored(module.restore)
            if module.backup:
                yield f"  backup {module.backup.text}"
            if module.job and module.job.database:
                yield from _changes(module.job.database, "  database: ")
    if of_stack := [p for p in verdict.plan if not p.module]:
        yield "the stack's own:"
        yield from (f"  {line}" for line in plan.lines(of_stack))
    for notice in verdict.notices:
        yield f"note: {one_line(notice)}"
    changes = ", ".join(f"{count} {op}" for op, count in sorted(verdict.changes.items()) if op != "same" and count)
    yield f"{verdict.outcome.value} in {verdict.seconds:.1f} s" + (f" ({changes})" if changes else "")


def _restored(restore: RestoreReport) -> Iterator[str]:
    yield f"  database {restore.database} is backup {restore.backup}, schema and rows compared with its manifest"
    if restore.kept:
        yield f"  what was there is kept as {restore.kept}; drop it once nobody needs it any more"
    yield f"  {restore.swap_seconds:.1f} s for the change of names, {restore.pods_seconds:.1f} s until its pods were ready again"
    for change in restore.changes:
        yield f"  NOT AS IT WAS BACKED UP: {change}"


def _migration_failed(module: ModuleVerdict) -> Iterator[str]:
    job = module.job or JobReport("unknown")
    what = {
        "database": "its database could not be made",
        "backup": "its database could not be backed up, so it was not migrated",
    }.get(job.kind, "migration failed")
    yield f"{module.name} {module.version}: {what} (Job {job.name})"
    yield from _cause(job)
    yield f"  {_still_serving(module)}"
    if job.database:
        yield from _left_behind(job.database)
    if module.backup and module.backup.ok:
        yield f"  backup from before it: {module.backup.text}"


def _cause(job: JobReport) -> Iterator[str]:
    """Why a Job failed, and the end of its log."""
    words = job.words
    if job.state:
        yield f"  {one_line(job.state)}"
    elif words.message:
        code = f" (SQLSTATE {words.sqlstate})" if words.sqlstate and words.sqlstate not in words.message else ""
        yield from quoted(words.message + code)
    if words.statement:
        yield f"  statement{f' at {words.place}' if words.place else ''}:"
        yield from quoted(words.statement, "    ")
    elif words.place:
        yield f"  at {words.place}"
    for blocker in words.blockers:
        yield f"  blocked by: {one_line(blocker)}"
    if words.hint:
        yield from labelled("hint: ", words.hint)
    yield from _logs(job.logs)


def _left_behind(database: Database) -> Iterator[str]:
    """What a failed migration did to the database: looked at, not assumed."""
    if database.unchanged:
        yield f"  database unchanged: {database.message or 'its schema and migration records are as before'}"
    elif database.unchanged is None:
        yield f"  WHETHER THE DATABASE WAS CHANGED IS NOT KNOWN: {database.message}"
    else:
        yield "  THE FAILED MIGRATION HAS CHANGED THE DATABASE; it left:"
        yield from _changes(database, "    ")
        if database.message:
            yield from quoted(database.message)


def _changes(database: Database, indent: str) -> Iterator[str]:
    """The changes and what of them is not safe."""
    for change in database.changes:
        yield indent + change
    if database.more:
        yield f"{indent}and {database.more} more, in the log: kubectl logs POD -c witness"
    for finding in database.findings:
        yield from _finding(finding, indent, "the previous version")


def _finding(finding: Finding, indent: str, serving: str) -> Iterator[str]:
    what = f"BREAKS {serving}" if finding.level == "breaks" else finding.level
    yield f"{indent}{finding.what}: {what} ({finding.rule}): {finding.why}"
    if finding.instead:
        yield f"{indent}  instead: {finding.instead}"


def _refused_by(rehearsal: Rehearsal, module: ModuleVerdict) -> Iterator[str]:
    """Why a migration was not begun."""
    what = {
        "refused": "refused by its rehearsal",
        "migration_failed": "refused, as its migration fails in the rehearsal",
    }.get(rehearsal.outcome, "refused, as it could not be rehearsed")
    code = f", exit code {rehearsal.exit_code}" if rehearsal.exit_code else ""
    where = f", container {rehearsal.container}{code}" if rehearsal.container else ""
    yield f"{module.name} {module.version}: {what} (Job {rehearsal.job}{where}, {rehearsal.seconds:.1f} s)"
    broken = [f for f in rehearsal.findings if f.level == "breaks"]
    if rehearsal.outcome == "migration_failed" and module.job:
        yield from _cause(module.job)
    elif not broken:
        yield from quoted(rehearsal.message)
        if rehearsal.hint:
            yield from labelled("instead: ", rehearsal.hint)
        yield from _logs(rehearsal.logs)
    for finding in rehearsal.findings:
        yield from _finding(finding, "  ", rehearsal.serving)
    if rehearsal.evidence:
        yield f"  {one_line(rehearsal.evidence)}"
    yield "  the real database was not touched"
    yield f"  {_still_serving(module)}"


def _rehearsed(rehearsal: Rehearsal) -> Iterator[str]:
    yield f"  rehearsed in {rehearsal.seconds:.1f} s: {rehearsal.serving} works on the new schema" + (
        f" ({', '.join(rehearsal.probes)})" if rehearsal.probes else ""
    )
    if rehearsal.evidence:
        yield f"  {one_line(rehearsal.evidence)}"
    if rehearsal.message:
        yield from quoted(rehearsal.message)
    for finding in rehearsal.findings:
        yield from _finding(finding, "  ", rehearsal.serving)


def _rollout_failed(module: ModuleVerdict) -> Iterator[str]:
    job = f" (migrated by Job {module.job.name})" if module.job and not module.job.failed else ""
    yield f"{module.name} {module.version}: rollout failed{job}"
    if module.detail:
        yield from quoted(module.detail)
    if module.restore:
        yield from _restored(module.restore)
    for pod in module.pods:
        yield from _pod(pod)
    yield f"  {_still_serving(module)}"
    if module.rehearsal and (lasting := module.rehearsal.cannot_restart):
        yield from _finding(lasting, "  ", module.rehearsal.serving)


def _pod(pod: PodReport) -> Iterator[str]:
    yield f"  Pod {pod.name}: {one_line(pod.state)}"
    for event in pod.events:
        yield f"    event: {one_line(event)}"
    yield from _logs(pod.logs, "    ")


def _logs(lines: tuple[str, ...], indent: str = "  ") -> Iterator[str]:
    if lines:
        yield f"{indent}last log lines:"
        for line in lines[-_LOG_LINES:]:
            yield f"{indent}  | {line}"


def _still_serving(module: ModuleVerdict) -> str:
    """What gets traffic now: asked of the cluster, not assumed."""
    serving = module.serving
    if serving is None:
        return "WHAT SERVES NOW IS NOT KNOWN: the cluster could not be asked"
    if module.previous is None and serving.version is None:
        return "nothing served before, nothing serves now: this was the first install"
    if serving.version is None:
        return f"NOTHING SERVES: Service {module.name} is gone ({module.previous} served before)"
    counts = f"{serving.ready}/{serving.desired} ready"
    if not serving.is_up:
        return f"NOT SERVING: Service {module.name} selects {serving.version}, which has no ready pod ({counts})"
    if serving.version == module.version and serving.version != module.previous:
        return f"the new version {serving.version} serves ({counts})"
    whole = "" if serving.is_whole else ", FEWER THAN WANTED"
    word = "previous version" if serving.version == module.previous and serving.version != module.version else "version"
    return f"{word} {serving.version} still serving ({counts}{whole})"


def _quiet(module: ModuleVerdict) -> str:
    change = (
        f"{module.previous} -> {module.version}" if module.previous not in (None, module.version) else module.version
    )
    if not module.version:
        return f"{module.name} {module.previous or ''}".rstrip() + f": {module.detail}"
    said = module.outcome.value + (f" ({module.detail})" if module.detail else "")
    if module.outcome is Outcome.PREVIEWED:
        return f"{module.name} {change}: {module.detail or 'changes'}"
    return f"{module.name} {change}: {said}{_counts(module.serving, module.version)}"


def _counts(serving: Serving | None, version: str) -> str:
    if serving is None or serving.version is None:
        return ""
    what = "" if serving.version == version else f"{serving.version} "
    return f", {what}serving ({serving.ready}/{serving.desired} ready)"
