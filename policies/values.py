"""What the rules judge: a program's resources as plain frozen values, and how unknown ones among them are met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final


class _Unknown:
    """A value that is only known once the update runs."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


class NotKnown(Exception):
    """A rule needs a value that this preview cannot know; what it can know has been judged."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} is not known before the update")


@dataclass(frozen=True)
class Resource:
    """One resource as a policy sees it.

    Args:
        type: Pulumi's type token, such as ``kubernetes:apps/v1:Deployment``.
        name: logical name, in Pulumi's state.
        urn: unique name.
        props: inputs (before it is made) or outputs (when the whole stack is judged); ``UNKNOWN`` where not known yet.
        parent: URN, empty for none.
        dependencies: URNs of everything it waits for.
        property_dependencies: property -> URNs of the resources whose outputs it is made of.
        protect: Pulumi refuses to delete it.
        timeouts: seconds by ``create``, ``update`` and ``delete``; 0 or absent where the provider decides.
    """

    type: str
    name: str
    urn: str
    props: Mapping[str, Any]
    parent: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    timeouts: Mapping[str, float] = field(default_factory=dict)

    def get(self, *path: str | int) -> Any:
        """The property at a path, None where there is none.

        Raises:
            NotKnown: it is not known before the update.
        """
        return get(self.props, *path)


def get(value: Any, *path: str | int) -> Any:
    """The value at a path through mappings and lists, None where there is none.

    Raises:
        NotKnown: it or something on the way to it is not known before the update.
    """
    for n, step in enumerate(path):
        # The concrete types first: an abstract class is slow to ask, and this is asked more than anything else.
        if isinstance(value, (dict, Mapping)):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, (list, Sequence)) and not isinstance(value, str):
            value = value[step] if step < len(value) else None
        else:
            return None
        if value is UNKNOWN:
            raise NotKnown(".".join(str(s) for s in path[: n + 1]))
    return value


@dataclass(frozen=True, eq=False)
class Program:
    """All resources of a stack, with who waits for whom. Equal only to itself, so that what is found out can be kept."""

    resources: tuple[Resource, ...]

    @cached_property
    def by_urn(self) -> dict[str, Resource]:
        return {r.urn: r for r in self.resources}

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for r in self.resources:
            children.setdefault(r.parent, []).append(r.urn)
        return children

    @cached_property
    def _waits(self) -> dict[str, frozenset[str]]:
        return {}

    def waits_for(self, urn: str) -> frozenset[str]:
        """URNs of everything that is finished before this resource is begun: its dependencies, theirs, and so on."""
        if urn not in self._waits:
            found: set[str] = set()
            todo = list(self._direct(urn))
            while todo:
                other = todo.pop()
                if other in found:
                    continue
                found.add(other)
                known = self._waits.get(other)
                if known is None:
                    todo += self._direct(other)
                else:
                    found |= known
            self._waits[urn] = frozenset(found)
        return self._waits[urn]

    def _direct(self, urn: str) -> Iterator[str]:
        resource = self.by_urn.get(urn)
        for other in resource.dependencies if resource else ():
            yield other
            # SDKs name the children of a component they wait for, except of one that runs in another process.
            if other in self.by_urn and self.by_urn[other].type.count(":") == 2 and other in self._children:
                yield from self._children[other]
