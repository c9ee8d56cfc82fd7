"""The settings of a stack as typed values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, InstanceOf, model_validator

from .base import Label, ModuleName, Settings
from .catalog import Context, Kind, Plan, find
from .databases import LONGEST, is_scratch_name
from .environment import leads_elsewhere
from .gateway import GatewaySettings, Route
from .infrastructure import (
    BrokerSettings,
    LicenceSettings,
    OpenTelemetrySettings,
    PostgresSettings,
    RegistrySettings,
    TemporalSettings,
)
from .module import CommonSettings, CompatibilitySettings, ModuleSettings
from .postgres import PostgresServer
from .versions import Version

if TYPE_CHECKING:
    from .catalog.auth import ClientSettings


class NamespaceSettings(Settings):
    """The namespace that holds the stack."""

    name: Label | None = Field(None, description="default: the stack's name")
    create: bool = Field(
        True,
        description="make it; a destroy keeps it for the records of the databases it keeps, else removes it; false where it exists already",
    )
    labels: dict[str, str] = Field({}, description="of the namespace, where it is made")
    annotations: dict[str, str] = Field({}, description="the same")


class StackSettings(Settings):
    """Everything under ``rollout:`` in ``Pulumi.<stack>.yaml``."""

    stack: Label
    # Each of the model of its kind: see load.py.
    modules: dict[ModuleName, InstanceOf[ModuleSettings]] = Field(min_length=1)
    defaults: CommonSettings | None = Field(None, description="for every module; its kind and itself say otherwise")
    postgres: PostgresSettings | None = None
    broker: BrokerSettings | None = None
    temporal: TemporalSettings | None = None
    open_telemetry: OpenTelemetrySettings = OpenTelemetrySettings()
    registries: dict[str, RegistrySettings] = Field({}, description="registry -> where its images really come from")
    licence: LicenceSettings | None = None
    versions: str | None = Field(None, description="file with the versions of the modules, relative to Pulumi.yaml")
    namespace: NamespaceSettings = NamespaceSettings()
    gateway: GatewaySettings = GatewaySettings()
    network_policies: bool = Field(
        False, description="pods accept connections from the gateway and each other alone; the gateway from everywhere"
    )
    migrator_image: str = Field("localhost/rollout/migrator:1", description="image that creates databases")
    context: str | None = Field(None, description="kubeconfig context; default: the current one")
    debug: bool = False
    dev: bool = Field(False, description="modules relax what is only for production, such as TLS of their issuers")
    disabled: bool = Field(False, description="every module is disabled")
    freeze: str | None = Field(None, min_length=1, description="a reason for which every change is refused")

    @property
    def namespace_name(self) -> str:
        return self.namespace.name or self.stack

    @model_validator(mode="after")
    def _whole(self) -> StackSettings:
        for name, module in self.modules.items():
            self._has_what_it_needs(name, module)
            for other in module.depends_on:
                if other not in self.modules:
                    raise ValueError(f"modules.{name}.dependsOn names {other!r}, which is not a module of this stack")
        self._gateway_fits()
        self._told_apart()
        self._databases_told_apart()
        self.in_order()
        return self

    def _has_what_it_needs(self, name: str, module: ModuleSettings) -> None:
        kind = self.kind(name)
        if module.database and not (module.postgres or self.postgres):
            raise ValueError(
                f"modules.{name} has a database but no server is set. Set rollout:postgres: "
                "pulumi config set --secret --path 'rollout:postgres.uri' 'postgresql://user:password@host:5432', "
                "or with a Kubernetes Secret 'postgresql://host:5432?secret=NAME'"
            )
        if module.database and module.backup in ("pvc", "s3") and self.postgres_of(name).aws_iam:
            raise ValueError(
                f"modules.{name}.backup: backups need a password for the database, and postgres.awsIam has none"
            )
        if kind.needs_broker and self.broker is None:
            raise ValueError(f"modules.{name} needs a message broker: set rollout:broker.uri, such as nats://nats:4222")
        if module.version is None:
            return  # which load.py refuses
        version = Version.parse(module.version)
        refusal = kind.refusal(version)
        if refusal:
            raise ValueError(f"modules.{name}.version: {version} {refusal}")
        if kind.needs_temporal(version) and self.temporal is None:
            raise ValueError(
                f"modules.{name} needs Temporal: set rollout:temporal.address and rollout:temporal.namespace"
            )
        for problem in kind.problems(self.of(name)):
            raise ValueError(f"modules.{name} {problem}")

    def _gateway_fits(self) -> None:
        gateway = self.gateway_module
        if self.gateway.ingress and not gateway:
            raise ValueError("gateway.ingress leads to the gateway, but the stack has no module named gateway")
        if gateway:
            grace = self.modules[gateway].termination_grace_period_seconds
            shutdown, end = self.gateway.shutdown_seconds, self.gateway.grace_seconds
            if shutdown + (end or 0) >= grace:
                also = f" and gateway.graceSeconds ({end})" if end else ""
                raise ValueError(
                    f"gateway.shutdownSeconds ({shutdown}){also} must be less than "
                    f"modules.{gateway}.terminationGracePeriodSeconds ({grace})"
                )
        for name, module in self.modules.items():
            if name != gateway and gateway in module.depends_on:
                raise ValueError(f"modules.{name}.dependsOn names the gateway, which goes last")

    def _told_apart(self) -> None:
        """One module of each kind, and no module of the name of another's worker."""
        kinds: dict[str, str] = {}
        for name, module in self.modules.items():
            if module.kind != "custom" and kinds.setdefault(module.kind, name) != name:
                raise ValueError(f"modules.{name}: the stack has a {module.kind} already, {kinds[module.kind]}")
            if name.endswith("-worker") and name.removesuffix("-worker") in self.modules:
                raise ValueError(f"modules.{name} has the name of the worker of {name.removesuffix('-worker')}")

    def _databases_told_apart(self) -> None:
        """No two modules migrate one database, and nothing but its settings leads a module to another than is migrated.

        Of other stacks nothing is known here: a database that belongs to one is refused by the mark that it has.
        """
        users: dict[tuple[str, int, str], str] = {}
        for name, module in self.modules.items():
            if not module.database:
                continue
            server, database = self.server(name), self.database(name)
            if len(database.encode()) > LONGEST:
                raise ValueError(
                    f"modules.{name}: PostgreSQL would cut the database's name {database} to {LONGEST} bytes. Set databaseName"
                )
            host = server.host.lower().rstrip(".")
            other = users.setdefault((host, server.port, database), name)
            if other != name:
                raise ValueError(
                    f"modules.{name} and modules.{other} have one database, {self.database(name)}: each migrates its own"
                )
            for setting, env in module.environments.items():
                for variable, why in leads_elsewhere(env, module.rehearsal.env):
                    raise ValueError(f"modules.{name}.{setting}.{variable} {why}")
        for (host, port, database), name in users.items():
            for (of_host, of_port, of_database), other in users.items():
                if name != other and (host, port) == (of_host, of_port) and is_scratch_name(database, of_database):
                    raise ValueError(
                        f"modules.{name}: its database {database} has a name that scratch databases of modules.{other} may have, "
                        f"which are made beside {of_database} and dropped. Give it another databaseName"
                    )

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
        return tuple(
            Route(name, m.probe.path, self.kind(name).parts(self.of(name)))
            for name, m in self.modules.items()
            if self.kind(name).routed and name != self.gateway_module and not self.is_disabled(name)
        )

    # --- what the modules' kinds ask -------------------------------------------------------------------------------

    def of(self, module: str) -> Context[Any]:
        """A module with all that its kind looks at."""
        return Context(module, self.modules[module], self, self.version(module))

    def plan(self, module: str) -> Plan:
        """Everything of a module's version that its kind decides."""
        return self.kind(module).plan(self.of(module))

    def kind(self, module: str) -> Kind[Any]:
        """What decides the rest of a module."""
        return find(self.modules[module].kind)

    def kind_of(self, module: str) -> str:
        """Its name."""
        return self.kind(module).name

    def one_of(self, kind: str) -> str | None:
        """The name of the stack's module of a kind of the catalogue."""
        return next((name for name, m in self.modules.items() if m.kind == kind), None)

    def is_disabled(self, module: str) -> bool:
        return self.disabled or self.modules[module].disabled

    def publishes(self, module: str) -> bool:
        """Whether a module tells the broker what happened."""
        return self.kind(module).publishes

    def listens(self, module: str) -> bool:
        """Whether a module is told by the broker what happened."""
        return self.kind(module).consumes

    def publishers(self, listener: str) -> list[str]:
        """The modules whose events one listens to, in alphabetical order."""
        kind = self.kind(listener)
        others = {m for m in self.modules if m != listener or kind.hears_itself}
        return sorted(m for m in others if kind.consumes and self.publishes(m))

    def listeners(self, publisher: str) -> list[str]:
        """The modules that listen to the events of one."""
        return sorted(m for m in self.modules if publisher in self.publishers(m))

    def starts_in_rehearsal(self, module: str) -> bool:
        """Whether the version that serves may be started a second time, on a rehearsed schema."""
        kind = self.kind(module)
        asked = self.modules[module].rehearsal.serve
        return not (kind.consumes or kind.needs_temporal(self.version(module))) if asked is None else asked

    def compatibility(self, module: str) -> CompatibilitySettings:
        """What a rehearsal of a module refuses, with the default of its kind."""
        settings = self.modules[module].compatibility
        default = settings.default or ("refuse" if self.modules[module].kind == "custom" else "warn")
        return settings.model_copy(update={"default": default})

    @property
    def public_url(self) -> str | None:
        """Where the gateway is reached from outside; None without an Ingress."""
        ingress = self.gateway.ingress
        return f"{ingress.scheme}://{ingress.hosts[0]}" if ingress else None

    @property
    def url(self) -> str | None:
        """Where the gateway is reached within the stack; None without one."""
        gateway = self.gateway_module
        return f"http://{gateway}:8080" if gateway else None

    @property
    def auth_url(self) -> str:
        """The issuer of the stack's tokens."""
        name = self.one_of("auth") or "auth"
        if self.public_url:
            return f"{self.public_url}/api/{name}"
        return f"{self.url}/api/{name}" if self.url else f"http://{name}:8080"

    @property
    def client_names(self) -> list[str]:
        """The clients of the stack's auth module: those that are set, and the modules that call others."""
        name = self.one_of("auth")
        named = set(getattr(self.modules[name], "clients", ())) if name else set()
        return sorted(named | {m for m in self.modules if self.kind(m).scopes})

    def client(self, name: str) -> ClientSettings:
        """A client of the stack's auth module, complete."""
        from .catalog.auth import ClientSettings, completed

        auth = self.one_of("auth")
        clients = getattr(self.modules[auth], "clients", {}) if auth else {}
        scopes = self.kind(name).scopes if name in self.modules else ()
        return completed(name, clients.get(name) or ClientSettings(), scopes)

    # --- infrastructure --------------------------------------------------------------------------------------------

    def postgres_of(self, module: str) -> PostgresSettings:
        """The PostgreSQL settings of a module that has a database."""
        settings = self.modules[module].postgres or self.postgres
        if settings is None:
            raise ValueError(f"module {module} has no PostgreSQL server")
        return settings

    def server(self, module: str) -> PostgresServer:
        """The PostgreSQL server of a module that has a database."""
        return self.postgres_of(module).server

    def database(self, module: str) -> str:
        """The name of a module's database; unless it has one of its own, as the Formance operator names it."""
        return self.modules[module].database_name or f"{self.stack}-{module}"

    def version(self, module: str) -> Version:
        """The version to run; :func:`settings.load` has made sure that there is one."""
        text = self.modules[module].version
        if text is None:
            raise ValueError(f"module {module} has no version")
        return Version.parse(text)

    def image(self, module: str) -> str:
        """The image of a module at its version, from where the registries' settings say."""
        return self.version(module).image(self.rewritten(self.kind(module).image(self.of(module))))

    def rewritten(self, repository: str) -> str:
        """An image's repository, as it is called where it is really pulled from."""
        host, path = registry_of(repository)
        settings = self.registries.get(host)
        if settings is None:
            return repository
        return f"{settings.endpoint or host}/{settings.images.get(path, path)}"

    def pull_secrets(self, module: str) -> list[str]:
        """The Secrets to pull a module's image with."""
        host, _ = registry_of(self.modules[module].image)
        settings = self.registries.get(host)
        registry = [settings.pull_secret] if settings and settings.pull_secret else []
        return [*self.modules[module].image_pull_secrets, *registry]


def registry_of(repository: str) -> tuple[str, str]:
    """The registry of an image and the image's path there.

    https://github.com/distribution/reference: the first part is a host if it looks like one, else the image is on Docker Hub.
    """
    first, slash, rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "docker.io", repository
