"""pulumi config: reading and changing Pulumi.<stack>.yaml."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

from offline.backend.config import (
    Value,
    get_at,
    has_secure,
    is_secure,
    key_path,
    opened,
    qualify,
    remove_at,
    scalar,
    set_at,
    typed,
)
from offline.engine.errors import EngineError, UsageError

from ..main import Args
from ..session import Session


def _path(args: Args, key: str, project: str) -> list[str | int]:
    """Where a key is: its full name first, then, with --path, the way into its value."""
    if not args.on("path"):
        return [qualify(key, project)]
    first, *rest = key_path(key)
    return [qualify(str(first), project), *rest]


def _as_json(value: Value, *, shown: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if not value.secret or shown:
        out["value"] = value.text
        if value.data is not None:
            out["objectValue"] = value.data
    return out | {"secret": value.secret}


def ls(args: Args) -> None:
    session = Session(args)
    raw = session.config.effective()
    show = args.on("show-secrets")
    secrets = session.secrets if show and any(map(has_secure, raw.values())) else None
    values = {k: opened(v, secrets) for k, v in sorted(raw.items())}
    if args.on("json"):
        print(json.dumps({k: _as_json(v, shown=show) for k, v in values.items()}, indent=2, ensure_ascii=False))
        return
    rows = [
        (k.removeprefix(session.project.name + ":"), "[secret]" if v.secret and not show else v.text)
        for k, v in values.items()
    ]
    width = max([3, *(len(k) for k, _ in rows)])
    for k, v in [("KEY", "VALUE"), *rows]:
        print(f"{k:<{width}}  {v}")


def get(args: Args) -> None:
    session = Session(args)
    key = args.positional[0]
    path = _path(args, key, session.project.name)
    try:
        raw = get_at(session.config.effective(), path)
    except KeyError:
        raise EngineError(f"configuration key '{key}' not found for stack '{session.stack.name}'") from None
    value = opened(raw, session.secrets if has_secure(raw) else None)
    print(json.dumps(_as_json(value, shown=True), indent=2, ensure_ascii=False) if args.on("json") else value.text)


def _sealed(session: Session, text: str, *, secret: bool, nested: bool, kind: str = "") -> Any:
    if secret:
        session.secrets.at("config")
        return {"secure": session.secrets.encrypt(text)}
    if kind:
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text]
            return {"string": str, "int": int, "float": float}[kind](text)
        except (KeyError, ValueError):
            raise UsageError(f"{text!r} is not of --type {kind} (string, int, float, bool)") from None
    return typed(text) if nested else text


def _store(session: Session, changes: list[tuple[list[str | int], Any]]) -> None:
    values = session.config.own()
    touched: dict[str, Any] = {}
    for path, value in changes:
        key = str(path[0])
        touched.setdefault(key, copy.deepcopy(values.get(key)))
        if len(path) == 1:
            touched[key] = value
        else:
            if touched[key] is None:
                del touched[key]
            set_at(touched, path, value)
    session.config.edit(touched)


def set_(args: Args) -> None:
    session = Session(args)
    path = _path(args, args.positional[0], session.project.name)
    if len(args.positional) == 2:
        text = args.positional[1]
    elif sys.stdin.isatty():
        raise UsageError("a value must be given, as an argument or on standard input")
    else:
        text = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if args.on("secret") and args.on("plaintext"):
        raise UsageError("--secret and --plaintext exclude each other")
    current = session.config.own()
    if not args.on("secret") and not args.on("plaintext") and is_secure(current.get(str(path[0]))) and len(path) == 1:
        raise UsageError(
            f"config key '{args.positional[0]}' is a secret; use --secret to set it, or --plaintext to make it plain"
        )
    _store(
        session,
        [(path, _sealed(session, text, secret=args.on("secret"), nested=args.on("path"), kind=args.text("type")))],
    )


def set_all(args: Args) -> None:
    session = Session(args)
    project = session.project.name
    changes: list[tuple[list[str | int], Any]] = []
    if args.given("json"):
        try:
            given = json.loads(args.text("json"))
        except json.JSONDecodeError as e:
            raise UsageError(f"could not parse --json argument: {e}") from e
        for key, entry in given.items():
            plain = entry.get("objectValue", entry.get("value"))
            if entry.get("secret"):
                text = plain if isinstance(plain, str) else json.dumps(plain)
                changes.append((_path(args, key, project), _sealed(session, text, secret=True, nested=False)))
            else:
                changes.append((_path(args, key, project), plain if isinstance(plain, (dict, list)) else scalar(plain)))
    for flag in ("plaintext", "secret"):
        for key, text in map(_pair, args.many(flag)):
            changes.append(
                (_path(args, key, project), _sealed(session, text, secret=flag == "secret", nested=args.on("path")))
            )
    _store(session, changes)


def _pair(pair: str) -> tuple[str, str]:
    key, equals, text = pair.partition("=")
    if not equals:
        raise UsageError(f"config value must be in the form [key]=[value]: {pair!r}")
    return key, text


def set_pairs(session: Session, pairs: list[str], *, nested: bool) -> None:
    """``-c key=value`` of preview and up: saved to the stack's file, as the CLI does."""
    args = Args(session.args.command, [], {"path": ["true"]} if nested else {})
    changes = [(_path(args, k, session.project.name), typed(v) if nested else v) for k, v in map(_pair, pairs)]
    _store(session, changes)


def rm(args: Args) -> None:
    session = Session(args)
    _remove(session, [args.positional[0]])


def rm_all(args: Args) -> None:
    _remove(Session(args), args.positional)


def _remove(session: Session, keys: list[str]) -> None:
    values = copy.deepcopy(session.config.own())
    gone: list[str] = []
    touched: dict[str, Any] = {}
    for key in keys:
        path = _path(session.args, key, session.project.name)
        if len(path) == 1:
            gone.append(str(path[0]))
        elif path[0] in values:
            remove_at(values, path)
            touched[str(path[0])] = values[str(path[0])]
    session.config.edit(touched, remove=tuple(gone))


def refresh(args: Args) -> None:
    """Makes the file say what the last update used."""
    session = Session(args)
    history = session.backend.history(session.stack)
    if not history:
        raise EngineError("no previous deployment")
    before = session.config.own()
    wanted = dict(history[0].get("config") or {})
    if before != wanted and before and not args.on("force"):
        path = session.config.path
        raise EngineError(f"{path} already exists and differs from the last update; --force overwrites it")
    session.config.edit(wanted, remove=tuple(k for k in before if k not in wanted))
    print(f"refreshed configuration for stack '{session.stack.name}'")
