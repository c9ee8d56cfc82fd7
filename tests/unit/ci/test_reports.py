"""What people read on a pull request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automation.database import Finding
from automation.rehearsal import Rehearsal
from automation.verdict import ModuleVerdict, Outcome, Serving, Verdict
from automation.wording import text
from ci.report import grouped, report

PREVIEWED: dict[str, Any] = {
    "outcome": "previewed",
    "modules": [{"name": "ledger", "version": "1.1.0", "previous": "1.0.0", "outcome": "previewed", "detail": "migrate; create Deployment ledger-1-1-0", "job": None}],
    "changes": {"create": 3, "same": 9},
    "error": None,
    "notices": ["policy rollout/images-pinned: <b>|latest"],
}  # fmt: skip


def test_a_plan_says_what_moves_from_which_version_to_which() -> None:
    text = report("preview", "prod", PREVIEWED)
    assert text.startswith("### ✅ `prod`: previewed (3 create)")
    assert "| `ledger` | `1.0.0` | `1.1.0` | `migrate; create Deployment ledger-1-1-0` |" in text
    assert "```text\npolicy rollout/images-pinned: <b>|latest\n```" in text


@pytest.mark.parametrize(
    "said", ["@acme/admins", "![x](https://evil)", "<b>", "a`b", "\\|", "a|b", "[ok](https://evil)"]
)
def test_nothing_a_change_says_becomes_markup_of_the_table(said: str) -> None:
    module = {**PREVIEWED["modules"][0], "version": said, "detail": f"{said}\n{said}"}
    (row,) = [
        line for line in report("preview", "prod", {**PREVIEWED, "modules": [module]}).splitlines() if "1.0.0" in line
    ]
    assert row.count("|") == 5, "a cell ends where it should"
    cells = row.split(" | ")
    assert all(cell.strip("| ").count("`") == 2 for cell in cells), "each is one span of code"


def test_modules_that_do_not_change_are_a_number() -> None:
    modules = [{**PREVIEWED["modules"][0], "name": f"m{n}", "outcome": "unchanged", "detail": ""} for n in range(30)]
    text = report("preview", "prod", {**PREVIEWED, "modules": [*modules, *PREVIEWED["modules"]]})
    assert "30 modules are unchanged." in text
    assert "m7" not in text
    assert "| `ledger` |" in text


def test_many_findings_of_one_rule_are_a_number() -> None:
    found = [f"  Deployment d{n}: no digest (rollout/images-pinned)" for n in range(300)]
    notices = [f"note: policy rollout/pod-defaults: p{n}: no probe" for n in range(5)]
    kept = grouped(["refused: 300 mandatory policies are not kept:", *found, "Nothing was changed.", *notices])
    assert kept[3:6] == [found[2], "  ... and 297 more of rollout/images-pinned", "Nothing was changed."]
    assert kept[-2:] == [notices[2], "  ... and 2 more of rollout/pod-defaults"]


def test_the_version_of_the_cli_is_named() -> None:
    assert "By Pulumi CLI 3.274.1." in report("up", "prod", {**PREVIEWED, "pulumi": "3.274.1"})


def test_a_plan_tells_each_resource_and_what_differs_in_it() -> None:
    change = {"path": "spec.replicas", "old": "1", "new": "```2"}
    stack = {"module": "", "operation": "create", "kind": "Namespace", "name": "prod", "instead_of": "", "changes": []}
    plan: list[dict[str, Any]] = [
        {"module": "ledger", "operation": "create", "kind": "Job", "name": "j", "instead_of": "", "changes": []},
        {"module": "ledger", "operation": "update", "kind": "Service", "name": "s", "instead_of": "", "changes": [change]},
        {"module": "ledger", "operation": "delete", "kind": "Job", "name": "i", "instead_of": "", "changes": []},
        stack,
    ]  # fmt: skip
    text = report("preview", "prod", {**PREVIEWED, "plan": plan})
    said = "# ledger\n+ Job j\n! Service s\n!   spec.replicas: 1 -> '''2\n- Job i\n# the stack\n+ Namespace prod"
    assert f"```diff\n{said}\n```" in text, "what a change says must not end the fence"
    assert "<details open><summary>Plan: 4 resources</summary>" in text
    long = report("preview", "prod", {**PREVIEWED, "plan": [{**plan[1], "name": f"s{n}"} for n in range(30)]})
    assert "<details><summary>Plan: 30 resources</summary>" in long, "a long plan is folded"


def test_what_is_removed_or_replaced_is_no_green_plan() -> None:
    gone = {**PREVIEWED["modules"][0], "name": "second", "version": "", "detail": "removed; its database is kept"}
    job = {"module": "ledger", "operation": "replace", "kind": "Job", "name": "j", "instead_of": "", "changes": []}
    text = report("preview", "prod", {**PREVIEWED, "modules": [gone], "plan": [job]})
    assert text.startswith("### ⚠️ `prod`: previewed")
    assert "**Removed: `second`.**\n**Deleted and made anew: `Job j`.**" in text
    assert "| `second` | `1.0.0` |  | `removed; its database is kept` |" in text
    assert "The job's log says why" not in text


def test_a_refusal_leads_with_its_reason() -> None:
    refused = {**PREVIEWED, "outcome": "refused", "error": "1 mandatory policy is not kept"}
    text = report("preview", "prod", refused)
    assert text.startswith("### ⛔ `prod`: refused")
    assert text.index("1 mandatory policy is not kept") < text.index("| module |")


def test_what_is_no_plan_is_told_as_the_terminal_tells_it() -> None:
    said = "ledger 1.1.0: refused by its rehearsal\n  column dropped: BREAKS 1.0.0\n  ```\n  version 1.0.0 still serving (2/2 ready)"
    block = said.replace("```", "'''")
    assert f"```text\n{block}\n```" in report("preview", "prod", {**PREVIEWED, "outcome": "refused"}, said)
    assert f"```text\n{block}\n```" in report("up", "prod", {**PREVIEWED, "outcome": "deployed"}, said)
    assert said not in report("preview", "prod", PREVIEWED, said), "a plan is told resource by resource"


def test_why_a_rehearsal_refused_is_told() -> None:
    finding = Finding(
        "breaks", "column-dropped", "column accounts.name", "1.0.0 reads it", "drop it with the next version"
    )
    rehearsal = Rehearsal("refused", "j", "1.0.0", 3.0, findings=(finding,))
    module = ModuleVerdict(
        "ledger", "1.1.0", "1.0.0", Outcome.REFUSED, serving=Serving("1.0.0", 2, 2), rehearsal=rehearsal
    )
    verdict = Verdict("prod", "3.274.1", Outcome.REFUSED, 5.0, (module,))
    told = report("up", "prod", json.loads(json.dumps(verdict.as_json())), text(verdict))
    for said in (
        "ledger 1.1.0: refused by its rehearsal",
        "column accounts.name: BREAKS 1.0.0 (column-dropped): 1.0.0 reads it",
        "instead: drop it with the next version",
        "previous version 1.0.0 still serving (2/2 ready)",
        "By Pulumi CLI 3.274.1.",
    ):
        assert said in told


def test_no_verdict_is_told() -> None:
    assert "did not finish" in report("up", "dev", None)
