"""Pods: scheduled, initialised, ready; and what their containers say when they are not."""

from __future__ import annotations

from ..kinds import Object
from ..metadata import short_name
from .base import Await, conditions


def _short(message: str) -> str:
    return message.removeprefix("rpc error: code = Unknown desc = Error response from daemon: ").removesuffix(
        ": manifest unknown"
    )


def container_errors(pod: Object) -> str:
    """One line for each thing wrong with a container that is not ready."""
    lines: list[str] = []
    for c in (pod.get("status") or {}).get("containerStatuses") or []:
        if c.get("ready"):
            continue
        state = c.get("state") or {}
        if (waiting := state.get("waiting")) and waiting.get("reason") != "ContainerCreating":
            lines.append(f"[{waiting.get('reason', '')}] {_short(waiting.get('message', ''))}")
        if (end := state.get("terminated")) and end.get("reason"):
            said = f"[{end['reason']}] {_short(end['message'])}" if end.get("message") else ""
            lines.append(said or f'container "{c["name"]}" completed with exit code {end.get("exitCode", 0)}')
        if last := (c.get("lastState") or {}).get("terminated"):
            lines.append(
                f'container "{c["name"]}" terminated at {last.get("finishedAt")} ({last.get("reason", "")}: exit code {last.get("exitCode", 0)})'
            )
            if last.get("message"):
                lines.append(last["message"])
    return "\n".join(lines)


def check(pod: Object) -> tuple[bool, list[str], str]:
    """Whether a pod is ready, how far it came (one line a step), and the warning its last step gives, "" if none."""
    found, name = conditions(pod), short_name(pod)
    steps: list[str] = []
    for condition, text in (("PodScheduled", "scheduled"), ("Initialized", "initialized"), ("Ready", "ready")):
        steps.append(f'Waiting for Pod "{name}" to be {text}')
        c = found.get(condition)
        if c is None:
            return False, steps, ""
        if c.get("status") == "True" or (
            condition == "Ready" and (pod.get("status") or {}).get("phase") == "Succeeded"
        ):
            continue
        if condition == "PodScheduled":
            return False, steps, ""
        errors, message = container_errors(pod), c.get("message", "")
        if not errors and not message:
            return False, steps, ""
        return False, steps, f"[Pod {name}]: {message if c.get('reason') else ''}{errors}"
    return True, steps, ""


class PodReady(Await):
    by_inactivity = True

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._ready, self._warning = False, ""

    def on_object(self, o: Object) -> None:
        self.object = o
        self._ready, steps, self._warning = check(o)
        for s in steps:
            self.say("info", s)

    def ready(self) -> bool:
        return self._ready

    def reasons(self) -> list[str]:
        return [self._warning] if self._warning else []
