"""Any stack of the operator, whatever modules and settings it has, is imported: nothing vanishes and no credential is said."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from automation.operator import CannotImport, Written, import_files, text, translate
from automation.operator.write import as_json
from settings import load
from settings.catalog import KINDS
from tests.unit.automation.operator.objects import Document, made, setting

CANARY = "canary-Zq81"
MODULES = ("Auth", "Gateway", "Ledger", "Orchestration", "Payments", "Reconciliation", "Stargate", "TransactionPlane", "Wallets", "Webhooks")  # fmt: skip
OTHERS = tuple(
    kind
    for kind in ("Search", "MCP", "Connectivity", "Analytics", "Benthos", "BrokerTopic", "BrokerConsumer", "GatewayHTTPAPI", "ResourceReference", "AuthConfiguration", "Unheard")
    if kind.lower() not in KINDS
)  # fmt: skip
VERSIONS = {"Ledger": "v2.4.12", "Payments": "v3.4.0", "TransactionPlane": "v0.11.1"}
SPECS: dict[str, dict[str, Any]] = {
    "Gateway": {"ingress": {"host": "{stack}.example.org", "scheme": "https"}},
    "Payments": {"encryptionKey": CANARY},
    "Auth": {"delegatedOIDCServer": {"issuer": "https://i.example.org", "clientID": "c", "clientSecret": CANARY}, "enableScopes": True},
    "Stargate": {"serverURL": "s:443", "organizationID": "o", "stackID": "s", "auth": {"clientID": "c", "clientSecret": CANARY, "issuer": "https://i"}},
}  # fmt: skip

SECRETS: list[dict[str, Any]] = [
    {},
    {"secret": CANARY},
    {"public": True},
    {"secretFromSecret": {"name": "n", "key": "k"}},
]

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
lower = st.sampled_from([m.lower() for m in MODULES])
part = st.one_of(st.just("*"), lower)
deployment = st.one_of(part, lower.map(lambda m: f"{m}-worker"))
flags = st.sampled_from(["true", "false"])
numbers = st.integers(1, 60).map(str)
amounts = st.sampled_from(["128Mi", "1Gi", "500M", "1e9", "100"])
durations = st.sampled_from(["5s", "1m30s", "500ms", "2h"])
words = st.sampled_from(["a", "team-a", "x.y", "warn", "b c"])


def keyed(pattern: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    """A key with a module or deployment in the place of each mark, and its value."""

    def filled(found: tuple[str, str, str]) -> tuple[str, str]:
        return pattern.replace("<m>", found[0]).replace("<d>", found[1]), found[2]

    return st.tuples(part, deployment, value).map(filled)


def pairs(**values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A map of the operator's."""
    entries = {name.replace("_", "-") if name.islower() else name: value for name, value in values.items()}
    return st.fixed_dictionaries({}, optional=entries).map(lambda found: ",".join(f"{k}={v}" for k, v in found.items()))


