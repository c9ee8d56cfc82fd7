"""What can go wrong in the engine, and the exit code each has (those of the Pulumi CLI).

EngineError                1  anything told to the user as ``error: ...``
├── UsageError             2  wrong flags, arguments or configuration
│   └── NotCovered         2  the Pulumi CLI can do it, this engine cannot: says so by name
├── StackNotFound          6  no such stack, or none selected
├── NoChangesExpected      7  --expect-no-changes and there were changes
├── Cancelled              8  the user said no
├── StackLocked            1  another update holds the stack
├── WrongPassphrase        1  the secrets of the stack cannot be read
├── PolicyError            1  a policy pack cannot be started, configured or asked
├── IntegrityError         1  a state that refers to resources it does not hold
└── UpdateFailed           1  the update ended with errors that were already shown
"""

from __future__ import annotations


class EngineError(Exception):
    exit_code = 1


class UsageError(EngineError):
    exit_code = 2


class NotCovered(UsageError):
    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not covered by the offline engine; use the Pulumi CLI: https://www.pulumi.com/docs/install/"
        )


class StackNotFound(EngineError):
    exit_code = 6


class NoChangesExpected(EngineError):
    exit_code = 7


class Cancelled(EngineError):
    exit_code = 8


class StackLocked(EngineError):
    pass


class WrongPassphrase(EngineError):
    pass


class PolicyError(EngineError):
    pass


class IntegrityError(EngineError):
    pass


class UpdateFailed(EngineError):
    pass
