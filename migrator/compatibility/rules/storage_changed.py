"""Storage, statistics or planning of an object is changed."""

from __future__ import annotations

from migrator.compatibility.questions import VIEWS
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        case.attribute
        in (
            "options",
            "toast options",
            "storage",
            "compression",
            "statistics",
            "tablespace",
            "access method",
            "clustered",
            "subtype difference",
        )
        and case.object not in VIEWS
    ) or case.object == "extended statistics"


RULE = Rule(
    id="storage-changed",
    level="safe",
    title="Storage, statistics or planning of an object is changed",
    why="Results stay what they are.",
    source="PostgreSQL manual, CREATE TABLE, Storage Parameters",
    applies=_applies,
)
