"""What a schema's change means for the version that still serves while it is made.

During an upgrade the previous version works on the new schema, from the migration's commit to the end of its last pod.
Each change is judged by that: would a statement of a program that worked before fail now, or lose rows? What can only
be known by knowing the program is `risky`; the rehearsal answers it by running the program.

for finding in compatibility.classify(before, after):
    print(finding)
"""

from __future__ import annotations

from collections.abc import Iterable

from migrator.compatibility.cases import cases
from migrator.compatibility.questions import ROW
from migrator.compatibility.rule import LEVELS, Finding, Level, Rule
from migrator.compatibility.rules import RULES
from migrator.fingerprint import Snapshot

__all__ = ["LEVELS", "RULES", "Finding", "Level", "Rule", "classify", "worst"]


def classify(before: Snapshot, after: Snapshot, *, contract: bool = False) -> tuple[Finding, ...]:
    """Judges every change between two snapshots.

    Args:
        before: the schema that the previous version was made for.
        after: the schema it is to work on.
        contract: it is declared that no version runs any more that uses what is removed or does not satisfy what is
            demanded: contraction is safe then. Renamings and changed types stay what they are, since the version that
            serves now uses the old names and types.

    Returns:
        The findings, the worst first; empty if nothing is different.

    Raises:
        InvalidMigration: the snapshots are of different major versions of PostgreSQL.
    """
    found: dict[tuple[str, str, str], Finding] = {}
    broken: set[str] = set()  # relations that a finding of their columns says worse of than what SELECT * gives
    for case in cases(before, after):
        if case.attribute == ROW and case.name in broken:
            continue
        rule = next(each for each in RULES if each.applies(case))
        level, why, what = rule.level, rule.why, case.text
        if contract and rule.contraction and level != "safe":
            level, why = "safe", f"It is declared that no version runs that it would hurt. {why}"
        if level == "breaks" and case.object == "column":
            broken.add(case.parent)
        key = rule.id, case.object, case.name
        if key in found:  # another attribute of the same object
            what = f"{found[key].what}; {what.removeprefix(f'{case.object} {case.name}: ')}"
        found[key] = Finding(level, rule.id, case.name, what, why, rule.instead)
    return tuple(sorted(found.values(), key=lambda each: (-LEVELS.index(each.level), each.object, each.rule)))


def worst(findings: Iterable[Finding]) -> Level:
    """Gives the worst level there is; `safe` if there is no finding."""
    return max((each.level for each in findings), key=LEVELS.index, default="safe")
