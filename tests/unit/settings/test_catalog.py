"""What the catalogue's kinds make of their settings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from devkit.sample import strict
from settings import InvalidSettings, SettingsError, StackSettings, Variable
from settings.catalog import KINDS, Port, find
from settings.environment import SecretKey
from settings.module import merged
from tests.unit.full_stack import MODULES, STACK, load


def stack(**changes: Any) -> StackSettings:
    """The full stack with some settings of modules changed."""
    without = changes.pop("modules_without", ())
    modules = {name: merged(module, changes.pop(name, {})) for name, module in MODULES.items() if name not in without}
    return load({**STACK, "modules": modules, **changes})


def values(variables: tuple[Variable, ...]) -> dict[str, str | None]:
    return {v.name: v.value for v in variables}


@pytest.fixture(scope="module")
def full() -> StackSettings:
    return stack()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_module_in_the_full_stack(kind: str, full: StackSettings) -> None:
    assert any(full.kind_of(name) == kind for name in full.modules)


@pytest.mark.parametrize("module", MODULES)
def test_no_variable_is_there_twice_and_each_refers_only_to_those_before_it(module: str, full: StackSettings) -> None:
    plan = full.plan(module)
    lists = [plan.api.env, plan.migration, plan.database, plan.worker.env if plan.worker else ()]
    for variables in lists:
        seen: set[str] = set()
        for variable in variables:
            assert variable.name not in seen
            assert set(re.findall(r"\$\((\w+)\)", variable.value or "")) <= seen, variable.name
            assert variable.source
            seen.add(variable.name)


@pytest.mark.parametrize("module", MODULES)
def test_a_migration_has_the_variables_of_its_database_that_the_service_has(module: str, full: StackSettings) -> None:
    plan = full.plan(module)
    api = {v.name: (v.value, v.secret) for v in plan.api.env}
    assert {v.name: (v.value, v.secret) for v in plan.migration}.items() <= api.items()


def test_a_module_of_a_catalogue_name_with_an_image_of_its_own_is_described_by_its_settings() -> None:
    settings = load({"modules": {"ledger": {"image": "x/ledger", "version": "1.0.0"}}, "postgres": STACK["postgres"]})
    assert settings.kind_of("ledger") == "custom"
    assert settings.plan("ledger").worker is None


def test_an_image_of_its_own_goes_with_a_kind_that_is_named() -> None:
    ledger = {"kind": "ledger", "image": "localhost/sample", "version": "2.4.12"}
    settings = load({"modules": {"books": ledger}, "postgres": STACK["postgres"]})
    assert settings.image("books") == "localhost/sample:2.4.12"
    assert settings.plan("books").worker


@pytest.mark.parametrize(
    ("version", "has"), [("2.3.0-alpha", False), ("v2.2.9", False), ("2.3.0", True), ("v2.4.12", True), ("main", True)]
)
def test_the_ledgers_worker_came_with_a_version(version: str, has: bool) -> None:
    assert (stack(ledger={"version": version}).plan("ledger").worker is not None) is has


def test_a_kinds_settings_are_over_the_stacks_defaults_and_under_its_own() -> None:
    defaults = {"args": ["x"], "replicas": 3, "resources": {"limits": {"memory": "1Gi"}}, "env": {"A": "1", "B": "1"}}
    del defaults["args"]
    settings = stack(
        defaults=defaults, wallets={"replicas": 4, "env": {"B": "2"}, "resources": {"limits": {"cpu": "1"}}}
    )
    assert (settings.modules["ledger"].replicas, settings.modules["wallets"].replicas) == (3, 4)
    assert settings.modules["wallets"].env == {"A": "1", "B": "2"}
    assert settings.modules["wallets"].resources.limits == {"memory": "1Gi", "cpu": "1"}


@pytest.mark.parametrize(
    ("module", "api", "worker"),
    [
        ("ledger", ("serve", "--debug"), ("worker", "--debug")),
        ("payments", ("server", "--debug"), ("worker", "--debug")),
        ("orchestration", ("serve", "--debug"), None),
        ("stargate", (), None),
        ("shop", ("serve",), None),
    ],
)
def test_debug_is_an_argument_too_as_its_variable_is_not_read_any_more(
    module: str, api: tuple[str, ...], worker: tuple[str, ...] | None
) -> None:
    plan = stack(debug=True).plan(module)
    assert (plan.api.args, plan.worker.args if plan.worker else None) == (api, worker)
    assert "--debug" not in stack().plan(module).api.args


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("grpc://otel:4317", ("http://$(OTEL_TRACES_EXPORTER_OTLP_ENDPOINT)", "grpc")),
        ("http://otel:4318", ("http://$(OTEL_TRACES_EXPORTER_OTLP_ENDPOINT)/v1/traces", "http/protobuf")),
        ("http://otel:4318/v1/traces", ("$(OTEL_TRACES_EXPORTER_OTLP_ENDPOINT)", "http/protobuf")),
    ],
)
def test_caddy_is_told_of_traces_in_opentelemetrys_own_words(endpoint: str, expected: tuple[str, str]) -> None:
    traces = {"traces": {"endpoint": endpoint, "insecure": True}}
    env = values(stack(openTelemetry=traces).plan("gateway").api.env)
    assert (env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], env["OTEL_EXPORTER_OTLP_PROTOCOL"]) == expected


def test_publishers_publish_only_where_somebody_listens() -> None:
    alone = {k: v for k, v in MODULES.items() if k in ("ledger", "payments")}
    assert "BROKER" not in values(load({**STACK, "modules": alone, "gateway": None}).plan("ledger").api.env)
    assert values(stack().plan("ledger").api.env)["PUBLISHER_TOPIC_MAPPING"] == "*:dev-ledger"


def test_transactionplane_hears_itself(full: StackSettings) -> None:
    topics = "dev-ledger dev-orchestration dev-payments dev-transactionplane"
    assert values(full.plan("transactionplane").api.env)["TOPICS"] == topics
    alone = load({**STACK, "modules": {"transactionplane": MODULES["transactionplane"]}, "gateway": None})
    assert alone.listeners("transactionplane") == alone.publishers("transactionplane") == ["transactionplane"]


def test_a_listener_hears_every_other_publisher(full: StackSettings) -> None:
    assert values(full.plan("orchestration").api.env)["TOPICS"] == "dev-ledger dev-payments dev-transactionplane"
    topics = values(full.plan("webhooks").api.env)["KAFKA_TOPICS"]
    assert topics == "dev-ledger dev-orchestration dev-payments dev-transactionplane"


@pytest.mark.parametrize("module", ["ledger", "payments", "orchestration", "webhooks", "transactionplane"])
@pytest.mark.parametrize(("streams", "made_by_modules"), [("service", "true"), ("stack", "false")])
def test_streams_are_made_by_the_modules_or_by_the_stack_and_never_by_nobody(
    module: str, streams: str, made_by_modules: str
) -> None:
    settings = stack(broker={"uri": "nats://n:4222", "streams": streams})
    assert settings.broker
    assert settings.broker.is_made is (made_by_modules == "false")
    assert values(settings.plan(module).api.env)["PUBLISHER_NATS_AUTO_PROVISION"] == made_by_modules


def test_a_listener_of_another_name_takes_the_consumer_of_its_name() -> None:
    hooks = {"hooks": {**MODULES["webhooks"], "kind": "webhooks"}, "ledger": MODULES["ledger"]}
    settings = load({**STACK, "modules": hooks, "gateway": None})
    assert values(settings.plan("hooks").api.env)["PUBLISHER_QUEUE_GROUP"] == "hooks"
    assert "PUBLISHER_QUEUE_GROUP" not in values(stack().plan("webhooks").api.env)


def test_kafka_with_the_pods_aws_identity() -> None:
    env = values(stack(broker={"uri": "kafka://k:9098", "awsIam": True, "tls": True}).plan("ledger").api.env)
    assert {k.removeprefix("PUBLISHER_KAFKA_"): v for k, v in env.items() if "SASL" in k} == {
        "SASL_ENABLED": "true",
        "SASL_MECHANISM": "OAUTHBEARER",
        "SASL_IAM_ENABLED": "true",
    }


def test_kafka_with_a_password() -> None:
    broker = {
        "uri": "kafka://k1:9092,k2:9092",
        "username": "u",
        "password": "canary",
        "tls": True,
        "saslMechanism": "SCRAM",
    }
    plan = stack(broker=broker).plan("ledger").api
    env = values(plan.env)
    assert (env["BROKER"], env["PUBLISHER_KAFKA_BROKER"]) == ("kafka", "k1:9092,k2:9092")
    # Kafka's own names: https://kafka.apache.org/documentation/#security_sasl_mechanism
    assert env["PUBLISHER_KAFKA_SASL_MECHANISM"] == "SCRAM-SHA-512"
    assert env["PUBLISHER_KAFKA_SASL_SCRAM_SHA_SIZE"] == "512"
    assert env["PUBLISHER_KAFKA_SASL_PASSWORD"] is None
    assert "canary" not in repr(plan)


@pytest.mark.parametrize(
    "postgres",
    [
        {"uri": "postgresql://h:5432?secret=s&secretCredentialsEncoding=raw"},
        {"host": "h", "secret": "s", "secretCredentialsEncoding": "raw"},
    ],
)
def test_credentials_that_are_not_encoded_are_no_part_of_a_uri(postgres: dict[str, Any]) -> None:
    # What pgx and libpq read beside the URI: https://www.postgresql.org/docs/current/libpq-envars.html
    plan = stack(postgres=postgres).plan("ledger")
    for variables in (plan.database, plan.migration, plan.api.env):
        found = {v.name: v for v in variables}
        assert found["POSTGRES_NO_DATABASE_URI"].value == "postgresql://$(POSTGRES_HOST):$(POSTGRES_PORT)"
        assert found["PGUSER"].secret == SecretKey("s", "username")
        assert found["PGPASSWORD"].secret == SecretKey("s", "password")


def test_aws_identity_instead_of_a_password() -> None:
    postgres = {"uri": "postgresql://formance@rds.example.org:5432", "awsIam": True}
    plan = stack(postgres=postgres).plan("ledger")
    for variables in (plan.migration, plan.api.env):
        assert values(variables)["POSTGRES_AWS_ENABLE_IAM"] == "true"
        assert not [v for v in variables if v.name == "POSTGRES_PASSWORD"]


def test_images_come_from_where_the_registries_say() -> None:
    registries = {
        "ghcr.io": {"endpoint": "mirror.example.org/f", "pullSecret": "m", "images": {"formancehq/auth": "a"}}
    }
    settings = stack(registries=registries)
    assert settings.image("wallets") == "mirror.example.org/f/formancehq/wallets:v2.2.0"
    assert settings.image("auth") == "mirror.example.org/f/a:v2.5.0"
    assert settings.pull_secrets("auth") == ["m"]


@pytest.mark.parametrize(
    ("version", "licence", "image"),
    [("v3.4.0", True, "payments-ee"), ("v3.1.0", True, "payments"), ("v3.4.0", False, "payments")],
)
def test_payments_has_an_image_for_those_with_a_licence(version: str, licence: bool, image: str) -> None:
    changes: dict[str, Any] = {} if licence else {"licence": None}
    assert stack(payments={"version": version}, **changes).image("payments") == f"ghcr.io/formancehq/{image}:{version}"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"broker": None}, "needs a message broker"),
        ({"temporal": None}, "needs Temporal"),
        ({"payments": {"version": "1.9.9"}}, "payments before 2.0.0 is built differently"),
        ({"ledger": {"version": "v2.2.0-alpha"}}, "2.2.0-alpha is not supported: ledger before 2.2.0 may write from one process alone"),
        ({"ledger": {"version": "2.1.7"}}, "Upgrade it to 2.2 where it runs now"),
        ({"ledger": {"version": "v3.0.0-alpha.14"}}, "ledger 3 is another system"),
        ({"ledger": {"version": "3.0.0"}}, "nothing migrates a ledger 2 into it"),
        ({"shop": {"kind": "search"}}, "search is not supported: the operator does not deploy it any more"),
        ({"ledger": {"kind": "leger"}}, "did you mean ledger"),
        ({"shop": {"kind": "ledger", "version": "2.4.12"}}, "the stack has a ledger already"),
        ({"ledger": {"api": {"bulkMaxSise": 1}}}, "rollout:modules.ledger.api.bulkMaxSise: unknown setting; did you mean bulkMax"),
        ({"wallets": {"autoscaling": {"maxReplicas": 4}}}, "set cpuPercent or memoryPercent"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidSettings, match=re.escape(what)):
        stack(**changes)


@pytest.mark.parametrize(
    ("modules", "what"),
    [
        ({"mcp": MODULES["mcp"]}, "modules.mcp needs a gateway in the stack"),
        ({"mcp": MODULES["mcp"], "gateway": MODULES["gateway"]}, "modules.mcp needs an auth in the stack"),
        ({"connectivity": {"version": "1.0.0"}}, "connectivity is not supported: it needs ledger 3"),
        ({"payments": {**MODULES["payments"], "version": "2.0.33"}}, "before 3.0 needs a gateway in the stack"),
    ],
)
def test_what_a_stack_lacks_for_a_module_is_named(modules: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidSettings, match=re.escape(what)):
        load({**STACK, "modules": modules, "gateway": None})


def test_a_module_of_ones_own_may_have_the_name_of_an_unsupported_one() -> None:
    own = {"search": {"image": "example.org/search", "version": "1.0.0"}}
    assert load({**STACK, "modules": own, "gateway": None}).kind_of("search") == "custom"


class TestPaymentsBeforeThree:
    def settings(self) -> StackSettings:
        return stack(payments={"version": "v2.0.33"}, temporal=None, modules_without=("orchestration",))

    def test_it_needs_no_temporal(self) -> None:
        env = values(self.settings().plan("payments").api.env)
        assert not [name for name in env if name.startswith("TEMPORAL")]

    def test_the_connectors_are_its_worker_and_answer_their_part_of_the_api(self) -> None:
        settings = self.settings()
        plan = settings.plan("payments")
        assert plan.worker
        assert (plan.api.args, plan.worker.args) == (("api", "serve"), ("connectors", "serve"))
        assert plan.worker.ports == (Port("connectors", 8080),)
        assert settings.image("payments") == "ghcr.io/formancehq/payments:v2.0.33"
        [route] = (r for r in settings.routes if r.module == "payments")
        assert route.health == settings.modules["payments"].probe.path == "/_health"
        assert {part.service for part in route.parts} == {"payments-worker"}

    @pytest.mark.parametrize("version", ["v3.0.0-beta.1", "v3.0.19", "v3.1.0", "main"])
    def test_from_three_on_it_is_as_it_is_now(self, version: str) -> None:
        settings = stack(payments={"version": version})
        plan = settings.plan("payments")
        assert plan.worker
        assert (plan.api.args, plan.worker.args) == (("server",), ("worker",))
        assert values(plan.api.env)["TEMPORAL_ADDRESS"]
        assert settings.modules["payments"].probe.path == "/_healthcheck"


def test_a_credential_in_plain_text_is_refused_and_not_repeated() -> None:
    import json
    from pathlib import Path

    import settings

    config = {f"rollout:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in STACK.items()}
    with pytest.raises(SettingsError, match="plain text") as error:
        settings.load(config, stack="dev", root=Path(), secret_keys=[])
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("kind", strict.KINDS)
def test_the_environment_is_what_the_operators_sources_say_the_kind_needs(kind: str, full: StackSettings) -> None:
    """The strict sample has its own table of what each kind needs; here no cluster is needed to compare."""
    plan = full.plan(kind)
    processes = {"serve": plan.api.env, **({"migrate": plan.migration} if plan.migration else {})}
    if plan.worker:
        processes["worker"] = plan.worker.env
    for process, variables in processes.items():
        environment = started_with(variables)
        given = b"".join(f"{v.name}=x\0".encode() for v in variables)
        found = strict.problems(f"{kind},gateway,auth,broker,traces", process, environment, given)
        assert [f for f in found if f != "CONFIG is not a file that can be read"] == [], process


def started_with(variables: tuple[Variable, ...]) -> dict[str, str]:
    """The environment as a kubelet makes it of variables."""
    found: dict[str, str] = {}
    for v in variables:
        value = "10.0.0.1" if v.field else "credential" if v.secret else v.value or ""
        found[v.name] = re.sub(r"\$\((\w+)\)", lambda m: found.get(m[1], m[0]), value)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_a_kinds_file_says_what_it_is(name: str) -> None:
    assert find(name).name == name


def test_what_listens_to_the_broker_or_works_for_temporal_is_not_started_in_a_rehearsal(full: StackSettings) -> None:
    left_out = [name for name in full.modules if not full.starts_in_rehearsal(name)]
    assert sorted(left_out) == ["orchestration", "payments", "transactionplane", "webhooks"]
    assert stack(payments={"rehearsal": {"serve": True}}).starts_in_rehearsal("payments")
