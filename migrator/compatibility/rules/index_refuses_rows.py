"""An index is added that may refuse a row."""

from __future__ import annotations

from migrator.compatibility.indexes import index_refuses
from migrator.compatibility.questions import is_constraint, unique_before
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return (
        (case.is_("added", "index") or is_constraint(case, "added", "unique"))
        and (case.given("unique") is not True or unique_before(case))
        and (case.object == "index" or unique_before(case))
        and case.given("valid") is not False
        and index_refuses(case)
    )


RULE = Rule(
    id="index-refuses-rows",
    level="risky",
    title="An index is added that may refuse a row",
    why=(
        "INSERT and UPDATE of a value that is too long for the index fail with 54000, and one for which its "
        "expression fails with that error (22P02, 22003)."
    ),
    instead=(
        "Index what is short: a hash (USING hash, or md5(column)), a prefix, varchar(n); an expression that "
        "is defined for every value."
    ),
    source="PostgreSQL manual, CREATE INDEX; 67.4 B-Tree Indexes",
    applies=_applies,
)
