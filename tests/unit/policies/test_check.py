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
from automation.errors import NothingConfigured, StackNotConfigured, UsageError
from devkit.workspace import REPOSITORY
from policies import levels


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
    assert "Pulumi.prod.yaml:6: rollout:modules.ledger.replica: unknown setting; did you mean replicas?" in result.error


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("- a\n", "Pulumi.prod.yaml: must be a mapping with the key config, and is a list"),
        ("config: [a]\n", "Pulumi.prod.yaml: config must map keys to values, and is a list"),
        (
            "config:\n  modules: {}\n",
            "Pulumi.prod.yaml: 'modules' is no key of a configuration: write <project>:<name>",
        ),
        ("config:\n  a:b: 1\n  a:b: 2\n", "Pulumi.prod.yaml:3: 'a:b' is given twice: it is on line 2 already"),
        ("config:\n  a:b: {\n", "Pulumi.prod.yaml:3: "),
        (b"\xff\xfe", "Pulumi.prod.yaml cannot be read"),
    ],
)
def test_a_file_that_pulumi_would_not_read_is_told_with_its_line(
    written: str | bytes, said: str, tmp_path: Path
) -> None:
    """And the other stacks are judged all the same."""
    project(tmp_path, "dev")
    (tmp_path / "Pulumi.prod.yaml").write_bytes(written if isinstance(written, bytes) else written.encode())
    dev, prod = check(tmp_path)
    assert dev.ok
    assert not prod.ok
    assert said in prod.error


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("postgres", {"secure": "v1:a:b"}),
        ("broker", {"uri": {"secure": "v1:a:b"}}),
    ],
)
def test_what_is_encrypted_as_a_whole_has_a_stand_in(setting: str, value: Any, tmp_path: Path) -> None:
    (result,) = check(project(tmp_path, "prod", **{setting: value}))
    assert (result.ok, result.findings, list(result.versions)) == (True, (), ["ledger"])


def test_what_no_stand_in_can_tell_is_not_judged_and_said_so(tmp_path: Path) -> None:
    (result,) = check(project(tmp_path, "prod", modules={"secure": "v1:a:b"}))
    assert result.ok
    assert "not judged: what is encrypted" in result.findings[0].message
    assert "rollout:modules" in result.findings[0].message
    replicas = {"ledger": {"version": "1.1.0", "replicas": {"secure": "v1:a:b"}, "bogus": 1}}
    (result,) = check(project(tmp_path, "prod", modules=replicas))
    assert "bogus" in result.error
    assert "replicas: " not in result.error, "what is wrong is told, what cannot be known is not"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{"gatee": "mandatory"}', "names rules that do not exist: gatee"),
        ('{"all": "loud"}', 'all: "loud" is not a level. Allowed: advisory, mandatory, remediate, disabled'),
        ('{"gate": "loud"}', 'gate: "loud" is not known. Allowed levels: advisory'),
        ('{"gate": 5}', "gate: 5 is not known"),
        ('{"disruption-budget": {"replicas": 2}}', "options of disruption-budget: minReplicas"),
        ('{"disruption-budget": {"minReplicas": "two"}}', 'disruption-budget.minReplicas must be a number, not "two"'),
        (
            '{"images-pinned": {"registries": "ghcr.io"}}',
            'images-pinned.registries must be a list of texts, not "ghcr.io"',
        ),
        ("[]", "must map rules to levels, and is a list"),
        ("{", "is not JSON: "),
    ],
)
def test_a_wrong_configuration_of_the_policies_is_told_with_its_file(
    written: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "CONFIG", tmp_path)
    (tmp_path / "prod.json").write_text(written)
    (result,) = check(project(tmp_path, "prod"))
    assert not result.ok
    assert result.error.startswith("policies/config/prod.json")
    assert said in result.error


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
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["error"]) == (False, None)
    assert "ghcr.io/formancehq" in document["stacks"][0]["findings"][0]["message"]
    assert main(["check", "--cwd", str(tmp_path)]) == 2
    assert "prod: refused" in capsys.readouterr().out
    assert main(["check", "--cwd", str(tmp_path), "--json", "--stack", "nope"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["stacks"]) == (False, [])
    assert "nope" in document["error"]


@pytest.mark.parametrize("stacks", [[], ["--stack", "dev", "--stack", "prod"]])
def test_a_state_is_judged_for_one_stack_that_is_named(stacks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--state", "state.json", *stacks]) == 64
    assert "--state is of one stack: name it with --stack" in capsys.readouterr().err


def test_a_folder_without_a_stack_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    with pytest.raises(NothingConfigured, match="nothing to check"):
        check(tmp_path)


def test_a_stack_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackNotConfigured, match="dev"):
        check(project(tmp_path, "prod"), ["dev"])
