"""What a rule is, what it is asked, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from migrator.fingerprint import Change, Object, Snapshot, Value

Level = Literal["safe", "risky", "breaks"]
LEVELS: tuple[Level, ...] = ("safe", "risky", "breaks")


@dataclass(frozen=True)
class Finding:
    """What a change means for the version that still serves.

    Attributes:
        level: `safe`; `risky`, if it depends on what the previous version does; `breaks`, if some of its statements
            fail or lose rows.
        rule: the rule's id.
        object: qualified name of the object, as it was called before where it is renamed.
        what: the change on one line.
        why: what the previous version meets.
        instead: the way to get there in steps that each keep it working.
    """

    level: Level
    rule: str
    object: str
    what: str
    why: str
    instead: str

    def __str__(self) -> str:
        way = f" Instead: {self.instead}" if self.instead and self.level != "safe" else ""
        return f"{self.level}: {self.what} [{self.rule}]. {self.why}{way}"


@dataclass(frozen=True)
class Case:
    """One change as rules see it: a single attribute, and both schemas to look around in.

    Attributes:
        kind: what happened.
        old: the object before; None for an added one.
        new: the object after; None for a removed one.
        before: the whole schema before.
        after: the whole schema after.
        attribute: what changed, if it is a changed object.
    """

    kind: Literal["added", "removed", "changed", "renamed"]
    old: Object | None
    new: Object | None
    before: Snapshot
    after: Snapshot
    attribute: str = ""

    @property
    def object(self) -> str:
        """The object's kind."""
        return self._either.kind

    @property
    def name(self) -> str:
        """The object's name, the old one if it was renamed."""
        return (self.old or self._either).name

    @property
    def parent(self) -> str:
        """What it is part of."""
        return self._either.parent

    @property
    def was(self) -> Value:
        """The attribute before."""
        return self.old.attributes.get(self.attribute) if self.old else None

    @property
    def now(self) -> Value:
        """The attribute after."""
        return self.new.attributes.get(self.attribute) if self.new else None

    @property
    def gone(self) -> list[str]:
        """Entries that a list had before."""
        now = self.now if isinstance(self.now, list) else []
        return [each for each in self.was if each not in now] if isinstance(self.was, list) else []

    @property
    def come(self) -> list[str]:
        """Entries that a list has now."""
        was = self.was if isinstance(self.was, list) else []
        return [each for each in self.now if each not in was] if isinstance(self.now, list) else []

    def given(self, attribute: str) -> Value:
        """Gives another attribute as it is now; as it was, of a removed object."""
        return self._either.attributes.get(attribute)

    def is_(self, kind: str, *objects: str, attribute: str = "") -> bool:
        """Whether this is such a change of such an object."""
        return self.kind == kind and (not objects or self.object in objects) and self.attribute == attribute

    def relation(self, *, after: bool = True) -> Object | None:
        """Gives the table or view it is part of."""
        schema = self.after if after else self.before
        for kind in ("table", "foreign table", "view", "materialized view"):
            if found := schema.by_key.get((kind, self.parent)):
                return found
        return None

    @property
    def text(self) -> str:
        """The change on one line."""
        if self.kind == "renamed":
            assert self.old is not None, "a renamed object was there before"
            assert self.new is not None, "and is there afterwards"
            return f"{self.object} {self.old.name} renamed to {self.new.name}"
        before = dict(self.old.attributes) if self.old else {}
        after = dict(self.new.attributes) if self.new else {}
        if self.attribute:
            before, after = {self.attribute: self.was}, {self.attribute: self.now}
        return Change(self.kind, self.object, self.name, self.parent, before, after).text

    @property
    def _either(self) -> Object:
        found = self.new or self.old
        assert found is not None, "a case has an object on one side at least"
        return found


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of compatibility.

    Attributes:
        id: what findings and the documentation call it.
        level: of its findings.
        title: the changes it is about.
        why: what the previous version meets.
        instead: the way in steps that each keep it working; empty for safe changes.
        source: where PostgreSQL's or squawk's documentation says so.
        contraction: whether it is allowed once it is declared that no older version runs any more.
        applies: whether a change is of that kind.
    """

    id: str
    level: Level
    title: str
    why: str
    source: str
    applies: Callable[[Case], bool]
    instead: str = ""
    contraction: bool = False
