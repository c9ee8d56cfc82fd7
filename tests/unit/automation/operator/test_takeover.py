"""What the import takes over of a running stack: the versions that were migrated to, and what leads its gateway's address to ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.errors import UsageError
from automation.operator import Imported, import_files, translate
from automation.operator.errors import CannotImport
from tests.unit.automation.operator.objects import Document, ledger, made, module, setting, stack

VERSION = "formance.com/module-version"


def database(*, version: str | None = "v2.4.12", **metadata: Any) -> Document:
    """As databases/create.go makes it and SaveModuleVersion writes it down."""
    if version is not None:
        metadata["annotations"] = {VERSION: version}
    status = {"ready": True, "database": "s1-ledger", "uri": "postgresql://pg:5432"}
    return made("Database", "s1-ledger", {"stack": "s1", "service": "ledger"}, metadata=metadata, status=status)


def said(imported: Imported) -> str:
    return "\n".join(map(str, imported.todo))


def test_what_the_operator_has_migrated_is_not_migrated_again() -> None:
    imported = translate(ledger(database()))
    assert imported.config["modules"]["ledger"]["adopted"] == "v2.4.12"
    assert imported.sources["modules.ledger.adopted"] == ["Database/s1-ledger"]
    assert "again" not in said(imported)


@pytest.mark.parametrize("version", ["v2.4.11", "v2.5.0", "main"])
def test_one_that_is_at_work_is_waited_for(version: str) -> None:
    imported = translate(ledger(database(version=version)))
    assert imported.config["modules"]["ledger"]["adopted"] == version
    assert f"has migrated it to {version}, and v2.4.12 is wanted" in said(imported)


def test_one_that_was_never_migrated_is_waited_for() -> None:
    imported = translate(ledger(database(version=None)))
    assert "adopted" not in imported.config["modules"]["ledger"]
    assert "the operator has not migrated it yet" in said(imported)


def test_without_its_object_the_command_asks_it() -> None:
    imported = translate(ledger())
    assert "adopted" not in imported.config["modules"]["ledger"]
    [step] = [step for step in imported.todo if "its Database is not in the files" in step.what]
    assert "kubectl get databases.formance.com s1-ledger" in step.commands[0]
    assert step.commands[1] == (
        'test -z "$MIGRATED" || pulumi config set --stack s1 --path rollout:modules.ledger.adopted "$MIGRATED"'
    )


def test_an_annotation_that_is_no_version_is_refused() -> None:
    with pytest.raises(
        CannotImport, match=rf"Database/s1-ledger: metadata\.annotations, {VERSION}: .*is not a version"
    ):
        translate(ledger(database(version="v2.4")))


# --- the gateway's address -------------------------------------------------------------------------------------------


def written(folder: Path, *more: Document) -> list[Document]:
    """The objects that the import writes beside the settings."""
    gateway = module("Gateway", "g", ingress={"host": "a.example.org", "scheme": "https"})
    folder.mkdir(exist_ok=True)
    (folder / "in.yaml").write_text(yaml.safe_dump_all([stack(version="v2.3.1"), gateway, *more]))
    done = import_files([folder / "in.yaml"], folder)
    assert done.files[-1].name == "forward-s1.yaml"
    return list(yaml.safe_load_all(done.files[-1].read_text()))


def test_a_forwarder_of_the_gateways_image_leads_to_ours(tmp_path: Path) -> None:
    config, deployment, budget = written(tmp_path)
    assert {o["metadata"]["namespace"] for o in (config, deployment, budget)} == {"s1"}
    assert "reverse_proxy gateway.s1-rollout:8080" in config["data"]["Caddyfile"]
    pod = deployment["spec"]["template"]
    assert pod["spec"]["containers"][0]["image"] == "ghcr.io/formancehq/gateway:v2.3.1"
    assert pod["spec"]["containers"][0]["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/name": "gateway-forward"}, "one field of the Service moves"
    longest = sum(int(seconds) for seconds in (10, 15))
    assert pod["spec"]["terminationGracePeriodSeconds"] > longest


def test_it_is_pulled_from_where_the_operator_pulls(tmp_path: Path) -> None:
    endpoint = setting('registries."ghcr.io".endpoint', "mirror.example.org/x?pullSecret=pull", name="e")
    pod = written(tmp_path, endpoint)[1]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "mirror.example.org/x/formancehq/gateway:v2.3.1"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_the_operators_network_policies_let_nobody_in_to_it(tmp_path: Path) -> None:
    *_, policy = written(tmp_path / "on", setting("networkpolicies.enabled", "true"))
    assert (policy["kind"], policy["spec"]["ingress"]) == ("NetworkPolicy", [{}])
    assert "NetworkPolicy" not in {o["kind"] for o in written(tmp_path / "off")}


def test_it_is_not_replaced_unasked(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "Pulumi.s1.yaml").unlink()
    with pytest.raises(UsageError, match=r"forward-s1\.yaml exists; --overwrite"):
        written(tmp_path)


def test_without_a_gateway_there_is_nothing_to_lead(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(yaml.safe_dump_all(ledger()))
    assert [file.name for file in import_files([tmp_path / "in.yaml"], tmp_path).files] == ["Pulumi.s1.yaml"]
