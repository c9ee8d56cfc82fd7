"""pulumi config: values, paths, secrets, and a file whose comments belong to a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline.backend.config import StackConfig, find_project, key_path, load_yaml, opened
from offline.engine.errors import EngineError, UsageError

from .conftest import Shell

FILE = """\
# the team's stack
config:
  test:size: 3 # small
  test:modules:
    # the ledger
    ledger:
      version: 1.0.0 # pinned
      replicas: 2
    list: [a, b]
"""


def load(folder: Path, text: str = FILE, project: str = "name: test\nruntime: python\n") -> StackConfig:
    (folder / "Pulumi.yaml").write_text(project)
    (folder / "Pulumi.dev.yaml").write_text(text)
    found, file, _ = find_project(folder)
    return StackConfig.of(found, file, "dev")


def test_yaml_is_read_as_the_cli_reads_it() -> None:
    assert load_yaml("a: yes\nb: true\nc: 2026-11-22\nd: 1.10\ne: '8080'") == {
        "a": "yes", "b": True, "c": "2026-11-22", "d": 1.1, "e": "8080"}  # fmt: skip


def test_objects_reach_the_program_as_json(tmp_path: Path) -> None:
    values = {k: opened(v, None).text for k, v in load(tmp_path).effective().items()}
    assert values["test:size"] == "3"
    assert json.loads(values["test:modules"])["ledger"] == {"version": "1.0.0", "replicas": 2}


@pytest.mark.parametrize(
    ("path", "steps"),
    [("a.b[0]", ["a", "b", 0]), ('a["b.c"].d', ["a", "b.c", "d"]), ('["x"]', ["x"]), ("ns:a.b", ["ns:a", "b"])],
)
def test_paths(path: str, steps: list[str | int]) -> None:
    assert key_path(path) == steps


def test_setting_a_nested_value_keeps_every_comment(dev: Shell) -> None:
    file = dev.project / "Pulumi.dev.yaml"
    file.write_text(file.read_text() + FILE)
    dev("config", "set", "--path", "modules.ledger.version", "1.1.0")
    dev("config", "set", "--path", "modules.ledger.debug", "true")
    dev("config", "set", "--path", "modules.list[1]", "c")
    text = file.read_text()
    assert text.index("encryptionsalt:") < text.index("config:")
    for line in ("# the team's stack", "# small", "# the ledger", "version: 1.1.0 # pinned", "debug: true"):
        assert line in text
    assert json.loads(dev("config", "get", "modules").out) == {
        "ledger": {"version": "1.1.0", "replicas": 2, "debug": True}, "list": ["a", "c"]}  # fmt: skip
    dev("config", "rm", "--path", "modules.ledger.replicas")
    assert "replicas" not in file.read_text()
    assert "# the ledger" in file.read_text()


def test_plain_values_stay_text_and_typed_ones_need_a_path(dev: Shell) -> None:
    dev("config", "set", "port", "8080")
    dev("config", "set", "--path", "server.port", "8080")
    assert load_yaml((dev.project / "Pulumi.dev.yaml").read_text())["config"] == {
        "test:port": "8080",
        "test:server": {"port": 8080},
    }


def test_secrets_are_hidden_unless_asked_for(dev: Shell) -> None:
    dev("config", "set", "--secret", "token", "canary-3")
    dev("config", "set", "--secret", "--path", "deep.password", "canary-4")
    assert "canary" not in (dev.project / "Pulumi.dev.yaml").read_text()
    assert "canary" not in dev("config", "--json").out + dev("config").out
    shown = json.loads(dev("config", "--json", "--show-secrets").out)
    assert shown["test:token"] == {"value": "canary-3", "secret": True}
    assert shown["test:deep"] == {
        "value": '{"password":"canary-4"}',
        "objectValue": {"password": "canary-4"},
        "secret": True,
    }
    assert dev("config", "get", "token").out == "canary-3\n"
    wrong = dev("config", "get", "token", check=False, PULUMI_CONFIG_PASSPHRASE="guess")
    assert (wrong.code, wrong.err) == (1, "error: incorrect passphrase\n")


def test_many_at_once(dev: Shell) -> None:
    dev("config", "set-all", "--plaintext", "a=1", "--plaintext", "b=x=y", "--secret", "c=s")
    dev("config", "set-all", "--json", '{"test:d": {"value": "4", "secret": false}}')
    assert {k: v.get("value") for k, v in json.loads(dev("config", "--json").out).items()} == {
        "test:a": "1", "test:b": "x=y", "test:c": None, "test:d": "4"}  # fmt: skip
    dev("config", "rm-all", "a", "b", "c")
    assert list(json.loads(dev("config", "--json").out)) == ["test:d"]


def test_a_value_comes_from_standard_input(dev: Shell) -> None:
    dev("config", "set", "text", stdin="two\nlines\n")
    assert dev("config", "get", "text").out == "two\nlines\n"


def test_missing_key_is_told_in_the_clis_words(dev: Shell) -> None:
    gone = dev("config", "get", "nothing", check=False)
    assert (gone.code, gone.err) == (1, "error: configuration key 'nothing' not found for stack 'dev'\n")


def test_project_defaults_apply_and_required_values_are_named(tmp_path: Path) -> None:
    declared = "name: test\nruntime: python\nconfig:\n  size: {type: integer, default: 2}\n  region: {type: string}\n  plain: x\n"
    config = load(tmp_path, "config:\n  test:region: eu\n", declared)
    assert config.effective() == {"test:region": "eu", "test:size": 2, "test:plain": "x"}
    with pytest.raises(EngineError, match="missing configuration value 'region'"):
        load(tmp_path, "", declared).effective()


def test_a_path_through_a_plain_value_is_refused(dev: Shell) -> None:
    dev("config", "set", "a", "plain")
    refused = dev("config", "set", "--path", "a.b", "1", check=False)
    assert refused.code == 2
    assert "plain" in refused.err


def test_files_that_are_no_configuration_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="config"):
        load(tmp_path, "- a\n- b\n")
    with pytest.raises(UsageError):
        key_path("a..b[")
