"""A stack that the CLI made is the offline engine's, and the other way round as far as this can be shown without the CLI."""

from __future__ import annotations

import copy
import json

import pytest

from tests.parity import recordings
from tests.parity.compare import differences, unexplained
from tests.parity.runner import Engine, Run, found_engines
from tests.parity.scenarios import SCENARIOS, V1, Scenario, Step
from tests.parity.states import breaches, opened


@pytest.fixture
def offline() -> Engine:
    return next(e for e in found_engines() if e.name == "offline")


@pytest.fixture
def cli() -> Engine:
    for engine in found_engines():
        if engine.name == "pulumi":
            return engine
    pytest.skip("no Pulumi CLI on this machine")


@pytest.mark.long
@pytest.mark.cluster
@pytest.mark.stacks
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("scenario", "after"),
    [
        ("install-upgrade-noop-destroy", 2),  # installed by the CLI; previewed, upgraded and destroyed by the engine
        ("failed-migration-halts-and-reverts", 2),  # a failed Job is in the state; reverted and upgraded by the engine
        ("secrets", 1),  # the CLI's ciphertexts
    ],
)
def test_the_offline_engine_goes_on_where_the_cli_stopped(scenario: str, after: int, offline: Engine) -> None:
    found = differences(recordings.load(scenario), Run(SCENARIOS[scenario], offline, after=after)())
    assert [str(d) for d in unexplained(scenario, offline.name, found)] == []


NOTHING_TO_DO = (
    Step(("preview", "--expect-no-changes"), V1),
    Step(("preview", "--refresh", "--expect-no-changes")),
    Step(("refresh", "--yes", "--skip-preview")),
    Step(("up", "--yes", "--skip-preview", "--expect-no-changes")),
)


@pytest.mark.long
@pytest.mark.cluster
@pytest.mark.stacks
@pytest.mark.timeout(900)
def test_the_offline_engine_finds_nothing_to_do_in_a_stack_of_the_cli(offline: Engine) -> None:
    made = SCENARIOS["install-upgrade-noop-destroy"].steps[:2]
    taken = Run(Scenario("install-upgrade-noop-destroy", (*made, *NOTHING_TO_DO)), offline, after=2)()
    assert [row["exit"] for row in taken.steps[2:]] == [0, 0, 0, 0]
    for row in taken.steps:
        assert list(breaches(row["checkpoint"])) == []


TAKEN_OVER = (
    *NOTHING_TO_DO[1:],
    Step(("preview", "--expect-no-changes")),
    Step(("stack", "export", "--show-secrets", "--file", "state.json")),
    Step(("stack", "import", "--file", "state.json")),
    Step(("stack", "output", "--json", "--show-secrets")),
    Step(("stack", "history", "--json")),
    Step(("config", "--json", "--show-secrets")),
    Step(("up", "--yes", "--skip-preview", "--expect-no-changes")),
)
GIVEN_BACK = (Step(("preview", "--expect-no-changes")), Step(("up", "--yes", "--skip-preview", "--expect-no-changes")))
ENDED = (Step(("preview", "--expect-no-changes")), Step(("destroy", "--yes", "--skip-preview", "--run-program")))


@pytest.mark.long
@pytest.mark.cluster
@pytest.mark.stacks
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("scenario", "upto"),
    [
        ("install-upgrade-noop-destroy", 2),
        ("failed-migration-halts-and-reverts", 4),
        ("guard-hook-keeps-old-under-continue-on-error", 1),
        ("secrets", 1),
        ("command", 5),
    ],
)
def test_the_cli_finds_nothing_to_do_in_a_stack_of_the_offline_engine_and_gives_it_back(
    scenario: str, upto: int, offline: Engine, cli: Engine
) -> None:
    made = SCENARIOS[scenario].steps[:upto]
    back = upto + len(TAKEN_OVER)
    turns = {upto: cli, back: offline, back + len(GIVEN_BACK): cli}
    played = Run(Scenario(scenario, (*made, *TAKEN_OVER, *GIVEN_BACK, *ENDED)), offline, hands_over=turns)()
    assert {" ".join(row["run"]): row["stderr"] for row in played.steps[upto:] if row["exit"]} == {}
    assert not played.steps[-1]["checkpoint"]["checkpoint"]["latest"].get("resources")


@pytest.mark.parametrize("scenario", recordings.recorded())
def test_the_rules_a_state_is_judged_by_hold_for_the_clis_own(scenario: str) -> None:
    for row in recordings.load(scenario).steps:
        checkpoint = row["checkpoint"]
        if checkpoint and checkpoint["checkpoint"].get("latest"):
            found = list(breaches(checkpoint))
            if scenario == "one-of-two-fails-continue-on-error" and row["exit"]:
                assert found, "the CLI itself calls this state invalid"
            else:
                assert found == []


@pytest.mark.parametrize("broken", ["field", "type", "reference", "secret", "magic"])
def test_a_state_the_cli_would_not_take_is_found(broken: str) -> None:
    checkpoint = copy.deepcopy(recordings.load("secrets").steps[0]["checkpoint"])
    latest = checkpoint["checkpoint"]["latest"]
    resource = next(r for r in latest["resources"] if r["urn"].endswith("::db"))
    match broken:
        case "field":
            resource["colour"] = "red"
        case "type":
            resource["protect"] = "true"
        case "reference":
            resource["dependencies"] = ["urn:pulumi:dev::rec::a:b:C::gone"]
        case "secret":
            data = json.dumps(resource["inputs"])
            resource["inputs"] = json.loads(data.replace('"ciphertext": "v1:', '"ciphertext": "v1:AAAA'))
        case "magic":
            latest["manifest"]["magic"] = "0"
    assert len(list(breaches(checkpoint))) == 1


def test_the_clis_secrets_open_with_the_published_algorithm() -> None:
    latest = recordings.load("secrets").steps[0]["checkpoint"]["checkpoint"]["latest"]
    resource = next(r for r in latest["resources"] if r["urn"].endswith("::db"))
    assert opened(resource["inputs"], latest)["data"] == {"password": "Y2FuYXJ5LTE="}
