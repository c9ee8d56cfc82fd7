"""preview, up, refresh and destroy of a program without a cluster, through the executable."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from .conftest import Shell

pytestmark = pytest.mark.slow  # starts engines as processes of their own


PATIENCE = 120  # seconds for what takes one, and may take twenty beside other tests
UP = ("up", "--yes", "--skip-preview", "--non-interactive")


def test_from_preview_to_destroy(dev: Shell) -> None:
    shown = dev("preview", "--suppress-progress").out
    assert shown.startswith("Previewing update (dev):\n\n +  pulumi:pulumi:Stack test-dev create \n")
    assert shown.endswith("Resources:\n    + 3 to create\n\n")
    assert "resources" not in json.loads(dev.checkpoint().read_text())["checkpoint"]["latest"]
    done = dev(*UP, "--message", "first", "--event-log", "events").out
    assert "Outputs:\n    hidden: [secret]\n    size  : 1\n\nResources:\n    + 3 created\n\nDuration: " in done
    again = dev(*UP, "--expect-no-changes")
    assert "Resources:\n    3 unchanged\n" in again.out
    dev("config", "set", "size", "2")
    assert "  ~ size  : 1 => 2" in dev("preview").out
    dev("refresh", "--yes", "--skip-preview")
    assert len(json.loads(dev.checkpoint().read_text())["checkpoint"]["latest"]["resources"]) == 3
    refused = dev("stack", "rm", "--yes", check=False)
    assert (refused.code, "still has resources" in refused.err) == (1, True)
    gone = dev("destroy", "--yes", "--skip-preview").out
    assert "    - 3 deleted\n" in gone
    assert gone.endswith("If you want to remove the stack completely, run `pulumi stack rm dev`.\n")
    history = json.loads(dev("stack", "history", "--json").out)
    assert [h["kind"] for h in history] == ["destroy", "refresh", "update", "update"]
    assert (history[-1]["message"], history[-1]["resourceChanges"], history[-1]["result"]) == (
        "first",
        {"create": 3},
        "succeeded",
    )
    events = [json.loads(line) for line in (dev.project / "events").read_text().splitlines()]
    assert [e["sequence"] for e in events] == list(range(len(events)))
    assert ["preludeEvent" in events[0], "cancelEvent" in events[-1]] == [True, True]
    assert not list((dev.state / ".pulumi/locks").rglob("*.json"))


def test_no_secret_leaves_the_engine_in_clear(dev: Shell) -> None:
    dev("config", "set", "--secret", "token", "canary-7")
    out = dev(*UP, "--event-log", "events")
    everything = (
        out.out
        + out.err
        + dev("stack", "export").out
        + dev("stack", "output", "--json").out
        + dev("preview", "--json").out
    )
    everything += (
        "".join(p.read_text() for p in dev.state.rglob("*") if p.is_file()) + (dev.project / "events").read_text()
    )
    assert "canary" not in everything
    assert json.loads(dev("stack", "output", "--json", "--show-secrets").out) == {"hidden": "canary-7", "size": 1}
    before = json.loads(dev.checkpoint().read_text())["checkpoint"]["latest"]["resources"]
    dev(*UP)
    after = json.loads(dev.checkpoint().read_text())["checkpoint"]["latest"]["resources"]
    assert [r.get("outputs") for r in after] == [r.get("outputs") for r in before]


def test_a_failing_program_fails_the_update_and_is_told_once(dev: Shell) -> None:
    dev("config", "set", "fail", "true")
    failed = dev(*UP, check=False)
    assert (failed.code, failed.err) == (1, "")
    assert failed.out.count("RuntimeError: told to fail") == 1
    assert json.loads(dev("stack", "history", "--json").out)[0]["result"] == "failed"


def test_expecting_no_changes_has_its_own_exit_code(dev: Shell) -> None:
    refused = dev("preview", "--expect-no-changes", check=False)
    assert (refused.code, refused.err) == (7, "error: no changes were expected for preview but changes were proposed\n")


def test_two_at_once_are_told_who_holds_the_stack(dev: Shell) -> None:
    (dev.project / "__main__.py").write_text("import time\nopen('running', 'w').close()\ntime.sleep(250)\n")
    first = dev.start(*UP)
    try:
        _appears(dev.project / "running")
        second = dev(*UP, check=False, own_process=True)
        assert (second.code, second.out) == (1, "")
        assert "error: the stack is currently locked by 1 lock(s)." in second.err
        assert f"@{socket.gethostname()} (pid {first.pid})" in second.err
    finally:
        first.send_signal(signal.SIGINT)
        out, _ = first.communicate(timeout=PATIENCE)
    assert first.returncode == 1
    assert "^C received; cancelling. If you would like to terminate immediately, press ^C again.\n" in out
    assert not list((dev.state / ".pulumi/locks").rglob("*.json"))


def test_second_signal_ends_at_once_and_releases_the_lock(dev: Shell) -> None:
    (dev.project / "__main__.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nopen('running', 'w').close()\ntime.sleep(250)\n"
    )
    process = dev.start(*UP)
    _appears(dev.project / "running")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert not list((dev.state / ".pulumi/locks").rglob("*.json"))
    json.loads(dev.checkpoint().read_text())


def test_after_a_kill_one_plain_command_goes_on(dev: Shell) -> None:
    # A program that is not done before its engine is.
    (dev.project / "slow.py").write_text(
        "import os, time\nparent = os.getppid()\nopen('running', 'w').close()\nwhile os.getppid() == parent: time.sleep(0.05)\n"
    )
    program = (dev.project / "__main__.py").read_text()
    (dev.project / "__main__.py").write_text(program + "\nimport slow\n")
    killed = dev.start(*UP)
    _appears(dev.project / "running")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=PATIENCE)
    assert list((dev.state / ".pulumi/locks").rglob("*.json"))
    (dev.project / "__main__.py").write_text(program)
    done = dev(*UP)
    assert "removed the lock of process" in done.err
    assert len(json.loads(dev.checkpoint().read_text())["checkpoint"]["latest"]["resources"]) == 3


def test_export_and_import_carry_the_secrets(dev: Shell) -> None:
    dev(*UP)
    dev("stack", "export", "--show-secrets", "--file", "state.json")
    assert '"plaintext": "\\"canary\\""' in (dev.project / "state.json").read_text()
    dev("stack", "import", "--file", "state.json")
    assert "canary" not in dev.checkpoint().read_text()
    assert json.loads(dev("stack", "output", "hidden", "--json", "--show-secrets").out) == "canary"
    dev(*UP, "--expect-no-changes")
    other = json.loads((dev.project / "state.json").read_text())
    other["deployment"]["resources"][0]["urn"] = "urn:pulumi:x::y::pulumi:pulumi:Stack::y-x"
    refused = dev("stack", "import", stdin=json.dumps(other), check=False)
    assert "could be dangerous" in refused.err


def test_unprotecting(dev: Shell) -> None:
    dev(*UP)
    state = json.loads(dev("stack", "export").out)
    for resource in state["deployment"]["resources"]:
        resource["protect"] = True
    dev("stack", "import", stdin=json.dumps(state))
    one = state["deployment"]["resources"][1]["urn"]
    assert dev("state", "unprotect", one, "--yes").out == "Resource unprotected\n"
    assert [r.get("protect", False) for r in json.loads(dev("stack", "export").out)["deployment"]["resources"]] == [
        True,
        False,
        True,
    ]
    assert dev("state", "unprotect", "--all", "--yes").out == "All resources unprotected\n"
    assert not any("protect" in r for r in json.loads(dev("stack", "export").out)["deployment"]["resources"])
    assert "pulumi state delete is not covered by the offline engine" in dev("state", "delete", one, check=False).err


def _appears(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.02)
