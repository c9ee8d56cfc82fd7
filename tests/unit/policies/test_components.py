"""Our own components keep every rule, and a break of the gate in them is caught by the real pack host."""

from __future__ import annotations

import re

import pytest
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from policies.rules import pod_defaults
from policies.values import Program, Resource
from tests.unit.policies.components_program import broken, many, stack
from tests.unit.policies.host import Host, host
from tests.unit.policies.manifests import program
from tests.unit.policies.mutations import MUTATIONS, Mutation

pytestmark = pytest.mark.slow


def test_components_violate_nothing_in_production(production: Host) -> None:
    assert production.judge(stack("ledger", "payments")) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: re.sub(r"\W+", "-", m.what))
def test_a_break_of_the_gate_is_caught_in_production(mutation: Mutation, production: Host) -> None:
    found = production.judge(broken(stack(), mutation.change))
    assert mutation.rule in {d.rule for d in found if d.mandatory}, found


@pytest.mark.measures
def test_to_judge_a_hundred_modules_costs_no_more_than_six_times_what_asking_does() -> None:
    """About three times, and twelve where `unpack` is not in place. How many seconds that is, is the machine's: benchmarks/policies.py."""
    stack_of_many, seconds = many(100), []
    for rules in (False, True):
        with host("prod") as fresh:  # as each preview starts one
            if not rules:
                fresh.disable()
            begun = fresh.cpu_seconds()
            assert fresh.judge(stack_of_many) == []
            seconds.append(fresh.cpu_seconds() - begun)
    asking, judging = seconds
    assert judging < 6 * asking


def test_what_is_filled_in_leaves_secrets_secret() -> None:
    secret = {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": "hunter2"}
    (deployment,) = program(pod_defaults.FAILS).resources
    deployment.props["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": secret}]
    with host("dev") as development:
        (remediated,) = development.remediate(deployment)
    pod = remediated["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["env"][0]["value"] == secret


def test_an_output_that_is_a_pulumi_secret_is_told_of(production: Host) -> None:
    secret = {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": "canary"}
    outputs = {"namespace": "dev", "database": {"host": "db", "user": secret}}
    found = production.judge(Program((Resource("pulumi:pulumi:Stack", "rollout-prod", "urn", outputs),)))
    assert [(d.rule, d.mandatory) for d in found] == [("no-credentials-in-outputs", True)]
    assert "'database' is or holds a Pulumi secret" in found[0].message
    assert "canary" not in found[0].message


def test_production_changes_nothing(production: Host) -> None:
    assert production.remediate(program(pod_defaults.FAILS).resources[0]) == []
