"""What a migration has done to the database, as the witness in its pod has seen it (`components/witness.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from components.foreign_text import Fields, read


@dataclass(frozen=True)
class Finding:
    """A change that is no safe one.

    Args:
        level: "breaks" the previous version, or "risky".
        rule: its name.
        what: is changed.
        why: it is not safe.
        instead: what to do.
    """

    level: str
    rule: str
    what: str
    why: str
    instead: str

    def cleaned(self, clean: Callable[[str], str]) -> Finding:
        """The same with every text put through `clean`."""
        return Finding(clean(self.level), clean(self.rule), clean(self.what), clean(self.why), clean(self.instead))


@dataclass(frozen=True)
class Database:
    """The database after a migration, compared with before.

    Args:
        unchanged: schema and migration records are as before; None where it could not be told.
        changes: what is different, a line each.
        more: changes beyond those.
        findings: changes that are not safe for the previous version.
        message: why it could not be told, or what still goes on.
    """

    unchanged: bool | None
    changes: tuple[str, ...] = ()
    more: int = 0
    findings: tuple[Finding, ...] = ()
    message: str = ""

    def cleaned(self, clean: Callable[[str], str]) -> Database:
        """The same with every text put through `clean`."""
        return replace(
            self,
            changes=tuple(clean(c) for c in self.changes),
            findings=tuple(f.cleaned(clean) for f in self.findings),
            message=clean(self.message),
        )


def parse(message: str) -> Database | None:
    """Reads the witness's termination message; None where there is none, or none that can be read."""
    said = read(message)
    if "unchanged" not in said:
        return None
    return Database(
        said.flag("unchanged"), said.texts("changes"), said.count("more"), findings(said), said.text("message")
    )


def findings(said: Fields) -> tuple[Finding, ...]:
    """Reads the list of findings as the migrator writes them."""
    keys = ("level", "rule", "what", "why", "instead")
    return tuple(Finding(*(f.text(k) for k in keys)) for f in said.objects("findings"))


def together(seen: Iterable[Database]) -> Database | None:
    """What the pods of one Job have done, one after the other."""
    every = list(seen)
    if not every:
        return None
    unchanged: bool | None = None
    if any(d.unchanged is False for d in every):
        unchanged = False
    elif all(d.unchanged for d in every):
        unchanged = True
    return Database(
        unchanged,
        tuple(c for d in every for c in d.changes),
        sum(d.more for d in every),
        tuple(dict.fromkeys(f for d in every for f in d.findings)),
        "; ".join(dict.fromkeys(d.message for d in every if d.message)),
    )
