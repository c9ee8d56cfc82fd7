"""From Pulumi configuration, which is a map of texts, to :class:`~settings.model.StackSettings`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from .errors import InvalidSettings, MissingVersion, SettingsError, UnknownModule
from .model import ModuleSettings, StackSettings
from .postgres import PostgresServer
from .versions import Version

NAMESPACE = "rollout"


def load(
    config: Mapping[str, str],
    *,
    stack: str,
    root: Path,
    secret_keys: Iterable[str] = (),
) -> StackSettings:
    """The settings of a stack, whole and consistent.

    Args:
        config: decrypted configuration with full keys (``rollout:modules``); keys of other packages are left alone.
        stack: the stack's name, without organization and project.
        root: folder of ``Pulumi.yaml``; the versions file is looked up from there.
        secret_keys: keys that Pulumi keeps encrypted.

    Raises:
        SettingsError: with every problem found, before anything moves.
    """
    values: dict[str, Any] = {"stack": stack}
    for key, text in config.items():
        package, _, name = key.partition(":")
        if package == NAMESPACE:
            values[name] = _value(text)
    _plain_text_password(values, frozenset(secret_keys))
    if "modules" not in values:
        raise InvalidSettings(
            ["rollout:modules is missing: it maps each module's name to its settings (image, version, ...)"]
        )
    _fill_in_versions(values, root)
    try:
        settings = StackSettings.model_validate(values)
    except ValidationError as error:
        raise InvalidSettings(_problems(error)) from None
    for name, module in settings.modules.items():
        if module.version is None:
            raise MissingVersion(name, settings.versions)
    return settings


def set_versions(modules: Mapping[str, Any], overrides: Mapping[str, str], where: str = "--set") -> dict[str, str]:
    """Checks ``module=version`` overrides against the modules of a stack.

    Raises:
        UnknownModule: an override names a module the stack does not have.
        InvalidVersion: an override's version cannot be one.
    """
    for name, version in overrides.items():
        if name not in modules:
            raise UnknownModule(name, modules, where)
        Version.parse(version)
    return dict(overrides)


def _value(text: str) -> Any:
    """Objects arrive as JSON, everything else as it was written."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return {"true": True, "false": False}.get(text, text)


def _fill_in_versions(values: dict[str, Any], root: Path) -> None:
    """Gives every module that has no version the one of the stack's versions file.

    The file serves many stacks, so modules that this stack lacks are fine; a slip in a name shows as MissingVersion.
    """
    name = values.get("versions")
    if not isinstance(name, str):
        return
    path = root / name
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"rollout:versions: cannot read {name}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"rollout:versions: {name} is not YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in content.items()):
        raise SettingsError(
            f'rollout:versions: {name} must map module names to versions in quotes, for example ledger: "2.4.12"'
        )
    modules = values["modules"]
    if isinstance(modules, dict):
        values["modules"] = {
            name: {**settings, "version": settings.get("version") or content.get(name)}
            if isinstance(settings, dict)
            else settings
            for name, settings in modules.items()
        }


def _plain_text_password(values: Mapping[str, Any], secret_keys: frozenset[str]) -> None:
    """A password in the configuration must be a Pulumi secret: else it is in the repository, the state and every event."""
    places = [("postgres", "rollout:postgres.uri", values.get("postgres"))]
    modules = values.get("modules")
    if isinstance(modules, dict):
        places += [
            ("modules", f"rollout:modules.{name}.postgres.uri", module.get("postgres"))
            for name, module in modules.items()
            if isinstance(module, dict)
        ]
    for key, path, place in places:
        if not isinstance(place, dict) or not isinstance(place.get("uri"), str) or f"{NAMESPACE}:{key}" in secret_keys:
            continue
        try:
            password = PostgresServer.parse(place["uri"]).password
        except ValueError:
            continue  # reported with the other problems
        if password is not None:
            raise SettingsError(
                f"{path} holds a password in plain text. Set it again as a secret: "
                f"pulumi config set --secret --path '{path}' 'postgresql://...', or refer to a Kubernetes Secret with ?secret=NAME"
            )


def _problems(error: ValidationError) -> list[str]:
    found = []
    for e in error.errors():
        path = "rollout:" + ".".join(str(p) for p in e["loc"] if p != "[key]")
        given = e.get("input")
        shown = "" if isinstance(given, dict) or "uri" in e["loc"] or given is None else f" (given: {given!r})"
        if e["type"] == "extra_forbidden":
            known = [f.alias or n for n, f in _model_at(e["loc"][:-1]).items()]
            close = difflib.get_close_matches(str(e["loc"][-1]), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; known settings: {', '.join(sorted(known))}"
            found.append(f"{path}: unknown setting{hint}")
        elif e["type"] == "value_error":
            text = str(e["ctx"]["error"]) if "ctx" in e else e["msg"]
            found.append(f"{path.rstrip(':')}: {text}" if e["loc"] else text)
        else:
            found.append(f"{path}: {e['msg'][0].lower()}{e['msg'][1:]}{shown}")
    return found


def _model_at(location: tuple[int | str, ...]) -> Mapping[str, Any]:
    """The fields of the model a path leads to, for the names to suggest."""
    fields: Mapping[str, Any] = StackSettings.model_fields
    for step in location:
        if fields is StackSettings.model_fields and step == "modules":
            fields = ModuleSettings.model_fields
            continue
        for field in fields.values():
            if field.alias == step and hasattr(field.annotation, "model_fields"):
                fields = field.annotation.model_fields
    return fields
