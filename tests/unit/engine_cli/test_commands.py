"""The executable as a person or a script calls it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from offline.cli.main import parse
from offline.engine.errors import NotCovered, UsageError

from .conftest import Shell


@pytest.mark.measures
def test_version_starts_no_engine_and_satisfies_clients(pulumi: Shell) -> None:
    pulumi("version", own_process=True)
    began = time.monotonic()
    assert pulumi("version", own_process=True).out == "v3.260.0\n"
    assert time.monotonic() - began < 1  # 0.1 s on a quiet machine


def test_about_says_plainly_what_it_is(dev: Shell) -> None:
    assert "stand-in for the Pulumi CLI" in dev("about").out
    about = json.loads(dev("about", "--json").out)
    assert about["cliAbout"]["engine"] == "offline"
    assert about["currentStack"]["name"] == "organization/test/dev"


def test_runs_from_any_folder_by_a_link(pulumi: Shell, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "pulumi"
    link.parent.mkdir()
    link.symlink_to(Path(pulumi.env["PATH"].split(":")[0]) / "pulumi")
    pulumi.env["PATH"] = f"{link.parent}:{pulumi.env['PATH'].split(':', 1)[1]}"
    assert pulumi("-C", "/", "version", own_process=True).out == "v3.260.0\n"


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["new", "python"], "pulumi new"), (["import"], "pulumi import"), (["policy", "publish"], "pulumi policy"),
        (["up", "--plan", "x"], "pulumi up --plan"), (["preview", "--save-plan=x"], "pulumi preview --save-plan"),
        (["up", "--attach-debugger"], "pulumi up --attach-debugger"),
    ],
)  # fmt: skip
def test_what_is_not_covered_is_refused_by_name(command: list[str], named: str) -> None:
    with pytest.raises(NotCovered) as e:
        parse(command)
    assert str(e.value).startswith(named)
    assert "https://www.pulumi.com/docs/install/" in str(e.value)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["up", "--frob"], "unknown flag: --frob"), (["up", "-z"], "unknown shorthand flag: 'z' in -z"), (["stak", "ls"], "Did you mean"),
        (["up", "--target"], "flag needs an argument: --target"), (["config", "set"], "at least 1"), (["version", "x"], "at most 0"),
        (["stack", "frob"], "at most 0"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told(command: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse(command)


def test_flags_mix_as_the_cli_takes_them() -> None:
    args = parse(["--non-interactive", "config", "set", "--plaintext", "-s", "dev", "--path", "k", "--", "--value"])
    assert (args.command, args.positional, args.text("stack")) == ("config set", ["k", "--value"], "dev")
    args = parse(["--color", "never", "update", "-yf", "--run-program=false", "--target=a", "--target", "b"])
    assert (args.command, args.on("yes"), args.on("skip-preview"), args.on("run-program", True)) == (
        "up",
        True,
        True,
        False,
    )
    assert args.many("target") == ["a", "b"]


def test_stacks_from_init_to_rm(pulumi: Shell) -> None:
    pulumi("stack", "init", "dev")
    pulumi("stack", "init", "prod", "--no-select")
    again = pulumi("stack", "init", "dev", check=False)
    assert (again.code, again.err) == (1, "error: stack 'dev' already exists\n")
    assert json.loads(pulumi("stack", "ls", "--json").out) == [
        {"name": "dev", "current": True},
        {"name": "prod", "current": False},
    ]
    assert "encryptionsalt: v1:" in (pulumi.project / "Pulumi.prod.yaml").read_text()
    gone = pulumi("stack", "select", "none", check=False)
    assert (gone.code, gone.err) == (6, "error: no stack named 'none' found\n")
    pulumi("stack", "select", "prod")
    pulumi("stack", "rename", "live")
    assert (pulumi.project / "Pulumi.live.yaml").exists()
    assert pulumi("stack", "--show-name").out == "live\n"
    assert pulumi("stack", "rm", "live", "--yes").out == "Stack 'live' has been removed!\n"
    assert not (pulumi.project / "Pulumi.live.yaml").exists()
    assert pulumi("stack", check=False).code == 6


def test_login_is_remembered(pulumi: Shell) -> None:
    url = pulumi.env.pop("PULUMI_BACKEND_URL")
    none = pulumi("stack", "ls", check=False)
    assert none.code == 1
    assert "pulumi login file://" in none.err
    pulumi("login", url)
    assert json.loads(pulumi("whoami", "--json").out)["url"] == url


def test_asking_needs_somebody_to_ask(dev: Shell) -> None:
    refused = dev("up", check=False)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert dev("stack", "rm", "dev", check=False).code == 2


def test_wrong_passphrase_stops_before_anything(dev: Shell) -> None:
    wrong = dev("preview", check=False, PULUMI_CONFIG_PASSPHRASE="guess")
    assert (wrong.code, wrong.out) == (1, "")
    assert wrong.err == "error: getting stack configuration: get stack secrets manager: incorrect passphrase\n"
    unset = dict(dev.env)
    del unset["PULUMI_CONFIG_PASSPHRASE"]
    dev.env = unset
    assert "PULUMI_CONFIG_PASSPHRASE" in dev("preview", check=False).err


def test_plugins_are_built_in(dev: Shell) -> None:
    assert [p["name"] for p in json.loads(dev("plugin", "ls", "--json").out)] == ["command", "kubernetes"]
    dev("plugin", "install", "resource", "kubernetes", "v4.34.2")
    assert dev("plugin", "install", "resource", "aws", check=False).code == 2


def test_tags(dev: Shell) -> None:
    dev("stack", "tag", "set", "team", "payments")
    assert dev("stack", "tag", "get", "team").out == "payments\n"
    assert json.loads(dev("stack", "tag", "ls", "--json").out)["pulumi:project"] == "test"
    dev("stack", "tag", "rm", "team")
    assert dev("stack", "tag", "get", "team", check=False).code == 1
