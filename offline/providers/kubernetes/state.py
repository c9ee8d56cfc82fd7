"""The outputs a checkpoint holds: the live object, the inputs that made it, and who manages its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.engine.values import Properties, Secret, contains_secret, unwrap

from .kinds import Object


def plain(properties: Mapping[str, Any]) -> Object:
    """A copy of properties as the API server wants them: without secrets around them."""
    out: Object = unwrap(dict(properties))
    return out


def outputs(inputs: Object, live: Object, given: Mapping[str, Any], api_version: str, manager: str) -> Properties:
    """The outputs of a resource.

    Args:
        inputs: the normalised inputs, without secrets.
        live: the object as the server returned it.
        given: the inputs with their secrets, which tell what is secret in the other two.
        api_version: the version the object was first made with.
        manager: the field manager of its updates.
    """
    made: Properties = with_secrets(live, given)
    made["__inputs"] = with_secrets(inputs, given)
    made["__initialApiVersion"] = api_version
    made["__fieldManager"] = manager
    return made


def parse(old_outputs: Mapping[str, Any]) -> tuple[Object, Object]:
    """The inputs and the live object that outputs hold."""
    live = plain(old_outputs)
    inputs = live.pop("__inputs", None) or {}
    return inputs, live


def origin(old_outputs: Mapping[str, Any]) -> tuple[str, str]:
    """The version an object was first made with, and the field manager of its updates."""
    return str(unwrap(old_outputs["__initialApiVersion"])), str(unwrap(old_outputs["__fieldManager"]))


def with_secrets(out: Object, given: Mapping[str, Any]) -> Properties:
    """Wraps in ``out`` what is secret in ``given``. A Secret's data always is; a list with one secret is secret as a whole."""
    made = dict(out)
    if made.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in made:
                made[key] = Secret(made[key])
        return made
    for key, value in given.items():
        if key not in made:
            continue
        if isinstance(value, Mapping) and isinstance(made[key], dict):
            made[key] = with_secrets(made[key], value)
        elif contains_secret(value):
            made[key] = Secret(made[key])
    return made
