"""The settings of a stack as typed values. Every default is here and nowhere else.

Names in the configuration are written as in Kubernetes (``activeDeadlineSeconds``), here as in Python.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from .base import EnvironmentName, Label, ModuleName, Quantity, Settings, VersionText
from .gateway import GatewaySettings, Route
from .postgres import PostgresServer
from .versions import Version


class PostgresSettings(Settings):
    """The server that holds the modules' databases."""

    uri: str = Field(description="postgresql://[user:password@]host[:port][?secret=NAME&sslmode=require]", repr=False)

    @field_validator("uri")
    @classmethod
    def _readable(cls, uri: str) -> str:
        PostgresServer.parse(uri)
        return uri

    @property
    def server(self) -> PostgresServer:
        return PostgresServer.parse(self.uri)


class Resources(Settings):
    """Requests and limits of a container."""

    requests: dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = {"cpu": "25m", "memory": "64Mi"}
    limits: dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = {"memory": "256Mi"}


class MigrationSettings(Settings):
    """The Job that migrates a module's database before the new version is deployed."""

    args: tuple[str, ...] = ("migrate",)
    active_deadline_seconds: int = Field(600, ge=5, le=86_400, description="the Job is ended after this many seconds")
    backoff_limit: int = Field(0, ge=0, le=2, description="how often a failed pod is tried again")
    env: dict[EnvironmentName, str] = Field({}, description="environment of the Job alone")


class ProbeSettings(Settings):
    """HTTP probes of a module; liveness and readiness ask the same path."""

    path: str = Field("/_healthcheck", pattern=r"^/")
    period_seconds: int = Field(1, ge=1, le=60)
    timeout_seconds: int = Field(5, ge=1, le=60)
    readiness_failures: int = Field(3, ge=1, le=60)
    liveness_failures: int = Field(20, ge=1, le=120)


class ModuleSettings(Settings):
    """One module: a service with its own database."""

    image: str = Field(description="image repository, without a tag: the version is the tag", min_length=1)
    version: VersionText | None = None
    replicas: int = Field(2, ge=1, le=100)
    args: tuple[str, ...] = ("serve",)
    port: int = Field(8080, ge=1, le=65_535)
    database: bool = Field(True, description="whether the module has a database of its own, and so a migration")
    postgres: PostgresSettings | None = Field(None, description="a server of its own; default: rollout:postgres")
    migration: MigrationSettings = MigrationSettings()
    probe: ProbeSettings = ProbeSettings()
    env: dict[EnvironmentName, str] = {}
    resources: Resources = Resources()
    debug: bool | None = Field(None, description="default: rollout:debug")
    depends_on: tuple[ModuleName, ...] = Field((), description="modules that must serve their new version first")
    drain_seconds: int = Field(
        3, ge=0, le=600, description="preStop: how long a pod goes on as before after it left the Service"
    )
    termination_grace_period_seconds: int = Field(30, ge=1, le=3600)
    progress_deadline_seconds: int = Field(
        120, ge=5, le=3600, description="a Deployment that is not ready by then has failed"
    )
    run_as_user: int = Field(65_532, ge=1, description="the pods' numeric user and group")
    image_pull_secrets: tuple[Label, ...] = ()
    allow_downgrade: bool = Field(False, description="accept a version older than the one that serves")

    @field_validator("image")
    @classmethod
    def _no_tag(cls, image: str) -> str:
        if "@" in image or ":" in image.rpartition("/")[2]:
            raise ValueError("must not have a tag or digest; write those in the module's version")
        if not re.fullmatch(r"[a-z0-9][A-Za-z0-9._:/-]*", image):
            raise ValueError("is not an image repository, for example ghcr.io/formancehq/ledger")
        return image

    @model_validator(mode="after")
    def _drains_within_grace(self) -> ModuleSettings:
        if self.drain_seconds >= self.termination_grace_period_seconds:
            raise ValueError(
                f"drainSeconds ({self.drain_seconds}) must be less than terminationGracePeriodSeconds "
                f"({self.termination_grace_period_seconds}): the grace period includes the drain"
            )
        return self


