"""One way in which a shell's script may have gone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .shell_expansion import FAILED, Value


def status_text(status: int) -> str:
    """A status as the text that a variable has of it."""
    return FAILED if status else "0"


@dataclass(frozen=True)
class State:
    """One way in which a script may have gone so far.

    Args:
        failed: commands that have failed and not been repeated with success, with how that was passed over.
        status: ``$?``, 0 or 1 for any other.
        variables: those that are known.
        exported: those that programs are given.
        arguments: ``$1`` and those behind it, None where they are not known.
        folder: where it is; empty where that is not known.
        fed: its input is another command's output.
    """

    failed: frozenset[tuple[str, str]] = frozenset()
    status: int = 0
    variables: frozenset[tuple[str, Value]] = frozenset()
    exported: frozenset[str] = frozenset()
    arguments: tuple[str, ...] | None = None
    folder: str = ""
    fed: bool = False
    errexit: bool = False
    pipefail: bool = False
    on_exit: str = ""
    on_error: str = ""

    def of(self, name: str) -> Value | None:
        if name == "?":
            return status_text(self.status)
        if name in ("@", "*", "#"):
            return self.arguments if name != "#" or self.arguments is None else str(len(self.arguments))
        if name.isdigit():
            if self.arguments is None or int(name[:9]) == 0:
                return None
            return self.arguments[int(name[:9]) - 1] if int(name[:9]) <= len(self.arguments) else ""
        if name == "PIPESTATUS":
            name = "PIPESTATUS[0]"
        return next((value for known, value in self.variables if known == name), None)

    def having(self, name: str, value: Value | None) -> State:
        """With a variable; the array of which it is an element is not known any more."""
        gone = {name, name.partition("[")[0]} - {"PIPESTATUS"}
        kept = frozenset(v for v in self.variables if v[0] not in gone)
        return replace(self, variables=kept if value is None else kept | {(name, value)})

    def exporting(self, *names: str) -> State:
        return replace(self, exported=self.exported | {*names})

    def passing(self, how: str) -> State:
        if all(told for _, told in self.failed):
            return self
        return replace(self, failed=frozenset((text, told or how) for text, told in self.failed))

    def inside(self, other: State) -> State:
        """This state, with the shell as it was: what a subshell sets ends with it."""
        return replace(other, failed=self.failed, status=self.status)
