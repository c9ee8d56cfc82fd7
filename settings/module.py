"""The settings that every module has, whatever its kind. Every default is here or in the kind's file, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from .base import DatabaseName, EnvironmentName, Label, ModuleName, Quantity, Settings, VersionText
from .credentials import SecretReference
from .infrastructure import Duration, PostgresSettings

Annotations = dict[str, str]
# The value of a variable: text, or a key of a Secret for what is not for everybody's eyes.
EnvironmentValue = Annotated[
    Annotated[str, Tag("(text)")] | Annotated[SecretReference, Tag("SecretReference")],
    Discriminator(lambda value: "SecretReference" if isinstance(value, dict | SecretReference) else "(text)"),
]
Amount = Annotated[int, Field(ge=0)] | Annotated[str, StringConstraints(pattern=r"^\d{1,3}%$")]


class Resources(Settings):
    """Requests and limits of a container."""

    requests: dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = {"cpu": "25m", "memory": "64Mi"}
    limits: dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = {"memory": "256Mi"}


class MigrationSettings(Settings):
    """The Job that migrates a module's database before the new version is deployed."""

    args: tuple[str, ...] = ("migrate",)
    active_deadline_seconds: int = Field(600, ge=5, le=86_400, description="the Job is ended after this many seconds")
    backoff_limit: int = Field(0, ge=0, le=2, description="how often a failed pod is tried again")
    env: dict[EnvironmentName, EnvironmentValue] = Field({}, description="environment of the Job alone")
    annotations: Annotations = Field({}, description="of the Job's pods, such as those that keep a sidecar out")
    resources: Resources = Field(
        Resources(limits={"memory": "512Mi"}),
        description="of its container, also in its rehearsal; a limit of CPU is that of this project's own Jobs for the module too, as a quota asks. "
        "A change of them runs no migration again that has succeeded",
    )
    witness: bool = Field(
        True, description="compare the database before and after it, by a sidecar (Kubernetes 1.29 or newer)"
    )
    sql: str | None = Field(
        None,
        min_length=1,
        description="folder of the migration's SQL files, beside Pulumi.yaml; `check`, `preview` and the policy sql-files read them",
    )


# What a URL's path and query are made of (RFC 3986), without what means something to the Caddyfile or to Kubernetes, where
# the path stands too: quotes, braces, `$(NAME)`, a space before a comment.
HealthPath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._~%!*+,;:=@&?/-]*$")]
RequestPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")]


class ProbeSettings(Settings):
    """HTTP probes of a module."""

    path: HealthPath = "/_healthcheck"
    readiness_path: HealthPath | None = Field(None, description="of readiness alone; default: path")
    period_seconds: int = Field(1, ge=1, le=60)
    timeout_seconds: int = Field(5, ge=1, le=60)
    readiness_failures: int = Field(3, ge=1, le=60)
    liveness_failures: int = Field(20, ge=1, le=120)


class ProbeRequest(Settings):
    """A request that the version that serves must answer, before a rehearsed migration and after it.

    Each time `{{attempt}}` in path, body and headers is something else, and so is the value of Idempotency-Key: what writes must write again.
    """

    path: RequestPath = Field(description="with its query, in ASCII")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    body: str = Field("", description="JSON text")
    headers: dict[str, str] = {}
    expect: int | None = Field(None, ge=100, le=599, description="the status; default: any below 500")


class FindingSettings(Settings):
    """What somebody has decided about some findings of a rehearsal."""

    rule: str = Field("*", min_length=1, description="the rule's id, or a pattern of it such as column-*")
    object: str = Field("*", min_length=1, description="the object's name, or a pattern of it such as public.orders.*")
    level: Literal["warn", "refuse"] = "warn"
    reason: str = Field(min_length=1, description="why; shown with the finding and kept in the record of the migration")


