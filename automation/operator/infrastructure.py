"""What the operator's stack stands on: PostgreSQL, broker, Temporal, telemetry, registries."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from shlex import quote as shell
from typing import Any
from urllib.parse import quote, unquote, urlencode

from settings import SettingsError
from settings.catalog import KINDS, find
from settings.infrastructure import OpenTelemetrySettings
from settings.model import registry_of
from settings.versions import Version

from .draft import DECODED, Draft
from .objects import Object
from .settings import Lookup, Setting
from .values import Uri, duration, is_suspect, is_true, plain, shown, told, whole

# The operator's annotation of a Database.
VERSION = "formance.com/module-version"
# What takes the login out of a URI, as it stands there.
_LOGIN = "sed -E 's|^[a-z+]+://([^:@/?]*)(:([^/?#]*))?@.*|\\{}|'"
_POOL = {
    "max-idle": ("maxIdle", whole),
    "max-idle-time": ("maxIdleTime", duration),
    "max-open": ("maxOpen", whole),
    "max-lifetime": ("maxLifetime", duration),
}


def infrastructure(draft: Draft, lookup: Lookup, brokers: list[Object]) -> None:
    """All of it but PostgreSQL, which is the modules'."""
    _broker(draft, lookup, brokers)
    _temporal(draft, lookup)
    _telemetry(draft, lookup)
    _registries(draft, lookup)
    nodes = ("jobs", "nodeSelector")
    draft.put(harmless(draft, lookup, *nodes), "defaults", "jobs", "nodeSelector", source=lookup.find(*nodes))


def _uri(lookup: Lookup, example: str, *parts: str) -> tuple[Uri, Setting] | None:
    return lookup.read(lambda text: Uri.parse(text, example), *parts)


def _leftover(draft: Draft, setting: Setting, query: Mapping[str, str], known: set[str], why: str) -> None:
    for name in query.keys() - known:
        draft.listed(f"{setting}, parameter {plain(name)}", why)


def _broker(draft: Draft, lookup: Lookup, brokers: list[Object]) -> None:
    found = _uri(lookup, "nats://host:4222 or kafka://host:9092", "broker", "dsn")
    modes = {str(b.status.get("mode")): b for b in brokers if b.status.get("mode")}
    for broker in brokers:
        draft.listed(broker, "the operator makes it; rollout:broker has what it is")
    if not found:
        return None
    uri, setting = found
    if uri.scheme not in ("nats", "kafka"):
        return lookup.refuse(
            setting, f"has the scheme {shown(uri.scheme)}; allowed is nats://host:4222 or kafka://host:9092"
        )
    draft.put(f"{uri.scheme}://{uri.host}", "broker", "uri", source=setting)
    draft.put("service" if "OneStreamByService" in modes else "stack", "broker", "streams", source=setting)
    if not modes:
        draft.configure(
            "broker: its object is not in the files, so one stream a stack was written, as the operator makes them unless it finds those "
            "of old. Where this prints OneStreamByService, set rollout:broker.streams to service",
            f"kubectl get brokers.formance.com {draft.stack} -o jsonpath='{{.status.mode}}'",
        )
    if uri.path.strip("/"):
        draft.listed(f"{setting}, path", "the operator does not read it")
    query, known = uri.query, {"circuitBreakerEnabled", "circuitBreakerOpenInterval"}
    if query.get("circuitBreakerEnabled") == "true":
        draft.put(True, "broker", "circuitBreaker", "enabled", source=setting)
        _checked(
            draft, lookup, setting, duration, query.get("circuitBreakerOpenInterval"), "circuitBreaker", "openInterval"
        )
    if uri.scheme == "kafka":
        known |= {"saslEnabled", "saslUsername", "saslPassword", "saslMechanism", "saslSCRAMSHASize", "tls"}
        draft.put(is_true(query.get("tls", "")), "broker", "tls", source=setting)
        if is_true(query.get("saslEnabled", "")):
            _sasl(draft, lookup, setting, query)
    else:
        known.add("replicas")
        _checked(draft, lookup, setting, whole, query.get("replicas"), "replicas")
    if uri.user is not None:
        draft.listed(
            f"{setting}, login", "the operator passes on host and port alone, so it was not used, and was not written"
        )
    _leftover(draft, setting, query, known, "the operator does not read it")
    return None


