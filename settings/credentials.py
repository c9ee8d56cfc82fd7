"""Credentials as settings: text that Pulumi keeps encrypted, or a reference to a Kubernetes Secret that exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel


class SecretReference(BaseModel):
    """One key of a Secret in the stack's namespace, which the stack neither makes nor removes."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    name: str = Field(min_length=1, description="of the Secret")
    key: str = Field(min_length=1, description="in the Secret")


Credential = SecretStr | SecretReference


def plain_texts(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of the credentials in a settings model that are given as text, and so must be encrypted."""
    if isinstance(value, SecretStr):
        yield path
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from plain_texts(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from plain_texts(inner, (*path, str(key)))
    elif isinstance(value, tuple):
        for n, inner in enumerate(value):
            yield from plain_texts(inner, (*path, str(n)))
