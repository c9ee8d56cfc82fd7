"""A stack of the Formance operator becomes one of ours, and what it had besides is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.check import check
from automation.cli import main
from automation.errors import UsageError
from automation.operator import Written, import_files, text, translate
from automation.operator.write import as_json

FILES = sorted((Path(__file__).parent / "operator_stack").glob("*.yaml"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("imported")
    (folder / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    return import_files(FILES, folder)


def config(written: Written) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(written.files[0].read_text())["config"]
    return content


def test_the_imported_stack_is_valid_and_keeps_every_policy_of_production(written: Written) -> None:
    # The image registry is its own, which the pack must be told of, and backups are ours; everything else is as it comes.
    (checked,) = check(written.files[0].parent)
    assert (written.problem, checked.error) == ("", "")
    assert {f.rule for f in checked.findings} <= {"images-pinned", "backup-before-migration"}
    assert len(checked.versions) == 9


def test_no_credential_is_written(written: Written) -> None:
    assert not [f for f in written.files if "canary" in f.read_text()]
    assert "canary" not in text(written)
    assert "canary" not in json.dumps(as_json(written))


def test_a_setting_of_the_stack_beats_one_for_all_and_a_name_beats_a_wildcard(written: Written) -> None:
    modules = config(written)["rollout:modules"]
    assert (modules["ledger"]["replicas"], modules["wallets"]["replicas"]) == (5, 3)
    assert (
        modules["ledger"]["postgres"]["uri"]
        == "postgresql://ledger.acme.example:5432?secret=postgres-ledger&sslmode=verify-full"
    )
    assert modules["ledger"]["resources"] == {
        "limits": {"memory": "512Mi"},
        "requests": {"cpu": "500m", "memory": "256Mi"},
    }


def test_what_most_modules_share_is_the_stacks(written: Written) -> None:
    postgres = config(written)["rollout:postgres"]
    assert postgres["uri"] == "postgresql://postgres.acme.example:5432?secret=postgres&sslmode=verify-full"
    assert postgres["pool"] == {"maxOpen": 20, "maxIdle": 5, "maxLifetime": "10m"}
    assert "postgres" not in config(written)["rollout:modules"]["payments"]


def test_versions_come_from_the_operators_file_and_a_modules_own_wins(written: Written) -> None:
    (versions,) = (f for f in written.files if f.parent.name == "versions")
    assert yaml.safe_load(versions.read_text())["ledger"] == "v2.4.12"
    assert config(written)["rollout:modules"]["wallets"]["version"] == "v2.2.1"


def test_infrastructure_and_gateway(written: Written) -> None:
    found = config(written)
    assert found["rollout:broker"] == {"uri": "nats://nats.brokers:4222", "streams": "stack", "replicas": 3}
    assert found["rollout:temporal"]["encryptionKey"] == {"name": "temporal-encryption", "key": "key"}
    assert found["rollout:gateway"]["ingress"]["hosts"] == ["acme-prod.acme.example"]
    assert found["rollout:gateway"]["idleTimeoutSeconds"] == 300
    assert found["rollout:openTelemetry"]["traces"]["resourceAttributes"] == {"team": "ledger", "site": "a,b"}


@pytest.mark.parametrize(
    "what", ["clear-database: databases are dropped by `rollout destroy --drop-databases`", "elasticsearch.dsn", "gateway.dns.public.enabled", "Search/acme-prod-search", "Ledger/other-ledger: of stack other"]
)  # fmt: skip
def test_what_has_no_equivalent_is_listed(written: Written, what: str) -> None:
    assert any(what in line for line in written.imported.without)


def test_nothing_else_is_left_out(written: Written) -> None:
    assert not [line for line in written.imported.without if line.endswith("not known")]


@pytest.mark.parametrize(
    "what",
    ["payments.encryption-key had it in plain text", "create secret generic oidc", "auth-client-wallets"],
)
def test_what_is_to_be_done_by_hand_is_listed(written: Written, what: str) -> None:
    assert any(what in str(step) for step in written.todo)


def test_a_file_that_exists_is_not_replaced(written: Written) -> None:
    with pytest.raises(UsageError, match="--overwrite"):
        import_files(FILES, written.files[0].parent)


def test_two_stacks_need_a_name() -> None:
    stacks = [{"apiVersion": "formance.com/v1beta1", "kind": "Stack", "metadata": {"name": n}} for n in ("a", "b")]
    with pytest.raises(UsageError, match="the files have: a, b"):
        translate(stacks)
    assert translate(stacks, "b").stack == "b"


def test_a_skipped_stack_is_frozen() -> None:
    metadata = {"name": "a", "annotations": {"formance.com/skip": "true"}}
    assert (
        "skipped"
        in translate([{"apiVersion": "formance.com/v1beta1", "kind": "Stack", "metadata": metadata}]).config["freeze"]
    )


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-operator", "--cwd", str(tmp_path), *map(str, FILES)]) == 0
    said = capsys.readouterr().out
    assert "Pulumi.acme-prod.yaml" in said
    assert "without equivalent:" in said


def test_every_setting_of_the_operator_is_where_the_documentation_says() -> None:
    """The table in docs/operator.md: key, example, and what is here or why there is nothing."""
    rows = re.findall(r"^\| `([^|]+)` \| `([^|]+)` \| (.+) \|$", Path("docs/operator.md").read_text(), re.MULTILINE)
    assert len(rows) > 70
    modules = ("Ledger", "Payments", "Auth", "Orchestration", "TransactionPlane", "Gateway", "Webhooks")
    objects: list[dict[str, Any]] = [{"kind": "Stack", "metadata": {"name": "a"}, "spec": {"version": "v2.4.0"}}]
    objects += [
        {"kind": m, "metadata": {"name": m.lower()}, "spec": {"stack": "a", "ingress": {"host": "h"}}} for m in modules
    ]
    objects[2]["spec"]["version"] = "v3.4.0"
    objects += [
        {"kind": "Settings", "metadata": {"name": f"s{n}"}, "spec": {"stacks": ["*"], "key": key, "value": value}}
        for n, (key, value, _) in enumerate(rows)
    ]
    imported = translate([{"apiVersion": "formance.com/v1beta1", **each} for each in objects])
    for key, _, here in rows:
        listed = [line for line in imported.without if f": {key}: " in line or f": {key}, of " in line]
        assert bool(listed) == here.startswith("none"), key
        assert not listed or not listed[0].endswith("not known"), key
        # Before the first semicolon or "or" stand the paths that the example has become.
        paths = [] if listed else re.findall(r"`([^`]+)`", re.split(r";|, or |, and ", here)[0])
        for path in paths:
            assert found(imported.config, path) not in (None, {}, ""), (key, path)


def found(config: Any, path: str) -> Any:
    for quoted, plain in re.findall(r'"([^"]*)"|([^.]+)', path):
        config = config.get(quoted or plain) if isinstance(config, dict) else None
    return config
