"""One module of the operator's stack: its object and the settings that are for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from settings.catalog import find
from settings.versions import Version

from .draft import Draft, of_object
from .infrastructure import harmless
from .objects import Fields, Object
from .settings import Lookup, Setting
from .values import duration, flag, is_evident, is_suspect, plain, quantity, seconds, told, whole, words

# What the operator names the API's container where it is not the module (internal/resources/*/deployment*.go).
_CONTAINERS = {"payments": "payments-api", "orchestration": "api", "webhooks": "api"}
_WORKERS = ("ledger", "payments", "transactionplane")
# Before 3.0 the operator makes three of payments: a proxy by the module's name, an API and the connectors, which are its worker here.
_PAYMENTS_2 = ("payments-read", "api"), ("payments-connectors", "connectors")
# As the operator writes a kind in a key of `modules`: in lower camel case.
_PAYMENTS_3 = Version("3.0.0")
_CAMEL = {"transactionplane": "transactionPlane"}
_UNPROTECTED = ("auth", "stargate", "gateway", "mcp")
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Module:
    """One module, which is written into the draft.

    Args:
        draft: of the stack.
        lookup: the operator's settings.
        given: its object.
        version: to write, "" where the versions file says.
        source: what says so.
        resolved: the version that runs.
    """

    def __init__(
        self, draft: Draft, lookup: Lookup, given: Object, version: str, source: object, resolved: str
    ) -> None:
        self._draft, self._lookup, self._given, self._version = draft, lookup, given, Version(resolved)
        self._spec = Fields(given, given.spec, draft.problems)
        self.name = given.kind.lower()
        draft.config.setdefault("modules", {}).setdefault(self.name, {})
        draft.sourced(given, "modules", self.name)
        self._put(version, "version", source=source)

    def write(self) -> None:
        """Everything of it."""
        name, spec = self.name, self._spec
        spec.text("stack"), spec.text("version")
        # The stack's own true holds for every module, whatever the module's default says (core/env.go, GetDevEnvVars).
        self._put(spec.flag("debug"), "debug")
        self._put(spec.flag("dev"), "dev")
        self._copy(duration, "gracePeriod", "modules", _CAMEL.get(name, name), "grace-period")
        self._deployment()
        if name in _WORKERS:
            self._worker()
        self._job()
        self._service(name)
        if name not in _UNPROTECTED:
            self._protection()
        own = getattr(self, f"_{name}", None)
        if own:
            own()
        for path in spec.unread():
            self._draft.listed(f"{self._given}: {path}", "not known here, so nothing was made of it")

    # --- what every module has ---------------------------------------------------------------------------------------

    def _put(self, value: Any, *path: str, source: object = None) -> None:
        self._draft.put(value, "modules", self.name, *path, source=source or self._given)

    def _copy(self, form: Callable[[str], Any], path: str, *parts: str) -> None:
        """A setting that is one of ours by another name."""
        found = self._lookup.read(form, *parts)
        if found:
            self._put(found[0], *path.split("."), source=found[1])

    def _flag(self, path: str, *parts: str) -> bool:
        """A setting that is on or off."""
        setting = self._lookup.find(*parts)
        if setting is None:
            return False
        try:
            value = flag(setting.value)
        except ValueError as error:
            value = False
            self._draft.note(f"{setting}: {told(parts[-1], setting.value)} {error}; it was left off")
        if path:
            self._put(value, *path.split("."), source=setting)
        return value

    def _deployment(self) -> None:
        name = self.name
        deployment, container = self._api
        at = ("deployments", deployment)
        inside = (*at, "containers", container)
        self._copy(whole, "replicas", *at, "replicas")
        self._resources(("resources",), *inside, "resource-requirements")
        self._environment(("env",), f"{name}-env", *inside, "env-vars")
        self._run_as(*inside, "run-as")
        self._budget(*at, "pod-disruption-budget")
        self._flag("topologySpread", *at, "topology-spread-constraints")
        self._flag("semconvMetricsNames", *at, "semconv-metrics-names")
        annotations = (*at, "spec", "template", "annotations")
        self._put(
            harmless(self._draft, self._lookup, *annotations), "annotations", source=self._lookup.find(*annotations)
        )
        self._grace(*at, "spec", "template", "spec", "termination-grace-period-seconds")

    def _grace(self, *parts: str) -> None:
        found = self._lookup.read(whole, *parts)
        if not found:
            return
        self._put(found[0], "terminationGracePeriodSeconds", source=found[1])
        # It includes the time in which a pod goes on as before, and in which a gateway does.
        if 0 < found[0] <= 3:
            self._put(found[0] - 1, "drainSeconds", source=found[1])
        if self.name == "gateway" and 0 < found[0] <= 5:
            self._draft.put(found[0] - 1, "gateway", "shutdownSeconds", source=found[1])

    @property
    def _api(self) -> tuple[str, str]:
        """The operator's Deployment and container of the API."""
        return _PAYMENTS_2[0] if self._is_payments_2 else (self.name, _CONTAINERS.get(self.name, self.name))

    @property
    def _is_payments_2(self) -> bool:
        return self.name == "payments" and self._version.is_older_than(_PAYMENTS_3)

    def _worker(self) -> None:
        """The Deployment beside the API: its replicas, resources, variables and Service are its own, the rest its module's."""
        deployment, container = (
            _PAYMENTS_2[1] if self._is_payments_2 else (f"{self.name}-worker", f"{self.name}-worker")
        )
        at = ("deployments", deployment)
        inside = (*at, "containers", container)
        of_api, of_container = self._api
        stateful = self.name == "ledger" or self._is_payments_2
        if stateful:
            setting = self._lookup.find(*at, "replicas")
            if setting and setting.value != "1" and setting is not self._lookup.find("deployments", of_api, "replicas"):
                self._draft.listed(f"{setting}, of {deployment}", "the operator never runs more than one")
        else:
            self._copy(whole, "worker.replicas", *at, "replicas")
        self._resources(("worker", "resources"), *inside, "resource-requirements")
        self._environment(("worker", "env"), f"{self.name}-worker-env", *inside, "env-vars")
        for rest in (
            ("pod-disruption-budget",),
            ("topology-spread-constraints",),
            ("semconv-metrics-names",),
            ("spec", "template", "annotations"),
            ("spec", "template", "spec", "termination-grace-period-seconds"),
            ("containers", container, "run-as"),
        ):
            mine = self._lookup.find(*at, *rest)
            its = self._lookup.find(
                "deployments", of_api, *(of_container if part == container else part for part in rest)
            )
            if mine and mine is not its and (its is None or its.value != mine.value):
                self._draft.listed(f"{mine}, of {deployment}", "a worker has its module's")
        self._service(deployment, "worker")

    def _service(self, service: str, *path: str) -> None:
        annotations = ("services", service, "annotations")
        values, source = harmless(self._draft, self._lookup, *annotations), self._lookup.find(*annotations)
        self._put(values, *path, "service", "annotations", source=source)
        self._copy(
            str, ".".join([*path, "service", "trafficDistribution"]), "services", service, "traffic-distribution"
        )

    def _resources(self, path: tuple[str, ...], *parts: str) -> None:
        found: dict[str, dict[str, str]] = {}
        for each in ("limits", "requests"):
            setting = self._lookup.find(*parts, each)
            for resource, entry in self._lookup.map(*parts, each).items():
                if resource not in _RESOURCES:
                    self._draft.listed(f"{setting}, {plain(resource)}", f"containers have {', '.join(_RESOURCES)} here")
                    continue
                try:
                    found.setdefault(each, {})[resource] = quantity(entry.value)
                except ValueError as error:
                    self._lookup.refuse(setting, f"{resource}: {told(resource, entry.value)} {error}")
            if each in found:
                self._put(found[each], *path, each, source=setting)
        self._requested(path, found)
        claims = self._lookup.find(*parts, "claims")
        if claims:
            self._draft.listed(claims, "resource claims are not supported")

    def _requested(self, path: tuple[str, ...], found: Mapping[str, Mapping[str, str]]) -> None:
        """Without requests Kubernetes takes the limits; the defaults here may be above them."""
        limits, requests = found.get("limits", {}), found.get("requests")
        defaults = {"cpu": "25m", "memory": "64Mi"}
        if requests is None and any(_amount(limits[k]) < _amount(v) for k, v in defaults.items() if k in limits):
            lower = {
                k: limits[k] if k in limits and _amount(limits[k]) < _amount(v) else v for k, v in defaults.items()
            }
            self._put(lower, *path, "requests", source=f"{self._given}, as its limits are below the default's requests")

    def _environment(self, path: tuple[str, ...], secret: str, *parts: str) -> None:
        """Variables: what is certainly no credential as it is, everything else from a Secret to make."""
        setting, values = self._lookup.find(*parts), dict[str, Any]()
        for name, entry in self._lookup.map(*parts).items():
            if not _VARIABLE.fullmatch(name):
                self._lookup.refuse(
                    setting, f"{plain(name)} is no name of a variable; allowed are letters, digits and _"
                )
            elif is_evident(name, entry.value) or not entry.value:
                values[name] = entry.value
            else:
                printed = _printed(self._draft, setting, name, entry.quoted)
                why = f"variables of {setting} that may be credentials"
                values[name] = {"name": self._draft.secret(secret, {name: printed}, why), "key": name}
        self._put(values, *path, source=setting)

    def _run_as(self, *parts: str) -> None:
        setting = self._lookup.find(*parts)
        for key, entry in self._lookup.map(*parts).items():
            if key not in ("user", "group"):
                self._draft.listed(f"{setting}, {plain(key)}", "the operator does not read it; it knows user and group")
                continue
            try:
                number = whole(entry.value)
            except ValueError as error:
                self._lookup.refuse(setting, f"{key}: {told(key, entry.value)} {error}")
                continue
            if number == 0:
                self._draft.listed(
                    f"{setting}, {key}=0 of {self.name}", "nothing runs as root here; it was left at 65532"
                )
            else:
                self._put(number, "runAsUser" if key == "user" else "runAsGroup", source=setting)

    def _budget(self, *parts: str) -> None:
        setting, found = self._lookup.find(*parts), dict[str, Any]()
        for key, entry in self._lookup.map(*parts).items():
            if key not in ("minAvailable", "maxUnavailable"):
                self._draft.listed(
                    f"{setting}, {plain(key)}",
                    "the operator does not read it; it knows minAvailable and maxUnavailable",
                )
            elif entry.value:
                found[key] = int(entry.value) if entry.value.isdecimal() else entry.value
        self._put(found, "disruptionBudget", source=setting)

    def _job(self) -> None:
        name, at = self.name, ("jobs", self.name)
        annotations = (*at, "spec", "template", "annotations")
        has_one = bool(find(name).defaults.get("database", True))
        run_as = self._lookup.find(*at, "containers", "migrate", "run-as")
        if run_as and has_one:
            self._draft.listed(run_as, "a migration runs as its module does")
        found = self._lookup.find(*annotations), self._lookup.find(*at, "containers", "migrate", "env-vars")
        if not has_one:
            for setting in (run_as, *found):
                if setting and "*" not in setting.parts:
                    self._draft.listed(setting, f"{name} has no database, and so no migration")
            return
        self._put(harmless(self._draft, self._lookup, *annotations), "migration", "annotations", source=found[0])
        self._environment(("migration", "env"), f"{name}-migration-env", *at, "containers", "migrate", "env-vars")

    def _protection(self) -> None:
        auth = self._spec.inside("auth")
        by_setting = self._flag("", "auth", self.name, "check-scopes")
        own = auth.flag("checkScopes")
        source = self._given if own else self._lookup.find("auth", self.name, "check-scopes")
        self._put(own or by_setting, "auth", "checkScopes", source=source)
        self._put(auth.number("readKeySetMaxRetries") or None, "auth", "readKeySetMaxRetries")

    # --- what one kind has -------------------------------------------------------------------------------------------

    def _ledger(self) -> None:
        for ours in ("bulkMaxSize", "defaultPageSize", "maxPageSize"):
            self._copy(whole, f"api.{ours}", "ledger", "api", _kebab(ours))
        for ours in (
            "experimentalFeatures",
            "experimentalNumscript",
            "experimentalExporters",
            "disableLedgerScopeOptimization",
        ):
            self._flag(ours, "ledger", _kebab(ours))
        self._copy(words, "experimentalNumscriptFlags", "ledger", "experimental-numscript-flags")
        self._copy(str, "schemaEnforcementMode", "ledger", "schema-enforcement-mode")
        of_worker: dict[str, dict[str, Callable[[str], Any]]] = {
            "asyncBlockHasher": {"maxBlockSize": whole, "schedule": str},
            "pipelines": {
                "pullInterval": duration,
                "pushRetryPeriod": duration,
                "syncPeriod": duration,
                "logsPageSize": whole,
            },
            "bucketCleanup": {"retentionPeriod": duration, "schedule": str},
        }
        for ours, known in of_worker.items():
            parts = ("ledger", "worker", _kebab(ours))
            setting, names = self._lookup.find(*parts), {_kebab(name): name for name in known}
            for key, entry in self._lookup.map(*parts).items():
                if key not in names:
                    self._draft.listed(
                        f"{setting}, {plain(key)}", f"the operator does not read it; it knows {', '.join(names)}"
                    )
                elif entry.value:
                    try:
                        self._put(
                            known[names[key]](entry.value), "worker", ours, names[key], source=f"{setting}, {key}"
                        )
                    except ValueError as error:
                        self._lookup.refuse(setting, f"{key}: {told(key, entry.value)} {error}")

    def _payments(self) -> None:
        setting = self._lookup.find("payments", "encryption-key")
        if self._spec.text("encryptionKey"):
            # getEncryptionKey (payments/deployments.go) takes the setting only where the object has no key, and then the object's never.
            self._encryption(
                "''",
                f"{self._given}: spec.encryptionKey makes the operator encrypt with an empty key, so the Secret has one",
            )
            if setting:
                self._draft.listed(setting, f"the operator does not read it, as {self._given} has spec.encryptionKey")
        elif setting and setting.value:
            self._encryption(self._draft.of_setting(setting), f"{setting} had it in plain text")
        else:
            self._encryption(
                "''", f"{self._given}: there is no setting payments.encryption-key, so the key in use is empty"
            )
        for each in ("WorkflowTaskPollers", "ActivityTaskPollers"):
            self._copy(
                whole,
                f"worker.temporalMaxConcurrent{each}",
                "payments",
                "worker",
                f"temporal-max-concurrent{_kebab(each)}",
            )
        for each in ("SlotsPerPoller", "LocalActivitySlots"):
            self._copy(whole, f"worker.temporalMax{each}", "payments", "worker", f"temporal-max{_kebab(each)}")

    def _encryption(self, value: str, why: str) -> None:
        name = self._draft.secret("payments-encryption", {"key": value}, why)
        self._put({"name": name, "key": "key"}, "encryptionKey")

    def _orchestration(self) -> None:
        self._copy(whole, "maxParallelActivities", "orchestration", "max-parallel-activities")

    def _transactionplane(self) -> None:
        self._flag("workerWithin", "transactionplane", "worker-enabled")

    def _auth(self) -> None:
        issuers = self._lookup.find("auth", "issuers")
        if issuers:
            found = [each for each in issuers.value.split() if not is_suspect("issuer", each)]
            self._put(found, "issuers", source=issuers)
            if len(found) < len(issuers.value.split()):
                self._draft.listed(f"{issuers}, one of them", "it looks like it has a credential, and was not written")
        self._put(self._credential(self._spec, "signingKey", "auth-signing", "key.pem"), "signingKey")
        oidc = self._spec.inside("delegatedOIDCServer")
        if self._spec.has("delegatedOIDCServer"):
            self._put(oidc.text("issuer"), "delegatedOidc", "issuer")
            self._put(oidc.text("clientID"), "delegatedOidc", "clientId")
            secret = self._credential(oidc, "clientSecret", "auth-delegated", "secret", ".delegatedOIDCServer")
            self._put(secret, "delegatedOidc", "clientSecret")
        if self._spec.flag("enableScopes"):
            self._draft.listed(
                f"{self._given}: spec.enableScopes",
                "the operator no longer reads it; see auth.checkScopes of each module",
            )

    def _credential(self, spec: Fields, name: str, secret: str, key: str, at: str = "") -> dict[str, str] | None:
        """A credential that the object has, as text or by reference."""
        by_reference, plain_text = spec.inside(f"{name}FromSecret"), spec.text(name)
        where = f"{self._given}: spec{at}.{name}"
        if spec.has(f"{name}FromSecret"):
            by_reference.flag("optional")
            if plain_text:
                self._draft.problems.append(
                    f"{where} and {name}FromSecret are both set; the operator allows one of them"
                )
            return self._draft.reference(by_reference.text("name"), by_reference.text("key"), where)
        if plain_text:
            value = of_object(_plural(self.name), self._given.name, f"{{.spec{at}.{name}}}")
            return self._draft.made(secret, key, value, where)
        return None

    def _stargate(self) -> None:
        for ours, theirs in (("serverUrl", "serverURL"), ("organizationId", "organizationID"), ("stackId", "stackID")):
            self._put(self._spec.text(theirs), ours)
        auth = self._spec.inside("auth")
        self._put(auth.text("clientID"), "auth", "clientId")
        self._put(auth.text("issuer"), "auth", "issuer")
        self._put(self._credential(auth, "clientSecret", "stargate", "secret", ".auth"), "auth", "clientSecret")
        if self._spec.inside("tls").flag("disable"):
            self._draft.config["modules"][self.name]["tls"] = False

    def _gateway(self) -> None:
        """Its settings are the stack's."""
        self._caddy()
        ingress = self._spec.inside("ingress")
        if not self._spec.has("ingress"):
            for setting in self._of_ingress():
                self._draft.listed(
                    setting, f"{self._given} has no spec.ingress, and without one the operator does not read it"
                )
            return
        extra = self._lookup.find("gateway", "ingress", "hosts")
        named = [host.replace("{stack}", self._draft.stack) for host in words(extra.value if extra else "")]
        hosts = [ingress.text("host"), *ingress.texts("hosts"), *named]
        # The object's own are not expanded by the operator, but its documentation writes them so.
        hosts = [host.replace("{stack}", self._draft.stack) for host in hosts if host]
        at = ("gateway", "ingress")
        put = self._draft.put
        put(list(dict.fromkeys(hosts)), *at, "hosts", source=extra if named else self._given)
        put(ingress.text("scheme"), *at, "scheme", source=self._given)
        of_class = self._lookup.find("gateway", "ingress", "class")
        name = ingress.text("ingressClassName")
        put(name or (of_class.value if of_class else ""), *at, "className", source=self._given if name else of_class)
        annotations = harmless(self._draft, self._lookup, "gateway", "ingress", "annotations")
        for key, value in ingress.map("annotations").items():
            if is_suspect(key, value):
                self._draft.listed(
                    f"{self._given}: spec.ingress.annotations, {plain(key)}",
                    "it looks like a credential, and was not written",
                )
            else:
                annotations[key] = value
        put(annotations, *at, "annotations", source=self._given)
        of_annotations = self._lookup.find("gateway", "ingress", "annotations")
        if of_annotations and annotations:
            self._draft.sourced(of_annotations, *at, "annotations")
        self._certificate(ingress)

    def _certificate(self, ingress: Fields) -> None:
        by_setting = self._flag("", "gateway", "ingress", "tls", "enabled")
        tls, source = ingress.inside("tls"), f"{self._given}: spec.ingress.tls"
        secret = tls.text("secretName")
        if by_setting and not ingress.has("tls"):
            secret, source = f"{self._given.name}-tls", str(self._lookup.find("gateway", "ingress", "tls", "enabled"))
        if secret:
            name = self._draft.copied(
                secret, ("tls.crt", "tls.key"), source, "kubernetes.io/tls",
                why="the Ingress's certificate; leave this out where cert-manager or another makes it",
            )  # fmt: skip
            self._draft.put(name, "gateway", "ingress", "tlsSecret", source=source)

    def _of_ingress(self) -> list[Setting]:
        keys = (("hosts",), ("annotations",), ("class",), ("tls", "enabled"))
        found = [self._lookup.find("gateway", "ingress", *key) for key in keys]
        return [setting for setting in found if setting]

    def _caddy(self) -> None:
        put = self._draft.put
        proxies = self._lookup.find("gateway", "caddyfile", "trusted-proxies")
        if proxies:
            put(words(proxies.value), "gateway", "trustedProxies", source=proxies)
        strict = self._flag("", "gateway", "caddyfile", "trusted-proxies-strict")
        put(
            strict,
            "gateway",
            "trustedProxiesStrict",
            source=self._lookup.find("gateway", "caddyfile", "trusted-proxies-strict"),
        )
        for key, ours in (
            ("config.idle-timeout", "idleTimeoutSeconds"),
            ("caddyfile.shutdown-delay", "shutdownSeconds"),
            ("caddyfile.grace-period", "graceSeconds"),
        ):
            found = self._lookup.read(seconds, "gateway", *key.split("."))
            if found:
                put(found[0], "gateway", ours, source=found[1])
                if f"{found[0]}s" != found[1].value and not found[1].value.endswith(("m", "h")):
                    self._draft.note(f"{found[1]}: {plain(found[1].value)} was rounded up to {found[0]} seconds")


def _printed(draft: Draft, setting: Setting | None, name: str, quoted: bool) -> str:
    """What prints the value of a key of a setting's map."""
    assert setting
    pattern = rf'{name} *="([^"]*)".*' if quoted else rf"{name} *=([^,]*[^, ])? *(,.*)?"
    return draft.of_setting(setting, f"sed -E 's/^(.*, *)? *{pattern}$/\\2/'")


def _plural(kind: str) -> str:
    """The resource of a module's kind, as kubectl names it."""
    return kind if kind.endswith("s") else f"{kind}s"


def _amount(text: str) -> Decimal:
    number, unit = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", text).groups()  # type: ignore[union-attr]
    factors = {
        "": Decimal(1),
        "m": Decimal("0.001"),
        "k": Decimal(1000),
        "M": Decimal(10**6),
        "G": Decimal(10**9),
        "T": Decimal(10**12),
    }
    factors |= {f"{name}i": Decimal(1024**power) for power, name in enumerate("KMGT", 1)}
    return Decimal(number) * factors[unit]


def _kebab(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"-{found[0].lower()}", name)
