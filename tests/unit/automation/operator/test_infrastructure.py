"""What the stack stands on, and what each module has, as the operator takes it from the same objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.operator import Imported, import_files, translate
from tests.unit.automation.operator.objects import POSTGRES, Document, ledger, made, module, setting, stack


def config(*documents: Document) -> dict[str, Any]:
    return translate(ledger(*documents)).config


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def test_the_pools_key_has_the_module_in_lower_case_and_the_grace_periods_in_camel_case() -> None:
    """databases/env.go takes the service's name; applications/application.go the kind in lower camel case."""
    found = config(
        module("TransactionPlane", "t", version="v0.11.1"),
        setting("broker.dsn", "nats://nats:4222", name="b"),
        setting("modules.transactionplane.database.connection-pool", "max-open=20", name="p"),
        setting("modules.transactionPlane.grace-period", "7s", name="g"),
    )
    assert found["modules"]["transactionplane"]["postgres"]["pool"] == {"maxOpen": 20}
    assert found["modules"]["transactionplane"]["gracePeriod"] == "7s"


def test_parameters_for_the_operator_alone_do_not_reach_postgresql() -> None:
    uri = "postgresql://pg:5432?secret=pg&awsRole=r&disableSSLMode=1&application_name=a"
    found = translate([stack(), module("Ledger", "l"), setting("postgres.*.uri", uri)]).config
    assert found["postgres"]["uri"] == "postgresql://pg:5432?application_name=a&secret=pg&sslmode=disable"


def test_a_module_without_a_server_is_not_given_anothers() -> None:
    imported = translate(
        [
            stack(),
            module("Ledger", "l"),
            module("Auth", "a"),
            setting("postgres.ledger.uri", "postgresql://pg:5432?secret=pg"),
        ]
    )
    assert "postgres" not in imported.config
    assert imported.config["modules"]["ledger"]["postgres"]["uri"].startswith("postgresql://pg:5432")
    assert any("rollout:modules.auth.postgres.uri" in str(step) for step in imported.todo)


def test_the_aws_identity_has_a_user_and_no_password() -> None:
    """databases/env.go: with a service account POSTGRES_AWS_ENABLE_IAM is set, whatever the URI has."""
    account = setting("aws.service-account", "formance", name="aws")
    imported = translate(ledger(account))
    assert imported.config["postgres"] == {"uri": "postgresql://pg:5432?sslmode=prefer", "awsIam": True}
    (command,) = (c for step in imported.todo for c in step.commands if "rollout:postgres.uri" in c)
    assert "get secret pg -o jsonpath='{.data.username}'" in command
    assert '@pg:5432?sslmode=prefer"' in command
    (role,) = (c for step in imported.todo for c in step.commands if "serviceaccount formance" in c)
    assert "eks.amazonaws.com/role-arn" in role
    with_user = translate(
        [stack(), module("Ledger", "l"), setting("postgres.*.uri", "postgresql://app:x@pg:5432"), account]
    )
    assert with_user.config["postgres"]["uri"] == "postgresql://app@pg:5432?sslmode=prefer"


def test_a_databases_own_name_is_kept_and_one_out_of_sync_pointed_out() -> None:
    status = {"database": "s1-ledger-old", "outOfSync": True, "uri": "postgresql://old:5432"}
    imported = translate(ledger(made("Database", "s1-ledger", {"stack": "s1", "service": "ledger"}, status=status)))
    assert imported.config["modules"]["ledger"]["databaseName"] == "s1-ledger-old"
    assert any("Database/s1-ledger: is out of sync" in str(step) for step in imported.todo)
    assert any(line.startswith("Database/s1-ledger: ") for line in imported.without)


# --- broker, Temporal, telemetry -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "streams"), [("OneStreamByService", "service"), ("OneStreamByStack", "stack")])
def test_the_brokers_streams_are_those_that_it_has(mode: str, streams: str) -> None:
    """broker_types.go; the operator finds out once and keeps it in the object."""
    broker = made("Broker", "s1", {"stack": "s1"}, status={"mode": mode, "uri": "nats://nats:4222"})
    imported = translate(ledger(broker, setting("broker.dsn", "nats://nats:4222")))
    assert imported.config["broker"] == {"uri": "nats://nats:4222", "streams": streams}
    assert not any("status.mode" in str(step) for step in imported.todo)


def test_without_the_brokers_object_the_command_asks_it() -> None:
    imported = translate(ledger(setting("broker.dsn", "nats://nats:4222")))
    assert any("kubectl get brokers.formance.com s1" in str(step) for step in imported.todo)


