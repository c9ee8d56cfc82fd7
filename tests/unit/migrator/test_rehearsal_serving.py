"""The serving version of a rehearsal, played by a small HTTP server on a real port; tests/cluster/test_rehearsal.py has real ones."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from migrator.rehearsal.serving import Answers, Probe, Serving, Unanswered
from migrator.rehearsal.weighing import Policy, of_answers, of_restart

Answer = Callable[[str, str, dict[str, str], str], tuple[int, str]]


@contextmanager
def served(answer: Answer, port: int = 0) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, said = answer(self.command, self.path, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())

        do_GET = do_POST = _any

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def serving(folder: Path, port: int, *probes: Probe) -> Serving:
    return Serving("1.0.0", port, "/health", probes, folder, print)


@contextmanager
def watched(tried: Serving) -> Iterator[None]:
    """What `hold` does meanwhile."""
    stop = threading.Event()
    watcher = threading.Thread(target=tried.watch, args=(stop,))
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(5)


def healthy(status: int = 200) -> Answer:
    return lambda _method, path, _headers, _body: (200, "") if path == "/health" else (status, "said")


READ = Probe("GET", "/read")


def test_a_version_that_answers_as_before_passes(tmp_path: Path) -> None:
    with served(healthy(404)) as port:
        tried = serving(tmp_path, port, READ)
        assert tried.warm(5) == ["GET /read: 404"]
        with watched(tried):
            time.sleep(0.3)
            answered, seen = tried.ask_again()
    assert answered == ["GET /health: 200", "GET /read: 404"]
    assert (seen.failed, seen.down) == (0, 0)
    assert seen.asked > 20, "several at once, so that a pool opens several connections"


def test_a_version_that_does_not_start_on_a_copy_of_its_own_schema_is_not_the_migrations_fault(tmp_path: Path) -> None:
    with (
        served(lambda *_: (503, "no rows")) as port,
        pytest.raises(Unanswered, match=r"on a copy of its own schema.*503 no rows"),
    ):
        serving(tmp_path, port, READ).warm(0.3)
    with served(healthy(404)) as port, pytest.raises(Unanswered, match="before the migration already"):
        serving(tmp_path, port, Probe("GET", "/read", expect=200)).warm(5)


def test_requests_that_fail_once_on_each_connection_are_told_and_refuse_nothing(tmp_path: Path) -> None:
    stale = threading.Semaphore(0)

    def answer(_method: str, path: str, _headers: dict[str, str], _body: str) -> tuple[int, str]:
        if path != "/health" and stale.acquire(blocking=False):
            return 500, "cached plan must not change result type"
        return 200, ""

    with served(answer) as port:
        tried = serving(tmp_path, port, READ)
        tried.warm(5)
        with watched(tried):
            stale.release(3)
            answered, seen = tried.ask_again()
    assert answered[-1] == "GET /read: 200"
    assert seen.failed == 3
    [finding] = of_answers("1.0.0", seen, Policy())
    assert (finding["level"], finding["rule"]) == ("risky", "requests-lost")
    assert "cached plan must not change result type" in finding["why"]
    assert "0A000" in finding["instead"]


def test_a_request_that_goes_on_failing_refuses(tmp_path: Path) -> None:
    status = [200]
    with served(lambda _m, path, _h, _b: (200, "") if path == "/health" else (status[0], "x")) as port:
        tried = serving(tmp_path, port, READ)
        tried.warm(5)
        status[0] = 500
        with watched(tried), pytest.raises(Unanswered, match=r"1\.0\.0 fails on the new schema: GET /read gives 500 x"):
            tried.ask_again()


def test_a_process_that_ended_and_came_back_has_not_survived(tmp_path: Path) -> None:
    with served(healthy()) as port:
        tried = serving(tmp_path, port, READ)
        tried.warm(5)
    with watched(tried):
        time.sleep(0.3)
        with served(healthy(), port):
            _, seen = tried.ask_again()
    assert seen.down > 0
    [finding] = of_answers("1.0.0", seen, Policy())
    assert (finding["level"], finding["rule"]) == ("breaks", "serving-ended")


def test_what_writes_writes_again_each_time(tmp_path: Path) -> None:
    keys: list[str] = []
    bodies: list[str] = []

    def answer(method: str, _path: str, headers: dict[str, str], body: str) -> tuple[int, str]:
        if method == "POST":
            keys.append(headers["Idempotency-Key"])
            bodies.append(json.loads(body)["reference"])
        return 201 if method == "POST" else 200, ""

    write = Probe("POST", "/w", '{"reference": "r-{{attempt}}"}', {"Idempotency-Key": "k"}, 201)
    with served(answer) as port:
        tried = serving(tmp_path, port, write)
        tried.warm(5)
        with watched(tried):
            tried.ask_again()
    assert len(keys) == 3, "twice before, once after, and never in crowds"
    assert len(set(keys)) == len(set(bodies)) == 3
    assert all(each.startswith("k-") for each in keys)


def test_a_status_that_came_the_second_time_before_is_right_afterwards(tmp_path: Path) -> None:
    seen: list[int] = []

    def answer(method: str, _path: str, _headers: dict[str, str], _body: str) -> tuple[int, str]:
        if method == "POST":
            seen.append(1)
            return (201, "") if len(seen) == 1 else (409, "there already")
        return 200, ""

    with served(answer) as port:
        tried = serving(tmp_path, port, Probe("POST", "/w", "{}", {}, 201))
        tried.warm(5)
        with watched(tried):
            answered, _ = tried.ask_again()
    assert answered[-1] == "POST /w: 409"


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_restart_is_asked_for_by_a_probe_that_fails_until_the_container_is_gone(
    comes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        alive = free.getsockname()[1]
    stop = threading.Event()

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", alive)) == 0

    def kubelet(ended: threading.Event) -> None:
        """Lets the first container end once the probe fails; starts the second, or does not get it up."""
        while listens():
            time.sleep(0.02)
        ended.set()

    ended = threading.Event()
    results: list[tuple[bool, str]] = []
    with served(healthy()) as port:
        tried = serving(tmp_path, port, READ)
        tried.warm(5)
        monkeypatch.setattr(type(tried), "_healthy", _quick(comes_back))
        threading.Thread(target=tried.keep_alive, args=(alive, stop), daemon=True).start()
        while not listens():
            time.sleep(0.02)
        threading.Thread(target=kubelet, args=(ended,), daemon=True).start()
        restart = threading.Thread(target=lambda: results.append(tried.restart()))
        restart.start()
        assert ended.wait(5)
    restart.join(5)
    deadline = time.monotonic() + 5
    while not listens() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert listens(), "the next container is not killed too"
    stop.set()
    assert results[0][0] is comes_back
    if not comes_back:
        assert of_restart("1.0.0", "2.0.0", results[0][1], Policy())["level"] == "risky"
        assert of_restart("1.0.0", "2.0.0", results[0][1], Policy(restart="refuse"))["level"] == "breaks"


def _quick(comes_back: bool) -> Callable[[Serving, float, str], None]:
    def healthy_or_not(_self: Serving, _seconds: float, where: str) -> None:
        if not comes_back:
            raise Unanswered(f"1.0.0 is not healthy {where}")

    return healthy_or_not


def test_answers_add_up() -> None:
    total = Answers(1, 1, 1, ("a",), 0.5).and_(Answers(2, 0, 0, ("a", "b", "c", "d"), 0.2))
    assert total == Answers(3, 1, 1, ("a", "b", "c"), 0.5)
