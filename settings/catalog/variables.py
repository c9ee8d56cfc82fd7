"""Variables that several kinds share, in the names the modules read. Each function yields them in an order in which
``$(NAME)`` refers only to what stands before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from ..environment import MadeSecret, SecretKey, Variable, credential, flag
from ..infrastructure import SignalSettings
from .kind import Context

C = Context[Any]


def postgres(c: C) -> Iterator[Variable]:
    """How to connect to the module's database."""
    place = "rollout:postgres" if c.module.postgres is None else c.setting("postgres")
    settings, name = c.stack.postgres_of(c.name), c.stack.database(c.name)
    server = settings.server
    yield Variable("POSTGRES_HOST", place, server.host)
    yield Variable("POSTGRES_PORT", place, str(server.port))
    named = c.setting("databaseName") if c.module.database_name else "the stack's and the module's name"
    yield Variable("POSTGRES_DATABASE", named, name)
    yield Variable("POSTGRES_SSLMODE", place, dict(server.parameters)["sslmode"])
    host = "$(POSTGRES_HOST):$(POSTGRES_PORT)"
    if settings.aws_iam:
        yield Variable("POSTGRES_USERNAME", place, server.username)
        yield Variable("POSTGRES_NO_DATABASE_URI", place, f"postgresql://$(POSTGRES_USERNAME)@{host}")
        yield Variable("POSTGRES_AWS_ENABLE_IAM", f"{place}.awsIam", "true")
    elif server.secret:
        username, password = (SecretKey(server.secret, key) for key in ("username", "password"))
        yield Variable("POSTGRES_USERNAME", f"{place}, Secret", secret=username)
        yield Variable("POSTGRES_PASSWORD", f"{place}, Secret", secret=password)
        if server.raw:
            # Nothing encodes them on their way into a URI. All clients (pgx, lib/pq, libpq) take what it lacks from these:
            # https://www.postgresql.org/docs/current/libpq-envars.html
            yield Variable("PGUSER", f"{place}, Secret", secret=username)
            yield Variable("PGPASSWORD", f"{place}, Secret", secret=password)
            yield Variable("POSTGRES_NO_DATABASE_URI", place, f"postgresql://{host}")
        else:
            # The password is not known here, so the URI is put together in the pod; the Secret's values must be URL-safe.
            login = "$(POSTGRES_USERNAME):$(POSTGRES_PASSWORD)"
            yield Variable("POSTGRES_NO_DATABASE_URI", place, f"postgresql://{login}@{host}")
    else:
        secret = MadeSecret(
            "postgres",
            (
                ("username", SecretStr(server.username or "")),
                ("password", SecretStr(server.password or "")),
                ("no-database-uri", SecretStr(server.no_database_uri)),
            ),
        )
        yield Variable("POSTGRES_USERNAME", place, secret=SecretKey(secret, "username"))
        yield Variable("POSTGRES_PASSWORD", place, secret=SecretKey(secret, "password"))
        yield Variable("POSTGRES_NO_DATABASE_URI", place, secret=SecretKey(secret, "no-database-uri"))
    # Put together in the pod, so that a container is sent to another database by POSTGRES_DATABASE alone.
    yield Variable("POSTGRES_URI", place, f"$(POSTGRES_NO_DATABASE_URI)/$(POSTGRES_DATABASE)?{server.query}")


def pool(c: C) -> Iterator[Variable]:
    """The pods' connections; a migration has one and needs none of this."""
    place = ("rollout:postgres" if c.module.postgres is None else c.setting("postgres")) + ".pool"
    pool = c.stack.postgres_of(c.name).pool
    values = {
        "POSTGRES_MAX_IDLE_CONNS": pool.max_idle,
        "POSTGRES_CONN_MAX_IDLE_TIME": pool.max_idle_time,
        "POSTGRES_MAX_OPEN_CONNS": pool.max_open,
        "POSTGRES_CONN_MAX_LIFETIME": pool.max_lifetime,
    }
    for name, value in values.items():
        if value is not None:
            yield Variable(name, place, str(value))


def identity(c: C) -> Iterator[Variable]:
    """Which stack it is, and how much it says."""
    yield Variable("STACK", "the stack's name", c.stack.stack)
    yield Variable("DEBUG", "debug", flag(c.debug))


def listen(c: C) -> Variable:
    """Where a service takes requests: the ledger, stargate and mcp alone read BIND instead."""
    return Variable("LISTEN", c.setting("port"), f":{c.module.port}")


def common(c: C, separator: str = " ") -> Iterator[Variable]:
    """What every module of the catalogue reads: its stack, its gateway, its logs and its telemetry.

    Args:
        c: the module.
        separator: of telemetry's resource attributes.
    """
    yield from identity(c)
    dev = c.stack.dev if c.module.dev is None else c.module.dev
    yield Variable("DEV", "dev", flag(dev))
    yield Variable("NODE_IP", "the pod's node", field="status.hostIP")
    gateway = c.stack.gateway_module
    if gateway:
        yield Variable("STACK_URL", f"module {gateway}", c.stack.url)
        public = c.stack.public_url
        if public:
            yield Variable("STACK_PUBLIC_URL", "rollout:gateway.ingress", public)
    if c.module.json_logging:
        yield Variable("JSON_FORMATTING_LOGGER", c.setting("jsonLogging"), "true")
    if c.module.grace_period:
        yield Variable("GRACE_PERIOD", c.setting("gracePeriod"), c.module.grace_period)
    yield from telemetry(c, separator)


