"""``Pulumi.yaml`` and ``Pulumi.<stack>.yaml``: what is configured, and changing it with the comments kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.engine.errors import EngineError, UsageError
from offline.engine.model import Project
from offline.engine.paths import parse_path

from .secrets import Passphrase

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")


def load_yaml(text: str) -> Any:
    """YAML as the CLI reads it: ``yes``, ``on`` and dates are plain text (YAML 1.2), unlike PyYAML's default."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [
                (tag, re.compile("^(?:true|True|TRUE|false|False|FALSE)$") if tag.endswith(":bool") else pattern)
                for tag, pattern in resolvers
                if not tag.endswith((":timestamp", ":merge"))
            ]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return yaml.load(text, Loader)


def find_project(start: Path) -> tuple[Project, Mapping[str, Any], Path]:
    """The project of a folder or of the nearest one above it: the project, the whole file, the file's path.

    Raises:
        EngineError: there is none, or it is not usable.
    """
    for folder in (start, *start.parents):
        for name in ("Pulumi.yaml", "Pulumi.yml", "Pulumi.json"):
            path = folder / name
            if path.is_file():
                return _project(path)
    raise EngineError(
        f"no Pulumi.yaml project file found (searching upwards from {start}). If you have not created a project yet, "
        "use `pulumi new` to do so"
    )


def _project(path: Path) -> tuple[Project, Mapping[str, Any], Path]:
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except Exception as e:  # whatever the YAML reader raises
        raise EngineError(f"could not load project {path}: {e}") from e
    if not isinstance(data, Mapping) or not data.get("name"):
        raise EngineError(f"could not load project {path}: project is missing a 'name' attribute")
    runtime = data.get("runtime") or ""
    options: Mapping[str, Any] = {}
    if isinstance(runtime, Mapping):
        runtime, options = runtime.get("name", ""), runtime.get("options") or {}
    project = Project(
        str(data["name"]),
        path.parent,
        str(runtime),
        options,
        str(data.get("main") or ""),
        str(data.get("description") or ""),
    )
    return project, data, path


@dataclass(frozen=True)
class Value:
    """One configuration value, decrypted. Objects are there as JSON text and as data."""

    text: str
    secret: bool
    data: Any = None  # for objects and lists


def qualify(key: str, project: str) -> str:
    """``region`` is ``<project>:region``."""
    parts = key.split(":")
    if len(parts) == 3 and parts[1] == "config":  # the old long form
        parts = [parts[0], parts[2]]
    if len(parts) > 2 or not all(parts):
        raise UsageError(f"invalid configuration key: could not parse {key} as a configuration key")
    return key if len(parts) == 2 else f"{project}:{key}"


def key_path(path: str) -> list[str | int]:
    """``a.b[0]["c.d"]``."""
    try:
        steps = parse_path(path)
    except ValueError:
        steps = ()
    if not steps:
        raise UsageError(f"invalid config key path: {path!r}")
    return list(steps)


def scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else "" if value is None else str(value)


