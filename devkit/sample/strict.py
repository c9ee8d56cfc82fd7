"""The sample in the place of a module of Formance's: which environment each kind needs, as the modules themselves read it.

`STRICT=payments,auth,broker` makes the sample refuse to start as payments would that is not told how to reach what it needs,
in a stack that has auth and a broker. The table was made from the sources of Formance's operator, which runs these modules, and
not from this repository's catalogue: the two are compared by starting one with the other.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_COMMON = ("STACK", "DEBUG", "DEV", "NODE_IP")
_GATEWAY = ("STACK_URL", "STACK_PUBLIC_URL")
_POSTGRES = (
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DATABASE",
    "POSTGRES_USERNAME",
    "POSTGRES_PASSWORD",
    "POSTGRES_URI",
)
_PROTECTED = ("AUTH_ENABLED", "AUTH_ISSUER")
_CLIENT = ("STACK_CLIENT_ID", "STACK_CLIENT_SECRET")
_BROKER = ("BROKER", "PUBLISHER_NATS_ENABLED", "PUBLISHER_NATS_URL", "PUBLISHER_NATS_CLIENT_ID")
_PUBLISHER = ("PUBLISHER_TOPIC_MAPPING",)
_TEMPORAL = ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE")
_TRACES = (
    "OTEL_TRACES",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_EXPORTER_OTLP_ENDPOINT",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
)


@dataclass(frozen=True)
class Kind:
    """What one kind of module needs.

    Attributes:
        own: of all its processes that serve.
        database: it has one.
        migration: what its migration needs besides the database.
        protected: its API asks who calls, in a stack with auth.
        calls: it calls other modules, in a stack with auth as a client of it.
        publishes, consumes: it uses the broker.
        topics: the variable that names what it listens to.
        worker: it has a worker beside its API.
    """

    own: tuple[str, ...] = ()
    database: bool = True
    migration: tuple[str, ...] = ()
    protected: bool = True
    calls: bool = False
    publishes: bool = False
    topics: str = ""
    worker: bool = False

    def needs(self, process: str, features: Sequence[str]) -> list[str]:
        """The variables that a process must find.

        Args:
            process: migrate, worker or serve.
            features: what the stack has: gateway, auth, broker, traces.
        """
        if process == "migrate":
            return [*_POSTGRES, *self.migration]
        needed = [*_COMMON, *(_POSTGRES if self.database else ()), *self.own, *self.migration]
        if "gateway" in features:
            needed += _GATEWAY
        if "traces" in features:
            needed += _TRACES
        if "auth" in features:
            needed += [*(_PROTECTED if self.protected else ()), *(_CLIENT if self.calls else ())]
        if "broker" in features and (self.publishes or self.topics):
            needed += [*_BROKER, *(_PUBLISHER if self.publishes else ()), *([self.topics] if self.topics else [])]
        return list(dict.fromkeys(needed))


KINDS = {
    "ledger": Kind(
        own=("STORAGE_DRIVER", "BIND"),
        migration=("STORAGE_POSTGRES_CONN_STRING",),
        publishes=True,
        worker=True,
    ),
    "payments": Kind(
        own=("POSTGRES_DATABASE_NAME", *_TEMPORAL),
        migration=("CONFIG_ENCRYPTION_KEY",),
        publishes=True,
        worker=True,
    ),
    "auth": Kind(own=("CONFIG", "BASE_URL"), protected=False),
    "orchestration": Kind(
        own=("POSTGRES_DSN", "TEMPORAL_TASK_QUEUE", "WORKER", "TEMPORAL_MAX_PARALLEL_ACTIVITIES", *_TEMPORAL),
        calls=True,
        publishes=True,
        topics="TOPICS",
    ),
    "reconciliation": Kind(own=("POSTGRES_DATABASE_NAME",), calls=True),
    "wallets": Kind(database=False, calls=True),
    "webhooks": Kind(own=("STORAGE_POSTGRES_CONN_STRING", "WORKER"), topics="KAFKA_TOPICS"),
    "transactionplane": Kind(calls=True, publishes=True, topics="TOPICS", worker=True),
    "stargate": Kind(
        own=(
            "ORGANIZATION_ID",
            "STACK_ID",
            "STARGATE_SERVER_URL",
            "GATEWAY_URL",
            "STARGATE_AUTH_CLIENT_ID",
            "STARGATE_AUTH_CLIENT_SECRET",
            "STARGATE_AUTH_ISSUER_URL",
        ),
        database=False,
        protected=False,
    ),
}

# The ledger's worker has no callers, and publishes nothing.
_API_ALONE = {"ledger": ("BIND", *_PROTECTED, *_BROKER, *_PUBLISHER)}


def kind_of(strict: str) -> tuple[str, list[str]]:
    """Reads STRICT: a kind and what the stack has.

    Raises:
        ValueError: there is no such kind.
    """
    kind, *features = strict.split(",")
    if kind not in KINDS:
        raise ValueError(f"STRICT={strict!r}: no kind {kind!r}; there are {', '.join(KINDS)}")
    return kind, features


def problems(strict: str, process: str, environment: Mapping[str, str], given: bytes) -> list[str]:
    """What is wrong with the environment of a process; nothing, if it may start.

    Args:
        strict: the value of STRICT.
        process: migrate, worker or serve.
        environment: the variables.
        given: the same as the kernel has them, `NAME=value` ended by NUL: there a name can be twice.
    """
    name, features = kind_of(strict)
    kind = KINDS[name]
    if process == "worker" and not kind.worker:
        return [f"{name} has no worker"]
    if process == "migrate" and not kind.database:
        return [f"{name} has no database, and so no migration"]
    needed = kind.needs(process, features)
    if process == "worker":
        needed = [each for each in needed if each not in _API_ALONE.get(name, ())]
    found = [f"{each} is not set" for each in needed if not environment.get(each)]
    found += [f"{each} is there {n} times" for each, n in Counter(_names(given)).items() if n > 1]
    # Kubernetes leaves a reference to a variable that does not come before it as it is written.
    found += [f"{each} refers to what is not set before it: {v}" for each, v in environment.items() if "$(" in v]
    found += [
        f"{each} is not {expected}" for each, expected, right in _VALUES if each in needed and not right(environment)
    ]
    return found


def broker_answers(environment: Mapping[str, str]) -> str:
    """Connects to the broker as a module does when it starts, which ends if nobody answers; gives what is wrong."""
    address = environment.get("PUBLISHER_NATS_URL", "")
    if not address:
        return ""
    host, _, port = address.partition(",")[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            said = connection.recv(5)
    except (OSError, ValueError) as error:
        return f"the broker at {address} does not answer: {error}"
    return "" if said == b"INFO " else f"the broker at {address} is none: it says {said!r}"


def _names(given: bytes) -> list[str]:
    return [entry.partition(b"=")[0].decode() for entry in given.split(b"\0") if entry]


def _same(one: str, other: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda e: e.get(one) == e.get(other)


_VALUES: tuple[tuple[str, str, Callable[[Mapping[str, str]], bool]], ...] = (
    ("STORAGE_POSTGRES_CONN_STRING", "POSTGRES_URI's value", _same("STORAGE_POSTGRES_CONN_STRING", "POSTGRES_URI")),
    ("POSTGRES_DSN", "POSTGRES_URI's value", _same("POSTGRES_DSN", "POSTGRES_URI")),
    ("POSTGRES_DATABASE_NAME", "POSTGRES_DATABASE's value", _same("POSTGRES_DATABASE_NAME", "POSTGRES_DATABASE")),
    ("STORAGE_DRIVER", "postgres", lambda e: e.get("STORAGE_DRIVER") == "postgres"),
    ("CONFIG", "a file that can be read", lambda e: Path(e.get("CONFIG", "")).is_file()),
    ("NODE_IP", "an address", lambda e: e.get("NODE_IP", "").replace(".", "").replace(":", "").isalnum()),
    (
        "PUBLISHER_TOPIC_MAPPING",
        "*: and a topic of the stack's",
        lambda e: e.get("PUBLISHER_TOPIC_MAPPING", "").startswith(f"*:{e.get('STACK', '')}"),
    ),
)
