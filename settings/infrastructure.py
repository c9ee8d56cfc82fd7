"""What the modules stand on: PostgreSQL, a message broker, Temporal, OpenTelemetry, registries, a licence."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from .base import Label, Settings
from .credentials import Credential
from .postgres import PostgresServer

Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(\.\d+)?(ms|s|m|h))+$")]
HostAndPort = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\[\]:_-]+:\d{1,5}$")]


class PoolSettings(Settings):
    """The connections that each pod keeps; what is not set is the module's own default."""

    max_idle: int | None = Field(None, ge=0, description="connections kept without use")
    max_idle_time: Duration | None = Field(None, description="how long, such as 1m30s")
    max_open: int | None = Field(None, ge=1, description="connections at once, of each pod")
    max_lifetime: Duration | None = Field(None, description="after which a connection is made anew")


class PostgresSettings(Settings):
    """The server that holds the modules' databases, as one URI or in parts."""

    uri: str | None = Field(
        None,
        description="postgresql://[user:password@]host[:port][?secret=NAME&sslmode=require], with secretCredentialsEncoding=raw for a Secret whose values are not URL-encoded; or host and what follows",
        repr=False,
    )
    host: str | None = Field(None, min_length=1, description="instead of uri: name or address")
    port: int = Field(5432, ge=1, le=65_535)
    username: str | None = Field(None, min_length=1)
    password: SecretStr | None = None
    secret: Label | None = Field(None, description="a Secret with the keys username and password, instead of those two")
    secret_credentials_encoding: Literal["urlEncoded", "raw"] = Field(
        "urlEncoded", description="of the Secret's values: as in a URI (p%40ss), or the credentials themselves (p@ss)"
    )
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "require"
    parameters: dict[str, str] = Field({}, description="further connection parameters, such as sslrootcert")
    pool: PoolSettings = PoolSettings()
    aws_iam: bool = Field(
        False,
        description="log in with the pods' AWS identity (serviceAccount.annotations) instead of a password; the modules' own migrate makes the databases",
    )
    create_database: bool = Field(True, description="make each module's database; false where others do")

    @field_validator("uri")
    @classmethod
    def _readable(cls, uri: str | None) -> str | None:
        if uri is not None:
            PostgresServer.parse(uri, needs_password=False)
        return uri

    @model_validator(mode="after")
    def _whole(self) -> PostgresSettings:
        parts = (self.model_fields_set & set(type(self).model_fields)) - {"uri", "pool", "aws_iam", "create_database"}
        if self.uri is not None and parts:
            raise ValueError(f"uri says it all: remove {', '.join(sorted(parts))}")
        if self.uri is None and self.host is None:
            raise ValueError("names no server: set uri, or host with secret or username and password")
        if self.secret_credentials_encoding == "raw" and not self.secret:
            raise ValueError("secretCredentialsEncoding is raw, and there is no secret")
        if self.server.secret and self.server.username:
            raise ValueError("has both a user and a secret: give the credentials once")
        if self.aws_iam:
            if self.server.username is None or self.server.password is not None:
                raise ValueError("awsIam takes a user without a password")
        elif not self.server.secret and (self.server.username is None or self.server.password is None):
            raise ValueError("has no credentials: set secret, or username and password as a Pulumi secret")
        return self

    @property
    def server(self) -> PostgresServer:
        if self.uri is not None:
            return PostgresServer.parse(self.uri, needs_password=not self.aws_iam)
        password = self.password.get_secret_value() if self.password else None
        parameters = {**self.parameters, "sslmode": self.sslmode}
        return PostgresServer(
            self.host or "",
            self.port,
            self.username,
            password,
            self.secret,
            tuple(sorted(parameters.items())),
            self.secret_credentials_encoding == "raw",
        )


class CircuitBreakerSettings(Settings):
    """What a publisher does while the broker does not answer."""

    enabled: bool = False
    open_interval: Duration | None = Field(None, description="how long it does not try again")


