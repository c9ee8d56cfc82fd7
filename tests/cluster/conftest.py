"""Fixtures of the tests that need a cluster. They fail, rather than skip, where there is none: `make up` makes it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lightkube import Client
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from devkit.demo.stage import connect
from tests.cluster.loaded import LoadedWorkspace
from tests.cluster.stacks import Stack

_number = itertools.count(1)
# Their tests share a namespace, what a module sets up, or a lock.
_TOGETHER = ("tests/cluster/migrator/test_corpus.py",)


class BySharing(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Tests that share something run on one worker, one after the other; every other test goes where there is room."""

    def _split_scope(self, nodeid: str) -> str:
        test, _, _ = nodeid.partition("[")  # what it is parametrized with may hold anything
        shared = next((folder for folder in _TOGETHER if test.startswith(folder)), "")
        return shared or (test.rpartition("::")[0] if test.count("::") > 1 else nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BySharing | None:
    return BySharing(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with a time limit of their own take longest, and begin first: nobody waits for the last of them alone."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(scope="session")
def api() -> Iterator[Client]:
    with connect() as client:
        yield client


@pytest.fixture
def make_stack(api: Client, tmp_path: Path) -> Iterator[Callable[[], Stack]]:
    """Makes stacks with a name of their own; nothing of them is left at the end."""
    made: list[Stack] = []

    def make() -> Stack:
        name = f"t{os.getpid() % 10_000}-{next(_number)}"
        stack = Stack(LoadedWorkspace.create(tmp_path / name, name, {}), api)
        stack.configure()
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.remove()


@pytest.fixture(scope="class")
def shared(api: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a class: each says with `at` what it begins with."""
    name = f"t{os.getpid() % 10_000}-{next(_number)}"
    stack = Stack(LoadedWorkspace.create(tmp_path_factory.mktemp(name), name, {}), api)
    stack.configure()
    yield stack
    stack.remove()


@pytest.fixture
def stack(make_stack: Callable[[], Stack]) -> Stack:
    return make_stack()