def telemetry(c: C, separator: str) -> Iterator[Variable]:
    """OTLP exporters. Traces and metrics share the pod's name, the service's and the attributes: each is there once."""
    signals: list[tuple[str, SignalSettings]] = []
    if c.stack.open_telemetry.traces:
        signals.append(("TRACES", c.stack.open_telemetry.traces))
    if c.stack.open_telemetry.metrics:
        signals.append(("METRICS", c.stack.open_telemetry.metrics))
    if not signals:
        return
    place = "rollout:openTelemetry"
    attributes: dict[str, str] = {}
    for _, settings in signals:
        attributes |= settings.resource_attributes
    attributes |= {"stack": c.stack.stack, "pod-name": "$(POD_NAME)"}
    yield Variable("POD_NAME", "the pod", field="metadata.name")
    named = c.stack.kind(c.name).telemetry_name
    yield Variable("OTEL_SERVICE_NAME", "the catalogue" if named else "the module's name", named or c.name)
    written = separator.join(f"{k}={v}" for k, v in sorted(attributes.items()))
    yield Variable("OTEL_RESOURCE_ATTRIBUTES", place, written)
    for signal, settings in signals:
        prefix, where = f"OTEL_{signal}", f"{place}.{signal.lower()}"
        url = urlsplit(settings.endpoint)
        yield Variable(prefix, where, "true")
        yield Variable(f"{prefix}_BATCH", where, "true")
        yield Variable(f"{prefix}_EXPORTER", where, "otlp")
        yield Variable(f"{prefix}_EXPORTER_OTLP_INSECURE", where, flag(settings.insecure))
        yield Variable(f"{prefix}_EXPORTER_OTLP_MODE", where, url.scheme)
        if url.path:
            yield Variable(f"{prefix}_EXPORTER_OTLP_ENDPOINT", where, settings.endpoint)
        else:
            yield Variable(f"{prefix}_PORT", where, str(url.port))
            yield Variable(f"{prefix}_ENDPOINT", where, url.hostname)
            yield Variable(f"{prefix}_EXPORTER_OTLP_ENDPOINT", where, f"$({prefix}_ENDPOINT):$({prefix}_PORT)")
    if c.stack.open_telemetry.metrics:
        yield Variable("OTEL_METRICS_RUNTIME", f"{place}.metrics", "true")
        if c.module.semconv_metrics_names:
            yield Variable("SEMCONV_METRICS_NAMES", c.setting("semconvMetricsNames"), "true")


def protected(c: C) -> Iterator[Variable]:
    """How an API checks who calls it, where the stack has an auth module."""
    auth = c.stack.one_of("auth")
    if not auth:
        return
    yield Variable("AUTH_ENABLED", f"module {auth}", "true")
    yield Variable("AUTH_ISSUER", f"module {auth}", c.stack.auth_url)
    issuers = getattr(c.stack.modules[auth], "issuers", ())
    if issuers:
        yield Variable("AUTH_ISSUERS", f"rollout:modules.{auth}.issuers", " ".join(issuers))
    own = getattr(c.module, "auth", None)
    if own and own.read_key_set_max_retries is not None:
        yield Variable(
            "AUTH_READ_KEY_SET_MAX_RETRIES",
            c.setting("auth.readKeySetMaxRetries"),
            str(own.read_key_set_max_retries),
        )
    if own and own.check_scopes:
        yield Variable("AUTH_CHECK_SCOPES", c.setting("auth.checkScopes"), "true")
        yield Variable("AUTH_SERVICE", c.setting("auth.checkScopes"), c.stack.kind_of(c.name))


def client(c: C) -> Iterator[Variable]:
    """As whom a module calls the others, where the stack has an auth module."""
    auth = c.stack.one_of("auth")
    if not auth:
        return
    found, place = c.stack.client(c.name), f"rollout:modules.{auth}.clients.{c.name}"
    yield Variable("STACK_CLIENT_ID", place, found.id)
    if found.secret is not None:
        yield credential("STACK_CLIENT_SECRET", "client", found.secret, place)