def test_kafkas_login() -> None:
    dsn = "kafka://a:9092,b:9092?saslEnabled=1&saslUsername=u&saslPassword=p&saslMechanism=SCRAM-SHA-256&tls=true"
    assert config(setting("broker.dsn", dsn))["broker"] == {
        "uri": "kafka://a:9092,b:9092", "streams": "stack", "tls": True, "username": "u",
        "password": {"name": "broker", "key": "password"}, "saslMechanism": "SCRAM", "saslScramShaSize": "256",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dsn", "endpoint"),
    [
        ("http://collector/v1/traces", "http://collector/v1/traces"),
        ("http://collector:4318/v1/traces", "http://collector:4318/v1/traces"),
        ("grpc://collector:4317", "grpc://collector:4317"),
        ("grpc://collector", "grpc://collector:4317"),
        ("http://collector", "http://collector:4318"),
        ("https://api.example.org/v1/traces", "http://api.example.org/v1/traces"),
    ],
)
def test_a_path_makes_the_whole_url_the_endpoint_and_a_port_is_otlps_own_only_without(
    dsn: str, endpoint: str, tmp_path: Path
) -> None:
    """settings/opentelemetry.go: `if otlp.Path != ""`."""
    file = tmp_path / "in.yaml"
    file.write_text(yaml.safe_dump_all(ledger(setting("opentelemetry.traces.dsn", dsn))))
    written = import_files([file], tmp_path)
    assert written.problem == ""
    assert written.imported.config["openTelemetry"]["traces"]["endpoint"] == endpoint


# --- registries ------------------------------------------------------------------------------------------------------


def test_registries_for_all_apply_to_those_of_the_images() -> None:
    """settings/helpers_test.go: `registries.*.endpoint` is every registry's."""
    found = config(
        setting("registries.*.endpoint", "example.com?pullSecret=zot", name="e"),
        setting('registries.*.images."formancehq/ledger".rewrite', "mirror/ledger", name="r"),
    )
    assert found["registries"]["ghcr.io"] == {
        "images": {"formancehq/ledger": "mirror/ledger"},
        "endpoint": "example.com",
        "pullSecret": "zot",
    }


# --- modules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "expected"), [("500ms", 1), ("5m", 300), ("90s", 90)])
def test_the_gateways_idle_timeout(given: str, expected: int) -> None:
    found = config(module("Gateway", "g"), setting("gateway.config.idle-timeout", given))
    assert found["gateway"]["idleTimeoutSeconds"] == expected


def test_the_gateways_certificate_has_its_own_name() -> None:
    """gateways/ingress.go, withTls."""
    gateway = module("Gateway", "formance-dev", ingress={"host": "a.example.org", "scheme": "https"})
    tls = setting("gateway.ingress.tls.enabled", "true", name="tls")
    assert config(gateway, tls)["gateway"]["ingress"]["tlsSecret"] == "formance-dev-tls"
    gateway["spec"]["ingress"]["tls"] = {"secretName": "own"}
    assert config(gateway, tls)["gateway"]["ingress"]["tlsSecret"] == "own"


def test_clients_whose_names_begin_alike_stay_two() -> None:
    names = ["acme-production-frontend-web", "acme-production-frontend-mobile", "wallets", "a.b", "a-b", "ledger"]
    clients = [made("AuthClient", name, {"stack": "s1", "id": name, "public": True}) for name in names]
    found = config(module("Auth", "a"), module("Wallets", "w"), *clients)["modules"]["auth"]["clients"]
    assert sorted(client["id"] for client in found.values()) == sorted(names)
    # A person's client of a module's name is not the module's own.
    assert "wallets" not in found


def test_a_client_without_a_secret_gets_one() -> None:
    imported = translate(ledger(module("Auth", "a"), made("AuthClient", "c", {"stack": "s1", "id": "c"})))
    assert any(
        'generic auth-client-c --from-literal=secret="$(openssl rand -hex 20)"' in str(step) for step in imported.todo
    )


def test_a_module_gets_its_own_version_before_the_stacks_and_that_before_the_lines() -> None:
    """core/version.go, ResolveModuleVersion."""
    versions = made("Versions", "v9", {"ledger": "v2.1.0", "wallets": "v2.9.0"})
    documents = [
        stack(version="", versionsFromFile="v9"),
        versions,
        module("Ledger", "l", version="v2.4.1"),
        module("Wallets", "w"),
        POSTGRES,
    ]
    imported = translate(documents)
    assert imported.config["modules"]["ledger"]["version"] == "v2.4.1"
    assert "version" not in imported.config["modules"]["wallets"]
    assert (imported.line, imported.versions["wallets"]) == ("v9", "v2.9.0")
    documents[0] = stack(version="v2.2.0", versionsFromFile="v9")
    by_stack = translate(documents)
    assert by_stack.config["modules"]["wallets"]["version"] == "v2.2.0"
    assert by_stack.line is None
    assert any("spec.versionsFromFile: spec.version comes first" in line for line in by_stack.without)


