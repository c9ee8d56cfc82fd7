"""A collation is changed."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.attribute == "collation"


RULE = Rule(
    id="collation-changed",
    level="risky",
    title="A collation is changed",
    why=(
        "ORDER BY, comparisons and, with a nondeterministic one, equality give other results; "
        "indexes are built anew under a lock that stops writers."
    ),
    instead=("Name the collation in the new version's queries (ORDER BY x COLLATE ...), with an index of its own."),
    source="PostgreSQL manual, 24.2 Collation Support",
    applies=_applies,
)
