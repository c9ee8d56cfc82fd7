"""Nothing of the input vanishes, and what cannot be used is refused by the object's name, the key, the value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.cli import main
from automation.operator import CannotImport, Imported, WhichStack, import_files, text, translate
from tests.unit.automation.operator.objects import POSTGRES, Document, ledger, made, module, setting, stack

KUBECTL = Path(__file__).parent / "kubectl_get.yaml"


def modules(imported: Imported) -> dict[str, Any]:
    found: dict[str, Any] = imported.config["modules"]
    return found


def refused(*documents: Any) -> list[str]:
    with pytest.raises(CannotImport) as raised:
        translate(documents)
    return raised.value.problems


# --- what `kubectl get` writes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kubectl() -> Imported:
    return translate(yaml.safe_load_all(KUBECTL.read_text()))


def test_the_defaults_of_the_crds_do_not_take_the_stacks_own_away(kubectl: Imported) -> None:
    """core/env.go, GetDevEnvVars: stack or module."""
    assert (kubectl.config["debug"], kubectl.config["dev"]) == (True, True)
    assert all("debug" not in module and "dev" not in module for module in modules(kubectl).values())


def test_a_module_may_be_in_debug_alone() -> None:
    assert modules(translate(ledger(module("Wallets", debug=True))))["wallets"]["debug"] is True


@pytest.mark.parametrize("kind", ["Connectivity", "LedgerConfiguration", "Analytics", "Configuration"])
def test_every_kind_without_counterpart_is_listed_with_its_reason(kubectl: Imported, kind: str) -> None:
    assert [line for line in kubectl.without if line.startswith(f"{kind}/") and len(line.split(": ")[1]) > 10]


@pytest.mark.parametrize("kind", ["MCP", "GatewayGRPCAPI", "OtelExporterEndpoint", "SearchConfiguration", "Unheard"])
def test_a_kind_that_is_not_known_is_a_module_or_listed(kind: str) -> None:
    imported = translate(ledger(module(kind, "m", version="v1.0.0")))
    assert kind.lower() in modules(imported) or [line for line in imported.without if line.startswith(f"{kind}/m: ")]


def test_the_client_that_the_operator_made_for_a_module_is_the_modules(kubectl: Imported) -> None:
    clients = modules(kubectl)["auth"]["clients"]
    assert list(clients) == ["wallets"]
    assert clients["wallets"]["id"] == "7b0c7e0e-0000-4000-8000-000000000001"


def test_what_kubectl_keeps_in_annotations_is_not_repeated(tmp_path: Path) -> None:
    written = import_files([KUBECTL], tmp_path)
    assert "canary" not in text(written) + "".join(file.read_text() for file in written.files)


# --- nothing vanishes ------------------------------------------------------------------------------------------------


def test_a_field_that_nobody_read_is_listed() -> None:
    documents = [stack(novel=1), module("Ledger", "l", locking={"strategy": "redis"}), POSTGRES]
    imported = translate([*documents, made("Settings", "y", {"stacks": ["*"], "key": "logging.json", "value": "true", "valueFrom": {"a": 1}})])  # fmt: skip
    listed = "\n".join(imported.without)
    assert "Stack/s1: spec.novel" in listed
    assert "Ledger/l: spec.locking" in listed
    assert "Settings/y: spec.valueFrom" in listed


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("deployments.ledger.containers.ledger.run-as", "user=0,shell=sh", "shell"),
        ("deployments.ledger.containers.ledger.run-as", "user=0,group=0", "user=0 of ledger: nothing runs as root here"),
        ("deployments.ledger.containers.ledger.resource-requirements.limits", "nvidia.com/gpu=1", "nvidia.com/gpu"),
        ("deployments.ledger.pod-disruption-budget", "minReady=1", "minReady"),
        ("modules.ledger.database.connection-pool", "max=3", "max"),
        ("ledger.worker.pipelines", "speed=3", "speed"),
        ("broker.dsn", "nats://nats:4222?speed=3", "parameter speed"),
        ("temporal.dsn", "temporal://t:7233/ns?speed=3", "parameter speed"),
        ("opentelemetry.traces.dsn", "grpc://c:4317?speed=3", "parameter speed"),
        ("deployments.ledger-worker.containers.ledger-worker.run-as", "user=7", "of ledger-worker: a worker has its module's"),
        ("postgres.payments.uri", "postgresql://pg:5432", "the stack has no payments"),
        ("registries.ghcr.io.endpoint", "example.com", "the name of a registry is quoted"),
        ("deployments.ledger.replica", "3", "not known"),
    ],
)  # fmt: skip
def test_each_part_of_a_setting_is_applied_or_listed(key: str, value: str, what: str) -> None:
    assert [
        line
        for line in translate(ledger(setting(key, value))).without
        if line.startswith("Settings/x: ") and what in line
    ]


def test_a_setting_that_another_comes_before_is_listed_with_that() -> None:
    imported = translate([*ledger(setting("postgres.ledger.uri", "postgresql://other:5432?secret=pg"))])
    assert "Settings/pg: postgres.*.uri: Settings/x: postgres.ledger.uri comes before it" in imported.without


def test_a_setting_for_another_stack_is_listed() -> None:
    assert any("not for this stack, but for a, b" in line for line in translate(ledger(setting("logging.json", "true", "a", "b"))).without)  # fmt: skip


def test_what_is_of_another_stack_or_of_none_is_listed_by_name() -> None:
    imported = translate([*ledger(), stack("other"), module("Gateway", "g", "other"), made("Wallets", "w", {})], "s1")
    listed = "\n".join(imported.without)
    assert "Stack/other, Gateway/g: of stack other" in listed
    assert "Wallets/w: it names no stack" in listed


def test_two_settings_for_one_key_are_pointed_out() -> None:
    imported = translate(ledger(setting("postgres.*.uri", "postgresql://two:5432?secret=pg", name="other")))
    assert any("Settings/other: postgres.*.uri and Settings/pg" in str(step) for step in imported.todo)


# --- what cannot be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("deployments.ledger.replicas", "two", "'two' is not a whole number, such as 3"),
        ("deployments.ledger.containers.ledger.run-as", "user=app", "user: 'app' is not a whole number"),
        ("broker.dsn", "nats://nats:4222?replicas=three", "parameter replicas: 'three' is not a whole number"),
        ("broker.dsn", "amqp://mq:5672", "has the scheme 'amqp'; allowed is nats://host:4222 or kafka://host:9092"),
        ("opentelemetry.traces.dsn", "http://collector:port", "'http://collector:port' has the port 'port'; allowed are 1 to 65535"),
        ("ledger.api.bulk-max-size", "many", "'many' is not a whole number"),
        ("deployments.ledger.spec.template.spec.termination-grace-period-seconds", "40s", "'40s' is not a whole number"),
        ("deployments.ledger.containers.ledger.resource-requirements.limits", "memory:512Mi", "'memory:512Mi' is not a map such as"),
        ("deployments.ledger.containers.ledger.resource-requirements.limits", "memory=much", "memory: 'much' is not an amount"),
        ("modules.ledger.grace-period", "5", "'5' is not a duration"),
        ("modules.ledger.database.connection-pool", "max-open=all", "max-open: 'all' is not a whole number"),
        ("deployments.ledger.containers.ledger.env-vars", "my-var=1", "my-var is no name of a variable"),
        ("postgres.ledger.uri", "mysql://db:3306", "has the scheme 'mysql'; allowed is postgresql://host:5432?secret=NAME"),
        ("temporal.dsn", "temporal://t:7233", "is not of the form temporal://host:7233/namespace"),
        ('registries."ghcr.io".endpoint', "example.com?pull=x", "has the parameter pull; allowed is pullSecret=NAME"),
        ("postgres.ledger.uri", "postgresql://pg:5432?secret=Not_A_Name", "'Not_A_Name' is no name of a Secret"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_refused_by_object_key_and_value(key: str, value: str, said: str) -> None:
    (problem,) = refused(*ledger(setting(key, value)))
    assert problem.startswith(f"Settings/x: {key}: ")
    assert said in problem


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (made("Ledger", "g", "text"), "Ledger/g: spec must be a mapping, and is a text"),
        (made("Settings", "n", {"stacks": "*", "key": "logging.json", "value": "true"}), "Settings/n: spec.stacks: '*' is not a list of texts"),
        (made("Settings", "n", {"stacks": ["*"], "key": "logging.json", "value": True}), "Settings/n: spec.value: True is not a text: write it in quotes"),
        (module("Wallets", "w", version=2.4), "Wallets/w: spec.version: 2.4 is not a text"),
        (module("Wallets", "w", debug="yes"), "Wallets/w: spec.debug: 'yes' is not true or false"),
        (module("Wallets", "w", auth=[]), "Wallets/w: spec.auth: a list is not a mapping"),
        (module("Wallets", "w", version="1.1"), "Wallets/w: spec.version: '1.1' is not a version"),
        (module("Ledger", "two"), "Ledger/l and Ledger/two: a stack has one Ledger"),
        (made("Wallets", "w", {"stack": 7}), "Wallets/w: spec.stack: 7 is not a text"),
        ("text", "a text is no Kubernetes object"),
        (made("Settings", "n", {"stacks": ["*"], "key": "logging.json", "valueFrom": {"secretKeyRef": {}}}), "Settings/n: spec.valueFrom: the value is in another object"),
        ({"apiVersion": "v1", "kind": "Secret"}, "is no Kubernetes object: apiVersion, kind and metadata.name must be texts"),
    ],
)  # fmt: skip
def test_an_object_of_the_wrong_form_is_refused_by_its_name(document: Document, said: str) -> None:
    assert any(said in problem for problem in refused(*ledger(document)))


def test_every_problem_is_told_at_once() -> None:
    assert len(refused(*ledger(setting("deployments.ledger.replicas", "two"), module("Ledger", "m")))) == 2


def test_two_modules_of_a_kind_are_refused_as_the_operator_does() -> None:
    """stacks/init.go: "multiple modules found"."""
    gateways = [module("Gateway", "g1"), module("Gateway", "g2"), made("Gateway", "g3", {"version": "v9.9.9"})]
    (problem,) = refused(stack(), *gateways)
    assert problem.startswith("Gateway/g1 and Gateway/g2: a stack has one Gateway")


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.0-alpha.1", "3.1.0"])
def test_a_ledger_3_is_refused_with_the_reason(version: str) -> None:
    (problem,) = refused(stack(version=version), module("Ledger", "l"), POSTGRES)
    assert problem.startswith(f"Stack/s1: spec.version: '{version}' of Ledger/l: ledger 3 is another system")


def test_the_settings_own_problems_name_the_object_too(tmp_path: Path) -> None:
    file = tmp_path / "in.yaml"
    file.write_text(yaml.safe_dump_all(ledger(setting("deployments.*.replicas", "0"))))
    problem = import_files([file], tmp_path).problem
    assert "rollout:modules.ledger.replicas" in problem
    assert "(from Settings/x: deployments.*.replicas)" in problem


def test_stacks_may_share_a_versions_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        documents = [stack(name, version="", versionsFromFile="v9"), made("Versions", "v9", {"gateway": "v2.3.1"})]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump_all([*documents, module("Gateway", "g", name)]))
        assert not import_files([tmp_path / f"{name}.yaml"], tmp_path).problem


def test_an_empty_list_is_one() -> None:
    nothing: tuple[list[object] | None, ...] = ([], None)
    empty: list[dict[str, object]] = [{"apiVersion": "v1", "kind": "List", "items": items} for items in nothing]
    assert "ledger" in modules(translate([*empty, *ledger()]))


def test_a_stack_without_a_name_is_asked_for() -> None:
    with pytest.raises(WhichStack, match="the files have: none"):
        translate([])


# --- nothing leaves the folder or the form ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../../pwned", "a/b", "A", "a.b", "-a", "a\nb", "a" * 64])
def test_a_stacks_name_is_that_of_a_namespace(name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotImport, match="can be no namespace"):
        translate([stack(name), module("Gateway", "g", name)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../pwned2", "/etc/x", "..", "a/../b", "a\nb"])
def test_a_versions_objects_name_leads_nowhere_else(name: str) -> None:
    documents = [stack(version="", versionsFromFile=name), made("Versions", name, {"gateway": "v2.3.1"})]
    (problem,) = refused(*documents, module("Gateway", "g"))
    assert "is no name of an object" in problem


def test_a_versions_text_is_one() -> None:
    documents = [stack(version="", versionsFromFile="v2"), made("Versions", "v2", {"gateway": 'v2.0.0"\nevil: yes'})]
    (problem,) = refused(*documents, module("Gateway", "g"))
    assert problem.startswith("Versions/v2: spec.gateway: 'v2.0.0\"\\nevil: yes' is not a version")


def test_texts_stay_texts_in_what_is_written(tmp_path: Path) -> None:
    evil = "x\nrollout:debug: true # "
    file = tmp_path / "in.yaml"
    documents = ledger(setting("deployments.ledger.spec.template.annotations", f'a="{evil}",b=yes,c=1e3'))
    file.write_text(yaml.safe_dump_all(documents))
    written = import_files([file], tmp_path)
    config = yaml.safe_load(written.files[0].read_text())["config"]
    assert "rollout:debug" not in config
    assert config["rollout:modules"]["ledger"]["annotations"] == {"a": evil.strip(), "b": "yes", "c": "1e3"}


def test_names_cannot_colour_the_terminal_or_end_a_command() -> None:
    imported = translate(ledger(module("Unheard", "x\x1b[2J; rm -rf /"), setting("a.\x1b[2Jb", "v")))
    assert "\x1b" not in "\n".join([*imported.without, *map(str, imported.todo)])
    evil = setting("deployments.ledger.containers.ledger.env-vars", "A=secret-text", name="x; rm -rf $HOME")
    (command,) = (c for step in translate(ledger(evil)).todo for c in step.commands if "secret generic ledger-env" in c)
    assert "get settings.formance.com 'x; rm -rf $HOME' -o" in command


def test_a_file_that_is_no_yaml_is_refused_without_its_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in.yaml"
    for content in ("a: [canary-secret", "value: 2024-13-45", "\xff\xfe", "a: canary-1\na: canary-2", "? [a]\n: b"):
        file.write_bytes(content.encode("latin-1"))
        assert main(["import-operator", "--cwd", str(tmp_path), str(file)]) == 2
        said = capsys.readouterr().err
        assert "cannot be read" in said
        assert "internal" not in said.lower()
        assert "canary" not in said
