"""The serving version inside a rehearsal's pod: warmed before the migration, asked all through it, and asked again afterwards.

What is to be shown is that a process that runs, with its connections open and its statements prepared, outlives the
migration. A fresh start on the new schema is another question, which `restart` asks afterwards.
"""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from migrator.errors import MigratorError
from migrator.sessions import Log

# Files of the pod's shared folder, by which its containers tell each other where they are.
_WARM, _WATCH, _STOP, _SEEN, _RESTART = "warm.json", "watch", "stop", "seen.json", "restart"
_POLL = 0.1
_ROUNDS, _AT_ONCE = 4, 4  # enough requests at once for a pool to open several connections and prepare on each
_RECOVERY = 5.0  # a pool that drops what fails is through with all of its connections by then
_REPEATABLE = ("GET", "HEAD")
_KEPT = 3
ATTEMPT = "{{attempt}}"
_DOWN = "no answer: nothing listens on its port"
_HINT = "See what it needs there: rehearsal.env, rehearsal.requests, rehearse: copy for its rows; rehearsal.serve: false leaves it out."


@dataclass(frozen=True)
class Probe:
    """A request to the serving version.

    Attributes:
        method: such as GET.
        path: with its query.
        body: JSON text, or empty.
        headers: by name.
        expect: the status; None is any below 500.
    """

    method: str
    path: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: int | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def accepts(self, status: int) -> bool:
        """Whether the status is the one asked for."""
        return status == self.expect if self.expect else 0 < status < 500

    def once(self) -> Probe:
        """The request as it is sent one time: what is to be unlike every other time is.

        That is ATTEMPT, wherever it stands, and the value of Idempotency-Key: a request that writes must write again.
        """
        token = secrets.token_hex(6)

        def unlike(text: str) -> str:
            return text.replace(ATTEMPT, token)

        headers = {name: unlike(value) for name, value in self.headers.items()}
        for name, value in headers.items():
            if name.lower() == "idempotency-key" and ATTEMPT not in self.headers[name]:
                headers[name] = f"{value}-{token}"
        return replace(self, path=unlike(self.path), body=unlike(self.body), headers=headers)


def probes_from(text: str) -> tuple[Probe, ...]:
    """Reads a JSON list of objects with the fields of a probe."""
    return tuple(Probe(**each) for each in json.loads(text))


