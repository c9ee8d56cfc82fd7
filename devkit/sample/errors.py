"""What the ledger answers a request with that it does not fulfil.

Refused             400  the request makes no sense; `code` says which way
├── NotFound        404
├── Conflict        409  the idempotency key belongs to another request
└── Unavailable     503  the database does not answer
"""

from __future__ import annotations


class Refused(Exception):
    """A request that is not fulfilled.

    Args:
        code: short name for programs.
        message: what is wrong and what is expected.
    """

    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class NotFound(Refused):
    """Nothing by that name."""

    status = 404


class Conflict(Refused):
    """The idempotency key was used for a different request."""

    status = 409


class Unavailable(Refused):
    """The database could not be asked; the request may be sent again."""

    status = 503
