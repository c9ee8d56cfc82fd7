"""Ledger: the double-entry API, and from 2.3 on a worker beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..base import Settings
from ..environment import Variable
from ..infrastructure import Duration
from ..module import WorkerSettings
from ..versions import Version
from .kind import Context, Kind, Port, Role
from .protection import ProtectedSettings
from .variables import common, pool, postgres, protected, publisher

# The operator's rule: later than this, or not a semantic version, has the command `worker`.
_BEFORE_WORKER = Version("2.3.0-alpha")
# The operator's rule: this and later is a Cluster of the ledger's own operator (docs/04-Modules/03-Ledger.md).
_ANOTHER_SYSTEM = Version("3.0.0-0")
_GRPC = Port("grpc", 8081)


class LedgerApiSettings(Settings):
    """Limits of requests."""

    bulk_max_size: int | None = Field(None, ge=1, description="elements of one bulk request")
    default_page_size: int | None = Field(None, ge=1)
    max_page_size: int | None = Field(None, ge=1)


class HasherSettings(Settings):
    """Hashes blocks of logs behind the writes."""

    max_block_size: int | None = Field(None, ge=1)
    schedule: str | None = Field(None, description="cron expression")


class PipelineSettings(Settings):
    """Exports of logs."""

    pull_interval: Duration | None = None
    push_retry_period: Duration | None = None
    sync_period: Duration | None = None
    logs_page_size: int | None = Field(None, ge=1)


class CleanupSettings(Settings):
    """Removal of deleted buckets."""

    retention_period: Duration | None = None
    schedule: str | None = Field(None, description="cron expression")


class LedgerWorkerSettings(WorkerSettings):
    """The ledger's worker."""

    async_block_hasher: HasherSettings = HasherSettings()
    pipelines: PipelineSettings = PipelineSettings()
    bucket_cleanup: CleanupSettings = CleanupSettings()


class LedgerSettings(ProtectedSettings):
    """Settings of a ledger."""

    api: LedgerApiSettings = LedgerApiSettings()
    worker: LedgerWorkerSettings = LedgerWorkerSettings()
    experimental_features: bool = False
    experimental_numscript: bool = Field(False, description="the interpreter of Numscript that is to come")
    experimental_numscript_flags: tuple[str, ...] = ()
    experimental_exporters: bool = Field(False, description="exports of logs, by the worker")
    disable_ledger_scope_optimization: bool = Field(
        False,
        description="name the ledger in every query, also where its bucket has no other (from 2.3.20 and 2.4.11 on)",
    )
    schema_enforcement_mode: Literal["audit", "strict"] | None = None


C = Context[LedgerSettings]


