"""An extension gets another version or schema."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "extension", attribute="version") or case.is_("changed", "extension", attribute="schema")


RULE = Rule(
    id="extension-changed",
    level="risky",
    title="An extension gets another version or schema",
    why="Its functions may behave differently, or need another search path.",
    instead="Read its release notes; update it in a release of its own.",
    source="PostgreSQL manual, ALTER EXTENSION",
    applies=_applies,
)