class CompatibilitySettings(Settings):
    """Which findings of a rehearsal refuse the migration."""

    default: Literal["refuse", "warn"] | None = Field(
        None,
        description="of a change that might break the version that serves, while nothing shows that it does; default: "
        "warn for kinds of the catalogue, whose vendor promises compatibility, else refuse",
    )
    restart: Literal["refuse", "warn"] = Field(
        "warn", description="of a version that keeps running but cannot be started anew on the migrated schema"
    )
    statement_hours: float = Field(
        24,
        ge=0,
        le=8784,
        description="hours for which statements must have been counted before it counts that none is hurt",
    )
    findings: tuple[FindingSettings, ...] = Field(
        (), description="decisions about single findings; the first that fits counts"
    )


class RehearsalSettings(Settings):
    """How a migration is rehearsed on a scratch database, and the version that serves tried on the result."""

    deadline_seconds: int = Field(300, ge=10, le=86_400, description="a rehearsal that takes longer refuses the update")
    copy_limit: Quantity = Field("1Gi", description="`copy` takes the rows of databases up to this size")
    sample_rows: int = Field(
        50_000,
        ge=1,
        le=10_000_000,
        description="`sample` takes so many rows of each table, and those that they refer to",
    )
    tables: tuple[str, ...] = Field((), description="whose rows the migration needs; the tools' own records are known")
    serve: bool | None = Field(
        None,
        description="start the version that serves on the rehearsed schema; default: unless its kind listens to the broker or "
        "works for Temporal, where it would take what is meant for the real one",
    )
    requests: tuple[ProbeRequest, ...] = Field((), description="that the version that serves must answer")
    statements: str | None = Field(
        None,
        min_length=1,
        description="file beside Pulumi.yaml with the statements that the version that serves uses, as SQL or as PostgreSQL's log; "
        "besides those that pg_stat_statements has",
    )
    env: dict[EnvironmentName, str] = Field(
        {},
        description="of the migration and of the version that serves, there: to keep them from queues and other services",
    )

    @property
    def copy_bytes(self) -> int:
        """`copy_limit` in bytes."""
        number, unit = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", self.copy_limit).groups()  # type: ignore[union-attr]
        factors = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
        factors |= {f"{name}i": 1024**power for power, name in enumerate("KMGT", 1)}
        return int(float(number) * factors[unit])


class S3Settings(Settings):
    """A bucket of S3, or of a server that speaks its protocol."""

    bucket: str = Field(min_length=3, max_length=63)
    prefix: str = Field("", pattern=r"^([^/](.*[^/])?)?$", description="before the path of the backups")
    path: str | None = Field(
        None,
        pattern=r"^[^/](.*[^/])?$",
        description="after the prefix, instead of `<stack>/<UID of the namespace>/<database>`, which is nobody else's: to restore "
        "what another cluster, another stack or an earlier version (`<database>`) has made",
    )
    endpoint: str | None = Field(None, pattern=r"^https?://[^/]+$", description="URL of the server; default: AWS's own")
    region: str = "us-east-1"
    access_key_id: SecretReference | None = Field(
        None, description="default: the pod's own identity (serviceAccount.annotations)"
    )
    secret_access_key: SecretReference | None = None

    @model_validator(mode="after")
    def _both(self) -> S3Settings:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("accessKeyId and secretAccessKey go together")
        return self


class BackupSettings(Settings):
    """The backup of a module's database before each migration."""

    keep: int = Field(
        5, ge=1, le=1000, description="how many are kept; older ones are removed once a new one is proven"
    )
    deadline_seconds: int = Field(1800, ge=10, le=86_400, description="a backup that takes longer halts the update")
    memory_limit: Quantity = Field("512Mi", description="of the Job")
    size: Quantity = Field("10Gi", description="of the claim `<module>-backups`, when it is made (`pvc`)")
    storage_class: str | None = Field(None, description="of the claim; default: the cluster's own (`pvc`)")
    s3: S3Settings | None = Field(None, description="where to (`s3`)")
    image: str | None = Field(None, min_length=1, description="with its tag or digest (`command`)")
    command: tuple[str, ...] = Field((), description="of the image; its exit code decides (`command`)")
    env: dict[EnvironmentName, str] = Field({}, description="of the command, after the database's (`command`)")


def _off(value: object) -> object:
    return "off" if value is False else value  # YAML 1.1 reads `off` as false


