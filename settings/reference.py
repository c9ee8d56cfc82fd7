"""The reference page of all settings and their JSON Schema, made from the models so that neither can differ from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from .catalog import KINDS, find
from .load import model_in
from .model import StackSettings
from .module import CommonSettings, ModuleSettings

HEAD = """# Settings

Everything under `rollout:` in `Pulumi.<stack>.yaml`. Made by `python -m settings > docs/settings.md`; a test compares.
A wrong value fails at preview with its path, what was given and what is allowed. `settings/schema.json` is the same for
editors: put `# yaml-language-server: $schema=settings/schema.json` at the top of `Pulumi.<stack>.yaml`.

**What counts.** For each module: its own setting, else its kind's (`settings/catalog/`, one file each), else `rollout:defaults`,
else the default below. Maps (`env`, `resources.limits`, `annotations`) are merged key by key in that order; everything else is
replaced. There are no patterns and no wildcards: what a module gets is written under its name or under `defaults`.

**Credentials** are either text that Pulumi keeps encrypted (`pulumi config set --secret --path ...`; plain text is refused) or
`{name, key}` of a Secret in the stack's namespace. When one changes, the pods that use it are replaced one by one, and only
they: text makes a Secret of a new name, and the contents of a Secret you keep are a hash on the pods that refer to it.
"""


def page() -> str:
    """The page as Markdown."""
    own = set(CommonSettings.model_fields) | set(ModuleSettings.model_fields)
    lines = [HEAD]
    lines += _table(
        "Of the stack",
        "All begin with `rollout:`.",
        StackSettings,
        {"stack", "modules", "defaults"},
    )
    lines += _table(
        "Of every module, and `rollout:defaults`",
        "All begin with `rollout:modules.NAME.` or `rollout:defaults.`.",
        CommonSettings,
        set(),
    )
    lines += _table(
        "Of every module alone",
        "All begin with `rollout:modules.NAME.`.",
        ModuleSettings,
        set(CommonSettings.model_fields),
    )
    for name in KINDS:
        kind = find(name)
        given = ", ".join(f"`{k}: {json.dumps(v)}`" for k, v in kind.defaults.items())
        about = [f"Its defaults: {given}."] if given else []
        if kind.oldest:
            about.append(f"From version {kind.oldest} on.")
        if set(kind.settings.model_fields) - own:
            about.append(f"All begin with `rollout:modules.{name}.`.")
            lines += _table(f"Of kind {name}", " ".join(about), kind.settings, own)
        elif name != "custom":
            lines += [f"## Of kind {name}", "", " ".join([*about, "It has no settings of its own."]), ""]
    return "\n".join(lines).rstrip() + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of a ``Pulumi.<stack>.yaml`` file.

    Every value may also be ``{secure: ...}``, as Pulumi writes what it has encrypted.
    """
    definitions: dict[str, Any] = {}
    stack = _inlined(StackSettings, definitions)
    common = _inlined(CommonSettings, definitions)
    kinds = {name: _inlined(find(name).settings, definitions) for name in KINDS}
    for name, module in kinds.items():
        kind = find(name)
        module["properties"]["kind"] = {"const": name}
        module["required"] = sorted(set(module.get("required", ())) - set(kind.defaults) - {"image"})
        definitions[f"Module.{name}"] = module
    for name in KINDS:
        if not definitions[f"Module.{name}"]["required"]:
            del definitions[f"Module.{name}"]["required"]
    chosen = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/Module.{name}"},
        }
        for name in KINDS
    ]
    definitions["Module"] = {
        "type": "object",
        "allOf": chosen,
        "if": {"not": {"required": ["kind"]}},
        "then": {"$ref": "#/$defs/Module.custom"},
    }
    by_name = {
        name: {
            "if": {"anyOf": [{"required": ["kind"]}, {"required": ["image"]}]},
            "then": {"$ref": "#/$defs/Module"},
            "else": {"$ref": f"#/$defs/Module.{name}"},
        }
        for name in KINDS
        if name != "custom"
    }
    by_name["gateway"] = {"$ref": "#/$defs/Module.gateway"}
    modules = {"type": "object", "properties": by_name, "additionalProperties": {"$ref": "#/$defs/Module"}}
    properties = {**stack["properties"], "modules": modules, "defaults": common}
    del properties["stack"]
    secure = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of a stack of rollout",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"rollout:{name}": {"anyOf": [s, secure]} for name, s in properties.items()},
                # A key of ours that is not listed is a slip; those of other packages are left alone.
                "patternProperties": {
                    f"^rollout:(?!({'|'.join(properties)})$)": False,
                },
            }
        },
        "$defs": definitions,
    }


