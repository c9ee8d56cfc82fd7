"""Jobs: started, then complete. Two reasons of failure end the wait; what their pods say is collected on the way."""

from __future__ import annotations

from ..informers import Event
from ..kinds import Object
from ..metadata import namespace_of, short_name
from . import pod
from .base import Await, collection, conditions, owned_by


def complete(job: Object) -> bool:
    return (
        bool((job.get("status") or {}).get("startTime")) and conditions(job).get("Complete", {}).get("status") == "True"
    )


def failure(job: Object) -> str:
    """Why a Job failed, "" if it did not.

    As in the real provider only these reasons end the wait: a Job that fails by its ``podFailurePolicy`` is waited for until the timeout.
    """
    c = conditions(job).get("Failed", {})
    known = c.get("status") == "True" and c.get("reason") in ("BackoffLimitExceeded", "DeadlineExceeded")
    return f"[{c['reason']}] {c.get('message', '')}" if known else ""


def steps(job: Object) -> list[str]:
    """How far a Job came, one line a step."""
    name, status = short_name(job), job.get("status") or {}
    lines = [f'Waiting for Job "{name}" to start']
    if status.get("startTime"):
        active, succeeded, failed = (status.get(k) or 0 for k in ("active", "succeeded", "failed"))
        lines.append(
            f'Waiting for Job "{name}" to succeed (Active: {active} | Succeeded: {succeeded} | Failed: {failed})'
        )
    return lines


class JobComplete(Await):
    watches = ("v1/pods",)
    by_inactivity = True

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._messages: dict[str, None] = {}  # in order, each once
        self._complete = False

    def on_object(self, o: Object) -> None:
        self._complete = complete(o)
        for s in steps(o):
            self.say("info", s)
        if why := failure(o) if (o.get("status") or {}).get("startTime") else "":
            self._messages[why] = None
            raise self.failed()  # with the object as it was before: that is what the real provider puts into the state
        self.object = o

    def on_related(self, event: Event) -> None:
        if event.source != "pods" or not owned_by(event.object, self.uid):
            return
        _, _, warning = pod.check(event.object)
        if warning:
            self._messages[warning] = None
            # Every pod begins with unready containers. The real provider is silent on these even when more is wrong
            # with them, such as an image that cannot be pulled; that is worth telling before the deadline.
            if not (warning.endswith("]") and "containers with unready status: [" in warning):
                self.say("warning", warning)

    def ready(self) -> bool:
        return self._complete

    def reasons(self) -> list[str]:
        return list(self._messages)

    def load(self) -> None:
        if not self._complete:
            found = self.client.items(
                collection("v1/pods", namespace_of(self.object)), labelSelector=f"controller-uid={self.uid}"
            )
            for p in found:
                self.on_related(Event("pods", "ADDED", p))