KNOWN = st.one_of(
    keyed("deployments.<d>.replicas", numbers),
    keyed("deployments.<d>.containers.*.resource-requirements.limits", pairs(memory=amounts, cpu=numbers)),
    keyed("deployments.<d>.containers.*.resource-requirements.requests", pairs(memory=st.just("32Mi"))),
    keyed("deployments.<d>.containers.*.run-as", pairs(user=st.integers(0, 9).map(str), group=numbers)),
    keyed("deployments.<d>.containers.*.env-vars", pairs(LEVEL=words, API_TOKEN=st.just(CANARY), OTHER=st.just(CANARY), NUMBER=numbers)),
    keyed("jobs.<m>.containers.migrate.env-vars", pairs(LEVEL=words, SECRET=st.just(CANARY))),
    keyed("jobs.<m>.spec.template.annotations", pairs(a=words)),
    keyed("deployments.<d>.pod-disruption-budget", st.sampled_from(["minAvailable=50%", "maxUnavailable=1"])),
    keyed("deployments.<d>.topology-spread-constraints", flags),
    keyed("deployments.<d>.semconv-metrics-names", flags),
    keyed("deployments.<d>.spec.template.annotations", pairs(a=words, password=st.just(CANARY))),
    keyed("deployments.<d>.spec.template.spec.termination-grace-period-seconds", numbers),
    keyed("modules.<m>.database.connection-pool", pairs(max_open=numbers, max_lifetime=durations)),
    keyed("modules.<m>.grace-period", durations),
    keyed("services.<d>.annotations", pairs(a=words)),
    keyed("services.<d>.traffic-distribution", st.just("PreferClose")),
    keyed("auth.<m>.check-scopes", flags),
    keyed("auth.issuers", st.just("https://login.example.org")),
    keyed("postgres.<m>.uri", st.sampled_from([f"postgresql://u:{CANARY}@pg2:5432?disableSSLMode=true", "postgresql://pg3?secret=other"])),
    keyed("broker.dsn", st.sampled_from([f"nats://u:{CANARY}@n:4222?replicas=3", f"kafka://k:9092?saslEnabled=true&saslUsername=u&saslPassword={CANARY}&saslMechanism=PLAIN"])),
    keyed("temporal.dsn", st.just("temporal://t2:7233/ns?secret=temporal-tls&encryptionKeySecret=enc")),
    keyed("opentelemetry.traces.dsn", st.sampled_from(["grpc://c:4317?insecure=true", f"http://u:{CANARY}@c/v1/traces"])),
    keyed("opentelemetry.metrics.resource-attributes", pairs(team=words)),
    keyed("payments.encryption-key", st.just(CANARY)),
    keyed("ledger.api.bulk-max-size", numbers),
    keyed("ledger.experimental-features", flags),
    keyed("ledger.worker.pipelines", pairs(pull_interval=durations, logs_page_size=numbers)),
    keyed("gateway.config.idle-timeout", durations),
    keyed("gateway.ingress.hosts", st.just("{stack}.other.example.org")),
    keyed("gateway.ingress.tls.enabled", flags),
    keyed("gateway.caddyfile.trusted-proxies", st.just("10.0.0.0/8,private_ranges")),
    keyed("registries.*.endpoint", st.just("mirror.example.org?pullSecret=zot")),
    keyed('registries."ghcr.io".images."formancehq/ledger".rewrite', st.just("mirror/ledger")),
    keyed("networkpolicies.enabled", flags),
    keyed("logging.json", flags),
    keyed("clear-database", flags),
    keyed("elasticsearch.dsn", st.just(f"https://u:{CANARY}@e:9200")),
)  # fmt: skip
# Whatever else somebody writes: it may be refused by its name, and must not be lost.
WILD = st.tuples(
    st.one_of(KNOWN.map(lambda found: found[0]), st.text('ab*." -\n', min_size=1, max_size=12)),
    st.text(st.sampled_from('a1=,"://@?&%.\n é'), max_size=16),
)
stacks = st.sampled_from([["*"], ["s1"], ["*", "other"], ["other"], ["s1", "other"], []])


