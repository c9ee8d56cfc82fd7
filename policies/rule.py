"""What a rule is, and how it is applied to one resource or to a whole program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .values import UNKNOWN, NotKnown, Program, Resource

Options = Mapping[str, Any]
SeverityName = Literal["low", "medium", "high", "critical"]


def texts(description: str, *default: str) -> Mapping[str, Any]:
    """The schema of an option that is a list of texts."""
    return {"type": "array", "items": {"type": "string"}, "default": [*default], "description": description}


class Finding(NamedTuple):
    """What a check has found wrong with a resource, and what to write instead; both without a full stop."""

    wrong: str
    instead: str


class Violation(NamedTuple):
    """A finding about one resource, in the words that the author of the program reads."""

    urn: str
    message: str


class Unknowable(NamedTuple):
    """A resource that could not be judged to the end, because something is only known once the update runs."""

    urn: str
    path: str


@dataclass(frozen=True)
class Examples:
    """Kubernetes manifests in YAML, the shortest that pass and that fail; tests run both through the real pack host.

    The key ``pulumi`` of a manifest holds what Pulumi knows of the resource: ``name``, ``dependsOn``, ``protect``.
    """

    passes: str
    fails: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of the pack.

    Args:
        name: in reports and in the configuration files.
        description: what must be so, in one line.
        reason: why, with the incident or the documented behaviour behind it.
        unseen: what it cannot see, without a full stop.
        severity: how bad it is to be without it.
        examples: of a program that passes and one that fails.
        options: name -> JSON schema with a default.
        level: enforcement where no configuration file says otherwise.
    """

    name: str
    description: str
    reason: str
    unseen: str
    examples: Examples
    severity: SeverityName = "high"
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    level: Literal["mandatory", "advisory", "disabled"] = "mandatory"

    def with_defaults(self, given: Options | None) -> Options:
        return {name: schema["default"] for name, schema in self.options.items()} | dict(given or {})


@dataclass(frozen=True, kw_only=True)
class ResourceRule(Rule):
    """A rule that needs to see one resource only: it stops an update before that resource is touched."""

    checks: tuple[Callable[[Resource, Options], Iterator[Finding]], ...] = ()
    defaults: Callable[[Resource], Iterator[tuple[tuple[str | int, ...], Any]]] | None = None

    def judge(self, resource: Resource, options: Options | None = None) -> Iterator[Violation | Unknowable]:
        chosen = self.with_defaults(options)
        for check in self.checks:
            yield from _found(self.name, resource, lambda c=check: c(resource, chosen))  # type: ignore[misc]


@dataclass(frozen=True, kw_only=True)
class StackRule(Rule):
    """A rule about how resources relate: it is applied to each of them with the whole program at hand."""

    checks: tuple[Callable[[Resource, Program, Options], Iterator[Finding]], ...] = ()

    def judge(self, program: Program, options: Options | None = None) -> Iterator[Violation | Unknowable]:
        chosen = self.with_defaults(options)
        for resource in program.resources:
            for check in self.checks:
                yield from _found(self.name, resource, lambda c=check, r=resource: c(r, program, chosen))  # type: ignore[misc]


def _found(
    rule: str, resource: Resource, findings: Callable[[], Iterator[Finding]]
) -> Iterator[Violation | Unknowable]:
    """Every finding of one check; what it cannot know is told of and ends this check only.

    So does what has another form than Kubernetes' API: an exception would end the preview without naming the resource.
    """
    try:
        for wrong, instead in findings():
            yield Violation(resource.urn, f"{title(resource)}: {wrong}. {instead}.")
    except NotKnown as unknown:
        yield Unknowable(resource.urn, unknown.path)
    except Exception as e:
        if _has_unknown(resource.props):
            yield Unknowable(resource.urn, "something in it")
        else:
            yield Violation(
                resource.urn,
                f"{title(resource)}: {rule} cannot judge it: something in it, or in what it is compared with, is not of the expected "
                f"form ({type(e).__name__}). Write it as the Kubernetes API has it, numbers as numbers and lists as lists.",
            )


def every(*parts: Iterable[Finding]) -> Iterator[Finding]:
    """The findings of all parts, also where one of them ends at something that is not known.

    Raises:
        NotKnown: one did, after all others have been heard.
    """
    unknown: NotKnown | None = None
    for part in parts:
        try:
            yield from part
        except NotKnown as e:
            unknown = unknown or e
    if unknown:
        raise unknown


def _has_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_unknown, value.values()))
    return value is UNKNOWN or (isinstance(value, list) and any(map(_has_unknown, value)))


def title(resource: Resource) -> str:
    """How messages name a resource: its kind and its logical name, which is what the program's author wrote."""
    return f"{resource.type.rpartition(':')[2]} {resource.name!r}"
