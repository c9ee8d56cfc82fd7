"""A stack's ``Pulumi.<stack>.yaml`` as it is written: read strictly, and asked where a setting stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# A setting as messages name it.
_PATH = re.compile(r"\brollout:[\w$./\[\]-]*[\w\]]")
# What stands for a value that only the stack's passphrase would tell, by the end of its path; else it is a text.
_URI = "postgresql://unknown:unknown@unknown:5432"
_STAND_INS: Mapping[tuple[str, ...], Any] = {
    ("postgres",): {"uri": _URI},
    ("postgres", "uri"): _URI,
    ("broker", "uri"): "nats://unknown:4222",
}
_STAND_IN = "unknown"


class Unreadable(ValueError):
    """The file is not what Pulumi reads; the message has its name and line."""


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, as Pulumi does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.value in lines:
                first = f"it is on line {lines[key.value]} already"
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is given twice: {first}", problem_mark=key.start_mark
                )
            lines[key.value] = key.start_mark.line + 1
        return dict(super().construct_mapping(node, deep))


@dataclass(frozen=True)
class StackFile:
    """The configuration in the file, with something of the right form in the place of what is encrypted.

    Args:
        name: of the file.
        config: full key -> value.
        secret_keys: the keys that Pulumi keeps encrypted, in part or whole.
        encrypted: paths of the encrypted values.
    """

    name: str
    config: Mapping[str, Any]
    secret_keys: frozenset[str] = frozenset()
    encrypted: frozenset[str] = frozenset()
    _root: yaml.Node | None = field(default=None, repr=False)

    @classmethod
    def read(cls, file: Path) -> StackFile:
        """Reads a file.

        Raises:
            Unreadable: it is not YAML, or not of the form that Pulumi wants.
        """
        try:
            text = file.read_text()
            root, content = yaml.compose(text, yaml.SafeLoader), yaml.load(text, StrictLoader)
        except (OSError, UnicodeDecodeError) as error:
            raise Unreadable(f"{file.name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise Unreadable(f"{file.name}:{line}: {error.problem}") from None
        except yaml.YAMLError as error:
            raise Unreadable(f"{file.name} is not YAML: {error}") from None
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise Unreadable(f"{file.name}: must be a mapping with the key config, and is a {type(content).__name__}")
        config = content.get("config") or {}
        if not isinstance(config, dict):
            raise Unreadable(f"{file.name}: config must map keys to values, and is a {type(config).__name__}")
        for key in config:
            if not isinstance(key, str) or not re.fullmatch(r"[^:]+:(config:)?[^:]+", key):
                raise Unreadable(f"{file.name}: {key!r} is no key of a configuration: write <project>:<name>, such as rollout:modules")  # fmt: skip
        encrypted = frozenset(path for key, value in config.items() for path in _encrypted(value, key))
        return cls(
            file.name,
            {key: _revealed(value, key) for key, value in config.items()},
            frozenset(key for key in config if any(_within(path, key) for path in encrypted)),
            encrypted,
            root,
        )

    def located(self, message: str) -> str:
        """A message about settings with file and line before each path that it names."""
        return "\n".join(self._located(line) for line in message.splitlines())

    def is_encrypted(self, line: str) -> bool:
        """Whether a line of a message speaks of a value that is encrypted, so that its placeholder may be what is wrong."""
        found = _PATH.search(line)
        return found is not None and any(_within(found[0], path) for path in self.encrypted)

    def _located(self, line: str) -> str:
        found = _PATH.search(line)
        number = found and self._line(found[0])
        if not found or not number:
            return line
        return f"{line[: found.start()]}{self.name}:{number}: {line[found.start() :]}"

    def _line(self, path: str) -> int | None:
        """The line of a setting, or of the nearest one around it that is there."""
        config = next((value for key, value in _entries(self._root) if key.value == "config"), None)
        line, rest = None, path
        node: yaml.Node | None = config
        while isinstance(node, yaml.MappingNode) and rest:
            inside = [(key, value) for key, value in _entries(node) if _within(rest, key.value)]
            if not inside:
                break
            key, node = max(inside, key=lambda each: len(each[0].value))
            line, rest = key.start_mark.line + 1, rest[len(key.value) :].lstrip(".")
        return line


def _entries(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _encrypted(value: Any, path: str) -> Iterator[str]:
    if _is_secret(value):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _encrypted(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _encrypted(inner, f"{path}.{number}")


def _revealed(value: Any, path: str) -> Any:
    if _is_secret(value):
        names = tuple(re.split(r"[:.]", path))
        return next((stand_in for end, stand_in in _STAND_INS.items() if names[-len(end) :] == end), _STAND_IN)
    if isinstance(value, dict):
        return {key: _revealed(inner, f"{path}.{key}") for key, inner in value.items()}
    return [_revealed(inner, f"{path}.{n}") for n, inner in enumerate(value)] if isinstance(value, list) else value