class Unanswered(MigratorError):
    """The serving version did not answer as it should; the text says which request and what came back."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint=_HINT)


@dataclass(frozen=True)
class Answers:
    """How a series of requests was answered.

    Attributes:
        asked: number of requests.
        failed: the number of those that failed, also where the next one was answered.
        down: the number of those for which nothing listened on the port.
        examples: the first failures in words.
        slowest: seconds that the slowest answer took.
    """

    asked: int = 0
    failed: int = 0
    down: int = 0
    examples: tuple[str, ...] = ()
    slowest: float = 0.0

    def and_(self, other: Answers) -> Answers:
        """Both together."""
        examples = tuple(dict.fromkeys((*self.examples, *other.examples)))[:_KEPT]
        asked, failed, down = self.asked + other.asked, self.failed + other.failed, self.down + other.down
        return Answers(asked, failed, down, examples, max(self.slowest, other.slowest))


@dataclass(frozen=True)
class Serving:
    """The serving version's container, at localhost.

    Attributes:
        version: for texts.
        port: that it listens on.
        health: path that answers 200 while it is healthy; empty if it has none.
        probes: requests that it must answer.
        folder: shared by the pod's containers.
        log: where lines for people go.
    """

    version: str
    port: int
    health: str
    probes: tuple[Probe, ...]
    folder: Path
    log: Log

    def warm(self, seconds: float) -> list[str]:
        """Waits until it is healthy on the copy of its own schema, and has it open connections and prepare statements.

        Args:
            seconds: for it to become healthy.

        Returns:
            What it answered.

        Raises:
            Unanswered: it does not start, or fails a request, before anything was migrated.
        """
        begun = time.monotonic()
        self._healthy(seconds, "on a copy of its own schema")
        took = time.monotonic() - begun
        answered: list[str] = []
        statuses: dict[str, list[int]] = {}
        for probe in self.probes:
            status, said, _ = _ask(self.port, probe)
            if not probe.accepts(status):
                raise Unanswered(f"{self.version}: {_failure(probe, status, said)}, before the migration already")
            statuses[str(probe)] = [status]
            answered.append(f"{probe}: {status}")
        for probe in self.probes:
            # What a request gives a second time, such as 409 of one that creates, is right after the migration too.
            status, _, _ = _ask(self.port, probe)
            statuses[str(probe)].append(status)
        self._many(_ROUNDS)
        _put(self.folder / _WARM, {"seconds": took, "statuses": statuses})
        (self.folder / _WATCH).touch()
        self.log(
            f"{self.version} is up and answers {len(self.probes) + bool(self.health)} requests; it runs through the migration"
        )
        return answered

    def is_warm(self) -> bool:
        """Whether `warm` has ended well."""
        return (self.folder / _WATCH).exists()

    def watch(self, stop: threading.Event) -> None:
        """Asks all the time, from `warm` until `ask_again` is about to begin; for a thread of its own.

        Args:
            stop: set when the pod ends.
        """
        seen = Answers()
        while not stop.wait(_POLL) and not self.is_warm():
            pass
        while not stop.is_set() and not (self.folder / _STOP).exists():
            for probe in self._repeatable():
                seen = seen.and_(self._one(probe))
            stop.wait(_POLL)
        if not stop.is_set():
            _put(self.folder / _SEEN, asdict(seen))

    def ask_again(self) -> tuple[list[str], Answers]:
        """Asks the version that has run through the migration.

        Returns:
            What it answered in the end, and how often it failed since it was warm.

        Raises:
            Unanswered: a request still fails after several tries.
        """
        (self.folder / _STOP).touch()
        # Statements that a pool prepared on each of its connections fail once on each; a few requests do not meet them all.
        seen = self._many(_ROUNDS)
        answered: list[str] = []
        checks = [Probe("GET", self.health, expect=200)] if self.health else []
        for probe in (*checks, *self.probes):
            status, answers = self._until_good(probe)
            seen = seen.and_(answers)
            answered.append(f"{probe}: {status}")
            self.log(f"{self.version}, which ran through the migration, answers {probe}: {status}")
        end = time.monotonic() + 5
        while not (self.folder / _SEEN).exists() and time.monotonic() < end:
            time.sleep(_POLL / 2)
        with suppress(OSError, ValueError, TypeError):
            kept = json.loads((self.folder / _SEEN).read_text())
            seen = Answers(**{**kept, "examples": tuple(kept["examples"])}).and_(seen)
        return answered, seen

    def restart(self) -> tuple[bool, str]:
        """Has the container restarted, as a lost pod would be, and waits until it is healthy on the new schema.

        The kubelet restarts it, because its liveness probe, which `keep_alive` answers, fails.

        Returns:
            Whether it came up, and what it last said.
        """
        warm = json.loads((self.folder / _WARM).read_text())
        (self.folder / _RESTART).touch()
        end = time.monotonic() + 15
        while (self.folder / _RESTART).exists():
            if time.monotonic() > end:
                return False, "the kubelet did not restart it"
            time.sleep(_POLL / 2)
        seconds = max(10.0, 3 * float(warm["seconds"]))
        try:
            self._healthy(seconds, "on the new schema")
        except Unanswered as error:
            return False, str(error)
        return True, f"{self.version} can be started on the new schema"

    def keep_alive(self, port: int, stop: threading.Event) -> None:
        """Listens on the port of the liveness probe; for a thread of its own.

        While a restart is wanted nothing listens, until the container is gone.

        Args:
            port: of the probe.
            stop: set when the pod ends.
        """
        wanted = self.folder / _RESTART
        while not stop.is_set():
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            with socket.create_server(("", port), family=family, dualstack_ipv6=both) as server:
                server.settimeout(_POLL)
                while not stop.is_set() and not wanted.exists():
                    with suppress(TimeoutError):
                        server.accept()[0].close()
            while not stop.is_set() and _is_open(self.port):
                stop.wait(_POLL / 2)
            # The one that looks: `restart` waits for the file to go.
            wanted.unlink(missing_ok=True)

    def _healthy(self, seconds: float, where: str) -> None:
        """Waits until the health check passes; without one, until the port takes connections."""
        end = time.monotonic() + seconds
        while True:
            if not self.health:
                if _is_open(self.port):
                    return
                last = f"nothing listens on port {self.port}"
            else:
                status, said, _ = _ask(self.port, Probe("GET", self.health))
                if status == 200:
                    return
                last = f"GET {self.health} gives {status} {said}" if status else f"GET {self.health}: {said}"
            if time.monotonic() > end:
                raise Unanswered(f"{self.version} is not healthy {where} after {seconds:.0f} s: {last}")
            time.sleep(_POLL)

    def _repeatable(self) -> list[Probe]:
        health = [Probe("GET", self.health, expect=200)] if self.health else []
        return health + [each for each in self.probes if each.method in _REPEATABLE]

    def _many(self, rounds: int) -> Answers:
        probes = [each for each in self._repeatable() for _ in range(rounds * _AT_ONCE)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return _together(pool.map(self._one, probes))

    def _one(self, probe: Probe) -> Answers:
        status, said, took = _ask(self.port, probe)
        return self._answers(probe, status, said, took)

    def _answers(self, probe: Probe, status: int, said: str, took: float) -> Answers:
        if self._is_good(probe, status):
            return Answers(1, slowest=took)
        return Answers(1, 1, int(said == _DOWN), (_failure(probe, status, said),), took)

    def _until_good(self, probe: Probe) -> tuple[int, Answers]:
        end = time.monotonic() + _RECOVERY
        seen = Answers()
        while True:
            status, said, took = _ask(self.port, probe)
            seen = seen.and_(self._answers(probe, status, said, took))
            if self._is_good(probe, status):
                return status, seen
            if time.monotonic() > end:
                raise Unanswered(f"{self.version} fails on the new schema: {_failure(probe, status, said)}")
            time.sleep(_POLL)

    def _is_good(self, probe: Probe, status: int) -> bool:
        if probe.accepts(status):
            return True
        with suppress(OSError, ValueError):
            known = json.loads((self.folder / _WARM).read_text())["statuses"]
            return 0 < status < 500 and status in known.get(str(probe), ())
        return False


def _together(answers: Iterable[Answers]) -> Answers:
    total = Answers()
    for each in answers:
        total = total.and_(each)
    return total


def _failure(probe: Probe, status: int, said: str) -> str:
    wanted = f", expected {probe.expect}" if probe.expect and status else ""
    return f"{probe} gives {status or ''} {said}{wanted}".replace("  ", " ").rstrip()


def _ask(port: int, probe: Probe) -> tuple[int, str, float]:
    """Status, the beginning of the answer, and the seconds it took; status 0 and the reason if there is no answer."""
    begun = time.monotonic()
    probe = probe.once()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {"Content-Type": "application/json"} if probe.body else {}
        connection.request(probe.method, probe.path, probe.body or None, {**headers, **probe.headers})
        answer = connection.getresponse()
        said = " ".join(answer.read(300).decode(errors="replace").split())
        return answer.status, said, time.monotonic() - begun
    except ConnectionRefusedError:
        return 0, _DOWN, time.monotonic() - begun
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__, time.monotonic() - begun
    finally:
        connection.close()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _put(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Writes a file that others may read at any moment."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value))
    partial.replace(path)
