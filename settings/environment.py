"""Environment variables as values that know where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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


def combined(
    variables: Iterable[Variable], own: Mapping[str, str | SecretReference], source: str
) -> tuple[Variable, ...]:
    """Variables without a name that is there twice, which server-side apply would refuse.

    The order stays: Kubernetes expands ``$(NAME)`` from earlier entries alone, so a value set by the module's own settings
    takes the place of the one it overrides. Of others that share a name the first counts.
    """
    found: dict[str, Variable] = {}
    for variable in variables:
        found.setdefault(variable.name, variable)
    for name, value in sorted(own.items()):
        if isinstance(value, SecretReference):
            found[name] = Variable(name, source, secret=SecretKey(value.name, value.key))
        else:
            found[name] = Variable(name, source, value)
    return tuple(found.values())


# What the stack makes of a module's database, for its Jobs and its pods alike.
_MADE = ("POSTGRES_DATABASE", "POSTGRES_NO_DATABASE_URI", "POSTGRES_URI")
# Where programs look for nothing but a database's name.
_NAMES = ("DATABASE_NAME", "DB_DATABASE", "DB_NAME", "PGDATABASE", "POSTGRES_DATABASE_NAME", "POSTGRES_DB")
_NAME = re.compile(
    r"""(?:postgres(?:ql)?://[^/?\s]* | \$\(POSTGRES_NO_DATABASE_URI\))/([^?\s]+)  # a URI
    | \bdbname\s*=\s*(\S+)  # key and value: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING""",
    re.VERBOSE,
)
_OWN = "$(POSTGRES_DATABASE)"


def leads_elsewhere(
    env: Mapping[str, str | SecretReference], in_rehearsals: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The variables of a module's own settings that may lead it to another database than the one that is migrated, and why.

    A rehearsal sends the migration and the version that serves to a scratch database by POSTGRES_DATABASE, and a backup saves the
    database that it names. A name that is written out leads past that: to the real database, or to one that has no backup.

    Args:
        env: name -> value, or where it is.
        in_rehearsals: the variables that rehearsals have another value for.
    """
    texts = {variable: value for variable, value in env.items() if isinstance(value, str)}
    for variable, given in env.items():
        if variable in _MADE:
            yield (
                variable,
                "is made by the stack: its migration, backup and rehearsal would be of another database than the module uses. "
                "Set databaseName, or postgres for another server",
            )
            continue
        # What is in a Secret is not known here; under the name of a database's name it is one.
        value = given if isinstance(given, str) else f"of Secret {given.name}"
        written = re.sub(r"\$\((\w+)\)", lambda found: texts.get(found[1], found[0]), value)
        names = [name for groups in _NAME.findall(written) for name in groups if name]
        if variable in _NAMES and written:
            names.append(written)
        named = next((name for name in names if name != _OWN), None)
        if named is not None and variable not in in_rehearsals:
            yield (
                variable,
                f"names the database {named}, so a rehearsal would work on that one instead of a scratch copy. Write $(POSTGRES_URI), "
                f"or {_OWN} for the name; a database beside the module's own needs a value for rehearsals too, in rehearsal.env",
            )