def _default_alone(value: Any) -> Any:
    return {"default": value} if isinstance(value, str) else value


class AutoscalingSettings(Settings):
    """A HorizontalPodAutoscaler; the Deployment's replicas are then its alone."""

    min_replicas: int = Field(2, ge=1, le=100)
    max_replicas: int = Field(ge=1, le=1000)
    cpu_percent: int | None = Field(None, ge=1, le=1000, description="average use of the requested CPU to keep")
    memory_percent: int | None = Field(None, ge=1, le=1000, description="the same of memory")

    @model_validator(mode="after")
    def _whole(self) -> AutoscalingSettings:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"maxReplicas ({self.max_replicas}) is less than minReplicas ({self.min_replicas})")
        if self.cpu_percent is None and self.memory_percent is None:
            raise ValueError("needs something to go by: set cpuPercent or memoryPercent")
        return self


class DisruptionBudgetSettings(Settings):
    """How many pods a drained node may take at once."""

    max_unavailable: Amount | None = Field(None, description="default: 1")
    min_available: Amount | None = Field(None, description="instead of maxUnavailable")

    @model_validator(mode="after")
    def _one(self) -> DisruptionBudgetSettings:
        if self.max_unavailable is not None and self.min_available is not None:
            raise ValueError("Kubernetes takes maxUnavailable or minAvailable, not both")
        return self


class ServiceSettings(Settings):
    """The module's Service."""

    annotations: Annotations = {}
    traffic_distribution: Literal["PreferClose", "PreferSameZone", "PreferSameNode"] | None = None


class ServiceAccountSettings(Settings):
    """The account of a module's pods and Jobs."""

    annotations: Annotations = Field({}, description="such as eks.amazonaws.com/role-arn, the AWS identity")


class Toleration(Settings):
    """Lets pods onto nodes that keep others away."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class JobSettings(Settings):
    """Where the pods of Jobs run; a change counts for Jobs to come, and runs none again."""

    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()


class WorkerSettings(Settings):
    """A module's worker, beside its API: one Deployment that is stopped before the next version of it starts."""

    replicas: int = Field(1, ge=1, le=100)
    resources: Resources = Resources()
    env: dict[EnvironmentName, EnvironmentValue] = Field({}, description="of the worker alone, after the module's")
    service: ServiceSettings = Field(ServiceSettings(), description="of the worker's Service, where it has one")


class CommonSettings(Settings):
    """What may be set for all modules at once, at rollout:defaults, and for each of them."""

    replicas: int = Field(2, ge=1, le=100)
    autoscaling: AutoscalingSettings | None = Field(None, description="instead of replicas")
    resources: Resources = Resources()
    probe: ProbeSettings = ProbeSettings()
    migration: MigrationSettings = MigrationSettings()
    rehearse: Annotated[Literal["schema", "sample", "copy", "off"], BeforeValidator(_off)] = Field(
        "schema",
        description="try a migration on a scratch database first, with the schema, with some rows of each table, or with all of them; "
        "needs a role that may create databases",
    )
    rehearsal: RehearsalSettings = RehearsalSettings()
    compatibility: Annotated[
        CompatibilitySettings,
        BeforeValidator(_default_alone, json_schema_input_type=Literal["refuse", "warn"] | CompatibilitySettings),
    ] = Field(CompatibilitySettings(), description="what a rehearsal refuses; `refuse` or `warn` alone is its default")
    backup: Annotated[Literal["pvc", "s3", "command", "off"], BeforeValidator(_off)] = Field(
        "off",
        description="back the database up before each migration: to a volume of the module's own, to S3, or by a command of yours",
    )
    backups: BackupSettings = BackupSettings()
    env: dict[EnvironmentName, EnvironmentValue] = Field(
        {}, description="takes the place of a variable of the same name"
    )
    debug: bool | None = Field(None, description="default: rollout:debug")
    dev: bool | None = Field(None, description="default: rollout:dev")
    json_logging: bool = Field(False, description="JSON_FORMATTING_LOGGER")
    semconv_metrics_names: bool = Field(False, description="SEMCONV_METRICS_NAMES, which the ledger reads")
    grace_period: Duration | None = Field(None, description="GRACE_PERIOD: how long the process ends its requests")
    drain_seconds: int = Field(
        3, ge=0, le=600, description="preStop: how long a pod goes on as before after it left the Service"
    )
    termination_grace_period_seconds: int = Field(30, ge=1, le=3600)
    progress_deadline_seconds: int = Field(
        120, ge=5, le=3600, description="a Deployment that is not ready by then has failed"
    )
    run_as_user: int = Field(65_532, ge=1, description="the pods' numeric user")
    run_as_group: int | None = Field(None, ge=1, description="default: runAsUser")
    image_pull_secrets: tuple[Label, ...] = ()
    annotations: Annotations = Field({}, description="of the pods")
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    jobs: JobSettings = Field(
        JobSettings(), description="of the module's Jobs, which have nothing of nodeSelector and tolerations above"
    )
    topology_spread: bool = Field(False, description="spread over zones where possible, and over nodes always")
    disruption_budget: DisruptionBudgetSettings = DisruptionBudgetSettings()
    service: ServiceSettings = ServiceSettings()
    service_account: ServiceAccountSettings = ServiceAccountSettings()

    @model_validator(mode="after")
    def _drains_within_grace(self) -> CommonSettings:
        if self.drain_seconds >= self.termination_grace_period_seconds:
            raise ValueError(
                f"drainSeconds ({self.drain_seconds}) must be less than terminationGracePeriodSeconds "
                f"({self.termination_grace_period_seconds}): the grace period includes the drain"
            )
        return self