class NamespaceSettings(Settings):
    """The namespace that holds the stack."""

    name: Label | None = Field(None, description="default: the stack's name")
    create: bool = Field(True, description="make it, and remove it on destroy; false where it exists already")


class StackSettings(Settings):
    """Everything under ``rollout:`` in ``Pulumi.<stack>.yaml``."""

    stack: Label
    modules: dict[ModuleName, ModuleSettings] = Field(min_length=1)
    postgres: PostgresSettings | None = None
    versions: str | None = Field(None, description="file with the versions of the modules, relative to Pulumi.yaml")
    namespace: NamespaceSettings = NamespaceSettings()
    gateway: GatewaySettings = GatewaySettings()
    migrator_image: str = Field("localhost/rollout/migrator:1", description="image that creates databases")
    context: str | None = Field(None, description="kubeconfig context; default: the current one")
    debug: bool = False

    @property
    def namespace_name(self) -> str:
        return self.namespace.name or self.stack

    @model_validator(mode="after")
    def _whole(self) -> StackSettings:
        for name, module in self.modules.items():
            if module.database and not (module.postgres or self.postgres):
                raise ValueError(
                    f"modules.{name} has a database but no server is set. Set rollout:postgres: "
                    "pulumi config set --secret --path 'rollout:postgres.uri' 'postgresql://user:password@host:5432', "
                    "or with a Kubernetes Secret 'postgresql://host:5432?secret=NAME'"
                )
            for other in module.depends_on:
                if other not in self.modules:
                    raise ValueError(f"modules.{name}.dependsOn names {other!r}, which is not a module of this stack")
        if self.gateway.ingress and not self.gateway_module:
            raise ValueError("gateway.ingress leads to the gateway, but the stack has no module named gateway")
        if self.gateway_module:
            grace = self.modules[self.gateway_module].termination_grace_period_seconds
            if self.gateway.shutdown_seconds >= grace:
                raise ValueError(
                    f"gateway.shutdownSeconds ({self.gateway.shutdown_seconds}) must be less than "
                    f"modules.{self.gateway_module}.terminationGracePeriodSeconds ({grace})"
                )
        for name, module in self.modules.items():
            if name != self.gateway_module and self.gateway_module in module.depends_on:
                raise ValueError(f"modules.{name}.dependsOn names the gateway, which goes last")
        self.in_order()
        return self

    def in_order(self) -> list[str]:
        """The modules' names, each after those it depends on.

        Raises:
            ValueError: modules depend on each other in a circle.
        """
        done: list[str] = []

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                raise ValueError(
                    "modules depend on each other in a circle: " + " -> ".join([*path[path.index(name) :], name])
                )
            if name not in done:
                for other in self.modules[name].depends_on:
                    visit(other, (*path, name))
                done.append(name)

        for name in self.modules:
            visit(name, ())
        return done

    @property
    def gateway_module(self) -> str | None:
        """The module that is the stack's gateway."""
        return "gateway" if "gateway" in self.modules else None

    @property
    def routes(self) -> tuple[Route, ...]:
        """The modules that the gateway leads to."""
        return tuple(Route(name, m.probe.path) for name, m in self.modules.items() if name != self.gateway_module)

    def server(self, module: str) -> PostgresServer:
        """The PostgreSQL server of a module that has a database."""
        settings = self.modules[module].postgres or self.postgres
        if settings is None:
            raise ValueError(f"module {module} has no PostgreSQL server")
        return settings.server

    def database(self, module: str) -> str:
        """The name of a module's database, as the Formance operator names it."""
        return f"{self.stack}-{module}"

    def version(self, module: str) -> Version:
        """The version to run; :func:`settings.load` has made sure that there is one."""
        text = self.modules[module].version
        if text is None:
            raise ValueError(f"module {module} has no version")
        return Version.parse(text)
