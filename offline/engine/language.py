"""The language host interface: what the engine has others do that is about Python, processes and files of a project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .events import Events
from .model import PolicyPackRef, UpdateRequest

Ended = Callable[[str | None], None]  # called once: None if all went well, "" if the error was told, else the error


class Program(Protocol):
    """The user's program, which prepares itself until it is connected."""

    def connect(self, address: str) -> None:
        """Lets the program begin; ``address`` is that of the monitor and the engine."""

    def stop(self, *, patience: float) -> None:
        """Returns when the program has ended; makes it end after ``patience`` seconds."""


class PackHost(Protocol):
    """A running policy pack."""

    def address(self) -> str:
        """Where its Analyzer service is, once it is there. Raises: PolicyError"""

    def close(self) -> None: ...


class Language(Protocol):
    def program(self, request: UpdateRequest, events: Events, ended: Ended) -> Program: ...

    def pack(self, ref: PolicyPackRef, request: UpdateRequest, engine: str) -> PackHost:
        """Starts a pack; ``engine`` is the engine's address. Raises: PolicyError, NotCovered"""
