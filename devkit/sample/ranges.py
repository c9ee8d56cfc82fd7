"""Sets of whole numbers as short texts: {1, 2, 3, 7} is `1-3,7`. A run's accepted writes are mostly one range."""

from __future__ import annotations

from collections.abc import Iterable


def dump(numbers: Iterable[int]) -> str:
    """Gives the text of a set of numbers."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def load(text: str) -> set[int]:
    """Gives the set of a text that `dump` gave.

    Raises:
        ValueError: it is no such text.
    """
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
