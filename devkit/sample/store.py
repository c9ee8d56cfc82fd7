"""The ledger's tables: one statement a request, tried again when the connection or a lock was at fault."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
import psycopg.rows
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from devkit.sample.errors import Conflict, NotFound, Refused, Unavailable
from devkit.sample.versions import Version

_Pool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]
_T = TypeVar("_T")
_LARGEST = 10**15
_CONNECTIONS = 8
_FRESH_SECONDS = 2.0
_PASSING = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock timeout

# The whole transaction in one statement: nothing is held open while the network is waited for. Accounts are touched in
# the order of their names, so that two transactions cannot deadlock.
_INSERT = """
WITH entry AS (
    INSERT INTO transactions (idempotency_key, request_hash, description{columns})
    VALUES (%(key)s, %(hash)s, %(description)s{values})
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id
), touched AS (
    INSERT INTO accounts AS a (address, balance)
    SELECT p.account, sum(p.amount)
    FROM entry, unnest(%(accounts)s::text[], %(amounts)s::bigint[]) AS p (account, amount)
    GROUP BY p.account ORDER BY p.account
    ON CONFLICT (address) DO UPDATE SET balance = a.balance + excluded.balance
), booked AS (
    INSERT INTO postings (transaction_id, position, account, amount)
    SELECT entry.id, p.position, p.account, p.amount
    FROM entry, unnest(%(accounts)s::text[], %(amounts)s::bigint[]) WITH ORDINALITY AS p (account, amount, position)
){metadata}
SELECT id FROM entry
"""
_INSERT_METADATA = """, described AS (
    INSERT INTO transaction_metadata (transaction_id, key, value)
    SELECT entry.id, m.key, m.value FROM entry, unnest(%(keys)s::text[], %(texts)s::text[]) AS m (key, value)
)"""


@dataclass(frozen=True)
class Transaction:
    """What a client asks to be booked.

    Attributes:
        postings: accounts and signed amounts, in the smallest unit; they sum to zero.
        description: free text.
        reference: the caller's own name for it (from 1.1.0).
        metadata: free keys and values (from 1.6.0).
    """

    postings: tuple[tuple[str, int], ...]
    description: str = ""
    reference: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes, version: Version) -> Transaction:
        """Reads a request's body.

        Raises:
            Refused: it is no transaction, or does not balance.
        """
        try:
            given = json.loads(body)
        except ValueError:
            raise Refused("invalid_json", "the body is not JSON") from None
        known = {"postings", "description"} | ({"reference"} if version.reference else set())
        known |= {"metadata"} if version.metadata else set()
        if not isinstance(given, dict) or given.keys() - known:
            raise Refused("invalid_body", f"expected an object with {', '.join(sorted(known))}")
        text = given.get("description", "")
        reference = given.get("reference")
        metadata = given.get("metadata", {})
        if not isinstance(text, str) or not isinstance(reference, str | None):
            raise Refused("invalid_body", "description and reference are texts")
        if not isinstance(metadata, dict) or not all(isinstance(each, str) for each in metadata.values()):
            raise Refused("invalid_body", "metadata is an object of texts")
        if "\0" in text + (reference or "") + "".join([*metadata, *metadata.values()]):
            raise Refused("invalid_body", "texts cannot hold a NUL character")
        return cls(_postings(given.get("postings")), text, reference, metadata)

    @property
    def digest(self) -> bytes:
        """What two requests with the same idempotency key must agree on."""
        return hashlib.sha256(
            json.dumps([self.postings, self.description, self.reference, sorted(self.metadata.items())]).encode()
        ).digest()


def _postings(given: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(given, list) or not 2 <= len(given) <= 100:
        raise Refused("invalid_postings", "postings is a list of 2 to 100 objects with account and amount")
    postings = []
    for each in given:
        account = each.get("account") if isinstance(each, dict) else None
        amount = each.get("amount") if isinstance(each, dict) else None
        if not isinstance(account, str) or not 0 < len(account) <= 200 or "\0" in account:
            raise Refused("invalid_account", "account is a text of 1 to 200 characters")
        if type(amount) is not int or amount == 0 or abs(amount) > _LARGEST:
            raise Refused("invalid_amount", f"amount is a whole number of cents, not 0, at most {_LARGEST}")
        postings.append((account, amount))
    if difference := sum(amount for _, amount in postings):
        raise Refused("unbalanced", f"the postings sum to {difference}, not to 0")
    return tuple(postings)


class Store:
    """The ledger's database.

    Args:
        conninfo: connection string.
        version: decides which columns and tables are used.
    """

    def __init__(self, conninfo: str, version: Version) -> None:
        self._version = version
        self._insert = _INSERT.format(
            columns=", reference" if version.reference else "",
            values=", %(reference)s" if version.reference else "",
            metadata=_INSERT_METADATA if version.metadata else "",
        ).encode()
        self._pool: _Pool = AsyncConnectionPool(
            conninfo,
            kwargs={
                "autocommit": True,
                "application_name": f"ledger {version.number}",
                "connect_timeout": 5,
                "keepalives_idle": 10,
            },
            min_size=2,
            max_size=_CONNECTIONS,
            timeout=4.0,
            configure=_configure,
            open=False,
        )
        self._schema = 0
        self._answered = float("-inf")  # when the database last answered anything

    async def open(self) -> None:
        """Starts connecting in the background; requests wait for a connection."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.close(timeout=2)

    async def schema_version(self) -> int:
        """Gives the highest migration number applied, 0 for none.

        A database that has just answered a request is not asked again: under load the probe would queue behind the
        requests, fail, and take the pods out of the Service when they are needed most.

        Raises:
            Unavailable: the database does not answer.
        """
        if self._schema >= self._version.needs and time.monotonic() - self._answered < _FRESH_SECONDS:
            return self._schema

        async def ask(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> int:
            try:
                cursor = await connection.execute(
                    "SELECT coalesce(max(number), 0) FROM migrator.migrations WHERE applied_at IS NOT NULL"
                )
            except psycopg.errors.UndefinedTable:
                return 0
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

        self._schema = await self._with_connection(ask, wait=1.0)
        return self._schema

    async def book(self, key: str, transaction: Transaction) -> tuple[int, bool]:
        """Books a transaction once, however often it is asked for.

        Args:
            key: the client's idempotency key.
            transaction: what to book.

        Returns:
            Its id, and whether this call booked it.

        Raises:
            Conflict: the key belongs to a different transaction.
            Unavailable: the database does not answer; whether it was booked a retry with the same key tells.
        """
        parameters = {
            "key": key,
            "hash": transaction.digest,
            "description": transaction.description,
            "reference": transaction.reference,
            "accounts": [account for account, _ in transaction.postings],
            "amounts": [amount for _, amount in transaction.postings],
            "keys": list(transaction.metadata),
            "texts": list(transaction.metadata.values()),
        }

        async def ask(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> tuple[int, bool]:
            row = await (await connection.execute(self._insert, parameters)).fetchone()
            if row is not None:
                return int(row[0]), True
            query = "SELECT id, request_hash FROM transactions WHERE idempotency_key = %s"
            row = await (await connection.execute(query, (key,))).fetchone()
            if row is None or bytes(row[1]) != transaction.digest:
                raise Conflict("idempotency_conflict", "this Idempotency-Key was used for another transaction")
            return int(row[0]), False

        return await self._with_connection(ask)

    async def transaction(self, number: int) -> dict[str, object]:
        """Gives a booked transaction.

        Raises:
            NotFound: there is none of that id.
            Unavailable: the database does not answer.
        """
        if self._version.prepared:
            return await self._prepared_transaction(number)
        reference = "t.reference" if self._version.reference else "NULL"
        query = (
            f"SELECT t.id, t.description, t.created_at, {reference}, "
            "(SELECT jsonb_agg(jsonb_build_object('account', p.account, 'amount', p.amount) ORDER BY p.position) "
            "FROM postings p WHERE p.transaction_id = t.id) FROM transactions t WHERE t.id = %s"
        )
        row = await self._one(query, number)
        if row is None:
            raise NotFound("not_found", f"no transaction {number}")
        found: dict[str, object] = {"id": row[0], "description": row[1], "created_at": row[2].isoformat()}
        if self._version.reference:
            found["reference"] = row[3]
        found["postings"] = row[4]
        if self._version.metadata:
            pairs = await self._one(
                "SELECT coalesce(jsonb_object_agg(key, value), '{}') "
                "FROM transaction_metadata WHERE transaction_id = %s",
                number,
            )
            found["metadata"] = pairs[0] if pairs else {}
        return found

    async def _prepared_transaction(self, number: int) -> dict[str, object]:
        """The same by a prepared `SELECT *`, whose result changes with the table."""

        async def ask(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> dict[str, object] | None:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            try:
                found = await cursor.execute("SELECT * FROM transactions WHERE id = %s", (number,), prepare=True)
            except psycopg.errors.FeatureNotSupported:
                if self._version.prepared == "fails":
                    raise
                await connection.execute("DEALLOCATE ALL")
                if self._version.prepared == "recovers":
                    raise
                found = await cursor.execute("SELECT * FROM transactions WHERE id = %s", (number,), prepare=True)
            return await found.fetchone()

        row = await self._with_connection(ask)
        if row is None:
            raise NotFound("not_found", f"no transaction {number}")
        postings = await self._one(
            "SELECT jsonb_agg(jsonb_build_object('account', account, 'amount', amount) ORDER BY position) "
            "FROM postings WHERE transaction_id = %s",
            number,
        )
        metadata = await self._one(
            "SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM transaction_metadata WHERE transaction_id = %s",
            number,
        )
        return {
            "id": row["id"],
            "description": row["description"],
            "created_at": str(row["created_at"]),
            "reference": row["reference"],
            "postings": postings[0] if postings else [],
            "metadata": metadata[0] if metadata else {},
        }

    async def balance(self, account: str) -> int:
        """Gives an account's balance.

        Raises:
            NotFound: nothing was ever booked on it.
            Unavailable: the database does not answer.
        """
        row = await self._one("SELECT balance FROM accounts WHERE address = %s", account)
        if row is None:
            raise NotFound("not_found", f"no account {account!r}")
        return int(row[0])

    async def _one(self, query: str, parameter: object) -> tuple[Any, ...] | None:
        async def ask(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> tuple[Any, ...] | None:
            return await (await connection.execute(query.encode(), (parameter,))).fetchone()

        return await self._with_connection(ask)

    async def _with_connection(
        self, ask: Callable[[psycopg.AsyncConnection[tuple[Any, ...]]], Awaitable[_T]], wait: float | None = None
    ) -> _T:
        """Runs a request on a connection; again on another one if that one broke. Safe, since booking is idempotent.

        After a restart of the server every connection in the pool is broken, and each try finds out about one.
        """
        for left in reversed(range(_CONNECTIONS + 1)):
            try:
                async with self._pool.connection(timeout=wait) as connection:
                    answer = await ask(connection)
            except PoolTimeout as error:
                raise Unavailable("database_unavailable", "no connection to the database") from error
            except psycopg.OperationalError as error:
                if not left or not (connection.broken or error.sqlstate in _PASSING):
                    raise Unavailable("database_unavailable", f"the database does not answer: {error}") from error
            else:
                self._answered = time.monotonic()
                return answer
        raise AssertionError("the last try returns or raises")


async def _configure(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    # Longer than a migration may hold its locks, shorter than clients wait.
    await connection.execute("SET statement_timeout = '4s'")