class BrokerSettings(Settings):
    """The message broker by which modules tell each other what happened."""

    uri: str = Field(description="nats://host:4222 or kafka://host:9092[,host:9092]")
    username: str | None = Field(None, description="Kafka's SASL user")
    password: Credential | None = Field(None, description="Kafka's SASL password")
    sasl_mechanism: Literal["PLAIN", "SCRAM"] = "PLAIN"
    sasl_scram_sha_size: Literal["256", "512"] = "512"
    aws_iam: bool = Field(False, description="log in to Kafka (MSK) with the pods' AWS identity")
    tls: bool = False
    streams: Literal["service", "stack"] = Field(
        "service",
        description="one stream or topic a service, <stack>-<service>, which the modules make; or one a stack with subjects <stack>.<service>, which is made in NATS with a consumer for each module that listens; Kafka's topics are made by whoever keeps it, or by itself (auto.create.topics.enable)",
    )
    replicas: int = Field(1, ge=1, le=5, description="copies of the stream's data, where it is made")
    circuit_breaker: CircuitBreakerSettings = CircuitBreakerSettings()

    @field_validator("uri")
    @classmethod
    def _known(cls, uri: str) -> str:
        parts = urlsplit(uri)
        if parts.scheme not in ("nats", "kafka") or not parts.netloc:
            raise ValueError("must be nats://host:4222 or kafka://host:9092")
        if "@" in parts.netloc or parts.query or parts.path.strip("/"):
            raise ValueError("has only hosts and ports; credentials and options are settings of their own")
        return uri

    @model_validator(mode="after")
    def _fits(self) -> BrokerSettings:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.type == "nats" and (self.username or self.aws_iam or self.tls):
            raise ValueError("username, password, tls and awsIam are for kafka")
        if self.username and self.aws_iam:
            raise ValueError("awsIam takes the place of username and password")
        return self

    @property
    def type(self) -> str:
        return urlsplit(self.uri).scheme

    @property
    def hosts(self) -> str:
        return urlsplit(self.uri).netloc

    @property
    def is_made(self) -> bool:
        """Whether the stack makes its stream."""
        return self.type == "nats" and self.streams == "stack"

    def topic(self, stack: str, service: str) -> str:
        """What a service publishes to, as the Formance operator names it in either way to keep streams."""
        return f"{stack}{'-' if self.streams == 'service' else '.'}{service}"


class TemporalSettings(Settings):
    """The Temporal server that runs payments' and orchestration's workflows."""

    address: HostAndPort
    namespace: str = Field(min_length=1)
    certificate: Credential | None = Field(None, description="client certificate, PEM")
    key: Credential | None = Field(None, description="its private key, PEM")
    encryption_key: Credential | None = Field(None, description="encrypts what payments hands to Temporal")
    init_search_attributes: bool = Field(False, description="let modules register their search attributes")

    @model_validator(mode="after")
    def _both(self) -> TemporalSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class SignalSettings(Settings):
    """Where one kind of telemetry goes."""

    endpoint: str = Field(
        description="grpc://host:4317 or http://host:4318; with a path, the whole URL is the endpoint"
    )
    insecure: bool = Field(False, description="without TLS")
    resource_attributes: dict[str, str] = {}

    @field_validator("endpoint")
    @classmethod
    def _known(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        # With a path it is the whole URL, whose scheme has a port.
        if parts.scheme not in ("grpc", "http") or not parts.hostname or not (parts.port or parts.path) or parts.query:
            raise ValueError("must be grpc://host:4317 or http://host:4318")
        return endpoint


class OpenTelemetrySettings(Settings):
    """Traces and metrics of every module, by OTLP."""

    traces: SignalSettings | None = None
    metrics: SignalSettings | None = None


class RegistrySettings(Settings):
    """Where images of one registry really come from."""

    endpoint: str | None = Field(None, description="host[/path] to pull from instead")
    pull_secret: Label | None = Field(None, description="a Secret of the type kubernetes.io/dockerconfigjson")
    images: dict[str, str] = Field({}, description="path of an image -> the path it has there")


class LicenceSettings(Settings):
    """Formance's licence, for its enterprise modules."""

    token: Credential
    issuer: str = Field(min_length=1)
