"""What the rules judge: a program's resources as plain frozen values, and how unknown ones among them are met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final


class NotKnown(Exception):
    """A rule needs a value that this preview cannot know; what it can know has been judged."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} is not known before the update")


class _Unknown:
    """A value that is only known once the update runs. Whoever looks into it, without ``get``, hears so too."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def _look(self, *_: Any) -> Any:
        raise NotKnown("something in it")

    __iter__ = __len__ = __getitem__ = __contains__ = __float__ = __int__ = __str__ = _look
    __lt__ = __le__ = __gt__ = __ge__ = _look


UNKNOWN: Final = _Unknown()


# What reading a resource ends with that is not known, or not of the form that the Kubernetes API has.
UNREADABLE: Final = (NotKnown, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class Provider:
    """What makes resources, such as those of one cluster. Equal only to itself: a program has one of each.

    Args:
        urn: unique name.
        props: its inputs.
    """

    urn: str
    props: Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource as a policy sees it.

    Args:
        type: Pulumi's type token, such as ``kubernetes:apps/v1:Deployment``.
        name: logical name, in Pulumi's state.
        urn: unique name.
        props: inputs (before it is made) or outputs (when the whole stack is judged); ``UNKNOWN`` where not known yet.
        parent: URN, empty for none.
        component: it is made of other resources only, and has no provider.
        provider: what makes it; None where that is not told.
        dependencies: URNs of everything it waits for.
        property_dependencies: property -> URNs of the resources whose outputs it is made of.
        protect: Pulumi refuses to delete it.
        deleted_first: where it has to be replaced, it is deleted before its successor is made.
        secrets: names of the properties that are, or hold, a Pulumi secret.
        aliases: URNs that it had before.
        timeouts: seconds by ``create``, ``update`` and ``delete``; 0 or absent where the provider decides.
    """

    type: str
    name: str
    urn: str
    props: Mapping[str, Any]
    parent: str = ""
    component: bool = False
    provider: Provider | None = None
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    deleted_first: bool = False
    secrets: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()
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
    if value is UNKNOWN:
        raise NotKnown(".".join(str(s) for s in path))
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
        if resource is None:
            return
        for other in resource.dependencies:
            yield other
            yield from self._made_of(other)
        # A child is asked for when its parent is there, and so when everything is that the parent waits for.
        if resource.parent:
            yield resource.parent

    def _made_of(self, urn: str) -> Iterator[str]:
        """What is in a component, and in the components in it. To wait for any other resource is not to wait for its children.

        https://github.com/pulumi/pulumi/blob/master/sdk/python/lib/pulumi/runtime/rpc.py : _add_dependency, which names these
        itself except for a component that runs in another process.
        """
        todo = [urn]
        while todo:
            one = todo.pop()
            if one in self.by_urn and self.by_urn[one].component:
                children = self._children.get(one, ())
                yield from children
                todo += children
