"""The comparer sees every kind of difference, and no reason excuses what matters."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.parity import documentation, recordings
from tests.parity.compare import NEVER_EXCUSED, Difference, Reason, differences, reasons
from tests.parity.facts import steady
from tests.parity.recordings import Recording, Row

FAILED = "one-module-of-two-fails"  # step 1: a's migration fails, b has nothing to do with it
POLICIES = "policy-advisory-and-mandatory"
KILLED = "kill-mid-job-explicit-name"
TWO = "two-ups-at-once"


def event(row: Row, kind: str, name: str, op: str = "") -> Row:
    for e in row["events"]:
        step = e.get(kind, {}).get("metadata", {})
        if step.get("urn", "").endswith(f"::{name}") and op in ("", step["op"]):
            found: Row = step
            return found
    raise LookupError(f"{kind} {op} {name}")


def resources(row: Row) -> list[Any]:
    found: list[Any] = row["checkpoint"]["checkpoint"]["latest"]["resources"]
    return found


def diagnostic(row: Row) -> Row:
    return next(e["diagnosticEvent"] for e in row["events"] if e.get("diagnosticEvent", {}).get("severity") == "error")


def another_operation(row: Row) -> None:
    event(row, "resOutputsEvent", "plain", "same")["op"] = "update"


def a_step_left_out(row: Row) -> None:
    row["events"].remove(next(e for e in row["events"] if "resOpFailedEvent" in e))


def another_urn(row: Row) -> None:
    step = event(row, "resourcePreEvent", "a-2-migrate")
    step["urn"] = step["urn"].replace("a-2", "a-9")


def a_failure_that_succeeds(row: Row) -> None:
    at = next(i for i, e in enumerate(row["events"]) if "resOpFailedEvent" in e)
    row["events"][at] = {"resOutputsEvent": row["events"][at]["resOpFailedEvent"]}


def the_deployment_before_its_job(row: Row) -> None:
    """In the first step, where both are made."""
    at = next(
        i for i, e in enumerate(row["events"])
        if e.get("resourcePreEvent", {}).get("metadata", {}).get("urn", "").endswith("Deployment::a-1")
    )  # fmt: skip
    row["events"].insert(0, row["events"].pop(at))


def another_cause(row: Row) -> None:
    d = diagnostic(row)
    d["message"] = d["message"].replace("exit code 1", "exit code 2").replace("BackoffLimit", "Deadline")


def a_cause_at_another_resource(row: Row) -> None:
    diagnostic(row)["urn"] = "urn:pulumi:dev::rec::rec:index:Module::b"


def another_input_in_the_state(row: Row) -> None:
    next(r for r in resources(row) if r["urn"].endswith("::a-1-migrate"))["inputs"]["spec"]["backoffLimit"] = 7


def a_dependency_lost(row: Row) -> None:
    next(r for r in resources(row) if r["urn"].endswith("Deployment::a-1"))["dependencies"].pop()


def a_resource_left_in_the_state(row: Row) -> None:
    extra = copy.deepcopy(resources(row)[-1])
    resources(row).append({**extra, "urn": extra["urn"] + "-old"})


def an_operation_left_pending(row: Row) -> None:
    latest = row["checkpoint"]["checkpoint"]["latest"]
    latest["pending_operations"] = [{"type": "creating", "resource": resources(row)[-1]}]


def a_service_that_selects_another_version(row: Row) -> None:
    next(o for o in row["objects"] if o["kind"] == "Service")["selector"]["version"] = "9"


def an_object_too_many(row: Row) -> None:
    row["objects"].append({**row["objects"][0], "name": "left-over"})


def a_field_manager(row: Row) -> None:
    row["objects"][0]["managers"].append("kubectl")


def a_lock_left_behind(row: Row) -> None:
    row["locks"] += 1


def a_summary(row: Row) -> None:
    next(e["summaryEvent"] for e in row["events"] if "summaryEvent" in e)["resourceChanges"] = {"same": 1}


def another_exit_code(row: Row) -> None:
    row["exit"] = 0 if row["exit"] else 1


def another_level_of_a_policy(row: Row) -> None:
    next(e["policyEvent"] for e in row["events"] if "policyEvent" in e)["enforcementLevel"] = "disabled"


def a_second_command_let_in(row: Row) -> None:
    row["meanwhile"]["exit"] = 0


def a_lock_forgotten(row: Row) -> None:
    row["locks"] = 0


PLANTED: list[tuple[str, int, Callable[[Row], None], str]] = [
    (FAILED, 1, another_operation, "operations"),
    (FAILED, 1, a_step_left_out, "operations"),
    (FAILED, 1, another_urn, "operations"),
    (FAILED, 1, a_failure_that_succeeds, "operations"),
    (FAILED, 0, the_deployment_before_its_job, "order"),
    (FAILED, 1, another_cause, "diagnostics"),
    (FAILED, 1, a_cause_at_another_resource, "diagnostics"),
    (FAILED, 1, another_input_in_the_state, "state"),
    (FAILED, 1, a_dependency_lost, "state"),
    (FAILED, 1, a_resource_left_in_the_state, "state"),
    (FAILED, 1, an_operation_left_pending, "pending"),
    (FAILED, 1, a_service_that_selects_another_version, "objects"),
    (FAILED, 1, an_object_too_many, "objects"),
    (FAILED, 1, a_field_manager, "objects"),
    (FAILED, 1, a_lock_left_behind, "locks"),
    (FAILED, 1, a_summary, "summary"),
    (FAILED, 1, another_exit_code, "exit"),
    (POLICIES, 0, another_level_of_a_policy, "policies"),
    (TWO, 1, a_second_command_let_in, "meanwhile"),
    (KILLED, 1, a_lock_forgotten, "locks"),
]


def copied(recording: Recording) -> Recording:
    steps = json.loads(json.dumps(recording.steps))
    return Recording(recording.scenario, recording.engine, steps, recording.history)


@pytest.mark.parametrize(("scenario", "step", "plant", "fact"), PLANTED, ids=[p[2].__name__ for p in PLANTED])
def test_a_planted_difference_is_found(scenario: str, step: int, plant: Callable[[Row], None], fact: str) -> None:
    expected = recordings.load(scenario)
    changed = copied(expected)
    plant(changed.steps[step])
    found = differences(expected, changed)
    assert fact in {d.fact for d in found}
    assert {d.place.split("/")[0] for d in found} <= {str(step), str(step + 1)}


@pytest.mark.parametrize("scenario", recordings.recorded())
def test_what_differs_from_run_to_run_is_no_difference(scenario: str) -> None:
    """Other ids, times and random suffixes, sets in another order, and steps side by side in the other order."""
    expected = recordings.load(scenario)
    changed = copied(expected)
    rng = random.Random(scenario)
    for row in changed.steps:
        for r in (row.get("checkpoint") or {}).get("checkpoint", {}).get("latest", {}).get("resources", []):
            rng.shuffle(r.get("dependencies", []))
    text = json.dumps(changed.steps)
    for before, after in (("8cb44783", "0d44f783"), ("2026-11-22T21:4", "2026-12-24T11:1"), ("-bc43bdbf", "-0143bdbf")):
        text = text.replace(before, after)
    assert differences(expected, Recording(scenario, {}, json.loads(text), changed.history)) == []


def test_random_names_are_made_steady() -> None:
    assert steady("[Pod rec/ledger-2-migrate-2dtgr]: unready") == "[Pod]: unready"
    assert steady("ledger-1-bc43bdbf-7d9f8b6c5d-x2x5l") == "ledger-1-<random>-<pod>"
    assert steady("ledger-2-migrate") == "ledger-2-migrate"


@pytest.mark.parametrize("fact", NEVER_EXCUSED)
def test_no_reason_excuses_the_gate_its_order_failures_or_state(fact: str) -> None:
    anything = Reason(".*", ".*", "offline", "because")
    assert not anything.excuses(FAILED, "offline", Difference(f"1/{fact}/x", "differs"))
    assert anything.excuses(FAILED, "offline", Difference("1/text/x", "differs"))
    assert not anything.excuses(FAILED, "pulumi", Difference("1/text/x", "differs"))


def test_reasons_are_few_and_each_names_scenarios_there_are() -> None:
    import re

    known = reasons()
    assert len(known) <= 6
    for reason in known:
        assert any(re.fullmatch(reason.scenarios, name) for name in recordings.recorded()), reason


def test_the_documentation_is_made_of_the_reasons() -> None:
    assert documentation.FILE.read_text(encoding="utf-8") == documentation.text(), "run: python -m tests.parity docs"
