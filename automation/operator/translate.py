"""A stack of the Formance operator as our configuration. Values in, values out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from settings.catalog import KINDS

from ..errors import UsageError
from .settings import Lookup

# What the operator names the API's container where it is not the module.
_CONTAINERS = {"payments": "payments-api", "orchestration": "api", "webhooks": "api"}
_WORKERS = frozenset({"ledger", "payments", "transactionplane"})
_MODULES = frozenset(KINDS) - {"custom"}
_WITHOUT = {
    "Search": "search was removed from Formance's stacks",
    "Benthos": "belongs to search",
    "BenthosStream": "belongs to search",
    "Broker": "the operator makes it; see rollout:broker",
    "BrokerTopic": "the operator makes it; see rollout:broker.streams",
    "BrokerConsumer": "the operator makes it; see rollout:broker.streams",
    "Database": "the operator makes it; databases keep their names, <stack>-<module>",
    "GatewayHTTPAPI": "the operator makes it; every module has a route",
    "ResourceReference": "Secrets must be in the stack's namespace themselves",
}
_REASONS = (
    ("clear-database", "databases are dropped by `rollout destroy --drop-databases` and by nothing else"),
    ("payments.clear-temporal", "Temporal is never cleared"),
    ("elasticsearch", "only search used it"),
    ("caddy.image", "only payments before 3.0 used it"),
    ("gateway.dns", "external-dns reads the Ingress's hosts, or annotations in gateway.ingress.annotations"),
    ("gateway.ingress.labels", "the Ingress has the stack's own labels"),
    ("ledger.logs.max-batch-size", "no version reads it"),
    ("claims", "resource claims are not supported"),
    ("init-containers", "no module has init containers"),
    ("jobs.database.", "the Job that makes a database is the same everywhere"),
)


@dataclass
class Imported:
    """What a stack of the operator is as ours.

    Args:
        stack: its name.
        config: settings under ``rollout:``.
        line: name of the versions file, None if the stack uses none.
        versions: module -> version, of that file.
        todo: what is to be done by hand before an update, credentials above all.
        without: what has no equivalent, and why.
    """

    stack: str
    config: dict[str, Any] = field(default_factory=dict)
    line: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    todo: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)


def translate(documents: Iterable[Mapping[str, Any]], stack: str | None = None) -> Imported:
    """Reads the objects of one stack.

    Args:
        documents: of the operator: Stack, Settings, Versions, the modules, AuthClient; others are listed as without equivalent.
        stack: name; may be left out where there is one Stack.

    Raises:
        UsageError: there is no such Stack, or more than one to choose from.
    """
    objects = [d for d in documents if str(d.get("apiVersion", "")).startswith("formance.com/")]
    stacks = {_name(d): d for d in objects if d.get("kind") == "Stack"}
    if stack is None and len(stacks) == 1:
        stack = next(iter(stacks))
    if stack is None or stack not in stacks:
        known = ", ".join(sorted(stacks)) or "none"
        raise UsageError(f"which stack? --stack NAME; the files have: {known}")
    mine = [d for d in objects if (d.get("spec") or {}).get("stack", stack) == stack]
    return _Translation(stack, stacks[stack], mine).result()


def _name(document: Mapping[str, Any]) -> str:
    return str((document.get("metadata") or {}).get("name", ""))


class _Translation:
    def __init__(self, name: str, stack: Mapping[str, Any], objects: list[Mapping[str, Any]]) -> None:
        self._spec: Mapping[str, Any] = stack.get("spec") or {}
        self._stack = stack
        self._objects = objects
        self._settings = Lookup([d for d in objects if d.get("kind") == "Settings"], name)
        self._found = Imported(name)
        self._modules: dict[str, dict[str, Any]] = {}
        self._specs: dict[str, Mapping[str, Any]] = {
            str(d["kind"]).lower(): d.get("spec") or {}
            for d in objects
            if str(d.get("kind", "")).lower() in _MODULES and str(d["kind"]).lower() != "settings"
        }

    def result(self) -> Imported:
        self._versions()
        self._infrastructure()
        for name, spec in self._specs.items():
            self._modules[name] = self._module(name, spec)
        self._databases()
        self._limits()
        self._clients()
        self._gateway()
        config = self._found.config
        for flag in ("debug", "dev", "disabled"):
            if self._spec.get(flag):
                config[flag] = True
        if self._spec.get("enableAudit"):
            self._without("Stack.spec.enableAudit", "deprecated; the gateway does not publish an audit trail")
        annotations = (self._stack.get("metadata") or {}).get("annotations") or {}
        if annotations.get("formance.com/skip") == "true":
            config["freeze"] = "the operator's stack was skipped (formance.com/skip)"
        config["modules"] = self._modules
        for document in self._objects:
            reason = _WITHOUT.get(str(document.get("kind")))
            if reason:
                self._without(f"{document['kind']} {_name(document)}", reason)
        for setting in self._settings.unused:
            reason = next((why for key, why in _REASONS if key in setting.key), "not known")
            self._without(f"Settings {setting.key}", reason)
        return self._found

    # --- parts -------------------------------------------------------------------------------------------------------

    def _without(self, what: str, why: str) -> None:
        self._found.without.append(f"{what}: {why}")

    def _credential(self, what: str, secret: str, key: str) -> dict[str, str]:
        """A reference to a Secret that is yet to be made, in the place of text that must not be in a file."""
        self._found.todo.append(
            f"{what} was in plain text: kubectl -n {self._found.stack} create secret generic {secret} --from-literal={key}=..."
        )
        return {"name": secret, "key": key}

    def _reference(self, given: Mapping[str, Any]) -> dict[str, str]:
        self._here(str(given["name"]))
        return {"name": str(given["name"]), "key": str(given["key"])}

    def _here(self, secret: str) -> str:
        note = f"Secret {secret} must be in namespace {self._found.stack}: the operator copied it there from another"
        if note not in self._found.todo:
            self._found.todo.append(note)
        return secret

    def _versions(self) -> None:
        line = self._spec.get("versionsFromFile")
        if self._spec.get("version"):
            return
        if line:
            self._found.line = str(line)
            self._found.config["versions"] = f"versions/{line}.yaml"
            for document in self._objects:
                if document.get("kind") == "Versions" and _name(document) == line:
                    spec = document.get("spec") or {}
                    self._found.versions = {str(k).lower(): str(v) for k, v in sorted(spec.items())}
            if not self._found.versions:
                self._found.todo.append(f"Versions {line} is not in the files: write versions/{line}.yaml")

    def _infrastructure(self) -> None:
        s, config = self._settings, self._found.config
        if dsn := s.text("broker", "dsn"):
            config["broker"] = self._broker(dsn)
        if dsn := s.text("temporal", "dsn"):
            config["temporal"] = self._temporal(dsn)
        telemetry = {}
        for signal in ("traces", "metrics"):
            if dsn := s.text("opentelemetry", signal, "dsn"):
                parts = urlsplit(dsn)
                query = dict(parse_qsl(parts.query))
                port = parts.port or 4317
                telemetry[signal] = _filled(
                    endpoint=f"{parts.scheme}://{parts.hostname}:{port}{parts.path}",
                    insecure=query.get("insecure") in ("true", "1"),
                    resourceAttributes=s.map("opentelemetry", signal, "resource-attributes"),
                )
        # Its Secrets must be there before the first update, and so must it.
        config["namespace"] = {"create": False}
        self._found.todo.append(
            f"namespace {self._found.stack} must exist, with the Secrets below; the operator's own goes when its Stack is deleted, "
            "so rather make another and set rollout:namespace.name"
        )
        for each in ("labels", "annotations"):
            if s.map("namespace", each):
                self._without(
                    f"Settings namespace.{each}", "the namespace is not made by the stack: give it these yourself"
                )
        found = {"openTelemetry": telemetry, "registries": self._registries()}
        config |= {k: v for k, v in found.items() if v}
        if s.flag("networkpolicies", "enabled"):
            config["networkPolicies"] = True
        if s.flag("logging", "json"):
            config["defaults"] = {"jsonLogging": True}

    def _broker(self, dsn: str) -> dict[str, Any]:
        parts = urlsplit(dsn)
        query = dict(parse_qsl(parts.query))
        # The operator keeps one stream a stack unless it finds those of old.
        broker: dict[str, Any] = {"uri": f"{parts.scheme}://{parts.netloc}", "streams": "stack"}
        if query.get("saslEnabled") in ("true", "1"):
            if query.get("saslUsername"):
                broker["username"] = query["saslUsername"]
                broker["password"] = self._credential("broker.dsn's saslPassword", "broker", "password")
                mechanism = query.get("saslMechanism", "PLAIN")
                broker["saslMechanism"] = "SCRAM" if mechanism.startswith("SCRAM") else "PLAIN"
                size = query.get("saslSCRAMSHASize") or mechanism.removeprefix("SCRAM-SHA-")
                if size in ("256", "512"):
                    broker["saslScramShaSize"] = size
            elif self._settings.text("aws", "service-account"):
                broker["awsIam"] = True
        if query.get("tls") in ("true", "1"):
            broker["tls"] = True
        if query.get("circuitBreakerEnabled") == "true":
            broker["circuitBreaker"] = _filled(enabled=True, openInterval=query.get("circuitBreakerOpenInterval"))
        if "replicas" in query:
            broker["replicas"] = int(query["replicas"])
        return broker

    def _temporal(self, dsn: str) -> dict[str, Any]:
        s, parts = self._settings, urlsplit(dsn)
        query = dict(parse_qsl(parts.query))
        port = parts.port or 7233
        temporal: dict[str, Any] = {"address": f"{parts.hostname}:{port}", "namespace": parts.path.strip("/")}
        certificate, key = s.text("temporal", "tls", "crt"), s.text("temporal", "tls", "key")
        if query.get("secret"):
            secret = self._here(query["secret"])
            temporal["certificate"] = {"name": secret, "key": "tls.crt"}
            temporal["key"] = {"name": secret, "key": "tls.key"}
        elif certificate and key:
            temporal["certificate"] = self._credential("temporal.tls.crt", "temporal", "tls.crt")
            temporal["key"] = self._credential("temporal.tls.key", "temporal", "tls.key")
        if query.get("encryptionKeySecret"):
            temporal["encryptionKey"] = {"name": self._here(query["encryptionKeySecret"]), "key": "key"}
        if query.get("initSearchAttributes") == "true":
            temporal["initSearchAttributes"] = True
        return temporal

    def _registries(self) -> dict[str, Any]:
        s, registries = self._settings, dict[str, Any]()
        for parts in list(s.beginning("registries")):
            value = s.text(*parts) or ""
            registry = registries.setdefault(parts[1], {})
            if parts[2:] == ("endpoint",):
                endpoint, _, query = value.partition("?")
                registry["endpoint"] = endpoint
                options = dict(pair.partition("=")[::2] for pair in query.split(",") if pair)
                if options.get("pullSecret"):
                    registry["pullSecret"] = self._here(options["pullSecret"])
            elif len(parts) == 5 and parts[2] == "images" and parts[4] == "rewrite":
                registry.setdefault("images", {})[parts[3]] = value
        return registries

    def _module(self, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        s = self._settings
        module: dict[str, Any] = {}
        version = spec.get("version") or self._spec.get("version")
        if version:
            module["version"] = str(version)
        for flag in ("debug", "dev"):
            if flag in spec:
                module[flag] = bool(spec[flag])
        camel = {"transactionplane": "transactionPlane"}.get(name, name)
        module |= _filled(gracePeriod=s.text("modules", camel, "grace-period"))
        module |= self._deployment(name, _CONTAINERS.get(name, name))
        if name in _WORKERS:
            worker = self._deployment(f"{name}-worker", f"{name}-worker")
            known = {k: worker.pop(k) for k in ("replicas", "resources", "env") if k in worker}
            if known:
                module["worker"] = known
            if name == "ledger":
                module.get("worker", {}).pop("replicas", None)  # the operator never gave it more than one
            for key in (k for k, v in worker.items() if module.get(k) != v):
                self._without(f"Settings deployments.{name}-worker, {key}", "a worker has its module's")
        module |= self._job(name)
        module |= _filled(
            service=_filled(
                annotations=s.map("services", name, "annotations"),
                trafficDistribution=s.text("services", name, "traffic-distribution"),
            )
        )
        if name not in ("auth", "stargate", "gateway"):
            given = spec.get("auth") or {}
            scopes = given.get("checkScopes") or s.flag("auth", name, "check-scopes")
            retries = given.get("readKeySetMaxRetries") or None
            module |= _filled(auth=_filled(checkScopes=bool(scopes), readKeySetMaxRetries=retries))
        own = getattr(self, f"_{name}", None)
        return _joined(module, own(spec) if own else {})

    def _deployment(self, deployment: str, container: str) -> dict[str, Any]:
        s, at = self._settings, ("deployments", deployment)
        inside = (*at, "containers", container)
        resources = {
            each: s.map(*inside, "resource-requirements", each)
            for each in ("limits", "requests")
            if s.text(*inside, "resource-requirements", each)
        }
        budget = s.map(*at, "pod-disruption-budget")
        run_as = s.map(*inside, "run-as")
        replicas = s.text(*at, "replicas")
        grace = s.text(*at, "spec", "template", "spec", "termination-grace-period-seconds")
        return _filled(
            replicas=int(replicas) if replicas else None,
            resources=resources,
            env=s.map(*inside, "env-vars"),
            runAsUser=int(run_as["user"]) if run_as.get("user", "0") != "0" else None,
            runAsGroup=int(run_as["group"]) if run_as.get("group", "0") != "0" else None,
            disruptionBudget={k: int(v) if v.isdigit() else v for k, v in budget.items()},
            topologySpread=s.flag(*at, "topology-spread-constraints"),
            semconvMetricsNames=s.flag(*at, "semconv-metrics-names"),
            annotations=s.map(*at, "spec", "template", "annotations"),
            terminationGracePeriodSeconds=int(grace) if grace else None,
        )

    def _job(self, name: str) -> dict[str, Any]:
        s, at = self._settings, ("jobs", name)
        if s.text(*at, "containers", "migrate", "run-as"):
            self._without(f"Settings jobs.{name}.containers.migrate.run-as", "a migration runs as its module does")
        found = _filled(
            env=s.map(*at, "containers", "migrate", "env-vars"),
            annotations=s.map(*at, "spec", "template", "annotations"),
        )
        return {"migration": found} if found else {}

    def _ledger(self, _spec: Mapping[str, Any]) -> dict[str, Any]:
        s = self._settings
        api = _filled(
            bulkMaxSize=_number(s.text("ledger", "api", "bulk-max-size")),
            defaultPageSize=_number(s.text("ledger", "api", "default-page-size")),
            maxPageSize=_number(s.text("ledger", "api", "max-page-size")),
        )
        worker = {
            ours: {_camel(k): int(v) if v.isdigit() else v for k, v in found.items()}
            for ours, theirs in (
                ("asyncBlockHasher", "async-block-hasher"),
                ("bucketCleanup", "bucket-cleanup"),
                ("pipelines", "pipelines"),
            )
            if (found := s.map("ledger", "worker", theirs))
        }
        return _filled(
            api=api,
            worker=worker,
            experimentalFeatures=s.flag("ledger", "experimental-features"),
            experimentalNumscript=s.flag("ledger", "experimental-numscript"),
            experimentalNumscriptFlags=s.words("ledger", "experimental-numscript-flags"),
            experimentalExporters=s.flag("ledger", "experimental-exporters"),
            schemaEnforcementMode=s.text("ledger", "schema-enforcement-mode"),
        )

    def _payments(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        s = self._settings
        s.text("payments", "encryption-key")
        if spec.get("encryptionKey"):
            self._found.todo.append(
                "Payments.spec.encryptionKey was ignored by the operator: the key in use is that of the setting payments.encryption-key"
            )
        pollers = {
            f"temporalMax{_camel(each)[:1].upper()}{_camel(each)[1:]}": _number(
                s.text("payments", "worker", f"temporal-max-{each}")
            )
            for each in (
                "concurrent-workflow-task-pollers",
                "concurrent-activity-task-pollers",
                "slots-per-poller",
                "local-activity-slots",
            )
        }
        key = self._credential("payments.encryption-key", "payments-encryption", "key")
        return {"encryptionKey": key, **_filled(worker=_filled(**pollers))}

    def _orchestration(self, _spec: Mapping[str, Any]) -> dict[str, Any]:
        return _filled(maxParallelActivities=_number(self._settings.text("orchestration", "max-parallel-activities")))

    def _transactionplane(self, _spec: Mapping[str, Any]) -> dict[str, Any]:
        return _filled(workerWithin=self._settings.flag("transactionplane", "worker-enabled"))

    def _auth(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = _filled(issuers=(self._settings.text("auth", "issuers") or "").split())
        if spec.get("signingKeyFromSecret"):
            found["signingKey"] = self._reference(spec["signingKeyFromSecret"])
        elif spec.get("signingKey"):
            found["signingKey"] = self._credential("Auth.spec.signingKey", "auth-signing", "key.pem")
        oidc = spec.get("delegatedOIDCServer")
        if oidc:
            given = oidc.get("clientSecretFromSecret")
            secret = (
                self._reference(given)
                if given
                else self._credential("Auth.spec.delegatedOIDCServer.clientSecret", "auth-delegated", "secret")
            )
            found["delegatedOidc"] = {"issuer": oidc["issuer"], "clientId": oidc["clientID"], "clientSecret": secret}
        if spec.get("enableScopes"):
            self._without("Auth.spec.enableScopes", "see auth.checkScopes of each module")
        return found

    def _stargate(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        auth = spec.get("auth") or {}
        secret = self._credential("Stargate.spec.auth.clientSecret", "stargate", "secret")
        return _filled(
            serverUrl=spec.get("serverURL"),
            organizationId=spec.get("organizationID"),
            stackId=spec.get("stackID"),
            auth={"clientId": auth.get("clientID"), "clientSecret": secret, "issuer": auth.get("issuer")},
            tls=False if (spec.get("tls") or {}).get("disable") else None,
        )

    def _databases(self) -> None:
        """The server of most modules is the stack's; those of the others are their own."""
        s, servers = self._settings, dict[str, dict[str, Any]]()
        for name in self._modules:
            if name in ("gateway", "wallets", "stargate"):
                continue
            uri = s.text("postgres", name, "uri")
            if uri is None:
                self._found.todo.append(f"{name} has no setting postgres.{name}.uri: set rollout:postgres.uri")
                continue
            camel = {"transactionplane": "transactionPlane"}.get(name, name)
            pool = s.map("modules", camel, "database", "connection-pool")
            names = {
                "max-idle": "maxIdle",
                "max-idle-time": "maxIdleTime",
                "max-open": "maxOpen",
                "max-lifetime": "maxLifetime",
            }
            settings = {names[k]: int(v) if v.isdigit() else v for k, v in pool.items() if k in names}
            servers[name] = {"uri": self._server(uri), **({"pool": settings} if settings else {})}
        if s.text("aws", "service-account"):
            for server in servers.values():
                server["awsIam"] = True
            self._found.todo.append(
                "aws.service-account: set rollout:defaults.serviceAccount.annotations to those of that account (eks.amazonaws.com/role-arn)"
            )
        if not servers:
            return
        most = Counter(json.dumps(v, sort_keys=True) for v in servers.values()).most_common(1)[0][0]
        self._found.config["postgres"] = json.loads(most)
        for name, server in servers.items():
            if json.dumps(server, sort_keys=True) != most:
                self._modules[name]["postgres"] = server

    def _limits(self) -> None:
        """The operator limits no memory unless told to; here every container has a limit."""
        without = [n for n, m in self._modules.items() if "memory" not in m.get("resources", {}).get("limits", {})]
        if without:
            self._found.todo.append(
                f"the operator set no memory limit for {', '.join(sorted(without))}, which get the default's: set "
                "rollout:defaults.resources.limits.memory to what they need"
            )

    def _server(self, uri: str) -> str:
        parts = urlsplit(uri)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        query.pop("awsRole", None)
        if query.pop("disableSSLMode", "") in ("true", "1"):
            query["sslmode"] = "disable"
        # What the modules' client does where nothing is said.
        query.setdefault("sslmode", "prefer")
        iam = bool(self._settings.text("aws", "service-account"))
        host = parts.netloc.rpartition("@")[2]
        if query.get("secret"):
            self._here(query["secret"])
        elif iam:
            host = f"{parts.username or 'formance'}@{host}"
            if not parts.username:
                self._found.todo.append(
                    f"the URI of {parts.hostname} names no user for AWS IAM, and formance was written: correct it"
                )
        else:
            note = (
                f"the password of {parts.hostname} was in plain text: kubectl -n {self._found.stack} create secret generic postgres "
                "--from-literal=username=... --from-literal=password=..."
            )
            if note not in self._found.todo:
                self._found.todo.append(note)
            query["secret"] = "postgres"
        return f"postgresql://{host}?{urlencode(sorted(query.items()))}"

    def _clients(self) -> None:
        clients: dict[str, Any] = {}
        for document in self._objects:
            if document.get("kind") != "AuthClient":
                continue
            spec = document.get("spec") or {}
            name = re.sub(r"[^a-z0-9-]", "-", _name(document).lower())[:24].strip("-")
            client = _filled(
                id=spec.get("id"),
                public=bool(spec.get("public")),
                description=spec.get("description"),
                scopes=spec.get("scopes"),
                redirectUris=spec.get("redirectUris"),
                postLogoutRedirectUris=spec.get("postLogoutRedirectUris"),
            )
            if spec.get("secretFromSecret"):
                client["secret"] = self._reference(spec["secretFromSecret"])
            elif spec.get("secret"):
                client["secret"] = self._credential(f"AuthClient {name}'s secret", f"auth-client-{name}", "secret")
            clients[name] = client
        if clients and "auth" in self._modules:
            self._modules["auth"]["clients"] = clients
        if "auth" in self._modules:
            for name in ("orchestration", "reconciliation", "transactionplane", "wallets"):
                if name in self._modules and name not in clients:
                    self._found.todo.append(
                        f"the client of {name} gets a new secret: kubectl -n {self._found.stack} create secret generic "
                        f"auth-client-{name} --from-literal=secret=$(openssl rand -hex 20)"
                    )

    def _gateway(self, _spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The gateway's settings are the stack's; its module has none of its own."""
        if "gateway" not in self._specs or "gateway" not in self._modules:
            return {}
        s = self._settings
        given = self._specs["gateway"].get("ingress")
        gateway = _filled(
            trustedProxies=s.words("gateway", "caddyfile", "trusted-proxies"),
            trustedProxiesStrict=s.flag("gateway", "caddyfile", "trusted-proxies-strict"),
            idleTimeoutSeconds=_seconds(s.text("gateway", "config", "idle-timeout")),
        )
        if given:
            hosts = [given.get("host"), *(given.get("hosts") or []), *s.words("gateway", "ingress", "hosts")]
            named = [h.replace("{stack}", self._found.stack) for h in hosts if h]
            secret = (given.get("tls") or {}).get("secretName")
            if not secret and s.flag("gateway", "ingress", "tls", "enabled"):
                secret = "gateway-tls"
            gateway["ingress"] = _filled(
                hosts=list(dict.fromkeys(named)),
                scheme=given.get("scheme"),
                className=given.get("ingressClassName") or s.text("gateway", "ingress", "class"),
                annotations={**s.map("gateway", "ingress", "annotations"), **(given.get("annotations") or {})},
                tlsSecret=secret,
            )
        if gateway:
            self._found.config["gateway"] = gateway
        return {}


def _filled(**values: Any) -> dict[str, Any]:
    """Without what is not set."""
    return {k: v for k, v in values.items() if v not in (None, False, "", [], {})} | {
        k: v for k, v in values.items() if k == "tls" and v is False
    }


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {k: {**one[k], **v} for k, v in other.items() if isinstance(one.get(k), dict) and isinstance(v, dict)}
    return {**one, **other, **both}


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(r.capitalize() for r in rest)


def _seconds(text: str | None) -> int | None:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)([hms])", text)) if text else None
