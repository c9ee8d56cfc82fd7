"""Row security is forced on the table's owner too."""

from __future__ import annotations

from migrator.compatibility.questions import TABLES
from migrator.compatibility.rule import Case, Rule


def _applies(case: Case) -> bool:
    return case.is_("changed", *TABLES, attribute="row security") and case.now == "forced"


RULE = Rule(
    id="row-security-forced",
    level="breaks",
    title="Row security is forced on the table's owner too",
    why=(
        "The previous version, even as the table's owner, sees and writes only what policies "
        "allow; without a policy nothing."
    ),
    instead=(
        "Create the policies first and try them with a role of its own; force row security when "
        "every version that serves works under them."
    ),
    source="PostgreSQL manual, 5.8 Row Security Policies",
    applies=_applies,
)
