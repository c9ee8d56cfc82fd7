"""docs/backup.md shows commands that there are, and settings that are valid."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

import settings
from automation.cli import _parser

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "backup.md").read_text()
BASE = {
    "rollout:modules": {"ledger": {"image": "example.org/ledger", "version": "1.0.0"}},
    "rollout:postgres": {"uri": "postgresql://db?secret=postgres"},
}


@pytest.mark.parametrize("line", re.findall(r"^    bin/rollout (.*)$", TEXT, re.MULTILINE))
def test_its_commands_are_understood(line: str) -> None:
    assert _parser().parse_args(shlex.split(line)).stack == "prod"


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
def test_its_settings_are_valid(block: str) -> None:
    given = yaml.safe_load(block)
    for module in given.get("rollout:modules", {}).values():
        module |= {"image": "example.org/any", "version": "1.0.0"}
    config = {key: json.dumps(value) for key, value in (BASE | given).items()}
    loaded = settings.load(config, stack="prod", root=Path())
    assert all(m.backup != "off" for m in loaded.modules.values())


def test_a_backup_that_does_not_say_where_to_is_refused() -> None:
    modules = {"ledger": {"image": "example.org/ledger", "version": "1.0.0", "backup": "s3"}}
    with pytest.raises(settings.InvalidSettings, match=r"set backups\.s3\.bucket"):
        settings.load(
            {key: json.dumps(value) for key, value in (BASE | {"rollout:modules": modules}).items()},
            stack="prod",
            root=Path(),
        )
