"""A column's numbers come from another sequence: an identity's instead of a default's, or the other way round."""

from __future__ import annotations

from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", "column", attribute="identity")


RULE = Rule(
    id="column-identity-changed",
    level="risky",
    title="A column's numbers come from another sequence: an identity's instead of a default's, or the other way round",
    why=(
        "A new sequence begins at 1: INSERTs of the previous version get numbers that are taken (23505 where the column is "
        "unique)."
    ),
    instead=(
        "In the same transaction LOCK the table and set the new sequence behind the largest number: setval, or START WITH. "
        "What the sequence has reached is no part of a fingerprint; try it in the rehearsal."
    ),
    source="PostgreSQL manual, CREATE TABLE, GENERATED ... AS IDENTITY",
    applies=_applies,
)
