"""Policy packs, hosted by the SDK in a process of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pulumi import ResourceOptions as Opts

from offline.engine.model import PolicyPackRef

from .fakes import StackUnderTest, Thing

pytestmark = pytest.mark.slow  # starts the host of a pack as a process of its own

PACK = """
from pulumi_policy import *

def small(args, report):
    if args.resource_type == "fake:index:Thing" and args.props["size"] > args.get_config().get("limit", 10):
        report("too big")

def label(args):
    if args.resource_type == "fake:index:Thing" and args.props["label"] == "auto":
        args.props["label"] = "fixed"
        return args.props

def gated(args, report):
    for r in args.resources:
        if r.name == "release" and not any(d.name == "job" for d in r.dependencies):
            report("not gated", r.urn)

PolicyPack("rules", policies=[
    ResourceValidationPolicy("small", "Things are small", small, enforcement_level=EnforcementLevel.MANDATORY,
        config_schema=PolicyConfigSchema(properties={"limit": {"type": "integer"}})),
    ResourceValidationPolicy("label", "Things are labelled", remediate=label, enforcement_level=EnforcementLevel.REMEDIATE),
    StackValidationPolicy("gated", "Releases wait", gated, enforcement_level=EnforcementLevel.MANDATORY),
])
"""


@pytest.fixture
def stack(tmp_path: Path) -> StackUnderTest:
    return StackUnderTest(tmp_path)


@pytest.fixture
def pack(tmp_path: Path) -> PolicyPackRef:
    root = tmp_path / "policies"
    root.mkdir()
    (root / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 1.2.3\n")
    (root / "__main__.py").write_text(PACK)
    return PolicyPackRef(root)


def program(size: int, *, gate: bool = True) -> None:
    job = Thing("job", size=size)
    Thing("release", size=1, opts=Opts(depends_on=[job] if gate else []))


def test_clean_stack_passes_and_every_rule_is_told(stack: StackUnderTest, pack: PolicyPackRef) -> None:
    outcome = stack.up(lambda: program(1), policy_packs=[pack])
    assert outcome.ok
    assert outcome.of("policyEvent") == []
    assert outcome.of("policyAnalyzeStackSummaryEvent")[0]["passed"] == ["gated"]
    # Remediation changes what is made.
    assert stack.state("job").inputs["label"] == "fixed"
    assert outcome.of("policyRemediationEvent")[0]["policyName"] == "label"
    assert list(outcome.of("summaryEvent")[0]["PolicyPacks"]) == [f"rules|local|{pack.path}"]


def test_mandatory_violations_fail_a_preview_that_goes_on_and_stop_an_update(
    stack: StackUnderTest, pack: PolicyPackRef
) -> None:
    shown = stack.preview(lambda: program(99, gate=False), policy_packs=[pack])
    assert not shown.ok
    assert [(e["policyName"], e["enforcementLevel"]) for e in shown.of("policyEvent")] == [
        ("small", "mandatory"),
        ("gated", "mandatory"),
    ]
    assert shown.of("policyEvent")[0]["message"] == "Things are small\ntoo big\n"
    assert sorted(shown.steps()) == ["create job", "create release"]
    assert shown.diagnostics() == ["preview failed\n"]
    stopped = stack.up(lambda: program(99), policy_packs=[pack])
    assert not stopped.ok
    assert stack.world.calls == []


def test_configuration_file_changes_limits_and_levels(
    stack: StackUnderTest, pack: PolicyPackRef, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"small": {"limit": 100}, "gated": "advisory"}))
    outcome = stack.up(lambda: program(99, gate=False), policy_packs=[PolicyPackRef(pack.path, config)])
    assert outcome.ok
    assert [e["enforcementLevel"] for e in outcome.of("policyEvent")] == ["advisory"]


def test_pack_that_does_not_start_says_why_and_nothing_moves(stack: StackUnderTest, pack: PolicyPackRef) -> None:
    (pack.path / "__main__.py").write_text("raise RuntimeError('broken pack')")
    outcome = stack.up(lambda: program(1), policy_packs=[pack])
    assert not outcome.ok
    assert "did not start" in outcome.diagnostics()[0]
    assert "broken pack" in outcome.diagnostics()[0]
    assert stack.world.calls == []
