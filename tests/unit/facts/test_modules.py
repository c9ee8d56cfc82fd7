"""Each kind of module is what the operator's and the services' public sources say, and not only what was once reviewed here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.declared import declared
from components.caddyfile import caddyfile
from settings import Plan, Role, StackSettings, Variable, Version
from settings.catalog import KINDS, UNSUPPORTED, find
from settings.environment import SecretKey
from settings.module import merged
from tests.unit import full_stack
from tests.unit.facts import FACTS, MODULES

_PROTECTED = {"auth": {"checkScopes": True, "readKeySetMaxRetries": 3}}
# Whatever makes one more variable.
_EVERYTHING: dict[str, Any] = {
    "ledger": {
        **_PROTECTED,
        "api": {"bulkMaxSize": 1, "defaultPageSize": 1, "maxPageSize": 1},
        "experimentalFeatures": True,
        "experimentalNumscript": True,
        "experimentalNumscriptFlags": ["x"],
        "disableLedgerScopeOptimization": True,
        "schemaEnforcementMode": "strict",
        "worker": {
            "asyncBlockHasher": {"maxBlockSize": 1, "schedule": "x"},
            "pipelines": {"pullInterval": "1s", "pushRetryPeriod": "1s", "syncPeriod": "1s", "logsPageSize": 1},
            "bucketCleanup": {"retentionPeriod": "1h", "schedule": "x"},
        },
    },
    **dict.fromkeys(
        ("payments", "orchestration", "reconciliation", "wallets", "webhooks", "transactionplane"), _PROTECTED
    ),
    "auth": {"issuers": ["https://other.example.org"]},
    "stargate": {"tls": False},
}
_STACK: dict[str, Any] = {
    **full_stack.STACK,
    "debug": True,
    "dev": True,
    "defaults": {"jsonLogging": True, "semconvMetricsNames": True, "gracePeriod": "5s"},
    "postgres": {
        "host": "postgres",
        "secret": "postgres",
        "pool": {"maxIdle": 1, "maxIdleTime": "1s", "maxOpen": 1, "maxLifetime": "1s"},
    },
    "broker": {
        "uri": "nats://nats:4222",
        "streams": "stack",
        "circuitBreaker": {"enabled": True, "openInterval": "5s"},
    },
    "temporal": {
        "address": "temporal:7233",
        "namespace": "dev",
        "certificate": "canary",
        "key": "canary",
        "encryptionKey": "canary",
        "initSearchAttributes": True,
    },
}
_KAFKA = {
    "uri": "kafka://kafka:9092",
    "streams": "stack",
    "username": "u",
    "password": "canary",
    "tls": True,
    "saslMechanism": "SCRAM",
}


@cache
def stack(fact: str, broker: str = "nats") -> StackSettings:
    """The full stack with everything set, and with the version that a fact is of."""
    own = {"version": MODULES[fact]["version"]} if "version" in MODULES[fact] else {}
    modules = {name: merged(given, _EVERYTHING.get(name, {})) for name, given in full_stack.MODULES.items()}
    name = kind(fact)
    modules[name] = {**modules[name], **own}
    return full_stack.load({**_STACK, "modules": modules} | ({"broker": _KAFKA} if broker == "kafka" else {}))


def kind(fact: str) -> str:
    return str(MODULES[fact].get("kind", fact))


def plan(fact: str) -> Plan:
    return stack(fact).plan(kind(fact))


def role(fact: str, process: str) -> Role:
    found = plan(fact).worker if process == "worker" else plan(fact).api
    assert found
    return found


PROCESSES = [(fact, process) for fact, it in MODULES.items() for process in ("api", "worker") if process in it]
each_process = pytest.mark.parametrize(("fact", "process"), PROCESSES)
each_fact = pytest.mark.parametrize("fact", MODULES)


def given(fact: str, process: str) -> dict[str, Variable]:
    """What a process is given here, whatever the broker is."""
    found: dict[str, Variable] = {}
    for broker in ("nats", "kafka"):
        it = stack(fact, broker).plan(kind(fact))
        part = it.worker if process == "worker" else it.api
        found |= {v.name: v for v in (part.env if part else ())}
    return found


def operators(fact: str, process: str) -> set[str]:
    it = MODULES[fact][process]
    return {name for group in it["gives"] for name in FACTS["operator"][group]} | set(it["own"])


def read(fact: str, process: str) -> set[str]:
    """What a process reads, and what is given although it does not."""
    it = MODULES[fact][process]
    known = set(FACTS["unread"]) | set(it.get("unread", ())) | {"LISTEN"}
    known |= {name for file in role(fact, process).files for name in re.findall(r"\$(\w+)", file.content)}
    if it["reads"] == "operator":
        also = {name for group in it.get("reads_too", ()) for name in FACTS["operator"][group]}
        kafka = {n for n in given(fact, process) if n.startswith("PUBLISHER_KAFKA_")}
        return known | operators(fact, process) | also | kafka
    golibs = FACTS["golibs"][MODULES[fact]["golibs"]]
    return known | set(it["reads"]) | {name for group in it["groups"] for name in golibs[group]}


def referred(variables: dict[str, Variable], names: set[str]) -> set[str]:
    """Names, and those that the values of their variables refer to."""
    found = set(names)
    while True:
        values = [variables[n].value or "" for n in found if n in variables]
        more = {name for value in values for name in re.findall(r"\$\((\w+)\)", value)} - found
        if not more:
            return found
        found |= more


@each_process
def test_a_process_is_given_what_it_reads_and_nothing_that_nobody_knows_of(fact: str, process: str) -> None:
    variables = given(fact, process)
    assert sorted(set(variables) - referred(variables, read(fact, process))) == []


@each_process
def test_a_process_is_given_what_the_operator_gives_it(fact: str, process: str) -> None:
    assert sorted(operators(fact, process) - set(given(fact, process)) - set(FACTS["left_out"])) == []


@each_fact
def test_a_migration_is_given_what_the_operator_gives_it(fact: str) -> None:
    found = {v.name for v in plan(fact).migration}
    if "migrate" in MODULES[fact] or "postgres" in MODULES[fact]["api"]["gives"]:
        assert {*FACTS["operator"]["postgres"], *MODULES[fact].get("migrate", ())} <= found
    else:
        assert not found, "it has no database"


@each_fact
def test_an_image_is_the_one_that_there_is(fact: str) -> None:
    name, settings = kind(fact), stack(fact)
    licensed = MODULES[fact].get("licensed_image")
    image = licensed["name"] if licensed else MODULES[fact]["image"]
    assert settings.image(name) == f"ghcr.io/formancehq/{image}:{settings.version(name)}"


@each_process
def test_a_process_is_started_and_asked_as_by_the_operator(fact: str, process: str) -> None:
    expected, found = MODULES[fact][process], role(fact, process)
    probe = stack(fact).modules[kind(fact)].probe
    args = [arg for arg in found.args if arg != "--debug"]
    own = list(find(kind(fact)).command)
    assert args == (expected["args"] or (own if "--debug" in found.args else []) if kind(fact) != "gateway" else args)
    assert found.ports[0].number == expected["port"]
    if kind(fact) == "gateway":
        assert probe.path == "/_healthcheck", "which its Caddyfile answers"
    elif expected["health"] is None:
        assert not found.probed
    else:
        assert (probe.path, probe.readiness_path) == (expected["health"], expected.get("readiness"))


@each_fact
def test_what_is_published_and_heard(fact: str) -> None:
    name, settings = kind(fact), stack(fact)
    expected = MODULES[fact]
    assert settings.publishes(name) is expected.get("publishes", False)
    heard = expected.get("listens")
    assert settings.listens(name) is bool(heard)
    if heard:
        others = ["ledger", "orchestration", "payments", "transactionplane"]
        topics = [f"dev.{other}" for other in others if other != name or heard["itself"]]
        assert given(fact, "api")[heard["variable"]].value == " ".join(topics)
    if expected.get("publishes"):
        assert given(fact, "api")["PUBLISHER_TOPIC_MAPPING"].value == f"*:dev.{name}"


@each_fact
def test_calls_are_made_with_the_scopes_that_the_operators_client_has(fact: str) -> None:
    assert list(find(kind(fact)).scopes) == MODULES[fact].get("scopes", [])


@each_fact
def test_telemetry_is_of_the_name_that_the_operator_gives(fact: str) -> None:
    assert given(fact, "api")["OTEL_SERVICE_NAME"].value == MODULES[fact].get("telemetry", kind(fact))


def test_a_name_stands_in_the_way_of_no_other() -> None:
    """What is not given or not read has a reason that still holds."""
    everything = {name for fact, process in PROCESSES for name in given(fact, process)}
    assert set(FACTS["left_out"]).isdisjoint(everything)
    assert set(FACTS["unread"]) <= everything
    for fact, process in PROCESSES:
        stale = set(MODULES[fact][process].get("unread", ())) - set(given(fact, process))
        # Two processes share a list.
        assert not stale or process == "worker", (fact, process, stale)


@pytest.mark.parametrize("name", [k for k in KINDS if k != "custom"])
def test_every_kind_has_its_facts(name: str) -> None:
    assert name in MODULES


def edges(fact: str) -> Iterator[tuple[str, bool]]:
    """Versions at the edge of what is supported: the oldest that is, and the ones beside it."""
    it = MODULES[fact]
    if "oldest" in it:
        yield it["oldest"], True
        yield f"v{it['oldest']}", True
        yield f"{it['oldest']}-rc.1", False
    if "before" in it:
        yield it["before"], False
        yield f"v{it['before'].removesuffix('-0')}", False


@each_fact
def test_the_versions_that_are_supported(fact: str) -> None:
    for version, supported in edges(fact):
        assert (find(kind(fact)).refusal(Version(version)) is None) is supported, version


@pytest.mark.parametrize("fact", [f for f in MODULES if "since" in MODULES[f].get("worker", {})])
def test_the_version_that_a_worker_came_with(fact: str) -> None:
    since = MODULES[fact]["worker"]["since"]
    for version, has in ((since, True), (since.replace("beta.1", "alpha"), False)):
        modules = {**full_stack.MODULES, kind(fact): {**full_stack.MODULES[kind(fact)], "version": version}}
        worker = full_stack.load({**full_stack.STACK, "modules": modules}).plan(kind(fact)).worker
        assert (worker is not None and worker.args == ("worker",)) is has, version


def test_payments_has_its_licensed_image_from_a_version_on() -> None:
    licensed = MODULES["payments"]["licensed_image"]
    for version, image in ((licensed["since"], licensed["name"]), ("3.2.0-alpha.1", "payments")):
        modules = {**full_stack.MODULES, "payments": {**full_stack.MODULES["payments"], "version": version}}
        settings = full_stack.load({**full_stack.STACK, "modules": modules})
        assert settings.image("payments") == f"ghcr.io/formancehq/{image}:{version}"


def test_auth_reads_every_client_of_its_file_with_its_secret() -> None:
    file = next(f for f in plan("auth").api.files if f"{f.folder}/{f.name}" == given("auth", "api")["CONFIG"].value)
    variables = {v.name: v.secret for v in plan("auth").api.env if v.secret}
    types = {"str": str, "bool": bool, "list": list, "dict": dict}
    clients = {}
    for client in yaml.safe_load(file.content)["clients"]:
        for key, value in client.items():
            assert isinstance(value, types[MODULES["auth"]["clients"][key]]), f"auth reads no {key!r} of this form"
        clients[client["id"]] = [variables[secret.removeprefix("$")] for secret in client["secrets"]]
    calling = [kind(fact) for fact in MODULES if MODULES[fact].get("scopes")]
    assert clients == {"console": []} | {name: [SecretKey(f"auth-client-{name}", "secret")] for name in calling}
    assert "canary" not in file.content


def test_a_part_of_payments_is_answered_where_the_operators_proxy_sends_it() -> None:
    [route] = (r for r in stack("payments before 3.0").routes if r.module == "payments")
    found = [{"paths": list(p.paths), "methods": sorted(p.methods)} for p in route.parts]
    assert found == MODULES["payments before 3.0"]["parts"]
    text = caddyfile([route], stack("payments before 3.0").gateway, grace_seconds=1)
    assert (
        "path /api/payments/connectors /api/payments/connectors/* /api/payments/configs /api/payments/configs/*" in text
    )


@pytest.mark.parametrize("line", FACTS["lines"])
def test_the_versions_of_a_line_are_the_published_ones(line: str) -> None:
    published = {k: v for k, v in FACTS["lines"][line].items() if k not in UNSUPPORTED}
    assert yaml.safe_load(Path(f"versions/{line}.yaml").read_text()) == published


@pytest.mark.parametrize("line", FACTS["lines"])
def test_a_stack_of_every_published_line_is_declared(line: str) -> None:
    wanted = {k: v for k, v in FACTS["lines"][line].items() if k not in UNSUPPORTED}
    modules = {name: {k: v for k, v in full_stack.MODULES[name].items() if k != "version"} for name in wanted}
    settings = full_stack.load({**full_stack.STACK, "versions": f"versions/{line}.yaml", "modules": modules})
    assert {name: str(settings.version(name)) for name in modules} == wanted
    names = {r.name for r in declared(settings).resources}
    assert {f"{name}-{version}-migrate" for name, version in wanted.items() if settings.modules[name].database} <= names


def test_there_is_a_file_for_no_other_line() -> None:
    assert sorted(path.stem for path in Path("versions").glob("*.yaml")) == sorted(FACTS["lines"])
