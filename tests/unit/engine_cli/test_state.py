"""Snapshots to and from the checkpoint, and the rules a state must keep."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from offline.backend.checkpoint import latest, verify
from offline.backend.secrets import Passphrase
from offline.backend.state import Encoder, resource_from_json, resource_to_json, snapshot_from_json
from offline.engine.errors import EngineError, IntegrityError, NotCovered
from offline.engine.model import PendingOperation, ResourceState, Snapshot
from offline.engine.values import Secret

from .conftest import SALT

STACK = "urn:pulumi:dev::rec::pulumi:pulumi:Stack::rec-dev"
PROVIDER = "urn:pulumi:dev::rec::pulumi:providers:kubernetes::plain"
# As Pulumi CLI v3.260.0 writes it: order of fields, fields left out, fields this engine does not act on.
WRITTEN: dict[str, Any] = {
    "urn": "urn:pulumi:dev::rec::kubernetes:core/v1:Secret::db", "custom": True, "id": "rec/db-75717e37",
    "type": "kubernetes:core/v1:Secret",
    "inputs": {"data": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
                        "ciphertext": "v1:RCcvP+qgzY9PdxTs:Al32Lw122y29X5pOP5d3NH7klSwiAsxoFc7hn0dm7BIDxS7MpMxJqXxDuQ=="}},
    "outputs": {"kind": "Secret"}, "parent": STACK, "dependencies": [PROVIDER], "initErrors": ["not ready"],
    "provider": f"{PROVIDER}::1", "propertyDependencies": {"data": []}, "customTimeouts": {"create": 600},
    "retainOnDelete": True, "created": "2026-11-22T21:41:47.078590919Z", "modified": "2026-11-22T21:41:47.078590919Z",
    "sourcePosition": "project:///__main__.py#50", "stackTrace": [{}, {"sourcePosition": "project:///__main__.py#63"}],
    "resourceHooks": {"BeforeDelete": ["keep"]}, "hideDiff": ["data"],
}  # fmt: skip


@pytest.fixture(scope="module")
def secrets() -> Passphrase:
    return Passphrase(SALT, "recorded")


def test_what_the_cli_wrote_is_written_again_unchanged(secrets: Passphrase) -> None:
    state = resource_from_json(WRITTEN, secrets)
    assert state.inputs["data"] == Secret({"password": "Y2FuYXJ5LTE="})
    assert (state.hooks, state.raw["hideDiff"]) == ({"BeforeDelete": ["keep"]}, ["data"])
    again = resource_to_json(state, secrets.encrypt)
    assert again == WRITTEN
    assert list(again)[:5] == ["urn", "custom", "id", "type", "inputs"]


def test_what_an_update_would_have_to_act_on_and_cannot_is_refused_by_name(secrets: Passphrase) -> None:
    with pytest.raises(NotCovered, match=r"external .*Secret::db"):
        resource_from_json(WRITTEN | {"external": True}, secrets)


def test_every_save_tells_what_has_changed(secrets: Passphrase) -> None:
    encoder = Encoder("organization/rec/dev", secrets)
    root = ResourceState(STACK, "pulumi:pulumi:Stack", custom=False, outputs={"n": 1})
    snapshot = Snapshot([root])

    def saved() -> dict[str, Any]:
        return latest(json.loads(encoder.encode(snapshot)))

    assert saved()["resources"][0]["outputs"] == {"n": 1}
    root.outputs = {"n": 2}
    assert saved()["resources"][0]["outputs"] == {"n": 2}
    root.init_errors.append("late")
    snapshot.pending.append(PendingOperation(replace(root, urn=STACK + "x"), "creating"))
    assert saved()["resources"][0]["initErrors"] == ["late"]
    assert saved()["pending_operations"][0]["type"] == "creating"
    back = snapshot_from_json(saved(), secrets)
    assert (back.resources, back.pending) == (snapshot.resources, snapshot.pending)


def resource(name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::rec::a:b:C::{name}", "custom": False, "type": "a:b:C", **more}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([resource("a", dependencies=["urn:x"])], "refers to missing dependency urn:x"),
        ([resource("a", propertyDependencies={"p": ["urn:x"]})], "refers to missing dependency urn:x"),
        ([resource("a", parent="urn:x")], "parent urn:x is missing"),
        ([resource("a", provider="urn:x::1")], "refers to unknown provider urn:x::1"),
        ([resource("a"), resource("a")], "duplicate resource"),
    ],
)
def test_a_state_that_refers_to_what_it_does_not_hold_is_not_valid(resources: list[Any], message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        verify(resources)


def test_a_condemned_twin_is_no_duplicate() -> None:
    verify([resource("a"), resource("a", delete=True)])


def test_newer_states_are_refused() -> None:
    with pytest.raises(EngineError, match="version 5"):
        latest({"version": 5})
    with pytest.raises(EngineError, match="views"):
        latest({"version": 4, "features": ["hooks", "views"]})


def test_a_state_says_which_features_it_needs(secrets: Passphrase) -> None:
    """Resource hooks make the CLI write version 4, which says so; without features it stays version 3."""
    encoder = Encoder("organization/rec/dev", secrets)
    root = ResourceState(STACK, "pulumi:pulumi:Stack", custom=False)
    guarded = ResourceState(STACK + "x", "a:b:C", custom=False, hooks={"BeforeDelete": ["keep"]})
    outer = json.loads(encoder.encode(Snapshot([root, guarded])))
    assert {k: v for k, v in outer.items() if k != "checkpoint"} == {"version": 4, "features": ["hooks"]}
    assert latest(outer)["resources"][1]["resourceHooks"] == {"BeforeDelete": ["keep"]}
    assert json.loads(encoder.encode(Snapshot([root])))["version"] == 3
