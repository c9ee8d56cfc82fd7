"""Compares what clients were told with what the ledger's database holds.

Every accepted write of a traffic run is there exactly once, with its amount; nothing of the run is there that was
neither accepted nor of unknown fate; every transaction balances; every account's balance is the sum of its postings.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from devkit.sample import ranges
from devkit.sample.traffic import amount


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        ok: whether everything agrees.
        transactions: how many the database holds.
        postings: how many it holds.
        total: sum of all balances; 0 in a ledger.
        unbalanced: transactions whose postings do not sum to zero.
        wrong_balances: accounts whose balance is not the sum of their postings.
        accepted: writes the run was told are booked.
        missing: accepted ones that the database does not hold.
        wrong: accepted ones with another amount, or more than once.
        unexpected: writes of the run in the database whose fate was told as refused.
        uncertain_booked: writes without an answer that were booked.
    """

    ok: bool
    transactions: int
    postings: int
    total: int
    unbalanced: int
    wrong_balances: int
    accepted: int = 0
    missing: str = ""
    wrong: str = ""
    unexpected: str = ""
    uncertain_booked: str = ""


def check(conninfo: str, run: str = "", accepted: set[int] | None = None, uncertain: set[int] | None = None) -> Verdict:
    """Checks a ledger's database, and one run's writes in it.

    Args:
        conninfo: connection string of the database.
        run: name of the traffic run; the ledger as a whole only when empty.
        accepted: numbers of the writes that were accepted.
        uncertain: numbers of those without an answer.
    """
    accepted, uncertain = accepted or set(), uncertain or set()
    with psycopg.connect(conninfo) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

        def number(query: str) -> int:
            row = connection.execute(query.encode()).fetchone()
            return int(row[0]) if row else 0

        transactions = number("SELECT count(*) FROM transactions")
        postings = number("SELECT count(*) FROM postings")
        total = number("SELECT coalesce(sum(balance), 0) FROM accounts")
        unbalanced = number(
            "SELECT count(*) FROM (SELECT FROM transactions t LEFT JOIN postings p ON p.transaction_id = t.id "
            "GROUP BY t.id HAVING coalesce(sum(p.amount), 1) <> 0) AS x"
        )
        wrong_balances = number(
            "SELECT count(*) FROM accounts a WHERE a.balance <> "
            "(SELECT coalesce(sum(p.amount), 0) FROM postings p WHERE p.account = a.address)"
        )
        booked: dict[int, list[int]] = {}
        if run:
            rows = connection.execute(
                "SELECT split_part(t.idempotency_key, '-', -1)::int, sum(p.amount) FILTER (WHERE p.amount > 0) "
                "FROM transactions t JOIN postings p ON p.transaction_id = t.id "
                "WHERE starts_with(t.idempotency_key, %s) GROUP BY t.id",
                (f"{run}-",),
            )
            for key, moved in rows:
                booked.setdefault(key, []).append(int(moved))
    missing = accepted - booked.keys()
    wrong = {key for key in accepted & booked.keys() if booked[key] != [amount(key)]}
    unexpected = booked.keys() - accepted - uncertain
    ok = not (total or unbalanced or wrong_balances or missing or wrong or unexpected)
    return Verdict(
        ok,
        transactions,
        postings,
        total,
        unbalanced,
        wrong_balances,
        len(accepted),
        ranges.dump(missing),
        ranges.dump(wrong),
        ranges.dump(unexpected),
        ranges.dump(uncertain & booked.keys()),
    )


def main(arguments: Sequence[str]) -> int:
    """Checks and prints; gives 1 if something does not agree."""
    parser = argparse.ArgumentParser(prog="verify", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--uri", default=os.environ.get("POSTGRES_URI", ""), help="database (default: POSTGRES_URI)")
    parser.add_argument("--report", default="", help="final summary of a traffic run: a file, or - for stdin")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args(arguments)
    if not parsed.uri:
        parser.error("give --uri or set POSTGRES_URI")
    run, accepted, uncertain = "", set[int](), set[int]()
    if parsed.report:
        text = sys.stdin.read() if parsed.report == "-" else Path(parsed.report).read_text()
        report = json.loads(text.strip().splitlines()[-1])
        run = report["run"]
        accepted, uncertain = ranges.load(report["accepted"]["numbers"]), ranges.load(report["uncertain"])
    verdict = check(parsed.uri, run, accepted, uncertain)
    if parsed.json:
        print(json.dumps(asdict(verdict)))
    else:
        print("\n".join(f"{name}: {value}" for name, value in asdict(verdict).items()))
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
