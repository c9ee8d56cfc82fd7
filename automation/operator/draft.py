"""The stack as it is being written: settings with where each comes from, Secrets to make, what to do, what has no equivalent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from .settings import Setting
from .values import shown

# https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,253}")

# What decodes a percent-encoded value, in a shell.
DECODED = """python3 -c 'import sys, urllib.parse as u; print(u.unquote_plus(sys.stdin.read()), end="")'"""


@dataclass(frozen=True)
class Step:
    """Something that a person has to do.

    Args:
        what: and why.
        commands: to be pasted, in order.
    """

    what: str
    commands: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {command}" for command in self.commands)])


@dataclass
class Secret:
    """A Secret to make in the stack's namespace.

    Args:
        name: of it.
        values: key -> what prints the value, in a shell.
        why: of it.
        type: of it.
    """

    name: str
    values: dict[str, str]
    why: str
    type: str = ""

    def command(self, namespace: str) -> str:
        kind = f" --type={quote(self.type)}" if self.type else ""
        values = " ".join(f"--from-literal={key}={value}" for key, value in self.values.items())
        return f"kubectl -n {namespace} create secret generic {self.name}{kind} {values}"


def of_object(resource: str, name: str, path: str = "{.spec.value}", then: str = "") -> str:
    """What prints a field of one of the operator's objects, in a shell."""
    command = f"kubectl get {resource}.formance.com {quote(name)} -o jsonpath={quote(path)}"
    return f'"$({command}{f" | {then}" if then else ""})"'


@dataclass
class Draft:
    """What a stack of the operator becomes.

    Args:
        stack: its name, and the operator's namespace.
    """

    stack: str
    config: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    secrets: dict[str, Secret] = field(default_factory=dict)
    settings: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """A namespace of its own: objects do not change hands, and the operator's goes with its Stack."""
        return f"{self.stack[:55]}-rollout"

    def put(self, value: Any, *path: str, source: object) -> None:
        """Sets a setting; nothing, where there is no value."""
        if value is None or value is False or value in ("", (), [], {}):
            return
        place = self.config
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
        self.sourced(source, *path)

    def sourced(self, source: object, *path: str) -> None:
        """Notes what a setting comes from."""
        sources = self.sources.setdefault(".".join(path), [])
        if str(source) not in sources:
            sources.append(str(source))

    def listed(self, what: object, why: str) -> None:
        """Something that has no equivalent, and why."""
        line = f"{what}: {why}"
        if line not in self.without:
            self.without.append(line)

    def note(self, text: str) -> None:
        """Something to look at or decide."""
        if text not in self.notes:
            self.notes.append(text)

    def configure(self, what: str, *commands: str) -> None:
        """Settings that only a person knows."""
        step = Step(what, commands)
        if step not in self.settings:
            self.settings.append(step)

    def set_command(self, path: str, value: str) -> str:
        """The command that sets a setting.

        Args:
            path: below ``rollout:``.
            value: as a shell writes it.
        """
        return f"pulumi config set --stack {self.stack} --path {quote(f'rollout:{path}')} {value}"

    def secret(self, name: str, values: dict[str, str], why: str, type: str = "") -> str:
        """A Secret that must be made: by its name, or another where that holds something else already.

        Args:
            name: that it should have.
            values: key -> what prints the value.
            why: it is needed.
            type: of the Secret; default: Opaque.

        Returns:
            The name that it has.
        """
        for number in range(1, 100):
            named = name if number == 1 else f"{name}-{number}"
            known = self.secrets.setdefault(named, Secret(named, {}, why, type))
            if known.type == type and all(known.values.get(key, value) == value for key, value in values.items()):
                known.values |= values
                if why not in known.why:
                    known.why += f"; {why}"
                return named
        raise AssertionError("a hundred Secrets of one name")

    def copied(self, name: str, keys: tuple[str, ...], source: object, type: str = "", why: str = "") -> str:
        """A Secret that the operator has in its namespace, and the stack needs in its own.

        Args:
            name: of it.
            keys: that are needed.
            source: what names it.
            type: of the Secret.
            why: that has to be; default: as the source names it.
        """
        if not _NAME.fullmatch(name):
            self.problems.append(
                f"{source}: {shown(name)} is no name of a Secret; allowed are lower-case letters, digits, - and ."
            )
        wrong = [key for key in keys if not _KEY.fullmatch(key)]
        if wrong:
            self.problems.append(
                f"{source}: {shown(wrong[0])} is no key of a Secret; allowed are letters, digits, -, _ and ."
            )
        if self.problems:
            return name  # nothing is written, and no command said
        values = {}
        for key in keys:
            path = "{.data." + key.replace(".", "\\.") + "}"
            command = f"kubectl -n {self.stack} get secret {name} -o jsonpath={quote(path)} | base64 -d"
            values[key] = f'"$({command})"'
        return self.secret(name, values, why or f"{source} refers to it", type)

    def reference(self, name: str, key: str, source: object) -> dict[str, str]:
        """A reference to a key of a Secret that the operator has."""
        return {"name": self.copied(name, (key,), source), "key": key}

    def made(self, name: str, key: str, value: str, source: object) -> dict[str, str]:
        """A reference to a key of a Secret to make of what was plain text.

        Args:
            name: that the Secret should have.
            key: of it.
            value: what prints it.
            source: where it was.
        """
        return {"name": self.secret(name, {key: value}, f"{source} had it in plain text"), "key": key}

    def of_setting(self, setting: Setting, then: str = "") -> str:
        """What prints a setting's value."""
        return of_object("settings", setting.name, then=then)
