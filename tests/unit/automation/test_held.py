"""What is done while the stack is locked is told whatever becomes of the engine that holds the lock."""

from __future__ import annotations

import threading
from pathlib import Path

import pulumi
import pytest

from automation.held import Holding, outputs_of, urns_of
from automation.interrupt import Interrupt
from automation.pulumi_adapter import Project, Recorder, Session
from automation.pulumi_cli import find
from devkit.workspace import pulumi_environment

STATE = {
    "resources": [
        {"urn": "urn:root", "type": "pulumi:pulumi:Stack", "outputs": {"namespace": "dev"}},
        {"urn": "urn:a", "type": "kubernetes:batch/v1:Job", "inputs": {"metadata": {"name": "a"}}},
        {"urn": "urn:b", "type": "kubernetes:batch/v1:Job", "inputs": {"metadata": {"name": "b"}}},
        {"urn": "urn:c", "type": "kubernetes:core/v1:ConfigMap", "inputs": {"metadata": {"name": "a"}}},
    ]
}


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the program runs for a preview."""
    answer = [False]
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: answer[0])
    monkeypatch.setattr(pulumi, "export", lambda _name, _value: None)
    return answer


def test_a_preview_does_nothing(dry: list[bool]) -> None:
    dry[0] = True
    holding = Holding(lambda: pytest.fail("not in a preview"), {})
    holding()
    assert holding.result() == ()


def test_what_is_wrong_is_told_to_who_asked_and_not_to_the_engine(dry: list[bool]) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    holding = Holding(work, {})
    holding()
    with pytest.raises(KeyboardInterrupt):
        holding.result()


def test_what_has_begun_is_awaited_although_its_engine_is_gone(dry: list[bool]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go_on.wait()
        return "done"

    holding = Holding(work, {})
    engine = threading.Thread(target=holding)
    engine.start()
    begun.wait()
    results: list[tuple[str, ...]] = []
    asking = threading.Thread(target=lambda: results.append(holding.result()))
    asking.start()
    asking.join(0.05)
    assert results == []
    go_on.set()
    asking.join()
    engine.join()
    assert results == [("done",)]


def test_outputs_and_urns_are_found_in_the_state() -> None:
    assert outputs_of(STATE) == {"namespace": "dev"}
    assert outputs_of({}) == {}
    assert urns_of(STATE, "Job", {"a"}) == ["urn:a"]
    assert urns_of({}, "Job", {"a"}) == []


def declared() -> None:
    pulumi.ComponentResource("test:index:Thing", "one")
    pulumi.export("size", 3)


@pytest.mark.slow
def test_while_it_is_held_an_update_is_told_who_holds_it_and_nothing_of_the_stack_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    given = {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": "x"}
    for name, value in (given | pulumi_environment(tmp_path / "home")).items():
        monkeypatch.setenv(name, value)
    session = Session(Project.load(tmp_path), "dev", find(), Interrupt(), f"file://{state}")
    assert session.up(declared, Recorder(), [], False).ok
    before = session.state()

    holding = Holding(lambda: session.up(declared, Recorder(), [], False), outputs_of(before))
    run = session.hold(holding, "why")
    assert run.ok, run.failure
    [inner] = holding.result()
    assert inner.failure
    assert (inner.failure.kind, len(inner.failure.locks)) == ("locked", 1)
    after = session.state()
    assert [r["urn"] for r in after["resources"]] == [r["urn"] for r in before["resources"]]
    assert outputs_of(after) == {"size": 3}
    assert session.up(declared, Recorder(), [], False).is_empty, "and it is free again"