class ModuleSettings(CommonSettings):
    """One module: a service, normally with its own database."""

    kind: str = Field(
        "custom",
        description="default: the module's name if that is in the catalogue and it sets no image, else custom",
    )
    image: str = Field(
        description="image repository, without a tag: the version is the tag; default: the kind's", min_length=1
    )
    version: VersionText | None = Field(None, description="default: of the file rollout:versions")
    args: tuple[str, ...] = ("serve",)
    port: int = Field(8080, ge=1, le=65_535)
    database: bool = Field(True, description="whether the module has a database of its own, and so a migration")
    database_name: DatabaseName | None = Field(
        None, description="of one that exists already, or by another rule; default: `<stack>-<module>`"
    )
    postgres: PostgresSettings | None = Field(None, description="a server of its own; default: rollout:postgres")
    contract_since: VersionText | None = Field(
        None, description="a migration may remove what this version does not use, once it or a later one serves"
    )
    depends_on: tuple[ModuleName, ...] = Field((), description="modules that must serve their new version first")
    allow_downgrade: bool = Field(
        False, description="accept a version older than the one that serves, or that its database was migrated to"
    )
    disabled: bool = Field(False, description="no workloads; the database and the record of its migration are kept")

    @model_validator(mode="after")
    def _backed_up_somewhere(self) -> ModuleSettings:
        if self.backup == "s3" and self.backups.s3 is None:
            raise ValueError("backup is s3, and backups.s3 does not say where: set backups.s3.bucket")
        if self.backup == "command" and not (self.backups.image and self.backups.command):
            raise ValueError("backup is command: set backups.image and backups.command")
        return self

    @property
    def environments(self) -> dict[str, Mapping[str, str | SecretReference]]:
        """The variables that it sets itself, by the setting they stand in."""
        worker: WorkerSettings | None = getattr(self, "worker", None)
        return {
            "env": self.env,
            "worker.env": worker.env if worker else {},
            "migration.env": self.migration.env,
            "rehearsal.env": self.rehearsal.env,
        }

    @field_validator("image")
    @classmethod
    def _no_tag(cls, image: str) -> str:
        if "@" in image or ":" in image.rpartition("/")[2]:
            raise ValueError("must not have a tag or digest; write those in the module's version")
        if not re.fullmatch(r"[a-z0-9][A-Za-z0-9._:/-]*", image):
            raise ValueError("is not an image repository, for example ghcr.io/formancehq/ledger")
        return image


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Settings laid over each other, the last one on top; maps are merged key by key, everything else is replaced."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