def _inlined(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model, what it refers to moved to the common definitions."""
    made = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    for name, inner in made.pop("$defs", {}).items():
        definitions[name] = _encryptable(inner)
    whole: dict[str, Any] = _encryptable(made)
    return whole


def _encryptable(value: Any) -> Any:
    """Texts may also be what Pulumi has encrypted."""
    if isinstance(value, dict):
        if value.get("type") == "string" and ("format" in value or value.get("title") == "Uri"):
            secure = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
            return {"anyOf": [{k: v for k, v in value.items() if k not in ("format", "writeOnly")}, secure]}
        # Titles repeat the names.
        return {k: _encryptable(v) for k, v in value.items() if k != "title" or not isinstance(v, str)}
    return [_encryptable(v) for v in value] if isinstance(value, list) else value


def _table(title: str, about: str, model: type[BaseModel], leave_out: set[str]) -> list[str]:
    lines = [f"## {title}", "", about, "", "| setting | type | default | |", "|---|---|---|---|"]
    for path, field in _fields(model, leave_out=leave_out):
        default = "required" if field.is_required() else f"`{json.dumps(_plain(field.default))}`"
        lines.append(f"| `{path}` | {_type(field)} | {default} | {(field.description or '').replace('|', '∣')} |")
    return [*lines, ""]


def _fields(
    model: type[BaseModel], prefix: str = "", leave_out: set[str] | None = None
) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if name in (leave_out or ()):
            continue
        path = prefix + (field.alias or name)
        inner = model_in(field.annotation)
        if inner is None or "SecretReference" in str(field.annotation):
            yield path, field
        elif get_origin(field.annotation) is dict:
            yield from _fields(inner, f"{path}.NAME.")
        elif get_origin(field.annotation) is tuple:
            yield from _fields(inner, f"{path}[].")
        else:
            yield from _fields(inner, f"{path}.")


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    inside = [a for a in get_args(annotation) if a is not type(None)]
    if "SecretStr" in str(annotation):
        return "credential" if "SecretReference" in str(annotation) else "encrypted text"
    text = getattr(annotation, "__name__", None) or str(annotation)
    if get_origin(annotation) is not None and len(inside) == 1:
        text = getattr(inside[0], "__name__", None) or str(inside[0])
    limits = {type(m).__name__.lower(): m for m in field.metadata}
    bounds = [f"{sign} {getattr(limits[kind], kind)}" for kind, sign in (("ge", "≥"), ("le", "≤")) if kind in limits]
    names = {"str": "text", "int": "number", "bool": "true or false"}
    choices = list(get_args(inside[0] if len(inside) == 1 and get_args(inside[0]) else annotation))
    if "Literal" in str(annotation) and all(isinstance(c, str) for c in choices) and choices:
        base = " or ".join(f"`{c}`" for c in choices)
    elif str(annotation).startswith("tuple"):
        base = "list of text"
    elif str(annotation).startswith("dict"):
        base = "map"
    else:
        base = names.get(text) or ("number or text" if {int, str} <= set(_leaves(annotation)) else "text")
    return f"{base} {', '.join(bounds)}".strip()


def _leaves(annotation: Any) -> Iterator[Any]:
    if not get_args(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from _leaves(inner)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "..."
    return value.model_dump(by_alias=True) if isinstance(value, BaseModel) else value