class Ledger(Kind[LedgerSettings]):
    name = "ledger"
    settings = LedgerSettings
    # The image's own command serves.
    # It lists the ledgers, so a rehearsal asks the database for something; formancehq/ledger, openapi.yaml: v2ListLedgers.
    defaults = {
        "image": "ghcr.io/formancehq/ledger",
        "args": [],
        "rehearsal": {"requests": [{"path": "/v2?pageSize=1"}]},
    }
    debug_flag = True
    # formancehq/operator after v3.9.2, internal/core/version.go: MinimumStackVersion.
    oldest = "2.2.0"
    before_oldest = (
        "may write from one process alone, so that two versions of it must not run beside each other. "
        "Upgrade it to 2.2 where it runs now"
    )
    publishes = True

    def refusal(self, version: Version) -> str | None:
        if version.semantic is None or version.is_older_than(_ANOTHER_SYSTEM):
            return super().refusal(version)
        return (
            "is not supported: ledger 3 is another system, with storage of its own instead of PostgreSQL. Its own operator runs it "
            "(a Cluster of ledger.formance.com), nothing migrates a ledger 2 into it, and MCP, orchestration, reconciliation, "
            "transactionplane, wallets and webhooks work with ledger 2 alone. Stay on the newest 2.x here; run ledger 3 beside "
            "the stack by its operator, and copy what you need by its API"
        )

    def variables(self, c: C) -> Iterator[Variable]:
        yield from common(c)
        yield from postgres(c)
        yield from pool(c)
        yield Variable("STORAGE_POSTGRES_CONN_STRING", "the catalogue", "$(POSTGRES_URI)")
        yield Variable("STORAGE_DRIVER", "the catalogue", "postgres")
        mode = c.module.schema_enforcement_mode
        if mode:
            yield Variable("SCHEMA_ENFORCEMENT_MODE", c.setting("schemaEnforcementMode"), mode)

    def api_variables(self, c: C) -> Iterator[Variable]:
        m = c.module
        yield Variable("BIND", c.setting("port"), f":{m.port}")
        if m.experimental_features:
            yield Variable("EXPERIMENTAL_FEATURES", c.setting("experimentalFeatures"), "true")
        if m.experimental_numscript:
            yield Variable("EXPERIMENTAL_NUMSCRIPT_INTERPRETER", c.setting("experimentalNumscript"), "true")
        if m.experimental_numscript_flags:
            flags = " ".join(m.experimental_numscript_flags)
            yield Variable("EXPERIMENTAL_NUMSCRIPT_INTERPRETER_FLAGS", c.setting("experimentalNumscriptFlags"), flags)
        if m.disable_ledger_scope_optimization:
            place = c.setting("disableLedgerScopeOptimization")
            yield Variable("DISABLE_LEDGER_SCOPE_OPTIMIZATION", place, "true")
        if m.experimental_exporters and has_worker(c.version):
            worker = f"{c.name}-worker.{c.stack.namespace_name}:{_GRPC.number}"
            yield Variable("EXPERIMENTAL_EXPORTERS", c.setting("experimentalExporters"), "true")
            yield Variable("WORKER_GRPC_ADDRESS", c.setting("experimentalExporters"), worker)
        limits = {
            "DEFAULT_PAGE_SIZE": ("defaultPageSize", m.api.default_page_size),
            "MAX_PAGE_SIZE": ("maxPageSize", m.api.max_page_size),
            "BULK_MAX_SIZE": ("bulkMaxSize", m.api.bulk_max_size),
        }
        for name, (setting, value) in limits.items():
            if value is not None:
                yield Variable(name, c.setting(f"api.{setting}"), str(value))
        yield from protected(c)
        yield from publisher(c)

    def migration_variables(self, c: C) -> Iterator[Variable]:
        yield Variable("STORAGE_POSTGRES_CONN_STRING", "the catalogue", "$(POSTGRES_URI)")
        yield Variable("STORAGE_DRIVER", "the catalogue", "postgres")

    def worker(self, c: C) -> Role | None:
        if not has_worker(c.version):
            return None
        # It serves nothing but the exporters' configuration, and has no health check to ask.
        ports = (_GRPC,) if c.module.experimental_exporters else ()
        return self.beside(c.module.worker, [*self.variables(c), *_worker_variables(c)], ports, probed=False)


def has_worker(version: Version) -> bool:
    return version.semantic is None or _BEFORE_WORKER.is_older_than(version)


def _worker_variables(c: C) -> Iterator[Variable]:
    w = c.module.worker
    values = {
        "WORKER_ASYNC_BLOCK_HASHER_MAX_BLOCK_SIZE": ("asyncBlockHasher.maxBlockSize", w.async_block_hasher.max_block_size),
        "WORKER_ASYNC_BLOCK_HASHER_SCHEDULE": ("asyncBlockHasher.schedule", w.async_block_hasher.schedule),
        "WORKER_PIPELINES_PULL_INTERVAL": ("pipelines.pullInterval", w.pipelines.pull_interval),
        "WORKER_PIPELINES_PUSH_RETRY_PERIOD": ("pipelines.pushRetryPeriod", w.pipelines.push_retry_period),
        "WORKER_PIPELINES_SYNC_PERIOD": ("pipelines.syncPeriod", w.pipelines.sync_period),
        "WORKER_PIPELINES_LOGS_PAGE_SIZE": ("pipelines.logsPageSize", w.pipelines.logs_page_size),
        "WORKER_BUCKET_CLEANUP_RETENTION_PERIOD": ("bucketCleanup.retentionPeriod", w.bucket_cleanup.retention_period),
        "WORKER_BUCKET_CLEANUP_SCHEDULE": ("bucketCleanup.schedule", w.bucket_cleanup.schedule),
    }  # fmt: skip
    for name, (setting, value) in values.items():
        if value is not None:
            yield Variable(name, c.setting(f"worker.{setting}"), str(value))


KIND = Ledger()
