"""What depends on what in a state: the order of deletions and the reach of a replacement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set

from .model import ResourceState, Urn
from .paths import dependencies_of


class Graph:
    """A list of resources in which dependencies stand before their dependents."""

    def __init__(self, resources: Iterable[ResourceState]) -> None:
        self.resources = list(resources)
        self._index = {id(s): i for i, s in enumerate(self.resources)}
        self._at: dict[Urn, list[int]] = defaultdict(list)
        self._below: dict[Urn, list[int]] = defaultdict(list)  # children, children's children, ...
        parents: dict[Urn, Urn] = {}
        for i, s in enumerate(self.resources):
            self._at[s.urn].append(i)
            parents[s.urn] = s.parent
            above = s.parent
            while above:
                self._below[above].append(i)
                above = parents.get(above, "")

    def __contains__(self, state: ResourceState) -> bool:
        return id(state) in self._index

    def depending_on(
        self, root: ResourceState, *, ignore: Set[Urn] = frozenset(), children: bool
    ) -> list[ResourceState]:
        """Everything that depends on ``root``, directly or not, in order. ``children``: so do its children."""
        found, urns = [], {root.urn}
        for s in self.resources[self._index[id(root)] + 1 :]:
            if s.urn not in ignore and urns & dependencies_of(s, parent=children):
                found.append(s)
                urns.add(s.urn)
        return found

    def dependencies(self, state: ResourceState) -> list[ResourceState]:
        """What must still exist while ``state`` does. To depend on a component is to depend on what is in it."""
        cursor = self._index[id(state)]
        found: set[int] = set(self._at[state.parent]) if state.parent else set()
        for urn in dependencies_of(state, parent=False):
            for i in self._at[urn]:
                found.add(i)
                if not self.resources[i].custom:
                    found.update(self._below[urn])
        return [self.resources[i] for i in found if i < cursor]

    def transitive_dependencies(self, state: ResourceState) -> list[ResourceState]:
        """All that ``state`` needs, directly or not; of a replaced resource, the generation it belongs to."""
        open_, seen = [state], {id(state): state}
        while open_:
            s = open_.pop()
            for urn in dependencies_of(s):
                generations = [self.resources[i] for i in self._at[urn]]
                same = [g for g in generations if g.delete == s.delete]
                for g in (same or generations)[-1:]:
                    if id(g) not in seen:
                        seen[id(g)] = g
                        open_.append(g)
        del seen[id(state)]
        return list(seen.values())

    def deletion_waves(self, condemned: Sequence[ResourceState]) -> list[list[ResourceState]]:
        """The condemned in waves: each wave may be deleted in parallel once those before it are gone."""
        left = {id(s): s for s in condemned}
        needs = {key: {id(d) for d in self.dependencies(s)} for key, s in left.items()}
        waves: list[list[ResourceState]] = []
        while left:
            wave = [s for key, s in left.items() if not needs[key] & left.keys()]
            if not wave:  # a state with a cycle in it: better in any order than never
                wave = list(left.values())
            waves.append(wave)
            for s in wave:
                del left[id(s)]
        return waves[::-1]