@pytest.mark.parametrize("grace", ["1", "3", "5", "40"])
def test_a_short_grace_period_shortens_what_is_part_of_it(grace: str, tmp_path: Path) -> None:
    key = "deployments.*.spec.template.spec.termination-grace-period-seconds"
    file = tmp_path / "in.yaml"
    file.write_text(yaml.safe_dump_all(ledger(module("Gateway", "g", version="v2.3.1"), setting(key, grace))))
    written = import_files([file], tmp_path)
    assert written.problem == ""
    assert written.imported.config["modules"]["ledger"]["terminationGracePeriodSeconds"] == int(grace)


def test_limits_below_the_defaults_requests_lower_those(tmp_path: Path) -> None:
    key = "deployments.ledger.containers.ledger.resource-requirements.limits"
    found = config(setting(key, "memory=32Mi,cpu=1"))["modules"]["ledger"]["resources"]
    assert found == {"limits": {"memory": "32Mi", "cpu": "1"}, "requests": {"memory": "32Mi", "cpu": "25m"}}


def test_newer_settings_have_their_place() -> None:
    found = config(
        module("Gateway", "g"), module("MCP", "m", version="v0.3.0"), module("Auth", "a"),
        setting("jobs.nodeSelector", "disk=ssd", name="a"),
        setting("gateway.caddyfile.grace-period", "20s", name="b"),
        setting("gateway.caddyfile.shutdown-delay", "10s", name="c"),
        setting("ledger.disable-ledger-scope-optimization", "true", name="d"),
        setting("services.ledger-worker.annotations", "team=ledger", name="e"),
    )  # fmt: skip
    assert found["defaults"]["jobs"]["nodeSelector"] == {"disk": "ssd"}
    assert found["gateway"] == {"shutdownSeconds": 10, "graceSeconds": 20}
    assert found["modules"]["ledger"]["disableLedgerScopeOptimization"] is True
    assert found["modules"]["ledger"]["worker"]["service"]["annotations"] == {"team": "ledger"}
    assert found["modules"]["mcp"] == {"version": "v0.3.0"}


def test_payments_before_3_is_three_deployments_of_the_operator(tmp_path: Path) -> None:
    """payments/deployments.go: createV2ReadDeployment, createV2ConnectorsDeployment and createGateway."""
    documents = [
        stack(version="v2.0.33"), module("Payments", "p"), module("Gateway", "g"), POSTGRES,
        setting("deployments.payments-read.containers.api.resource-requirements.limits", "memory=1Gi", name="a"),
        setting("deployments.payments-connectors.containers.connectors.env-vars", "LEVEL=1", name="b"),
        setting("deployments.payments-connectors.replicas", "3", name="c"),
        setting("deployments.payments.replicas", "4", name="d"),
    ]  # fmt: skip
    imported = translate(documents)
    payments = imported.config["modules"]["payments"]
    assert payments["resources"] == {"limits": {"memory": "1Gi"}}
    assert payments["worker"] == {"env": {"LEVEL": "1"}}
    assert any(line.startswith("Settings/c: ") and "never runs more than one" in line for line in imported.without)
    assert any(line.startswith("Settings/d: ") and "a proxy of that name" in line for line in imported.without)


def test_a_disabled_and_a_skipped_stack_stay_so() -> None:
    assert translate([stack(disabled=True), module("Ledger", "l"), POSTGRES]).config["disabled"] is True


def imported_licence(imported: Imported) -> bool:
    return any("--licence-secret" in str(step) for step in imported.todo)


def test_the_licence_is_asked_for_where_a_module_has_one() -> None:
    assert imported_licence(translate(ledger(module("Payments", "p"), setting("temporal.dsn", "temporal://t:7233/n"))))
    assert not imported_licence(translate(ledger()))


def test_an_empty_setting_that_hides_another_is_not_said_to_do_nothing() -> None:
    """Whoever removed it as useless would get what it comes before."""
    of_all = setting("deployments.*.containers.*.env-vars", "A=1")
    of_one = setting("deployments.ledger.containers.ledger.env-vars", "")
    of_all["metadata"]["name"], of_one["metadata"]["name"] = "all", "one"
    found = translate(ledger(of_all, of_one))
    listed = [line for line in found.without if line.startswith("Settings/one")]
    assert not any("nothing follows" in line for line in listed), listed