def _checked(draft: Draft, lookup: Lookup, setting: Setting, form: Any, text: str | None, *path: str) -> None:
    """A parameter of the broker's URI."""
    if text:
        try:
            draft.put(form(text), "broker", *path, source=f"{setting}, parameter {path[-1]}")
        except ValueError as error:
            lookup.refuse(setting, f"parameter {path[-1]}: {told(path[-1], text)} {error}")


def _sasl(draft: Draft, lookup: Lookup, setting: Setting, query: Mapping[str, str]) -> None:
    mechanism, size = query.get("saslMechanism", "PLAIN"), query.get("saslSCRAMSHASize", "")
    iam = lookup.find("aws", "service-account") is not None
    if iam and (mechanism == "OAUTHBEARER" or not query.get("saslUsername")):
        return draft.put(True, "broker", "awsIam", source=setting)
    if mechanism not in ("PLAIN", "SCRAM", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        return lookup.refuse(
            setting,
            f"parameter saslMechanism: {shown(mechanism)} is not supported; allowed are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512",
        )
    if not query.get("saslUsername"):
        return lookup.refuse(setting, "parameter saslUsername: saslEnabled needs it")
    draft.put(query["saslUsername"], "broker", "username", source=setting)
    password = draft.of_setting(setting, f"sed -E 's/.*[?&]saslPassword=([^&#]*).*/\\1/' | {DECODED}")
    draft.put(
        draft.made("broker", "password", password, f"{setting}, parameter saslPassword"),
        "broker",
        "password",
        source=setting,
    )
    if mechanism.startswith("SCRAM"):
        draft.put("SCRAM", "broker", "saslMechanism", source=setting)
        draft.put(
            size or mechanism.removeprefix("SCRAM-SHA-").removeprefix("SCRAM"),
            "broker",
            "saslScramShaSize",
            source=setting,
        )
    else:
        draft.put(mechanism, "broker", "saslMechanism", source=setting)
    return None


def _temporal(draft: Draft, lookup: Lookup) -> None:
    found = _uri(lookup, "temporal://host:7233/namespace", "temporal", "dsn")
    # Read in any case, so that they are not reported as unknown.
    certificate, key = lookup.find("temporal", "tls", "crt"), lookup.find("temporal", "tls", "key")
    if not found:
        for setting in (certificate, key):
            if setting:
                draft.listed(setting, "there is no setting temporal.dsn")
        return None
    uri, setting = found
    if uri.scheme != "temporal" or not uri.path.strip("/"):
        return lookup.refuse(setting, "is not of the form temporal://host:7233/namespace")
    host = f"{uri.host}:7233" if uri.port is None else uri.host
    draft.put(host, "temporal", "address", source=setting)
    draft.put(unquote(uri.path[1:]), "temporal", "namespace", source=setting)
    query = uri.query
    if uri.user is not None:
        draft.listed(f"{setting}, login", "the operator does not read it, and it was not written")
    if query.get("secret"):
        name = draft.copied(query["secret"], ("tls.crt", "tls.key"), setting)
        draft.put({"name": name, "key": "tls.crt"}, "temporal", "certificate", source=setting)
        draft.put({"name": name, "key": "tls.key"}, "temporal", "key", source=setting)
        for other in (certificate, key):
            if other:
                draft.listed(other, "temporal.dsn names a Secret, which comes first")
    elif certificate and key:
        for which, of, at in (("certificate", certificate, "tls.crt"), ("key", key, "tls.key")):
            draft.put(draft.made("temporal", at, draft.of_setting(of), of), "temporal", which, source=of)
    elif certificate or key:
        lookup.refuse(certificate or key, "temporal.tls.crt and temporal.tls.key go together")
    if query.get("encryptionKeySecret"):
        reference = draft.reference(query["encryptionKeySecret"], "key", setting)
        draft.put(reference, "temporal", "encryptionKey", source=setting)
    draft.put(query.get("initSearchAttributes") == "true", "temporal", "initSearchAttributes", source=setting)
    _leftover(
        draft,
        setting,
        query,
        {"secret", "encryptionKeySecret", "initSearchAttributes"},
        "the operator does not read it",
    )
    return None


def _telemetry(draft: Draft, lookup: Lookup) -> None:
    for signal in OpenTelemetrySettings.model_fields:
        found = _uri(lookup, "grpc://host:4317 or http://host:4318", "opentelemetry", signal, "dsn")
        attributes = lookup.find("opentelemetry", signal, "resource-attributes")
        if not found:
            if attributes:
                draft.listed(attributes, f"there is no setting opentelemetry.{signal}.dsn")
            continue
        uri, setting = found
        scheme = {"grpc": "grpc", "http": "http", "https": "http"}.get(uri.scheme)
        if scheme is None:
            lookup.refuse(
                setting, f"has the scheme {shown(uri.scheme)}; allowed is grpc://host:4317 or http://host:4318"
            )
            continue
        if uri.scheme == "https":
            draft.note(
                f"{setting}: the operator hands https on as the mode, which modules do not know (grpc, http); http with TLS was written"
            )
        host, path = uri.host, uri.path.rstrip("/")
        if uri.port is None and not path:
            host = f"{uri.host}:{4317 if scheme == 'grpc' else 4318}"
            draft.note(f"{setting}: names no port, so OTLP's own was written")
        if is_suspect("path", path):
            draft.listed(f"{setting}, path", "it looks like a credential, and was not written")
            path = ""
        if uri.user is not None:
            draft.listed(
                f"{setting}, login", "it was not written: have a collector of yours log in there, and name that one"
            )
        draft.put(f"{scheme}://{host}{path}", "openTelemetry", signal, "endpoint", source=setting)
        draft.put(is_true(uri.query.get("insecure", "")), "openTelemetry", signal, "insecure", source=setting)
        _leftover(draft, setting, uri.query, {"insecure"}, "modules do not read it")
        if attributes:
            values = harmless(draft, lookup, "opentelemetry", signal, "resource-attributes")
            draft.put(values, "openTelemetry", signal, "resourceAttributes", source=attributes)


def harmless(draft: Draft, lookup: Lookup, *parts: str) -> dict[str, str]:
    """A map of texts that anybody may read, without those that look like credentials."""
    setting, values = lookup.find(*parts), {}
    for key, entry in lookup.map(*parts).items():
        if is_suspect(key, entry.value):
            draft.listed(f"{setting}, {plain(key)}", "it looks like a credential, and was not written")
        else:
            values[key] = entry.value
    return values


def _registries(draft: Draft, lookup: Lookup) -> None:
    images = [find(kind).defaults.get("image", "") for kind in KINDS]
    known = {registry_of(str(image)) for image in images if image}
    # Those with a licence pull another image of payments.
    known |= {(host, f"{path}-ee") for host, path in known if path.endswith("/payments")}
    hosts = {host for host, _ in known} | {
        name for name in lookup.names("registries", 1) if re.fullmatch(r"[a-z0-9][a-z0-9.:-]*", name)
    }
    for host in sorted(hosts):
        paths = {path for at, path in known if at == host} | set(lookup.names("registries", 3))
        for path in sorted(paths):
            rewrite = lookup.find("registries", host, "images", path, "rewrite")
            if rewrite and rewrite.value:
                draft.put(rewrite.value, "registries", host, "images", path, source=rewrite)
        setting = lookup.find("registries", host, "endpoint")
        if setting and setting.value:
            _endpoint(draft, lookup, host, setting)


def _endpoint(draft: Draft, lookup: Lookup, host: str, setting: Setting) -> None:
    endpoint, _, options = setting.value.partition("?")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*(:\d{1,5})?(/[a-z0-9._/-]+)*", endpoint):
        return lookup.refuse(
            setting, "is not of the form host[:port][/path][?pullSecret=NAME]; credentials belong into the pull secret"
        )
    draft.put(endpoint, "registries", host, "endpoint", source=setting)
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name != "pullSecret" or not value:
            return lookup.refuse(setting, f"has the parameter {plain(name)}; allowed is pullSecret=NAME")
        if "pullSecret" in draft.config["registries"][host]:
            draft.listed(f"{setting}, pullSecret {plain(value)}", "a registry has one pull secret here")
            continue
        secret = draft.copied(value, (".dockerconfigjson",), setting, "kubernetes.io/dockerconfigjson")
        draft.put(secret, "registries", host, "pullSecret", source=setting)
    return None


def databases(draft: Draft, lookup: Lookup, modules: Mapping[str, str], made: list[Object]) -> None:
    """The server of most modules is the stack's; those of the others are their own.

    Args:
        draft: of the stack.
        lookup: its settings.
        modules: those that have a database -> the version that counts.
        made: the Database objects, which say what is in use.
    """
    account = lookup.find("aws", "service-account")
    servers: dict[str, dict[str, Any]] = {}
    sources: dict[str, dict[str, Setting | None]] = {}
    users: dict[str, str] = {}
    in_use = {str(d.spec.get("service")): d for d in made}
    for module in modules:
        found = _uri(lookup, "postgresql://host:5432?secret=NAME", "postgres", module, "uri")
        of_pool = lookup.find("modules", module, "database", "connection-pool")
        pool = {"pool": pool} if (pool := _pool(draft, lookup, module)) else {}
        if module in in_use:
            _in_use(draft, module, in_use[module], found[0] if found else None)
        _adopted(draft, module, modules[module], in_use.get(module))
        if found:
            uri, users[module] = _server(draft, lookup, *found, iam=account is not None)
            servers[module] = {"uri": uri, **pool, **({"awsIam": True} if account else {})}
            sources[module] = {"uri": found[1], "pool": of_pool, "awsIam": account}
        elif lookup.find("postgres", module, "uri") is None:
            draft.put(pool, "modules", module, "postgres", source=of_pool)
            draft.configure(
                f"{module} has a database and no setting postgres.{module}.uri: name its server",
                draft.set_command(f"modules.{module}.postgres.uri", "'postgresql://HOST:5432?secret=NAME'"),
            )
    if account:
        _identity(draft, account)
    # One that has no server must not be given another's.
    for module, path in _placed(servers, shared=len(servers) == len(modules)).items():
        for key, value in servers[module].items():
            draft.put(value, *path, key, source=sources[module][key])
        if users[module]:
            uri = servers[module]["uri"].replace("://", f"://{users[module]}@", 1)
            draft.configure(
                f"{sources[module]['uri']}: with aws.service-account the pods log in with AWS's identity, as a user without a password: name that",
                draft.set_command(f"{'.'.join(path)}.uri", f'"{uri}"'),
            )


def _placed(servers: dict[str, dict[str, Any]], shared: bool) -> dict[str, tuple[str, ...]]:
    """Where each server is written: most at the stack, the others at their modules."""
    texts = {name: json.dumps(server, sort_keys=True) for name, server in servers.items()}
    most = Counter(texts.values()).most_common(1)[0][0] if texts and shared else ""
    return {name: ("postgres",) if text == most else ("modules", name, "postgres") for name, text in texts.items()}


def _in_use(draft: Draft, module: str, database: Object, wanted: Uri | None) -> None:
    name = database.status.get("database")
    if isinstance(name, str) and name and name != f"{draft.stack}-{module}":
        draft.put(name, "modules", module, "databaseName", source=database)
    if database.status.get("outOfSync") is True:
        where = f" ({plain(wanted.host)})" if wanted else ""
        draft.note(
            f"{database}: is out of sync: the operator still uses the server of before, and the setting postgres.{module}.uri names another"
            f"{where}, which was written. Move the data, or write the server that is in use"
        )


def _adopted(draft: Draft, module: str, wanted: str, database: Object | None) -> None:
    """The version that the operator has migrated a database to, so that the migration does not run again.

    The operator records it once the Job has succeeded, before it changes the Deployment (databases/create.go, SaveModuleVersion).
    """
    path = f"modules.{module}.adopted"
    if database is None:
        read = f"kubectl get databases.formance.com {draft.stack}-{module} --ignore-not-found"
        read += r" -o jsonpath='{.metadata.annotations.formance\.com/module-version}'"
        return draft.configure(
            f"{module}: its Database is not in the files, so the version that the operator has migrated it to is not known. If the operator runs this "
            "stack, set it, or the first update runs that migration again",
            f"MIGRATED=$({read})",
            f'test -z "$MIGRATED" || {draft.set_command(path, chr(34) + "$MIGRATED" + chr(34))}',
        )
    annotations = database.metadata.get("annotations")
    version = annotations.get(VERSION) if isinstance(annotations, Mapping) else None
    if not isinstance(version, str) or not version:
        return draft.note(
            f"{database}: the operator has not migrated it yet. Wait until it has, and import again: two migrations must not run at once"
        )
    try:
        Version.parse(version)
    except SettingsError:
        return draft.problems.append(
            f"{database}: metadata.annotations, {VERSION}: {shown(version)} is not a version; allowed is the tag of an image, such as v2.4.12"
        )
    draft.put(version, *path.split("."), source=database)
    if wanted and version != wanted:
        draft.note(
            f"{database}: the operator has migrated it to {plain(version)}, and {plain(wanted)} is wanted: that migration is running or failing. "
            "Wait until it has succeeded, and import again: two migrations must not run at once"
        )
    return None


def _pool(draft: Draft, lookup: Lookup, module: str) -> dict[str, Any]:
    # The name of the database's service, in lower case, unlike that of the grace period.
    parts = ("modules", module, "database", "connection-pool")
    setting, pool = lookup.find(*parts), dict[str, Any]()
    for key, entry in lookup.map(*parts).items():
        name, form = _POOL.get(key, ("", str))
        if not name:
            draft.listed(f"{setting}, {plain(key)}", f"the operator does not read it; it knows {', '.join(_POOL)}")
        elif entry.value:
            try:
                pool[name] = form(entry.value)
            except ValueError as error:
                lookup.refuse(setting, f"{key}: {told(key, entry.value)} {error}")
    return pool


def _server(draft: Draft, lookup: Lookup, uri: Uri, setting: Setting, iam: bool) -> tuple[str, str]:
    """The server's URI, and what prints the user that it lacks, in a shell."""
    if uri.scheme not in ("postgresql", "postgres"):
        lookup.refuse(setting, f"has the scheme {shown(uri.scheme)}; allowed is postgresql://host:5432?secret=NAME")
    if uri.path.strip("/"):
        draft.listed(
            f"{setting}, path", f"the operator does not read it: a module's database is {draft.stack}-<module>"
        )
    query = dict(uri.query)
    secret = query.pop("secret", "")
    query.pop("awsRole", None)
    if is_true(query.pop("disableSSLMode", "")):
        query["sslmode"] = "disable"
    for name in [n for n, value in query.items() if is_suspect(n, value) or n in ("user", "sslpassword", "passfile")]:
        del query[name]
        draft.listed(f"{setting}, parameter {plain(name)}", "a login belongs into a Secret, and it was not written")
    # What the modules' client does where nothing is said.
    query.setdefault("sslmode", "prefer")
    host, user = uri.host, ""
    if iam:
        host, user = _iam(draft, uri, setting, secret)
    elif uri.user:
        if secret:
            draft.listed(f"{setting}, parameter secret", "the URI has a login, which comes first")
        values = {key: draft.of_setting(setting, _LOGIN.format(n)) for key, n in (("username", 1), ("password", 3))}
        why = f"{setting} had the login in plain text; the Secret holds it as it stands in the URI, percent-encoded, as it goes into one"
        query["secret"] = draft.secret("postgres", values, why)
    elif secret:
        query["secret"] = draft.copied(secret, ("username", "password"), setting)
    else:
        why = f"{setting} names no login: write one in the place of USER and PASSWORD, percent-encoded"
        query["secret"] = draft.secret("postgres", {"username": "'USER'", "password": "'PASSWORD'"}, why)
    if "secret" not in query or query["secret"] != secret:
        query.pop("secretCredentialsEncoding", None)  # it is of the operator's Secret
    return f"postgresql://{host}?{urlencode(sorted(query.items()), quote_via=quote)}", user


def _iam(draft: Draft, uri: Uri, setting: Setting, secret: str) -> tuple[str, str]:
    """The host with the user that logs in by AWS's identity, which has no password; else what prints the user."""
    if uri.user:
        if uri.has_password:
            draft.listed(f"{setting}, password", "with aws.service-account it is not used, and was not written")
        return f"{quote(uri.user, safe='')}@{uri.host}", ""
    if secret:
        return (
            uri.host,
            f"$(kubectl -n {draft.stack} get secret {shell(secret)} -o jsonpath='{{.data.username}}' | base64 -d)",
        )
    return uri.host, "USER"


def _identity(draft: Draft, account: Setting) -> None:
    name = shell(account.value)
    annotation = (
        "$(kubectl -n {} get serviceaccount {} -o jsonpath='{{.metadata.annotations.eks\\.amazonaws\\.com/role-arn}}')"
    )
    draft.configure(
        f"{account}: every module has a service account of its own here, which needs the role of {plain(account.value)}",
        draft.set_command(
            'defaults.serviceAccount.annotations["eks.amazonaws.com/role-arn"]',
            f'"{annotation.format(draft.stack, name)}"',
        ),
    )
