"""From Pulumi configuration, which is a map of texts, to :class:`~settings.model.StackSettings`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .catalog import KINDS, UNSUPPORTED, Kind, find
from .credentials import plain_texts
from .errors import InvalidSettings, InvalidVersion, MissingVersion, SettingsError, UnknownModule
from .model import StackSettings
from .module import ModuleSettings, merged
from .postgres import PostgresServer
from .versions import Version

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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
    secret_keys = frozenset(secret_keys)
    _plain_text_password(values, secret_keys)
    if "modules" not in values:
        raise InvalidSettings(
            ["rollout:modules is missing: it maps each module's name to its settings (image, version, ...)"]
        )
    _fill_in_versions(values, root)
    settings = _validated(values)
    for path in plain_texts(settings):
        if f"{NAMESPACE}:{path[0]}" not in secret_keys:
            raise SettingsError(_in_plain_text(f"{NAMESPACE}:{'.'.join(path)}"))
    for name, module in settings.modules.items():
        if module.version is None:
            raise MissingVersion(name, settings.versions)
    return _with_statements(settings, root)


def _with_statements(settings: StackSettings, root: Path) -> StackSettings:
    """With the whole paths of the modules' files of statements: who reads them later may work in another folder."""
    found: dict[str, ModuleSettings] = {}
    for name, module in settings.modules.items():
        if (statements := module.rehearsal.statements) is None:
            continue
        path = root / statements
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            why = f"cannot read {statements}: {error.strerror}"
            raise SettingsError(f"{NAMESPACE}:modules.{name}.rehearsal.statements: {why}") from None
        rehearsal = module.rehearsal.model_copy(update={"statements": str(path.resolve())})
        found[name] = module.model_copy(update={"rehearsal": rehearsal})
    return settings.model_copy(update={"modules": {**settings.modules, **found}}) if found else settings


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


def _validated(values: dict[str, Any]) -> StackSettings:
    """Reads the modules by the models of their kinds, then the stack; every problem of both is told at once."""
    problems: list[str] = []
    modules: Any = values["modules"]
    if isinstance(modules, dict):
        common = values.get("defaults")
        read: dict[str, Any] = {}
        for name, given in modules.items():
            try:
                read[name] = _module(name, given, common if isinstance(common, dict) else {})
            except ValidationError as error:
                kind = _kind(name, given)
                problems += _problems(error, f"modules.{name}.", find(kind).settings if kind in KINDS else None)
            except SettingsError as error:
                problems.append(str(error))
        modules = read
    try:
        settings = StackSettings.model_validate({**values, "modules": modules})
    except ValidationError as error:
        # A stack without the modules that could not be read says nothing new about what they have to do with each other.
        own = [p for p in error.errors() if not problems or (p["loc"] and p["loc"][0] != "modules")]
        raise InvalidSettings([*problems, *(_problem(e, "", StackSettings) for e in own)]) from None
    if problems:
        raise InvalidSettings(problems)
    return settings


def _kind(name: str, given: Any) -> str:
    """A module's kind: as it says; else the one of its name, unless it brings an image of its own.

    The gateway is told by its name in any case: what is before all others is not one of them.
    """
    own_image = isinstance(given, dict) and "image" in given and name != "gateway"
    default = name if name in KINDS and not own_image else "custom"
    return str(given.get("kind", default)) if isinstance(given, dict) else default


def _module(name: str, given: Any, common: dict[str, Any]) -> ModuleSettings:
    """A module's settings: the stack's defaults, over them the kind's, over them its own."""
    kind = _kind(name, given)
    own_image = isinstance(given, dict) and "image" in given
    unknown = (
        kind if kind in UNSUPPORTED else name if kind == "custom" and name in UNSUPPORTED and not own_image else None
    )
    if unknown:
        raise SettingsError(f"rollout:modules.{name}: {unknown} is not supported: {UNSUPPORTED[unknown]}")
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known kinds: {', '.join(KINDS)}"
        raise SettingsError(f"rollout:modules.{name}.kind: unknown kind {kind!r}; {hint}")
    known = find(kind)
    if isinstance(given, dict):
        given = merged(common, dict(_defaults(known, given.get("version"))), given, {"kind": kind})
    return known.settings.model_validate(given)


def _defaults(kind: Kind[Any], version: Any) -> Mapping[str, Any]:
    try:
        return kind.defaults_at(Version.parse(version)) if isinstance(version, str) else kind.defaults
    except InvalidVersion:
        return kind.defaults  # the module's model says what is wrong


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
    """A password in a URI must be a Pulumi secret: else it is in the repository, the state and every event."""
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
            password = PostgresServer.parse(place["uri"], needs_password=False).password
        except ValueError:
            continue  # reported with the other problems
        if password is not None:
            raise SettingsError(
                f"{path} holds a password in plain text. Set it again as a secret: "
                f"pulumi config set --secret --path '{path}' 'postgresql://...', or refer to a Kubernetes Secret with ?secret=NAME"
            )


def _in_plain_text(path: str) -> str:
    return (
        f"{path} holds a credential in plain text. Set it again as a secret: pulumi config set --secret --path '{path}' '...', "
        "or refer to a Kubernetes Secret with name and key"
    )


def _problems(error: ValidationError, prefix: str, model: type[BaseModel] | None) -> list[str]:
    return [_problem(e, prefix, model) for e in error.errors()]


def _problem(e: ErrorDetails, prefix: str, model: type[BaseModel] | None) -> str:
    location = tuple(p for p in e["loc"] if p != "[key]" and p not in _BRANCHES)
    path = f"{NAMESPACE}:{prefix}" + ".".join(str(p) for p in location)
    path = path.rstrip(".:") or NAMESPACE
    given = e.get("input")
    hidden = isinstance(given, dict) or given is None or "uri" in location or _is_credential(model, location)
    shown = "" if hidden else f" (given: {given!r})"
    if e["type"] == "extra_forbidden":
        known = [f.alias or n for n, f in _model_at(model, location[:-1]).items()]
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known settings: {', '.join(sorted(known))}"
        return f"{path}: unknown setting{hint}"
    if e["type"] == "value_error":
        text = str(e["ctx"]["error"]) if "ctx" in e else e["msg"]
        return f"{path}: {text}" if path != NAMESPACE else text
    return f"{path}: {e['msg'][0].lower()}{e['msg'][1:]}{shown}"


# How pydantic tells which member of a union it tried.
_BRANCHES = frozenset({"SecretReference", "function-plain[<lambda>()]", "(text)"})


def _is_credential(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> bool:
    """Whether what was given at a place may be a credential, and so is not repeated."""
    fields = _model_at(model, location[:-1])
    field = next((f for n, f in fields.items() if location and location[-1] in (f.alias, n)), None)
    return field is not None and "SecretStr" in str(field.annotation)


def _model_at(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> Mapping[str, FieldInfo]:
    """The fields of the model a path leads to."""
    for step in location:
        if model is None:
            break
        field = next((f for n, f in model.model_fields.items() if step in (f.alias, n)), None)
        if field is not None:
            model = model_in(field.annotation)
    return model.model_fields if model else {}


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings model that a field holds, alone, as an option, in a list or as the values of a map."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
        found = model_in(candidate) if candidate is not annotation and get_args(candidate) else None
        if found:
            return found
    return None
