"""The reference page of all settings, made from the models so that it cannot differ from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .model import ModuleSettings, StackSettings

HEAD = """# Settings

Everything under `rollout:` in `Pulumi.<stack>.yaml`. Made by `python -m settings > docs/settings.md`; a test compares.
A wrong value fails at preview with its path, what was given and what is allowed.
"""


def page() -> str:
    """The page as Markdown."""
    stack = _table("Of the stack", "rollout:", StackSettings, leave_out={"stack", "modules"})
    module = _table("Of a module", "rollout:modules.NAME.", ModuleSettings, leave_out=set())
    return "\n".join([HEAD, *stack, "", *module]) + "\n"


def _table(title: str, prefix: str, model: type[BaseModel], leave_out: set[str]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        f"All begin with `{prefix}`.",
        "",
        "| setting | type | default | |",
        "|---|---|---|---|",
    ]
    for path, field in _fields(model):
        if path in leave_out:
            continue
        default = "required" if field.is_required() else f"`{json.dumps(_plain(field.default))}`"
        lines.append(f"| `{path}` | {_type(field)} | {default} | {field.description or ''} |")
    return lines


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        inner = _model(field.annotation)
        if inner is None or prefix + name == "modules":
            yield path, field
        else:
            yield from _fields(inner, f"{path}.")


def _model(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation, *get_args(annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _type(field: FieldInfo) -> str:
    schema = field.annotation
    text = getattr(schema, "__name__", None) or str(schema)
    names = {"str": "text", "int": "number", "bool": "true or false"}
    limits = {type(m).__name__.lower(): m for m in field.metadata}
    bounds = [f"{sign} {getattr(limits[kind], kind)}" for kind, sign in (("ge", "≥"), ("le", "≤")) if kind in limits]
    base = "list of text" if text.startswith("tuple") else "map" if text.startswith("dict") else names.get(text, "text")
    if any(a is bool for a in get_args(schema)):
        base = names["bool"]
    return f"{base} {', '.join(bounds)}".strip()


def _plain(value: Any) -> Any:
    return value.model_dump(by_alias=True) if isinstance(value, BaseModel) else value