def broker(c: C) -> Iterator[Variable]:
    """How to reach the message broker."""
    settings, place = c.stack.broker, "rollout:broker"
    if settings is None:
        return
    yield Variable("BROKER", place, settings.type)
    if settings.circuit_breaker.enabled:
        yield Variable("PUBLISHER_CIRCUIT_BREAKER_ENABLED", f"{place}.circuitBreaker", "true")
        if settings.circuit_breaker.open_interval:
            name = "PUBLISHER_CIRCUIT_BREAKER_OPEN_INTERVAL_DURATION"
            yield Variable(name, f"{place}.circuitBreaker", settings.circuit_breaker.open_interval)
    if settings.type == "nats":
        yield Variable("PUBLISHER_NATS_ENABLED", place, "true")
        yield Variable("PUBLISHER_NATS_URL", place, settings.hosts)
        yield Variable("PUBLISHER_NATS_CLIENT_ID", "the stack's and the module's name", f"{c.stack.stack}-{c.name}")
        # Whether it makes the streams that it publishes and listens to where they are missing (go-libs, messagingfx/publish.go).
        # The operator says false and makes them itself; here with one stream a service nobody else does.
        yield Variable("PUBLISHER_NATS_AUTO_PROVISION", f"{place}.streams", flag(settings.streams == "service"))
        return
    yield Variable("PUBLISHER_KAFKA_ENABLED", place, "true")
    yield Variable("PUBLISHER_KAFKA_BROKER", place, settings.hosts)
    if settings.tls:
        yield Variable("PUBLISHER_KAFKA_TLS_ENABLED", f"{place}.tls", "true")
    if settings.username and settings.password:
        yield Variable("PUBLISHER_KAFKA_SASL_ENABLED", f"{place}.username", "true")
        yield Variable("PUBLISHER_KAFKA_SASL_USERNAME", f"{place}.username", settings.username)
        yield credential("PUBLISHER_KAFKA_SASL_PASSWORD", "broker", settings.password, f"{place}.password")
        scram = settings.sasl_mechanism == "SCRAM"
        # As Kafka names them, which is how the modules' client (sarama) takes them; it refuses a mere SCRAM.
        mechanism = f"SCRAM-SHA-{settings.sasl_scram_sha_size}" if scram else settings.sasl_mechanism
        yield Variable("PUBLISHER_KAFKA_SASL_MECHANISM", f"{place}.saslMechanism", mechanism)
        if scram:
            name = "PUBLISHER_KAFKA_SASL_SCRAM_SHA_SIZE"
            yield Variable(name, f"{place}.saslScramShaSize", settings.sasl_scram_sha_size)
    if settings.aws_iam:
        # The client asks for a token only where SASL is on and this is its mechanism (go-libs, messagingfx/publish.go).
        yield Variable("PUBLISHER_KAFKA_SASL_ENABLED", f"{place}.awsIam", "true")
        yield Variable("PUBLISHER_KAFKA_SASL_MECHANISM", f"{place}.awsIam", "OAUTHBEARER")
        yield Variable("PUBLISHER_KAFKA_SASL_IAM_ENABLED", f"{place}.awsIam", "true")


def publisher(c: C) -> Iterator[Variable]:
    """Where a module publishes. It does so only where the stack has a module that listens."""
    if c.stack.broker is None or not c.stack.listeners(c.name):
        return
    yield from broker(c)
    yield topic_mapping(c)


def topic_mapping(c: C) -> Variable:
    assert c.stack.broker
    topic = c.stack.broker.topic(c.stack.stack, c.name)
    return Variable("PUBLISHER_TOPIC_MAPPING", "the stack's and the module's name", f"*:{topic}")


def topics(c: C, name: str) -> Iterator[Variable]:
    """What a module listens to: all that publish."""
    if c.stack.broker is None:
        return
    names = [c.stack.broker.topic(c.stack.stack, publisher) for publisher in c.stack.publishers(c.name)]
    yield Variable(name, "the stack's modules that publish", " ".join(names))
    if c.name != c.stack.kind_of(c.name):
        # The consumer's name, which is the service's own unless told (go-libs, publish: PublisherQueueGroupFlag).
        yield Variable("PUBLISHER_QUEUE_GROUP", "the module's name", c.name)


def temporal(c: C) -> Iterator[Variable]:
    """How to reach Temporal."""
    settings, place = c.stack.temporal, "rollout:temporal"
    if settings is None:
        return
    yield Variable("TEMPORAL_ADDRESS", place, settings.address)
    yield Variable("TEMPORAL_NAMESPACE", place, settings.namespace)
    if settings.certificate is not None and settings.key is not None:
        yield credential("TEMPORAL_SSL_CLIENT_KEY", "temporal-key", settings.key, f"{place}.key")
        yield credential("TEMPORAL_SSL_CLIENT_CERT", "temporal-cert", settings.certificate, f"{place}.certificate")
    if settings.init_search_attributes:
        yield Variable("TEMPORAL_INIT_SEARCH_ATTRIBUTES", f"{place}.initSearchAttributes", "true")


def licence(c: C) -> Iterator[Variable]:
    """The licence of enterprise modules."""
    settings, place = c.stack.licence, "rollout:licence"
    if settings is None:
        return
    yield credential("LICENCE_TOKEN", "licence", settings.token, f"{place}.token")
    yield Variable("LICENCE_ISSUER", f"{place}.issuer", settings.issuer)
    yield Variable("LICENCE_VALIDATE_TICK", "the catalogue", "24h")
