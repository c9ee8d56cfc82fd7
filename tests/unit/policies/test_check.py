"""`rollout check`: every stack judged without an engine, a passphrase or a cluster."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.check import check, check_state
from automation.cli import main
from automation.errors import StackNotConfigured, UsageError
from offline.workspace import REPOSITORY


def project(folder: Path, stack: str, **settings: Any) -> Path:
    config = {
        "rollout:modules": {"ledger": {"image": "ghcr.io/formancehq/ledger", "version": "1.1.0", "backup": "pvc"}},
        "rollout:migratorImage": "ghcr.io/formancehq/rollout-migrator:1",
        "rollout:postgres": {"uri": {"secure": "v1:ZW5jcnlwdGVk:aW5kZWVk"}},
    }
    config |= {f"rollout:{name}": value for name, value in settings.items()}
    (folder / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))
    return folder


@pytest.mark.measures
def test_the_stacks_of_this_repository_keep_their_rules_and_it_takes_seconds() -> None:
    begun = time.monotonic()
    results = check(REPOSITORY)
    assert {r.stack for r in results} == {"dev", "staging", "prod"}
    assert [(r.stack, r.error, r.findings) for r in results if not r.ok or r.findings] == []
    assert time.monotonic() - begun < 10


def test_encrypted_credentials_need_no_passphrase(tmp_path: Path) -> None:
    (result,) = check(project(tmp_path, "prod"))
    assert (result.ok, result.findings) == (True, ())


def test_settings_that_are_wrong_are_named_by_their_path(tmp_path: Path) -> None:
    (result,) = check(project(tmp_path, "prod", modules={"ledger": {"image": "x", "version": "1.1.0", "replica": 3}}))
    assert not result.ok
    assert "rollout:modules.ledger.replica" in result.error


def test_what_is_advice_in_development_refuses_production(tmp_path: Path) -> None:
    modules = {"ledger": {"image": "ghcr.io/formancehq/ledger", "version": "latest", "replicas": 1}}
    for stack in ("dev", "prod"):
        project(tmp_path, stack, modules=modules)
    dev, prod = check(tmp_path)
    assert dev.ok
    assert "images-pinned" in {f.rule for f in dev.findings}
    assert not prod.ok
    assert {f.rule for f in prod.findings if f.mandatory} == {"images-pinned", "disruption-budget"}


def test_a_deployed_state_is_judged_without_a_program(tmp_path: Path) -> None:
    urn = "urn:pulumi:prod::rollout::kubernetes:apps/v1:Deployment::ledger-1.1.0"
    outputs = {
        "metadata": {"name": "ledger"},
        "spec": {"template": {"spec": {"containers": [{"image": "ledger:latest"}]}}},
    }
    resource = {"urn": urn, "type": "kubernetes:apps/v1:Deployment", "outputs": outputs}
    file = tmp_path / "state.json"
    file.write_text(json.dumps({"version": 3, "deployment": {"resources": [resource, {**resource, "delete": True}]}}))
    result = check_state(file, "prod")
    assert {"gate", "images-pinned"} <= {f.rule for f in result.findings if f.mandatory}
    assert {f.urn for f in result.findings} == {urn}
    file.write_text("{}")
    with pytest.raises(UsageError, match="stack export"):
        check_state(file, "prod")


def test_the_command_prints_one_document_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path, "prod", migratorImage="localhost/rollout/migrator:1")
    assert main(["check", "--cwd", str(tmp_path), "--json"]) == 2
    (result,) = json.loads(capsys.readouterr().out)
    assert "ghcr.io/formancehq" in result["findings"][0]["message"]
    assert main(["check", "--cwd", str(tmp_path)]) == 2
    assert "prod: refused" in capsys.readouterr().out


def test_a_stack_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackNotConfigured, match="dev"):
        check(project(tmp_path, "prod"), ["dev"])
