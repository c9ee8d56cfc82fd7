"""Where a stack stands, as `rollout status` says it."""

from __future__ import annotations

from automation.stack_status import Status, _modules, text
from automation.verdict import JobState, Serving, Snapshot
from tests.unit.full_stack import load

POSTGRES = {"uri": "postgresql://h:5432?secret=postgres"}
SHOP = {"image": "example.org/shop", "version": "1.1.0"}


def shown(snapshot: Snapshot, records: dict[str, str] | None = None, **module: object) -> list[str]:
    """The table's line of a module, in words."""
    wanted = load({"modules": {"shop": {**SHOP, **module}}, "postgres": POSTGRES})
    status = Status("dev", "3.274.1", tuple(_modules(wanted, snapshot, records or {})))
    return text(status).splitlines()[1].split(maxsplit=5)


def serving(version: str, ready: int = 2) -> Snapshot:
    job = JobState("shop-migrate", "shop", "migrate", version, "succeeded")
    return Snapshot({"shop": Serving(version, ready, 2)}, (job,), {"shop": {version: (ready, 2)}})


def test_what_is_wanted_serves() -> None:
    assert shown(serving("1.1.0")) == ["shop", "1.1.0", "1.1.0", "1.1.0", "2/2", "ok"]


def test_another_version_serves() -> None:
    assert shown(serving("1.0.0")) == ["shop", "1.1.0", "1.0.0", "1.0.0", "2/2", "differs"]


def test_a_disabled_module_is_as_it_should_be_and_its_database_at_the_version_that_was_written_down() -> None:
    assert shown(Snapshot(), {"shop": "1.0.0"}, disabled=True) == ["shop", "1.1.0", "-", "1.0.0", "0/0", "disabled"]


def test_a_module_that_was_never_deployed() -> None:
    assert shown(Snapshot()) == ["shop", "1.1.0", "-", "-", "0/0", "not deployed"]
