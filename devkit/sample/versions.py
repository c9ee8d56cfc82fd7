"""The sample's versions: what each one's schema is, how its program behaves, and the story it is there for.

The number of a migration follows the version that brought it (0110 came with 1.1.0), so histories of different
versions never share a number. Files of versions that went wrong are in no later version's line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class Version:
    """One version of the ledger.

    Attributes:
        number: semantic version, also the image's tag.
        story: what it is there to show.
        line: versions whose SQL files it carries, in order; its own last.
        needs: migration number its program needs in the database.
        reference: reads and writes the column `transactions.reference`.
        metadata: reads and writes the table `transaction_metadata`.
        prepared: it reads transactions by a prepared `SELECT *`, and where a column is added under it (0A000) it "fails" from
            then on, "recovers" with the next request, or "retries" at once, as drivers differ; empty if it names its columns.
        exact: it refuses to start on a newer schema, and keeps running on one, as Formance's ledger does.
        healthy: False for one whose health check never passes.
        good: whether a rollout of it succeeds on a database that nobody has prepared against it.
    """

    number: str
    story: str
    line: tuple[str, ...]
    needs: int
    reference: bool = True
    metadata: bool = False
    prepared: str = ""
    exact: bool = False
    healthy: bool = True
    good: bool = True

    @property
    def directories(self) -> tuple[Path, ...]:
        """Where its SQL files lie."""
        return tuple(SQL / each for each in self.line)


_LINE = ("1.0.0", "1.1.0")
_LATER = (*_LINE, "1.6.0")
_PREPARED = (*_LATER, "1.9.0", "1.9.1", "1.9.2", "1.9.3")

VERSIONS = {
    version.number: version
    for version in (
        Version("1.0.0", "the first", ("1.0.0",), 100, reference=False),
        Version("1.1.0", "adds the column `reference` and uses it; 1.0.0 works on beside it", _LINE, 110),
        Version(
            "1.2.0",
            "its migration fails in the second statement (22012, division by zero) after a CREATE TABLE",
            (*_LINE, "1.2.0"),
            120,
            good=False,
        ),
        Version("1.3.0", "its migration hangs until its Job's deadline", (*_LINE, "1.3.0"), 130, good=False),
        Version(
            "1.4.0",
            "migrates well (a new table), but its program never becomes healthy",
            (*_LINE, "1.4.0"),
            140,
            healthy=False,
            good=False,
        ),
        Version(
            "1.5.0",
            "drops the column `reference`, which 1.1.0 still reads: the migration succeeds, 1.1.0 breaks",
            (*_LINE, "1.5.0"),
            150,
            reference=False,
            good=False,
        ),
        Version("1.5.1", "good, but its migration takes 12 s", (*_LINE, "1.5.1"), 151),
        Version("1.6.0", "good: adds the table `transaction_metadata`", _LATER, 160, metadata=True),
        Version(
            "1.7.0",
            "its migration fails (55000) while a table `maintenance.block` exists; good once that is dropped",
            (*_LATER, "1.7.0"),
            170,
            metadata=True,
        ),
        Version("1.8.0", "good, but its migration takes 12 s", (*_LATER, "1.7.0", "1.8.0"), 180, metadata=True),
        Version(
            "1.9.0",
            "prepares SELECT *, and does not outlive the column that 1.9.1 adds; starts on no newer schema than its own; has a "
            "trigger that calls a function",
            _PREPARED[:-3],
            190,
            metadata=True,
            prepared="fails",
            exact=True,
        ),
        Version(
            "1.9.1",
            "adds a column and drops that trigger with its functions; its driver forgets what fails, so each connection loses a "
            "request to the next column",
            _PREPARED[:-2],
            191,
            metadata=True,
            prepared="recovers",
            exact=True,
        ),
        Version(
            "1.9.2",
            "adds a column; its driver repeats what fails with 0A000",
            _PREPARED[:-1],
            192,
            metadata=True,
            prepared="retries",
            exact=True,
        ),
        Version(
            "1.9.3",
            "adds another column, through which 1.9.2 loses nothing",
            _PREPARED,
            193,
            metadata=True,
            prepared="retries",
            exact=True,
        ),
    )
}


def get(number: str) -> Version:
    """Gives a version by its number.

    Raises:
        KeyError: there is none; the text lists those there are.
    """
    if number not in VERSIONS:
        raise KeyError(f"no version {number!r} of the ledger; there are {', '.join(VERSIONS)}")
    return VERSIONS[number]
