"""The rules as policies of ``pulumi_policy``: the only file that knows that package."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy import policy as host
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, _is_unknown

from .levels import levels
from .rule import ResourceRule, StackRule, Unknowable, Violation
from .unpack import Packed, Properties
from .values import UNKNOWN, UNREADABLE, Program, Provider, Resource


def policy(rule: ResourceRule | StackRule) -> Policy:
    """A rule as the policy that the engine asks."""
    common: dict[str, Any] = {
        "name": rule.name,
        "description": rule.description,
        "enforcement_level": EnforcementLevel(rule.level),
        "severity": Severity(rule.severity),
        "config_schema": PolicyConfigSchema(properties={k: dict(v) for k, v in rule.options.items()}),
    }
    if isinstance(rule, StackRule):
        return StackValidationPolicy(validate=_stack(rule), **common)
    if rule.checks:
        common["validate"] = _resource(rule)
    if rule.defaults:
        common["remediate"] = _remediate(rule)
    return ResourceValidationPolicy(**common)


def initial_config(stack: str) -> dict[str, Any]:
    """The levels and options of a stack, as the SDK takes them.

    Every rule has a level: an entry without one would reach the engine as advisory, whatever ``all`` says.
    """
    return {
        name: {**level.options, "enforcementLevel": EnforcementLevel(level.level)}
        for name, level in levels(stack).items()
    }


def follow_the_stack(config: dict[str, Any]) -> None:
    """Keeps the pack's ``initial_config`` that of the stack which the engine names in ``ConfigureStack``.

    The CLI runs a pack by the language host and does not put the stack's name into its environment, as older ones did
    (``NewPolicyAnalyzer`` of ``sdk/go/common/resource/plugin``, 3.274); the SDK's host keeps only the tags of that call.

    Args:
        config: what ``PolicyPack`` was given; changed in place.
    """
    servicer = host._PolicyAnalyzerServicer
    asked = servicer.ConfigureStack

    def configure(self: Any, request: Any, context: Any) -> Any:
        if request.stack:
            config.clear()
            config.update(initial_config(request.stack))
        return asked(self, request, context)

    servicer.ConfigureStack = configure


def _resource(rule: ResourceRule) -> Any:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not args.resource_type.startswith("pulumi:"):
            _tell(rule.judge(_from_args(args), args.get_config()), report)

    return validate


def _stack(rule: StackRule) -> Any:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        _tell(rule.judge(_program(args.resources), args.get_config()), report)

    return validate


def _tell(found: Iterable[Violation | Unknowable], report: ReportViolation) -> None:
    """Reports what is wrong, then what cannot be known: the SDK makes an advisory diagnostic of that."""
    unknown: list[Unknowable] = []
    for f in found:
        if isinstance(f, Violation):
            report(f.message, f.urn)
        else:
            unknown.append(f)
    if unknown:
        first, others = unknown[0], f" (and {len(unknown) - 1} more)" * (len(unknown) > 1)
        raise UnknownValueError(UNKNOWN_STRING_VALUE, [first.urn.rpartition("::")[2], first.path + others])


def _remediate(rule: ResourceRule) -> Any:
    def remediate(args: ResourceValidationArgs) -> Mapping[str, Any] | None:
        assert rule.defaults is not None
        props: Any = args.props.for_writing() if isinstance(args.props, Packed) else args.props
        try:
            changes = list(rule.defaults(_from_args(args, props)))
            for path, value in changes:
                _write(props, path, value)
        except UNREADABLE:
            return None  # not known yet, or of an odd form, which the rules that judge it tell
        return props if changes else None

    return remediate


def _write(props: Any, path: Sequence[str | int], value: Any) -> None:
    """Sets a value in place, so that the SDK's proxies keep secrets secret."""
    place = props
    for step in path[:-1]:
        if not isinstance(step, int) and place.get(step) is None:
            place[step] = {}
        place = place[step]
    place[path[-1]] = value


def _from_args(args: ResourceValidationArgs, props: Any = None) -> Resource:
    return Resource(
        args.resource_type,
        args.name,
        args.urn,
        _plain(args.props if props is None else props),
        protect=args.opts.protect,
        deleted_first=bool(args.opts.delete_before_replace),
        timeouts=_timeouts(args.opts.custom_timeouts),
    )


_last: tuple[list[Any], Program] = ([], Program(()))


def _program(resources: Sequence[PolicyResource]) -> Program:
    """The stack that is judged; the same object for each rule, so that what one finds out of it the next need not.

    The host makes new resources for every policy. That they are of one request is known by their properties, which
    unpack.py makes once for each message and which are kept here, so that none can take another's identity.
    """
    global _last
    props = [r.props for r in resources]
    known, program = _last
    if len(known) != len(props) or not all(map(operator.is_, known, props)):
        providers: dict[str, Provider] = {}
        program = Program(tuple(_from_stack(r, providers) for r in resources))
        _last = props, program
    return program


def _from_stack(resource: PolicyResource, providers: dict[str, Provider]) -> Resource:
    made_by = resource.provider
    if made_by is not None and made_by.urn not in providers:
        providers[made_by.urn] = Provider(made_by.urn, _plain(made_by.props))
    return Resource(
        resource.resource_type,
        resource.name,
        resource.urn,
        _plain(resource.props),
        parent=resource.parent.urn if resource.parent else "",
        component=made_by is None,
        provider=providers[made_by.urn] if made_by is not None else None,
        dependencies=tuple(d.urn for d in resource.dependencies),
        property_dependencies={k: tuple(d.urn for d in v) for k, v in resource.property_dependencies.items()},
        protect=resource.opts.protect,
        secrets=frozenset(getattr(resource.props, "secrets", ())),
        aliases=tuple(resource.opts.aliases),
        deleted_first=bool(resource.opts.delete_before_replace),
        timeouts=_timeouts(resource.opts.custom_timeouts),
    )


def _timeouts(given: Any) -> dict[str, float]:
    return {"create": given.create_seconds, "update": given.update_seconds, "delete": given.delete_seconds}


def _plain(value: Any) -> Any:
    """The SDK's proxies as plain values, with ``UNKNOWN`` where they would raise."""
    if isinstance(value, Properties):
        return value
    if isinstance(value, Mapping):
        out = {}
        for key in value:
            try:
                out[key] = _plain(value[key])
            except UnknownValueError:
                out[key] = UNKNOWN
        return out
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = []
        for n in range(len(value)):
            try:
                items.append(_plain(value[n]))
            except UnknownValueError:
                items.append(UNKNOWN)
        return items
    return UNKNOWN if _is_unknown(value) else value
