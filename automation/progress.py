"""Live progress: one line for each real change of state, as it happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from components.foreign_text import cut, flat, one_line
from components.termination_message import TerminationMessage

from .pods import PodFacts
from .steps import Step

_LONGEST = 4096  # characters of a line


@dataclass(frozen=True)
class Progress:
    """Something that has just changed.

    Args:
        seconds: since the run began.
        module: it concerns, empty for the run.
        kind: "phase", "log", "pod", "cause", "notice".
        text: for people, in one line; secrets and control characters are out of it.
    """

    seconds: float
    module: str
    kind: str
    text: str

    def __str__(self) -> str:
        who = f"{self.module}: " if self.module else ""
        body = f"| {self.text}" if self.kind == "log" else self.text
        return f"{self.seconds:6.1f}s  {who}{body}"


OnProgress = Callable[[Progress], None]


class Narrator:
    """Turns the engine's steps and what the watch sees into progress.

    Args:
        report: receives it, one call at a time.
        clean: keeps secrets out.
    """

    def __init__(self, report: OnProgress | None, clean: Callable[[str], str]) -> None:
        self._report = report
        self._clean = clean
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._starts: dict[str, float] = {}
        self._last: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def say(self, text: str, module: str = "", kind: str = "phase") -> None:
        if self._report:
            with self._lock:
                text = self._clean(text)
                self._report(
                    Progress(self.seconds, module, kind, cut(flat(text) if kind == "log" else one_line(text), _LONGEST))
                )

    # --- the engine ---------------------------------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        """A step of an update."""
        if not step.changes or not step.module or not step.is_workload:
            return
        if step.phase == "started":
            self._starts[step.urn] = self.seconds
        took = self.seconds - self._starts.get(step.urn, self.seconds)
        text = self._text(step, took)
        if text and self._last.get(step.urn) != text:
            self._last[step.urn] = text
            self.say(text, step.module)

    def _text(self, step: Step, took: float) -> str:
        version = step.version
        if step.kind == "Job" and not step.deletes and step.op != "replace":
            what = {"migration": f"migration to {version}", "database": "database"}.get(
                step.part, "configuration check"
            )
            return {
                "started": f"{what}: Job {step.object_name}",
                "done": f"{what}: done in {took:.1f} s",
                "failed": "",  # the watch says it sooner, and why
            }[step.phase]
        if step.kind == "Deployment":
            if step.deletes:
                return {
                    "started": f"draining {version}",
                    "done": f"{version} removed",
                    "failed": f"{version} was kept",
                }[step.phase]
            return {
                "started": f"starting {version}" if step.op == "create" else f"rolling {version}",
                "done": f"{version} is healthy",
                "failed": f"{version} did not become healthy",
            }[step.phase]
        if step.kind == "Service" and not step.deletes:
            return {
                "started": "",
                "done": f"traffic goes to {version}" if version else "traffic switched",
                "failed": "the Service could not be changed",
            }[step.phase]
        return f"{step.kind} {step.object_name or step.name}: {step.op} failed" if step.phase == "failed" else ""

    # --- the watch (watch.Listener) -----------------------------------------------------------------------------------

    def job_log(self, pod: PodFacts, line: str) -> None:
        self.say(line, pod.module, "log")

    def job_failed(self, pod: PodFacts, words: TerminationMessage, state: str) -> None:
        if state:
            return  # said when it was given up
        code = f" (SQLSTATE {words.sqlstate})" if words.sqlstate else ""
        place = f" at {words.place}" if words.place else ""
        what = {"migrate": "migration", "database": "database Job"}.get(pod.kind, "configuration check")
        self.say(f"{what} failed{place}: {words.message}{code}", pod.module, "cause")

    def pod_changed(self, pod: PodFacts, ready: int, total: int) -> None:
        text = f"{pod.version}: {ready}/{total} pods ready"
        if pod.reason or (pod.restarts and not pod.ready):
            text += f" ({pod.name}: {pod.state})"
        key = f"pods {pod.module}"
        if self._last.get(key) != text:
            self._last[key] = text
            self.say(text, pod.module, "pod")

    def given_up(self, pod: PodFacts, why: str) -> None:
        self.say(f"cannot start: {why}", pod.module, "cause")