def of_settings(found: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[list[Document]]:
    each = st.tuples(found, stacks)
    return st.lists(each, max_size=12).map(
        lambda many: [
            made("Settings", f"s{n}", {"stacks": named, "key": key, "value": value})
            for n, ((key, value), named) in enumerate(many)
        ]
    )


@st.composite
def objects(draw: st.DrawFn) -> list[Document]:
    """A Stack with some of its modules, clients and what the operator made, all as the API server would have them."""
    by_line = draw(st.booleans())
    flags_of = {name: draw(st.booleans()) for name in ("debug", "dev", "disabled", "enableAudit")}
    versions = {m.lower(): VERSIONS.get(m, "v2.4.1") for m in MODULES}
    found = [
        made("Stack", "s1", {**flags_of, **({"versionsFromFile": "v3.2"} if by_line else {})}),
        made("Versions", "v3.2", versions),
        setting("postgres.*.uri", "postgresql://pg:5432?secret=pg", name="pg"),
        setting("broker.dsn", "nats://nats:4222", name="broker"),
        setting("temporal.dsn", "temporal://t:7233/ns", name="temporal"),
    ]
    chosen = set(draw(st.lists(st.sampled_from(MODULES), unique=True, min_size=1)))
    for kind in sorted(chosen | ({"Gateway"} if "Stargate" in chosen else set())):
        version = draw(st.booleans()) or not by_line
        spec = {
            "stack": "s1",
            "debug": draw(st.booleans()),
            "dev": False,
            **({"version": VERSIONS.get(kind, "v2.4.1")} if version else {}),
        }
        full = draw(st.booleans()) or kind in ("Stargate", "Gateway")
        found.append(made(kind, draw(names), {**spec, **(SPECS.get(kind, {}) if full else {})}))
    for kind in draw(st.lists(st.sampled_from([*OTHERS, *MODULES]), max_size=4)):
        found.append(
            made(
                kind,
                f"{kind.lower()}-b",
                {"stack": draw(st.sampled_from(["s1", "other"])) if kind in OTHERS else "other"},
            )
        )
    for name in draw(st.lists(names, max_size=3, unique=True)):
        secret: dict[str, Any] = draw(st.sampled_from(SECRETS))
        owner = {"ownerReferences": [{"kind": "Wallets", "name": "w"}]} if draw(st.booleans()) else {}
        found.append(made("AuthClient", name, {"stack": "s1", "id": name, **secret}, metadata=owner))
    if draw(st.booleans()):
        found.append(
            made(
                "Broker",
                "s1",
                {"stack": "s1"},
                status={"mode": "OneStreamByService", "uri": f"nats://u:{CANARY}@n:4222"},
            )
        )
    found.append(
        made(
            "Database",
            "s1-ledger",
            {"stack": "s1", "service": "ledger"},
            status={"database": "s1-ledger", "uri": f"postgresql://u:{CANARY}@pg"},
        )
    )
    return list({(d["kind"], d["metadata"]["name"]): d for d in found}.values())


def imported(documents: list[Document]) -> tuple[Written, str]:
    """What was written, and every text that came of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "in.yaml"
        file.write_text(yaml.safe_dump_all(documents))
        written = import_files([file], Path(folder), "s1")
        config = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in yaml.safe_load(written.files[0].read_text())["config"].items()
        }
        if not written.problem:
            load(config, stack="s1", root=Path(folder))
        said = [*(file.read_text() for file in written.files), text(written), json.dumps(as_json(written))]
        return written, "\n".join(said)


def nothing_vanished(documents: list[Document], written: Written) -> None:
    modules = written.imported.config["modules"]
    sources = [source for each in written.imported.sources.values() for source in each]
    accounted = "\n".join([*sources, *written.imported.without, *map(str, written.todo)])
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if document["spec"].get("stack") == "s1" and kind.lower() in modules:
            continue
        if (kind, name) == ("Stack", "s1") or (kind == "Versions" and written.imported.line == name):
            continue
        assert re.search(rf"{kind}/{re.escape(name)}(?![\w.-])", accounted), document


def what_is_listed_does_nothing(documents: list[Document], written: Written) -> None:
    """Without the Settings that are listed as a whole the stack is the same."""
    without = written.imported.without

    def is_listed(document: Document) -> bool:
        name = f"Settings/{document['metadata']['name']}: "
        key = f"{name}{document['spec'].get('key')}: "
        return any(line.startswith((key, f"{name}nothing follows")) for line in without)

    left = [document for document in documents if document["kind"] != "Settings" or not is_listed(document)]
    assert translate(left, "s1").config == written.imported.config


# Without shrinking: an example is a few dozen objects, and making it smaller takes minutes.
generated = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


@generated
@given(objects(), of_settings(KNOWN))
def test_any_stack_is_imported_whole(documents: list[Document], more: list[Document]) -> None:
    written, said = imported([*documents, *more])
    assert written.problem == ""
    assert CANARY not in said
    nothing_vanished([*documents, *more], written)
    what_is_listed_does_nothing([*documents, *more], written)


@generated
@given(objects(), of_settings(WILD))
def test_whatever_is_written_is_imported_or_refused_by_its_name(
    documents: list[Document], more: list[Document]
) -> None:
    problems: list[str] = []
    try:
        written, said = imported([*documents, *more])
    except CannotImport as error:
        problems = error.problems
    if problems:
        known = tuple(f"{d['kind']}/{d['metadata']['name']}: " for d in [*documents, *more])
        assert all(problem.startswith(known) for problem in problems), problems
        assert CANARY not in "".join(problems)
        return
    assert CANARY not in said
    nothing_vanished([*documents, *more], written)
