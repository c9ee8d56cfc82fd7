"""The stack's stream: who makes it, and who waits for it."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.components.declared import Declared, declare, ledger

JOB = "kubernetes:batch/v1:Job::broker-topics"
BROKER = {"uri": "nats://nats:4222", "streams": "stack", "replicas": 3}
MODULES: dict[str, Any] = {
    "ledger": {"version": "2.4.12"},
    "webhooks": {"version": "2.5.3"},
    "shop": ledger(),
}


def stack_of(**broker: Any) -> dict[str, Declared]:
    return declare(MODULES, broker={**BROKER, **broker})


def environment(stack: dict[str, Declared]) -> dict[str, str]:
    [container] = stack["Job/broker-topics"].inputs["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_a_consumer_is_made_for_each_module_that_listens() -> None:
    found = environment(stack_of())
    assert json.loads(found.pop("BROKER_CONSUMERS")) == {"webhooks": ["dev.ledger"]}
    assert found == {"BROKER_URL": "nats://nats:4222", "BROKER_STREAM": "dev", "BROKER_REPLICAS": "3"}


def test_the_consumer_of_a_module_that_hears_itself_has_its_own_subject() -> None:
    stack = declare({"transactionplane": {"version": "v0.11.1"}}, broker=BROKER)
    assert json.loads(environment(stack)["BROKER_CONSUMERS"]) == {"transactionplane": ["dev.transactionplane"]}


def test_what_uses_the_broker_waits_for_its_topics_and_nothing_else_does() -> None:
    stack = stack_of()
    assert JOB in stack["Job/ledger-2.4.12-migrate"].depends_on
    assert JOB in stack["Deployment/webhooks-2.5.3"].depends_on
    assert JOB not in stack["Job/shop-1.1.0-migrate"].depends_on


def test_a_version_does_not_make_topics_again() -> None:
    before = stack_of()["Job/broker-topics"]
    after = declare({**MODULES, "ledger": {"version": "2.5.0"}}, broker=BROKER)["Job/broker-topics"]
    assert after.inputs["metadata"]["name"] == before.inputs["metadata"]["name"]


def test_nothing_is_made_where_modules_or_kafka_have_topics_of_their_own() -> None:
    assert "Job/broker-topics" not in stack_of(streams="service")
    assert "Job/broker-topics" not in stack_of(uri="kafka://kafka:9092")