def to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def is_secure(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"} and isinstance(value["secure"], str)


def has_secure(value: Any) -> bool:
    if is_secure(value):
        return True
    if isinstance(value, Mapping):
        return any(map(has_secure, value.values()))
    return isinstance(value, list) and any(map(has_secure, value))


def _opened(value: Any, secrets: Passphrase | None) -> Any:
    if is_secure(value):
        return secrets.decrypt(value["secure"]) if secrets else "[secret]"
    if isinstance(value, Mapping):
        return {str(k): _opened(v, secrets) for k, v in value.items()}
    return [_opened(v, secrets) for v in value] if isinstance(value, list) else value


def opened(raw: Any, secrets: Passphrase | None) -> Value:
    """A raw value of the file with its secrets decrypted, or as ``[secret]`` where ``secrets`` is None."""
    data = _opened(raw, secrets)
    if isinstance(data, (Mapping, list)):
        return Value(to_json(data), has_secure(raw), data)
    return Value(scalar(data), is_secure(raw))


class StackConfig:
    """One ``Pulumi.<stack>.yaml``. It is read with the fast reader and, only to change it, with the one that keeps comments."""

    def __init__(self, path: Path, project: Project, project_file: Mapping[str, Any]) -> None:
        self.path, self._project, self._project_file = path, project, project_file
        try:
            self.file: dict[str, Any] = load_yaml(path.read_text(encoding="utf-8")) or {}
        except FileNotFoundError:
            self.file = {}
        except Exception as e:
            raise EngineError(f"could not load {path}: {e}") from e
        if not isinstance(self.file, dict) or not isinstance(self.file.get("config") or {}, dict):
            raise EngineError(f"could not load {path}: it is not a mapping with a 'config' mapping in it")

    @classmethod
    def of(cls, project: Project, project_file: Mapping[str, Any], stack: str, override: str = "") -> StackConfig:
        folder = project.root / str(project_file.get("stackConfigDir") or project_file.get("config_dir") or ".")
        return cls(Path(override).absolute() if override else folder / f"Pulumi.{stack}.yaml", project, project_file)

    @property
    def salt(self) -> str:
        return str(self.file.get("encryptionsalt") or "")

    @property
    def provider(self) -> str:
        return str(self.file.get("secretsprovider") or "")

    def own(self) -> dict[str, Any]:
        """Raw values of the stack's file by full key."""
        return {qualify(str(k), self._project.name): v for k, v in (self.file.get("config") or {}).items()}

    def effective(self) -> dict[str, Any]:
        """Raw values with the project's defaults (``config:`` of ``Pulumi.yaml``).

        Raises:
            EngineError: a value that the project declares without a default is not set.
        """
        values = self.own()
        missing = []
        for key, declared in (self._project_file.get("config") or {}).items():
            full = qualify(str(key), self._project.name)
            if full in values:
                continue
            if isinstance(declared, Mapping) and ({"default", "value", "type"} & set(declared)):
                default = declared.get("value", declared.get("default"))
                if default is None:
                    missing.append(str(key))
                    continue
                values[full] = {"secure": scalar(default)} if declared.get("secret") and is_secure(default) else default
            else:
                values[full] = declared
        if missing:
            many = "s" if len(missing) > 1 else ""
            names = "".join(f"'{m}'" if len(missing) == 1 else f"\n  {m}" for m in missing)
            raise EngineError(
                f"Stack '{self.path.name.split('.', 1)[1].rsplit('.', 1)[0]}' is missing configuration value{many} {names}"
            )
        return values

    # --- changing -------------------------------------------------------------------------------------------------

    def edit(self, change: Mapping[str, Any] | None = None, *, remove: tuple[str, ...] = (), salt: str = "") -> None:
        """Sets and removes raw values by full key and writes the file; everything else in it stays, comments too.

        Args:
            change: full key to raw value (a scalar, {"secure": ...}, or an object).
            remove: full keys.
            salt: new ``encryptionsalt``.
        """
        from ruamel.yaml import YAML
        from ruamel.yaml.comments import CommentedMap

        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 1 << 30
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        document = yaml.load(text)
        if document is None:
            document = CommentedMap()
        if salt:
            if "encryptionsalt" in document:
                document["encryptionsalt"] = salt
            else:
                document.insert(0, "encryptionsalt", salt)
        config = document.get("config")
        if config is None:
            config = CommentedMap()
        names = {qualify(str(k), self._project.name): k for k in config}
        for key, value in (change or {}).items():
            _assign(config, names.get(key, key), value)
        for key in remove:
            if key in names:
                del config[names[key]]
        if config:
            document["config"] = config
        else:
            document.pop("config", None)
        self._write(yaml, document)

    def _write(self, yaml: Any, document: Any) -> None:
        import io

        from .store import replace_file

        buffer = io.StringIO()
        if document:
            yaml.dump(document, buffer)
        replace_file(self.path, buffer.getvalue().encode())
        self.file = load_yaml(buffer.getvalue()) or {}


def _assign(container: Any, key: Any, value: Any) -> None:
    """Sets a value; an object is merged into the one that is there, so that the comments inside it stay."""
    if isinstance(value, Mapping) and not is_secure(value) and isinstance(container.get(key), Mapping):
        old = container[key]
        for gone in [k for k in old if k not in value]:
            del old[gone]
        for k, v in value.items():
            if k not in old or old[k] != v:
                _assign(old, k, v)
    elif isinstance(value, list) and isinstance(container.get(key), list) and len(container[key]) <= len(value):
        old = container[key]
        for i, v in enumerate(value):
            if i == len(old):
                old.append(v)
            elif old[i] != v:
                if isinstance(v, Mapping) and isinstance(old[i], Mapping) and not is_secure(v):
                    _assign({i: old[i]}, i, v)
                else:
                    old[i] = v
    else:
        container[key] = value


def typed(text: str) -> Any:
    """What ``config set --path`` makes of a text: booleans and whole numbers are themselves, all else stays text."""
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text) and text != "-0":
        return int(text)
    return text


def set_at(values: dict[str, Any], path: list[str | int], value: Any) -> None:
    """Puts a value into (a copy of) nested data; lists and mappings on the way are made as needed.

    Raises:
        UsageError: the path leads through a value that is not of that kind.
    """
    here: Any = values
    for i, part in enumerate(path):
        last = i == len(path) - 1
        if isinstance(part, int):
            if not isinstance(here, list):
                raise UsageError("an array was expected at the given path")
            if part > len(here):
                raise UsageError(f"array index {part} is out of range: the array has {len(here)} entries")
            if part == len(here):
                here.append(None)
        elif not isinstance(here, dict) or is_secure(here):
            raise UsageError(f"a mapping was expected above {part!r}")
        if last:
            here[part] = value
            return
        following = here[part] if isinstance(part, int) else here.get(part)
        if following is None:
            following = [] if isinstance(path[i + 1], int) else {}
            here[part] = following
        elif not isinstance(following, (dict, list)):
            raise UsageError(f"{part!r} holds a plain value; nothing can be set inside it")
        here = following


def get_at(values: Any, path: list[str | int]) -> Any:
    """The nested raw value, or KeyError."""
    for part in path:
        in_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not in_list and not (isinstance(values, dict) and part in values and not is_secure(values)):
            raise KeyError(part)
        values = values[part]
    return values


def remove_at(values: dict[str, Any], path: list[str | int]) -> None:
    try:
        parent = get_at(values, path[:-1])
        del parent[path[-1]]
    except (KeyError, IndexError, TypeError):
        return
