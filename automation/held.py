"""Does something to a stack that is no update of it, while no update can run.

Nothing but an update holds the lock of every backend, and a lock that another program writes as the CLI does would hold only
those of files. So what is done is done within an update that changes nothing: one that excludes every resource. Pulumi's
history has it, whoever comes second is told who holds the stack, and a backend that keeps a lock alive does so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Holding(Generic[T]):
    """The program of such an update: it declares nothing, gives the outputs that there are, and does the work.

    Args:
        work: to be done once; not in a preview.
        outputs: of the stack, which an update replaces by those of its program.
    """

    def __init__(self, work: Callable[[], T], outputs: Mapping[str, Any]) -> None:
        self._work, self._outputs = work, outputs
        self._begun, self._ended = threading.Event(), threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    @property
    def __name__(self) -> str:  # the SDK names the program in its messages
        return "rollout"

    def __call__(self) -> None:
        import pulumi

        for name, value in self._outputs.items():
            pulumi.export(name, value)
        if pulumi.runtime.is_dry_run():
            return
        self._begun.set()
        try:
            self._result.append(self._work())
        except BaseException as error:
            self._error = error  # for who waits; the update itself has not failed
        finally:
            self._ended.set()

    def result(self) -> tuple[T, ...]:
        """What the work gave; nothing if it was not begun. What has begun is awaited, also when its engine is gone.

        Raises:
            BaseException: what the work raised.
        """
        if self._begun.is_set():
            self._ended.wait()
        if self._error:
            raise self._error
        return tuple(self._result)


def outputs_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a stack.

    Args:
        state: as exported.
    """
    for each in state.get("resources") or []:
        if each.get("type") == "pulumi:pulumi:Stack":
            return dict(each.get("outputs") or {})
    return {}


def urns_of(state: Mapping[str, Any], kind: str, names: set[str]) -> list[str]:
    """The URNs of a stack's Kubernetes objects.

    Args:
        state: as exported.
        kind: such as Job.
        names: of the objects.
    """
    return [
        str(each["urn"])
        for each in state.get("resources") or []
        if str(each.get("type")).endswith(f":{kind}")
        and ((each.get("inputs") or {}).get("metadata") or {}).get("name") in names
    ]
