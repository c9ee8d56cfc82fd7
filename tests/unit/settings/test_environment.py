"""A variable of a module's own settings is a text, or a key of a Secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import settings
from settings.environment import SecretKey

BASE: dict[str, Any] = {"version": "2.4.12"}


def load(ledger: dict[str, Any]) -> settings.StackSettings:
    config = {
        "rollout:modules": json.dumps({"ledger": {**BASE, **ledger}}),
        "rollout:postgres": json.dumps({"uri": "postgresql://pg:5432?secret=pg"}),
    }
    return settings.load(config, stack="dev", root=Path())


@pytest.mark.parametrize("role", ["env", "worker", "migration"])
def test_a_variable_may_come_from_a_secret_in_every_workload(role: str) -> None:
    env = {"API_TOKEN": {"name": "ledger-env", "key": "API_TOKEN"}, "LEVEL": "1"}
    plan = load({"env": env} if role == "env" else {role: {"env": env}}).plan("ledger")
    assert plan.worker is not None
    variables = {"env": plan.api.env, "worker": plan.worker.env, "migration": plan.migration}[role]
    found = {v.name: (v.value, v.secret) for v in variables}
    assert found["API_TOKEN"] == (None, SecretKey("ledger-env", "API_TOKEN"))
    assert found["LEVEL"] == ("1", None)


def test_a_database_named_in_a_secret_leads_elsewhere_too() -> None:
    with pytest.raises(settings.SettingsError, match=r"ledger\.env\.PGDATABASE names the database of Secret db"):
        load({"env": {"PGDATABASE": {"name": "db", "key": "name"}}})


def test_what_is_neither_text_nor_a_reference_is_named_by_its_path() -> None:
    with pytest.raises(settings.SettingsError) as raised:
        load({"env": {"LEVEL": 1, "TOKEN": {"name": "x"}}})
    assert "rollout:modules.ledger.env.LEVEL: input should be a valid string (given: 1)" in str(raised.value)
    assert "rollout:modules.ledger.env.TOKEN.key: field required" in str(raised.value)
