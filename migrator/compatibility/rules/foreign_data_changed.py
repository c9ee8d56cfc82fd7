"""A foreign table, its server or wrapper, or a user mapping is changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    if case.kind == "changed" and case.attribute in ("server", "foreign options"):
        return True
    known = case.kind != "added" or ("foreign server", case.parent) in case.before.by_key
    return (case.object == "user mapping" and known) or (
        case.object in ("foreign server", "foreign-data wrapper") and case.kind != "added"
    )


RULE = Rule(
    id="foreign-data-changed",
    level="risky",
    title="A foreign table, its server or wrapper, or a user mapping of an existing server is changed",
    why="The previous version reads and writes other rows through it, as another user, or is refused by the other server.",
    instead="Create a second server or foreign table beside the old one; drop the old one when no version uses it.",
    source="PostgreSQL manual, 5.12 Foreign Data",
    applies=_applies,
)
