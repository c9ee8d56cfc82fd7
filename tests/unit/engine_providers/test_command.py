"""local.Command: what is run, what is kept, what is said when it fails."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from offline.engine.errors import NotCovered
from offline.engine.provider import Call, PropertyDiff, ProviderError, Seen
from offline.engine.values import Secret
from offline.providers.command import TOKEN, CommandProvider

HELLO = {
    "create": "echo created $WHO",
    "update": "echo updated",
    "delete": "echo deleted",
    "environment": {"WHO": "me"},
    "triggers": ["1"],
}


class Calls:
    """Calls whose messages are kept."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.cancel = threading.Event()

    def __call__(self, *, preview: bool = False) -> Call:
        return Call(
            f"urn:pulumi:dev::rec::{TOKEN}::hello",
            lambda _s, text, _e: self.said.append(text),
            self.cancel,
            preview=preview,
        )


def create(inputs: dict[str, Any], calls: Calls | None = None) -> Any:
    return CommandProvider().create((calls or Calls())(), TOKEN, inputs)


def test_create_runs_the_command_in_its_environment_and_keeps_what_it_printed() -> None:
    calls = Calls()
    made = create(HELLO, calls)
    assert re.fullmatch(r"hello[0-9a-f]{8}", made.id)
    assert made.outputs == HELLO | {"stdout": "created me", "stderr": ""}
    assert calls.said == ["created me"]


def test_update_runs_its_own_command_or_create_again() -> None:
    first = create(HELLO)
    run = CommandProvider().update
    assert run(Calls()(), TOKEN, Seen(first.id, HELLO, first.outputs), HELLO).outputs["stdout"] == "updated"
    again = {k: v for k, v in HELLO.items() if k != "update"}
    assert run(Calls()(), TOKEN, Seen(first.id, again, first.outputs), again).outputs["stdout"] == "created me"


def test_update_and_delete_are_told_what_the_last_command_printed(tmp_path: Path) -> None:
    inputs = {"create": "echo first", "delete": "echo $PULUMI_COMMAND_STDOUT > out", "dir": str(tmp_path)}
    made = create(inputs)
    CommandProvider().delete(Calls()(), TOKEN, Seen(made.id, inputs, made.outputs))
    assert (tmp_path / "out").read_text() == "first\n"


def test_stdin_and_interpreter() -> None:
    assert (
        create({"create": "cat; echo $0", "stdin": "in ", "interpreter": ["/bin/bash", "-c"]}).outputs["stdout"]
        == "in /bin/bash"
    )


def test_a_failing_command_is_reported_with_status_command_and_output() -> None:
    with pytest.raises(ProviderError) as e:
        create({"create": "echo no >&2; exit 3"})
    assert str(e.value) == 'exit status 3: running "echo no >&2; exit 3":\nno\n'


def test_a_changed_trigger_replaces_and_anything_else_updates() -> None:
    made = create(HELLO)
    d = CommandProvider().diff(Calls()(), TOKEN, Seen(made.id, HELLO, made.outputs), HELLO | {"triggers": ["2"]})
    assert (d.replaces, list(d.diffs), d.detailed) == (
        (),
        ["triggers"],
        {"triggers[0]": PropertyDiff("update-replace", False)},
    )
    d = CommandProvider().diff(
        Calls()(), TOKEN, Seen(made.id, HELLO, made.outputs), HELLO | {"environment": {"WHO": "you"}}
    )
    assert (d.replaces, list(d.diffs), d.detailed) == (
        (),
        ["environment"],
        {"environment.WHO": PropertyDiff("update", False)},
    )
    assert not CommandProvider().diff(Calls()(), TOKEN, Seen(made.id, HELLO, made.outputs), HELLO).changes


def test_secrets_are_not_printed_and_taint_the_output() -> None:
    calls = Calls()
    made = create({"create": "echo $P", "environment": {"P": Secret("canary")}}, calls)
    assert made.outputs["stdout"] == Secret("canary")
    assert calls.said == []


def test_a_preview_runs_nothing(tmp_path: Path) -> None:
    made = CommandProvider().create(Calls()(preview=True), TOKEN, {"create": "touch x", "dir": str(tmp_path)})
    assert (made.id, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.measures
def test_an_interrupted_command_is_ended_with_all_it_started() -> None:
    calls = Calls()
    threading.Timer(0.2, calls.cancel.set).start()
    began = time.monotonic()
    with pytest.raises(ProviderError, match="SIGTERM"):
        create({"create": "sleep 30 & sleep 30"}, calls)
    assert time.monotonic() - began < 3


def test_other_resources_of_the_package_are_refused_by_name() -> None:
    provider, type = CommandProvider(), "command:remote:Command"
    for call in (
        lambda: provider.check(Calls()(), type, {}, {}),
        lambda: provider.read(Calls()(), type, Seen("1", {}, {})),
        lambda: provider.delete(Calls()(), type, Seen("1", {}, {"delete": "false"})),
    ):
        with pytest.raises(NotCovered, match=r"command:remote:Command is not covered.*Pulumi CLI"):
            call()
