"""How patient the runner is, and what it tells about itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Settings:
    """Limits of a run, all in seconds. Each can be set by the environment variable `MIGRATE_<NAME>`.

    Attributes:
        lock_timeout: longest wait for locks, of one statement and of all statements of a transaction together. It is
            also the longest time in which sessions that queue behind our DDL are held up, so it is short, and a
            blocked run is tried again.
        statement_timeout: longest time of one statement; 0 for no limit.
        retry_budget: how long to go on trying while others hold locks or the connection breaks.
        runner_budget: how long to wait for another runner at work on the same database.
        connect_budget: how long to go on trying to connect.
        connect_timeout: longest time of one attempt to connect, in whole seconds.
        idle_timeout: the server ends our transaction when we fall silent for so long (a frozen or cut off node).
        deadline: after so long from its start the Job is ended from outside; 0 for not known. It sets no limit: it only lets
            a run that is ended then say why.
        module_version: told in the record and in the last words.
        runner: who ran it, told in the record; the pod's name in a Job.
    """

    lock_timeout: float = 2.0
    statement_timeout: float = 900.0
    retry_budget: float = 60.0
    runner_budget: float = 300.0
    connect_budget: float = 20.0
    connect_timeout: int = 5
    idle_timeout: float = 60.0
    deadline: float = 0.0
    module_version: str = ""
    runner: str = field(default_factory=lambda: os.uname().nodename)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: str | float) -> Settings:
        """Reads `MIGRATE_LOCK_TIMEOUT` and the like.

        Args:
            environment: such as os.environ.
            given: settings that win over the environment.

        Raises:
            ValueError: a variable is no number of seconds; the text names it.
        """
        values: dict[str, str | float] = {}
        for each in fields(cls):
            variable = f"MIGRATE_{each.name.upper()}"
            if variable not in environment:
                continue
            text = environment[variable]
            if each.name in ("module_version", "runner"):
                values[each.name] = text
                continue
            try:
                number = float(text)
            except ValueError:
                number = -1.0
            if not 0 <= number < 1e6 or number != number:
                raise ValueError(f"{variable}={text!r} is not a number of seconds, such as 2 or 0.5")
            values[each.name] = int(number) if each.name == "connect_timeout" else number
        return cls(**(values | given))  # type: ignore[arg-type]
