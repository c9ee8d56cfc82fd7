"""Constant traffic against a ledger, reads and writes, and an account of what became of every request.

Open loop: requests start when the clock says so, whether or not earlier ones are answered, so a stall costs what it
would cost real clients. Nothing is ever retried. A request counts as lost if it had any other end than the expected
status with the expected content.

Write number n of a run has the idempotency key `<run>-<n>` and an amount that follows from n, so that `verify` can
check each accepted one in the database knowing only the numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devkit.sample import loops, ranges
from devkit.sample.client import Answer, Client, Lost

_ACCOUNTS = 50
_KEPT_ERRORS = 5


def amount(number: int) -> int:
    """Gives the amount that write `number` of any run moves, in cents."""
    return 1 + number * 7919 % 100_000


def entry(run: str, number: int) -> dict[str, object]:
    """Gives the body of write `number` of a run."""
    source, target = number % _ACCOUNTS, (number // _ACCOUNTS + number + 1) % _ACCOUNTS
    return {
        "description": f"{run}-{number}",
        "postings": [
            {"account": f"{run}:source:{source}", "amount": -amount(number)},
            {"account": f"{run}:target:{target}", "amount": amount(number)},
        ],
    }


@dataclass
class Tally:
    """What became of the requests so far."""

    run: str
    started: float = field(default_factory=time.monotonic)
    started_at: float = field(default_factory=time.time)
    requests: int = 0
    answered: int = 0
    lost: int = 0
    writes: int = 0
    replays: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first_errors: list[dict[str, object]] = field(default_factory=list)
    last_error: dict[str, object] | None = None
    latencies: list[float] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    also: dict[str, Counter[str]] = field(default_factory=dict)
    first_seen: dict[str, float] = field(default_factory=dict)
    last_seen: dict[str, float] = field(default_factory=dict)
    accepted: dict[int, int] = field(default_factory=dict)
    uncertain: set[int] = field(default_factory=set)

    def answer(self, answer: Answer, seconds: float) -> None:
        """Counts an answer of any status."""
        self.answered += 1
        self.latencies.append(seconds)
        self.recent.append(seconds)
        if answer.version:
            now = round(time.time(), 3)
            self.versions[answer.version] += 1
            self.first_seen.setdefault(answer.version, now)
            self.last_seen[answer.version] = now

    def lose(self, what: str, reason: str) -> None:
        """Counts a request as lost."""
        self.lost += 1
        self.reasons[reason[:120]] += 1
        error: dict[str, object] = {
            "at": round(time.time(), 3),
            "seconds": round(time.monotonic() - self.started, 3),
            "request": what,
            "reason": reason,
        }
        if len(self.first_errors) < _KEPT_ERRORS:
            self.first_errors.append(error)
        self.last_error = error

    def line(self) -> dict[str, object]:
        """Gives the summary of a second: totals, and the latencies since the last line."""
        recent, self.recent = self.recent, []
        return {
            "seconds": round(time.monotonic() - self.started, 1),
            "requests": self.requests,
            "answered": self.answered,
            "lost": self.lost,
            "accepted": len(self.accepted),
            "p50_ms": quantile(recent, 0.5),
            "p99_ms": quantile(recent, 0.99),
            "versions": dict(self.versions),
            "last_error": self.last_error,
        }

    def final(self) -> dict[str, object]:
        """Gives the summary of the whole run."""
        seconds = time.monotonic() - self.started
        return {
            "final": True,
            "run": self.run,
            "started_at": round(self.started_at, 3),
            "seconds": round(seconds, 1),
            "rate": round(self.requests / seconds, 1),
            "requests": self.requests,
            "answered": self.answered,
            "lost": self.lost,
            "reasons": dict(self.reasons),
            "first_errors": self.first_errors,
            "last_error": self.last_error,
            "writes": self.writes,
            "replays": self.replays,
            "accepted": {
                "count": len(self.accepted),
                "amount": sum(map(amount, self.accepted)),
                "numbers": ranges.dump(self.accepted),
            },
            "uncertain": ranges.dump(self.uncertain),
            "p50_ms": quantile(self.latencies, 0.5),
            "p99_ms": quantile(self.latencies, 0.99),
            "max_ms": quantile(self.latencies, 1.0),
            "versions": dict(self.versions),
            "also": {path: dict(versions) for path, versions in self.also.items()},
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
        }


def quantile(seconds: list[float], part: float) -> float | None:
    """Gives a quantile in milliseconds, None of nothing."""
    if not seconds:
        return None
    return round(sorted(seconds)[min(int(len(seconds) * part), len(seconds) - 1)] * 1000, 1)


class Traffic:
    """Sends the requests of one run.

    Args:
        client: the connections.
        tally: where they are counted.
        rate: requests a second.
        writes: share of the requests that write.
        seed: of the choice between kinds of requests.
        also: URLs of other modules' `_info`; half of the requests go to them, if there are any.
    """

    def __init__(
        self, client: Client, tally: Tally, rate: float, writes: float, seed: int, also: Sequence[str] = ()
    ) -> None:
        self._also = [(path, Client(path, 2, client.timeout)) for path in also]
        self._client = client
        self._tally = tally
        self._rate = rate
        self._writes = writes
        self._random = random.Random(seed)
        self._booked: list[int] = []
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, duration: float, stop: asyncio.Event) -> None:
        """Sends requests until the duration, in seconds, is over (0: without end) or `stop` is set."""
        count = 0
        while not stop.is_set() and not (duration and count >= duration * self._rate):
            due = self._tally.started + count / self._rate
            delay = due - time.monotonic()
            if delay > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay) if delay > 0.5 else await asyncio.sleep(delay)
                if stop.is_set():
                    break
            task = asyncio.create_task(self._choose(due))
            self._running.add(task)
            task.add_done_callback(self._ended)
            count += 1
        if self._running:
            await asyncio.wait(self._running)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # A fault of this program must not pass for a request that went well.
        if error := task.exception():
            self._tally.lose("(traffic)", f"{type(error).__name__}: {error}")

    def _choose(self, due: float) -> Coroutine[Any, Any, None]:
        self._tally.requests += 1
        if self._also and self._tally.requests % 2:
            return self._look(due, *self._also[self._tally.requests // 2 % len(self._also)])
        kind = self._random.random()
        if kind < self._writes or not self._booked:
            if kind < self._writes * 0.04 and self._booked:
                return self._write(due, self._random.choice(self._booked), again=True)
            self._tally.writes += 1
            return self._write(due, self._tally.writes)
        number = self._random.choice(self._booked)
        return self._read(due, number) if kind % 0.02 < 0.01 else self._balance(due, number)

    async def _send(self, due: float, method: str, path: str, body: bytes = b"", headers: str = "") -> Answer | None:
        try:
            answer = await self._client.send(method, path, body, headers)
        except Lost as error:
            self._tally.lose(f"{method} {path}", str(error))
            return None
        self._tally.answer(answer, time.monotonic() - due)
        return answer

    async def _look(self, due: float, url: str, client: Client) -> None:
        try:
            answer = await client.send("GET", "")
        except Lost as error:
            self._tally.lose(f"GET {url}", str(error))
            return
        self._tally.answered += 1
        self._tally.latencies.append(time.monotonic() - due)
        version = answer.body.get("version") if isinstance(answer.body, dict) else None
        if answer.status != 200 or not isinstance(version, str):
            self._tally.lose(f"GET {url}", f"status {answer.status}: {answer.body}")
            return
        self._tally.also.setdefault(url, Counter())[version] += 1

    async def _write(self, due: float, number: int, *, again: bool = False) -> None:
        run = self._tally.run
        self._tally.replays += again
        body = json.dumps(entry(run, number)).encode()
        answer = await self._send(due, "POST", "/transactions", body, f"Idempotency-Key: {run}-{number}\r\n")
        found = answer.body.get("id") if answer and isinstance(answer.body, dict) else None
        if answer and answer.status == (200 if again else 201) and isinstance(found, int):
            if self._tally.accepted.setdefault(number, found) != found:
                self._tally.lose(f"POST {run}-{number}", f"booked twice: {self._tally.accepted[number]} and {found}")
            elif not again:
                self._booked.append(number)
            return
        if not again:
            self._tally.uncertain.add(number)
        if answer:
            self._tally.lose(f"POST /transactions {run}-{number}", f"status {answer.status}: {answer.body}")

    async def _read(self, due: float, number: int) -> None:
        path = f"/transactions/{self._tally.accepted[number]}"
        answer = await self._send(due, "GET", path)
        if answer is None:
            return
        wanted = entry(self._tally.run, number)
        if answer.status != 200 or not isinstance(answer.body, dict):
            self._tally.lose(f"GET {path}", f"status {answer.status}: {answer.body}")
        elif any(answer.body.get(name) != value for name, value in wanted.items()):
            self._tally.lose(f"GET {path}", f"wrong content: {answer.body}")

    async def _balance(self, due: float, number: int) -> None:
        path = f"/accounts/{self._tally.run}:source:{number % _ACCOUNTS}/balance"
        answer = await self._send(due, "GET", path)
        if answer is None:
            return
        found = answer.body.get("balance") if isinstance(answer.body, dict) else None
        if answer.status != 200:
            self._tally.lose(f"GET {path}", f"status {answer.status}: {answer.body}")
        elif not isinstance(found, int) or found > -amount(number):
            self._tally.lose(f"GET {path}", f"wrong balance: {answer.body}")


def main(arguments: Sequence[str]) -> int:
    """Runs traffic; gives 1 if a request was lost and --strict was asked for."""
    parser = argparse.ArgumentParser(prog="traffic", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--url", required=True, help="such as http://ledger:8080")
    parser.add_argument("--also", action="append", default=[], metavar="URL", help="asked too; answers with a version")
    parser.add_argument("--rate", type=float, default=100, help="requests a second (default 100)")
    parser.add_argument("--duration", type=float, default=0, help="seconds; 0, the default, until SIGTERM")
    parser.add_argument("--writes", type=float, default=0.25, help="share of writes (default 0.25)")
    parser.add_argument("--connections", type=int, default=16, help="kept-alive connections (default 16; 0: none)")
    parser.add_argument("--timeout", type=float, default=5, help="seconds after which a request is lost (default 5)")
    parser.add_argument("--run", default="", help="name of the run, part of every idempotency key (default random)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="file for the final summary as JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a request was lost")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a second")
    parsed = parser.parse_args(arguments)
    if parsed.rate <= 0 or parsed.connections < 0 or not 0 <= parsed.writes <= 1:
        parser.error("--rate is above 0, --connections not below, --writes is between 0 and 1")
    try:
        final = loops.run(_main(parsed))
    except ValueError as error:
        parser.error(str(error))
    if parsed.report:
        parsed.report.write_text(json.dumps(final))
    return 1 if parsed.strict and final["lost"] else 0


async def _main(parsed: argparse.Namespace) -> dict[str, object]:
    client = Client(parsed.url, parsed.connections, parsed.timeout)
    tally = Tally(parsed.run or f"run{random.SystemRandom().randrange(16**8):08x}")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reporter = asyncio.create_task(_report(tally, parsed.json))
    try:
        await Traffic(client, tally, parsed.rate, parsed.writes, parsed.seed, parsed.also).run(parsed.duration, stop)
    finally:
        reporter.cancel()
        client.close()
    final = tally.final() | {"connections": client.opened}
    if parsed.json:
        print(json.dumps(final), flush=True)
    else:
        _print(tally)
    return final


async def _report(tally: Tally, as_json: bool) -> None:
    while True:
        await asyncio.sleep(1)
        if as_json:
            print(json.dumps(tally.line()), flush=True)
        else:
            _print(tally)


def _print(tally: Tally) -> None:
    line = tally.line()
    versions = ", ".join(f"{name}: {count}" for name, count in tally.versions.items())
    print(
        f"{line['seconds']:>7} s  {tally.requests} requests, {tally.lost} lost, {len(tally.accepted)} booked, "
        f"p50 {line['p50_ms']} ms, p99 {line['p99_ms']} ms  [{versions}]"
        + (f"  last error: {tally.last_error['reason']}" if tally.last_error else ""),
        file=sys.stdout,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
