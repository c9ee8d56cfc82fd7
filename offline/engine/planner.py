"""Decides what a registration means: nothing, a creation, an update, a replacement; and at the end, what is deleted.

The rules are those of the Pulumi engine (``pkg/resource/deploy/step_generator.go``): new things first, replaced ones
deleted at the end or, where the provider asks for it, before; what the program no longer names goes last of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import NotCovered
from .events import Events
from .graph import Graph
from .model import STACK_TYPE, ResourceState, UpdateOptions, Urn
from .paths import Targets, covers, dependencies_of, is_provider, parse_path, qualified_type, split_reference, type_of
from .provider import Diff, PropertyDiff
from .registry import config_of
from .steps import Applier, Reply, Step
from .values import UNKNOWN, Properties, ignore, unwrap

if TYPE_CHECKING:
    from .policy import Packs

INIT_ERROR = "#initerror"


class Bail(Exception):
    """The update ends here; why has been told already."""


class Planner:
    """Not thread-safe: the caller plans one registration at a time."""

    def __init__(
        self,
        base: Sequence[ResourceState],
        options: UpdateOptions,
        applier: Applier,
        events: Events,
        packs: Packs | None,
        *,
        destroying: bool,
    ) -> None:
        self._applier, self._events, self._packs = applier, events, packs
        self._dry_run = applier.dry_run
        self._destroying = destroying
        self._targets, self._excludes = Targets(options.targets), Targets(options.excludes)
        self.base = list(base)
        self.olds = {s.urn: s for s in self.base if not s.delete}
        self.graph = Graph(self.base)
        self.errored = False
        self.providers: dict[Urn, ResourceState] = {}
        self._urns: set[Urn] = set()
        self._done: dict[Urn, str] = {}  # what was planned for each URN
        self._touched: set[Urn] = set()  # old URNs that live on: by their own name or by an alias
        self._skipped: set[Urn] = set()  # creations left out because of --target
        self._aliased: dict[Urn, Urn] = {}  # old URN -> new
        self._deletes: set[Urn] = set()
        self._recreate: dict[Urn, Sequence[str]] = {}  # deleted ahead of a dependency's replacement
        self._gone: set[int] = set()  # states for which a deletion was planned already
        self._condemned: list[ResourceState] = []  # destroy with the program running

    # --- registrations ------------------------------------------------------------------------------------------

    def plan(self, wanted: ResourceState, reply: Reply) -> list[Step]:
        """The steps for one registration.

        Args:
            wanted: the resource as the program declares it; its aliases are all URNs it may have had.

        Raises:
            Bail: it cannot be done, and the user has been told.
            Exception: it cannot be done.
        """
        urn = wanted.urn
        if wanted.parent and wanted.parent not in self._urns:
            raise ValueError(f"could not find parent resource {wanted.parent}")
        if urn in self._urns:
            self._stop(f"Duplicate resource URN '{urn}'; try giving it a unique name", urn)
        self._urns.add(urn)
        old = self._old(wanted)
        new = replace(wanted, aliases=[])
        if old is not None:
            new.aliases = [old.urn] if old.urn != urn else []
            new.created, new.modified = old.created, old.modified
        if is_provider(new.type):
            self.providers[urn] = new
        if self._destroying and (steps := self._plan_destroyed(old, new, reply)) is not None:
            return steps
        return self._allowed(self._plan(old, new, reply))

    def _old(self, wanted: ResourceState) -> ResourceState | None:
        """What the resource was before, under its own URN or an alias."""
        urn = wanted.urn
        if urn in self._aliased:
            self._stop(
                f"Duplicate resource URN '{urn}' conflicting with alias on resource with URN '{self._aliased[urn]}'",
                urn,
            )
        for candidate in (urn, *wanted.aliases):
            if candidate not in self.olds:
                continue
            if candidate != urn:
                if not wanted.custom:  # its children would need aliases too, which the SDK leaves to the engine
                    raise NotCovered(f"the alias {candidate} of a component")
                if candidate in self._urns or candidate in self._aliased:
                    self._stop(f"Duplicate resource alias '{candidate}' applied to resource with URN '{urn}'", urn)
                self._aliased[candidate] = urn
            return self.olds[candidate]
        return None

    def _plan_destroyed(self, old: ResourceState | None, new: ResourceState, reply: Reply) -> list[Step] | None:
        """`destroy --run-program`: the program runs for its hooks; what it names is kept until the end, then deleted."""
        left_out = bool(dependencies_of(new) & self._skipped)
        if left_out or (new.custom and not is_provider(new.type)):
            if left_out or old is None:
                self._skipped.add(new.urn)
                new.outputs = dict(old.outputs) if old else {}
                return [Step("same", None, new, reply, skipped_create=True)]
            new.inputs = old.inputs
            self._condemned.append(new)
            return [self._same(old, new, reply)]
        self._condemned.append(new)
        return None

    def _plan(self, old: ResourceState | None, new: ResourceState, reply: Reply) -> list[Step]:
        urn, declared = new.urn, new.inputs
        recreating = urn in self._recreate
        chosen = (not self._targets or urn in self._targets) and urn not in self._excludes
        targeted = chosen or is_provider(new.type) or qualified_type(urn) == STACK_TYPE
        if targeted:
            self._check(declared, {} if old is None or recreating else old.inputs, new)
        elif old is not None:
            new.inputs = old.inputs
        if self._packs and self._packs.check(new, self.provider_state(new.provider)):
            raise Bail
        if recreating:
            assert old is not None
            keys = self._recreate.pop(urn)
            self._deletes.discard(urn)
            self._mark(old, new, "replace")
            return [
                Step("replace", old, new),
                Step("create-replacement", old, new, reply, keys=keys, logical=False),
            ]
        if old is None:
            self._done[urn] = "create" if targeted else "same"
            if targeted:
                return [Step("create", None, new, reply)]
            self._skipped.add(urn)
            return [Step("same", None, new, reply, skipped_create=True)]
        if not targeted:
            return self._untargeted(old, reply)
        return self._plan_change(declared, old, new, reply)

    def _check(self, declared: Properties, olds: Properties, new: ResourceState) -> None:
        """Gives a resource its final inputs: those declared, with the provider's names and defaults."""
        new.inputs = news = ignore(new.ignore_changes, olds, declared) if olds else declared
        if not new.custom:
            return
        provider = self._applier.provider(new)
        new.inputs, failures = provider.check(self._applier.call(new), new.type, olds, news)
        for f in failures:
            value = unwrap(new.inputs.get(f.property, "<nil>"))
            where = f": property {f.property} value {{{value}}}" if f.property else ""
            self._events.error(f"{new.type} resource '{new.name}'{where} has a problem: {f.reason}", new.urn)
        if failures:
            raise Bail

    def _plan_change(self, declared: Properties, old: ResourceState, new: ResourceState, reply: Reply) -> list[Step]:
        diff = self._diff(old, new)
        diff = with_replace_on_changes(diff, new.replace_on_changes, init_errors=bool(old.init_errors))
        if not (diff.changes or old.pending_replacement or old.init_errors):
            return [self._same(old, new, reply)]
        if not (must_replace(diff) or old.pending_replacement):
            # Also without a difference: an object that did not become ready is waited for once more.
            self._mark(old, new, "update")
            ignored = new.ignore_changes
            return [Step("update", old, new, reply, diffs=diff.diffs, detailed=diff.detailed, ignore_changes=ignored)]
        return self._plan_replacement(declared, old, new, reply, diff)

    def _plan_replacement(
        self, declared: Properties, old: ResourceState, new: ResourceState, reply: Reply, diff: Diff
    ) -> list[Step]:
        urn = new.urn
        if new.protect and old.protect:
            self._refuse(
                f'unable to replace resource "{urn}"\nas it is currently marked for protection. To unprotect the resource, '
                "remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`",
                urn,
            )
        self._mark(old, new, "replace")
        if new.custom:
            self._check(declared, {}, new)  # defaults and names are not carried over
        more: dict[str, Any] = {"keys": diff.replaces, "diffs": diff.diffs, "detailed": diff.detailed}
        if not diff.delete_before_replace:
            return [
                Step("create-replacement", old, new, reply, logical=False, pending_delete=True, **more),
                Step("replace", old, new, **more),
            ]
        steps = self._delete_dependents(old, urn)
        if not old.pending_replacement:
            self._deletes.add(old.urn)
            self._gone.add(id(old))
            steps.append(Step("delete-replaced", old, None, logical=False, pending_replacement=True))
        return [
            *steps,
            Step("replace", old, new, **more),
            Step("create-replacement", old, new, reply, logical=False, **more),
        ]

    def _delete_dependents(self, old: ResourceState, urn: Urn) -> list[Step]:
        """Whatever a deletion before replacement takes with it, dependents first; it comes back when registered."""
        steps = []
        for dependent, keys in reversed(self._replaced_with(old)):
            if id(dependent) in self._gone:
                continue
            if dependent.protect and not dependent.delete:
                self._refuse(
                    f'unable to replace resource "{dependent.urn}" as part of replacing "{urn}" as it is currently marked '
                    "for protection. To unprotect the resource, remove the `protect` flag from the resource in your Pulumi "
                    f"program and run `pulumi up`, or use the command:\n`pulumi state unprotect '{dependent.urn}'`",
                    urn,
                    always=True,
                )
            self._recreate[dependent.urn] = keys
            self._deletes.add(dependent.urn)
            self._gone.add(id(dependent))
            if dependent.delete:
                steps.append(Step("delete", dependent, None))
            else:
                steps.append(Step("delete-replaced", dependent, None, logical=False, pending_replacement=True))
        return steps

    def _replaced_with(self, root: ResourceState) -> list[tuple[ResourceState, Sequence[str]]]:
        """The resources that must be replaced when ``root`` is, in dependency order, and the properties that say so."""
        replaced = {root.urn}
        found: list[tuple[ResourceState, Sequence[str]]] = []
        for s in self.graph.depending_on(root, ignore=self._done.keys() | self._deletes, children=False):
            if not s.custom:
                continue
            if split_reference(s.provider)[0] in replaced:
                found.append((s, ()))
                replaced.add(s.urn)
                continue
            changed = [k for k, deps in s.property_dependencies.items() if k in s.inputs and replaced & set(deps)]
            if changed:
                diff = self._applier.diff(s, {**s.inputs, **dict.fromkeys(changed, UNKNOWN)}, s.ignore_changes)
                diff = with_replace_on_changes(diff, s.replace_on_changes, init_errors=False)
                if must_replace(diff):
                    found.append((s, diff.replaces))
                    replaced.add(s.urn)
        return found

    def _diff(self, old: ResourceState, new: ResourceState) -> Diff:
        if self._provider_changed(old, new):
            return Diff(changes=True, replaces=["provider"])
        if not new.custom:
            return Diff(changes=old.inputs != new.inputs)
        target = replace(old, urn=new.urn, provider=new.provider) if not is_provider(new.type) else old
        return self._applier.diff(target, new.inputs, new.ignore_changes)

    def _provider_changed(self, old: ResourceState, new: ResourceState) -> bool:
        if old.provider == new.provider:
            return False
        if not old.provider or not new.provider:
            return True
        before, after = split_reference(old.provider)[0], split_reference(new.provider)[0]
        if self._aliased.get(before) == after or before not in self.olds or after not in self.providers:
            return self._aliased.get(before) != after
        plugin = self._applier.providers.plugin(type_of(after))
        return must_replace(
            plugin.diff_config(config_of(self.olds[before].inputs), config_of(self.providers[after].inputs))
        )

    def _same(self, old: ResourceState, new: ResourceState, reply: Reply | None, *, untargeted: bool = False) -> Step:
        self._mark(old, new, "same")
        if new.inputs == old.inputs:
            new.inputs = old.inputs  # one object, so that it is masked and encoded once
        return Step("same", old, new, reply, untargeted=untargeted)

    def _mark(self, old: ResourceState, new: ResourceState, what: str) -> None:
        self._done[new.urn] = what
        self._touched |= {old.urn, new.urn}

    def _stop(self, message: str, urn: Urn) -> NoReturn:
        self._events.error(message, urn)
        raise Bail

    def _refuse(self, message: str, urn: Urn, *, always: bool = False) -> None:
        """An error that ends an update, but lets a preview go on to show the rest."""
        self._events.error(message, urn)
        self.errored = True
        if always or not self._dry_run:
            raise Bail

    def provider_state(self, reference: str) -> ResourceState | None:
        urn = split_reference(reference)[0]
        return self.providers.get(urn) or self.olds.get(urn)

    # --- targets ------------------------------------------------------------------------------------------------

    def _untargeted(self, old: ResourceState, reply: Reply) -> list[Step]:
        steps: list[Step] = []

        def keep(state: ResourceState, reply: Reply | None, urn: Urn) -> None:
            for dep in sorted(dependencies_of(state)):
                if dep not in self._done and dep not in self._touched:
                    before = self.olds.get(dep)
                    if before is None:
                        raise ValueError(f"dependency {dep} of untargeted resource {state.urn} has no old state")
                    keep(before, None, dep)
            copy = replace(state, urn=urn, id="")
            steps.append(self._same(state, copy, reply, untargeted=True))

        keep(old, reply, old.urn)
        return steps

    def _allowed(self, steps: list[Step]) -> list[Step]:
        if not self._targets:
            return steps
        for step in steps:
            if step.new is None or step.skipped_create:
                continue
            for dep in sorted(dependencies_of(step.new) & self._skipped):
                self._refuse(
                    f"Resource '{step.urn}' depends on '{dep}' which was was not specified in --target list.", step.urn
                )
                self._skipped.discard(dep)
        return steps

    # --- deletions ----------------------------------------------------------------------------------------------

    def plan_deletions(self) -> tuple[list[Step], list[list[Step]]]:
        """What is left when the program has named all it wants: steps that keep, and deletions in waves.

        Raises:
            Bail: a deletion would reach beyond --target.
        """
        keeps: list[Step] = []
        deletions: list[Step] = []
        allowed = self._deletable()
        for s in self.base:
            if allowed is not None and s.urn not in allowed:
                if s.urn not in self._touched and not s.delete:
                    keeps.append(self._same(s, replace(s, id=""), None, untargeted=True))
            elif id(s) in self._gone:
                if not s.delete and s.urn in self._recreate:  # taken down with a dependency and not asked for again
                    deletions.append(Step("remove-pending-replace", s, None, logical=False))
            elif s.delete:
                deletions.append(Step("delete-replaced", s, None, logical=False))
            elif s.urn not in self._touched:
                op = "remove-pending-replace" if s.pending_replacement else "delete"
                deletions.append(Step(op, s, None, logical=not s.pending_replacement))
        deletions += [Step("delete", s, None) for s in self._condemned if allowed is None or s.urn in allowed]
        if self._targets:
            beyond = [step.urn for step in deletions if step.urn not in self._targets]
            for urn in beyond:
                self._events.error(
                    f"Resource '{urn}' will be destroyed but was not specified in --target list.\n"
                    "Either include resource in --target list or pass --target-dependents to proceed.",
                    urn,
                )
            if beyond:
                self.errored = True
                if not self._dry_run:
                    raise Bail
        by_state = {id(step.res): step for step in deletions}
        graph = Graph([*self._condemned, *self.base])
        waves = graph.deletion_waves([step.res for step in deletions])
        return keeps, [[by_state[id(s)] for s in wave] for wave in waves]

    def _deletable(self) -> set[Urn] | None:
        """The URNs that may be deleted: the targets and what depends on them, or all but those excluded. None if that is any."""
        if self._excludes:
            kept = [s for s in self.base if s.urn in self._excludes]
            held = {d.urn for s in kept for d in (s, *self.graph.transitive_dependencies(s))}
            return {s.urn for s in self.base} - held
        if not self._targets:
            return None
        targets = [s for s in self.base if s.urn in self._targets]
        return {d.urn for s in targets for d in (s, *self.graph.depending_on(s, children=True))}

    def held_by(self, failed: Sequence[Step]) -> set[int]:
        """What must not be deleted because something that failed still needs it."""
        held: set[int] = set()
        condemned = Graph(self._condemned)
        for step in failed:
            for s in (step.new, step.old):
                for graph in (self.graph, condemned):
                    if s is not None and s in graph:
                        held |= {id(d) for d in graph.transitive_dependencies(s)}
        return held

    def missing_targets(self) -> list[str]:
        return sorted((self._targets.literals | self._excludes.literals) - self._urns - {s.urn for s in self.base})


def must_replace(diff: Diff) -> bool:
    return bool(diff.replaces) or any(d.kind.endswith("-replace") for d in diff.detailed.values())


def with_replace_on_changes(diff: Diff, paths: Sequence[str], *, init_errors: bool) -> Diff:
    """The diff with ``replaceOnChanges`` applied; ``#initerror`` among them asks to replace what never became ready."""
    if not paths or not (diff.changes or init_errors):
        return diff
    patterns = [parse_path(p) for p in paths]

    def forces(path: str) -> bool:
        return any(covers(p, parse_path(path)) for p in patterns)

    detailed = {
        p: PropertyDiff(d.kind if d.kind.endswith("-replace") else f"{d.kind}-replace", d.input_diff)
        if forces(p)
        else d
        for p, d in diff.detailed.items()
    }
    replaces = list(dict.fromkeys([*diff.replaces, *(k for k in diff.diffs if forces(k))]))
    changes = diff.changes
    if init_errors and any(covers(p, (INIT_ERROR,)) for p in patterns):
        replaces.append(INIT_ERROR)
        detailed[INIT_ERROR] = PropertyDiff("update-replace", input_diff=False)
        changes = True
    return replace(diff, changes=changes, replaces=replaces, detailed=detailed)
