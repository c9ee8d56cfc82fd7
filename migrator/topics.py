"""The stack's stream in JetStream and a durable consumer for each module that listens, as Formance's operator makes them.

What exists is left as it is but for the subjects a consumer listens to: a stream's limits may have been set by hand, and
its messages are data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from migrator.errors import BrokerUnavailable, InvalidMigration
from migrator.nats import Nats

_NOT_FOUND = {10014, 10059}  # consumer, stream
_MAX_PENDING = 1024


@dataclass(frozen=True)
class Topics:
    """What is wanted.

    Attributes:
        url: of the broker.
        stream: of the stack; its subjects are ``<stream>.<module>``.
        replicas: of the stream's data.
        consumers: module that listens -> subjects.
    """

    url: str
    stream: str
    replicas: int
    consumers: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Topics:
        """Reads BROKER_URL, BROKER_STREAM, BROKER_REPLICAS and BROKER_CONSUMERS, a JSON object of lists.

        Raises:
            InvalidMigration: one is missing or wrong.
        """
        try:
            consumers = json.loads(environment["BROKER_CONSUMERS"])
            return cls(
                environment["BROKER_URL"],
                environment["BROKER_STREAM"],
                int(environment.get("BROKER_REPLICAS", "1")),
                {name: tuple(subjects) for name, subjects in consumers.items()},
            )
        except (KeyError, ValueError, AttributeError) as error:
            raise InvalidMigration(
                f"{type(error).__name__}: {error}", hint="Set BROKER_URL, _STREAM, _CONSUMERS."
            ) from None


def create(wanted: Topics, log: Callable[[str], None], patience: float = 40.0) -> list[str]:
    """Makes what is not there.

    Args:
        wanted: the stream and its consumers.
        log: told what is made.
        patience: seconds for which a broker that does not answer is asked again, such as one that is just being restarted.

    Returns:
        What was made or changed, in words.

    Raises:
        BrokerUnavailable: the broker does not answer.
        BrokerCommandFailed: it refused.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return _create(wanted, log)
        except BrokerUnavailable as error:
            if time.monotonic() >= end:
                raise
            log(f"{error}; asking again")
            time.sleep(1)


def _create(wanted: Topics, log: Callable[[str], None]) -> list[str]:
    done: list[str] = []
    with Nats(wanted.url) as nats:
        if _exists(nats, f"STREAM.INFO.{wanted.stream}") is None:
            nats.do(
                f"STREAM.CREATE.{wanted.stream}",
                {
                    "name": wanted.stream,
                    "subjects": [f"{wanted.stream}.*"],
                    # A message is kept until every consumer has had it, and not at all while there is none.
                    "retention": "interest",
                    "storage": "file",
                    "num_replicas": wanted.replicas,
                },
            )
            done.append(f"stream {wanted.stream}")
        for name, subjects in sorted(wanted.consumers.items()):
            found = _exists(nats, f"CONSUMER.INFO.{wanted.stream}.{name}")
            before: dict[str, Any] = (found or {}).get("config", {})
            listens = before.get("filter_subjects") or [before.get("filter_subject")]
            if found is not None and sorted(listens) == sorted(subjects):
                continue
            config = {
                "durable_name": name,
                "name": name,
                # Pushed to a group, so that each message reaches one of the module's pods.
                "deliver_subject": f"{wanted.stream}-{name}",
                "deliver_group": name,
                "deliver_policy": "all",
                "ack_policy": "explicit",
                "max_ack_pending": _MAX_PENDING,
                "filter_subjects": list(subjects),
            }
            config = {**{key: value for key, value in before.items() if key != "filter_subject"}, **config}
            question = {"stream_name": wanted.stream, "config": config}
            nats.do(f"CONSUMER.CREATE.{wanted.stream}.{name}", question)
            done.append(f"consumer {name} of {', '.join(subjects)}")
    for each in done:
        log(each)
    if not done:
        log("all there")
    return done


def _exists(nats: Nats, subject: str) -> dict[str, Any] | None:
    answer = nats.ask(subject, {})
    error = answer.get("error")
    if error and error.get("err_code") in _NOT_FOUND:
        return None
    return nats.do(subject, {}) if error else answer
