"""Environment variables as values that know where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from .credentials import Credential, SecretReference


@dataclass(frozen=True)
class MadeSecret:
    """A Secret that the stack makes of credentials in its settings; its name changes with them.

    Args:
        what: it is for, a part of its name: ``postgres``, ``temporal``, ...
        data: key -> value.
    """

    what: str
    data: tuple[tuple[str, SecretStr], ...]


@dataclass(frozen=True)
class SecretKey:
    """One key of a Secret: of one that exists, by name, or of one that the stack makes."""

    secret: str | MadeSecret
    key: str


@dataclass(frozen=True)
class Variable:
    """One environment variable: a value, a key of a Secret or a field of the pod.

    Args:
        name: of the variable.
        source: the setting or the part of the catalogue that it comes from, as it is shown in the reviewed manifests.
        value: its text; ``$(NAME)`` is replaced by a variable that stands before it.
        secret: where its value is instead.
        field: the pod's field whose value it takes instead, such as ``metadata.name``.
    """

    name: str
    source: str
    value: str | None = None
    secret: SecretKey | None = None
    field: str | None = None


def credential(name: str, what: str, given: Credential, source: str) -> Variable:
    """A variable with a credential: by reference, or from a Secret ``<module>-<what>-...`` with the key ``value``."""
    if isinstance(given, SecretReference):
        return Variable(name, source, secret=SecretKey(given.name, given.key))
    return Variable(name, source, secret=SecretKey(MadeSecret(what, (("value", given),)), "value"))


def flag(value: bool) -> str:
    return "true" if value else "false"


def combined(variables: Iterable[Variable], own: Mapping[str, str], source: str) -> tuple[Variable, ...]:
    """Variables without a name that is there twice, which server-side apply would refuse.

    The order stays: Kubernetes expands ``$(NAME)`` from earlier entries alone, so a value set by the module's own settings
    takes the place of the one it overrides. Of others that share a name the first counts.
    """
    found: dict[str, Variable] = {}
    for variable in variables:
        found.setdefault(variable.name, variable)
    for name, value in sorted(own.items()):
        found[name] = Variable(name, source, value)
    return tuple(found.values())
