"""A database that others have migrated: no migration to that version, every one to a later one, and the database must be there."""

from __future__ import annotations

from typing import Any

import pytest

from components.errors import Downgrade
from tests.unit.components.declared import Declared, FakeCluster, declare, ledger

JOB, DATABASE, DEPLOYMENT = "Job/ledger-1.1.0-migrate", "Job/ledger-database", "Deployment/ledger-1.1.0"
RECORD = "ConfigMap/ledger-migrated"
EXEMPT = "rollout.formance.com/no-database"


def adopted(version: str = "1.1.0", known: FakeCluster | None = None, **more: Any) -> dict[str, Declared]:
    return declare({"ledger": ledger(adopted="1.1.0", version=version, **more)}, known)


def command(stack: dict[str, Declared]) -> Any:
    return stack[DATABASE].inputs["spec"]["template"]["spec"]["containers"][0]["args"]


def recorded(stack: dict[str, Declared]) -> Any:
    return stack[RECORD].inputs["metadata"]["labels"]["rollout.formance.com/version"]


def test_the_version_it_came_with_is_not_migrated_to_and_stands_behind_the_database() -> None:
    stack = adopted()
    assert JOB not in stack
    assert command(stack) == ["adopt-database"]
    assert "kubernetes:batch/v1:Job::ledger-database" in stack[DEPLOYMENT].depends_on
    assert stack[DEPLOYMENT].inputs["metadata"]["annotations"][EXEMPT] == "elsewhere"


def test_that_it_was_migrated_to_is_written_down_once_it_is_known_to_be_there_and_kept() -> None:
    record = adopted()[RECORD]
    assert "kubernetes:batch/v1:Job::ledger-database" in record.depends_on
    assert record.retained
    assert recorded(adopted()) == "1.1.0"


def test_every_later_version_is_migrated_to_as_usual_and_no_database_is_made() -> None:
    before, stack = adopted(), adopted("1.2.0")
    assert "kubernetes:batch/v1:Job::ledger-1.2.0-migrate" in stack["Deployment/ledger-1.2.0"].depends_on
    assert EXEMPT not in stack["Deployment/ledger-1.2.0"].inputs["metadata"]["annotations"]
    assert recorded(stack) == "1.2.0"
    assert stack[DATABASE].inputs == before[DATABASE].inputs


@pytest.mark.parametrize(
    ("record", "more", "is_migrated"),
    [
        ("1.1.0", {}, False),
        ("1.2.0", {"allowDowngrade": True}, True),
        ("1.0.0", {}, True),  # such as of a backup that was restored
    ],
)
def test_what_is_on_record_comes_before_what_the_settings_still_say(
    record: str, more: dict[str, Any], is_migrated: bool
) -> None:
    assert (JOB in adopted(known=FakeCluster(migrations={"ledger": record}), **more)) == is_migrated


def test_an_older_version_than_it_came_with_is_a_downgrade() -> None:
    with pytest.raises(Downgrade, match=r"1\.0\.0 is older than 1\.1\.0, which its database was migrated to"):
        adopted("1.0.0")


def test_a_worker_is_exempt_with_its_api() -> None:
    settings = {"version": "v2.4.12", "adopted": "v2.4.12"}
    stack = declare({"ledger": settings})
    for name in ("Deployment/ledger-worker", "Deployment/ledger-v2.4.12"):
        assert stack[name].inputs["metadata"]["annotations"][EXEMPT] == "elsewhere"
    later = declare({"ledger": {**settings, "version": "v2.4.13"}})
    assert EXEMPT not in later["Deployment/ledger-worker"].inputs["metadata"]["annotations"]


def test_disabled_it_keeps_its_database_and_its_record() -> None:
    stack = adopted(disabled=True)
    assert JOB not in stack
    assert DEPLOYMENT not in stack
    assert (command(stack), recorded(stack)) == (["adopt-database"], "1.1.0")


def test_without_the_setting_a_database_is_made_and_migrated() -> None:
    stack = declare({"ledger": ledger()})
    assert JOB in stack
    assert command(stack) == ["create-database"]
    assert EXEMPT not in stack[DEPLOYMENT].inputs["metadata"]["annotations"]
