"""Kubernetes objects as they are read: by kind and name, with an account of every field that was used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .values import plain, shown, told

GROUP = "formance.com/v1beta1"


@dataclass(frozen=True)
class Object:
    """One object.

    Args:
        api: its apiVersion.
        kind: of it.
        name: of it.
        spec: what was asked for.
        metadata: labels, annotations and owners.
        status: what the operator found.
    """

    api: str
    kind: str
    name: str
    spec: Mapping[str, Any]
    metadata: Mapping[str, Any]
    status: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{plain(self.kind)}/{plain(self.name)}"

    @property
    def stack(self) -> str | None:
        """The stack that it belongs to."""
        stack = self.spec.get("stack")
        return stack if isinstance(stack, str) and stack else None

    @property
    def owners(self) -> list[str]:
        """The kinds of the objects that it belongs to, in lower case."""
        references = self.metadata.get("ownerReferences")
        found = references if isinstance(references, list) else []
        return [str(each.get("kind", "")).lower() for each in found if isinstance(each, Mapping)]


def objects(documents: Iterable[Any], problems: list[str]) -> list[Object]:
    """The objects of some documents, those in lists included; one that is there twice and the same counts once."""
    found: dict[tuple[str, str, str], Object] = {}
    for document in _each(documents):
        read = _object(document, problems)
        if read is None:
            continue
        other = found.setdefault((read.api, read.kind, read.name), read)
        if other.spec != read.spec:
            problems.append(f"{read}: is there twice, with different specs: remove one")
    return list(found.values())


def _each(documents: Iterable[Any]) -> Iterator[Any]:
    for document in documents:
        is_list = isinstance(document, Mapping) and "items" in document and str(document.get("kind")).endswith("List")
        if is_list and isinstance(document["items"] or [], list):
            yield from document["items"] or []
        elif document is not None:
            yield document


def _object(document: Any, problems: list[str]) -> Object | None:
    if not isinstance(document, Mapping):
        problems.append(f"{_kind_of(document)} is no Kubernetes object: it needs apiVersion, kind and metadata.name")
        return None
    api, kind = document.get("apiVersion"), document.get("kind")
    parts = {part: document.get(part) or {} for part in ("metadata", "spec", "status")}
    metadata = parts["metadata"]
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not (isinstance(api, str) and isinstance(kind, str) and isinstance(name, str) and api and kind and name):
        problems.append(
            f"an object of kind {shown(kind)} named {shown(name)} is no Kubernetes object: apiVersion, kind and metadata.name must be texts"
        )
        return None
    if not api.startswith("formance.com/"):
        return Object(api, kind, name, {}, {}, {})  # only listed
    for part, value in parts.items():
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            problems.append(f"{plain(kind)}/{plain(name)}: {part} must be a mapping, and is {_kind_of(value)}")
            parts[part] = {}
    return Object(api, kind, name, parts["spec"], parts["metadata"], parts["status"])


def _kind_of(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    return names.get(type(value), f"a {type(value).__name__}")


class Fields:
    """A mapping that is read field by field, so that what nobody has read can be listed.

    Args:
        owner: the object, for messages.
        values: fields.
        problems: where a field of the wrong form is reported.
        path: of the mapping in the object.
    """

    def __init__(self, owner: object, values: Mapping[str, Any], problems: list[str], path: str = "spec") -> None:
        self._owner, self._values, self._problems, self._path = owner, values, problems, path
        self._read: set[str] = set()
        self._inside: list[Fields] = []

    def text(self, name: str) -> str:
        """A text, "" where there is none."""
        return str(self._get(name, str, "a text: write it in quotes", ""))

    def flag(self, name: str) -> bool:
        return bool(self._get(name, bool, "true or false", False))

    def number(self, name: str) -> int:
        """A whole number, 0 where there is none."""
        return int(self._get(name, int, "a whole number", 0))

    def texts(self, name: str) -> list[str]:
        found = self._get(name, list, "a list of texts", [])
        if not all(isinstance(each, str) for each in found):
            self._wrong(name, found, "a list of texts")
            return []
        return list(found)

    def map(self, name: str) -> dict[str, str]:
        found = self._get(name, dict, "a mapping of texts to texts", {})
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in found.items()):
            self._wrong(name, "", "a mapping of texts to texts")
            return {}
        return dict(found)

    def has(self, name: str) -> bool:
        """Whether a field is there; an empty text or mapping is as good as none."""
        return self._values.get(name) not in (None, "", {}, [])

    def inside(self, name: str) -> Fields:
        """The fields of a field."""
        found = self._get(name, dict, "a mapping", {})
        fields = Fields(self._owner, found, self._problems, f"{self._path}.{name}")
        self._inside.append(fields)
        return fields

    def unread(self) -> Iterator[str]:
        """The paths of the fields that are there and that nobody has read."""
        for name in self._values:
            if name not in self._read and self._values[name] not in (None, "", {}, []):
                yield f"{self._path}.{plain(name)}"
        for fields in self._inside:
            yield from fields.unread()

    def _get(self, name: str, kind: type, form: str, otherwise: Any) -> Any:
        self._read.add(name)
        value = self._values.get(name)
        if value is None:
            return otherwise
        if type(value) is not kind:
            self._wrong(name, value, form)
            return otherwise
        return value

    def _wrong(self, name: str, value: Any, form: str) -> None:
        known = isinstance(value, bool | int | float | str)
        repeated = told(name, str(value)).startswith("its")  # it may be a credential, in whatever form
        given = (
            told(name, str(value)) if isinstance(value, str) or repeated else shown(value) if known else _kind_of(value)
        )
        self._problems.append(f"{self._owner}: {self._path}.{name}: {given} is not {form}")
