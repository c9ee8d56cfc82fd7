"""pulumi stack, state and cancel: what the backend holds, without running a program."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from offline.backend.checkpoint import (
    dumps,
    envelope,
    is_sealed,
    latest,
    manifest,
    require_readable,
    reveal,
    verify,
    wrapped,
)
from offline.backend.config import has_secure, opened
from offline.backend.store import StackRef
from offline.engine.errors import EngineError, StackNotFound, UsageError
from offline.engine.model import SECRET_SIGNATURE, SIGNATURE, STACK_TYPE

from ..main import Args
from ..session import Session


def _name(args: Args) -> str:
    return args.positional[0] if args.positional else args.text("stack")


def _save(session: Session, deployment: Mapping[str, Any]) -> None:
    """Writes a changed deployment; the lock is held by the caller."""
    verify(list(deployment.get("resources") or []))
    session.backend.write(session.stack, wrapped(session.stack.qualified, {**deployment, "manifest": manifest()}))


def _root(deployment: Mapping[str, Any]) -> dict[str, Any]:
    for r in deployment.get("resources") or []:
        if r["type"] == STACK_TYPE and not r.get("delete"):
            return dict(r.get("outputs") or {})
    return {}


def _print_json(value: Any, indent: int = 2) -> None:
    print(json.dumps(value, indent=indent, ensure_ascii=False))


# --- the stack itself ---------------------------------------------------------------------------------------------


def init(args: Args) -> None:
    from offline.backend.secrets import refuse_other

    session = Session(args)
    name = _name(args)
    if not name:
        raise UsageError("missing stack name: pulumi stack init <name>")
    refuse_other(args.text("secrets-provider"))
    ref = session.ref(name)
    if session.backend.path(ref).exists():
        raise EngineError(f"stack '{ref.name}' already exists")
    config = session.config_of(ref.name)
    if not config.salt:
        from offline.backend.secrets import Passphrase, passphrase_from_environment

        refuse_other(config.provider)
        made = Passphrase.new(passphrase_from_environment())
        session.backend.create(ref)
        config.edit(salt=made.state)
    else:
        session.backend.create(ref)
    if not args.on("no-select"):
        session.select(ref.name)
    print(f"Created stack '{ref.name}'")


def select(args: Args) -> None:
    session = Session(args)
    name = _name(args)
    if not name:
        raise UsageError("no stack name given: pulumi stack select <name>")
    ref = session.ref(name)
    if not session.backend.path(ref).exists():
        if args.on("create"):
            init(args)
            return
        raise StackNotFound(f"no stack named '{ref.name}' found")
    session.select(ref.name)


def ls(args: Args) -> None:
    session = Session(args)
    project = None if args.on("all") else args.text("project") or session.project.name
    selected = session.selected() if project else ""
    rows: list[dict[str, Any]] = []
    for ref in session.backend.stacks(project):
        deployment = latest(session.backend.read(ref))
        row: dict[str, Any] = {
            "name": ref.name if project else ref.qualified,
            "current": ref == (session.ref(selected) if selected else None),
        }
        if (made := (deployment.get("manifest") or {}).get("time", "")) and not made.startswith("0001"):
            row["lastUpdate"] = _milliseconds(made)
        row["updateInProgress"] = False
        if made and not made.startswith("0001"):
            row["resourceCount"] = len(deployment.get("resources") or [])
        rows.append({k: v for k, v in row.items() if k != "updateInProgress"})
    if args.on("json"):
        _print_json(rows)
        return
    width = max([4, *(len(r["name"]) + 1 for r in rows)])
    print(f"{'NAME':<{width}}  LAST UPDATE               RESOURCE COUNT")
    for r in rows:
        print(
            f"{r['name'] + ('*' if r['current'] else ''):<{width}}  {r.get('lastUpdate', 'n/a'):<24}  {r.get('resourceCount', 'n/a')}"
        )


def _milliseconds(stamp: str) -> str:
    seconds, _, fraction = stamp.rstrip("Z").partition(".")
    return f"{seconds}.{(fraction + '000')[:3]}Z"


def rm(args: Args) -> None:
    session = Session(args)
    if args.positional:
        args = Args(args.command, [], {**args.given_flags, "stack": [args.positional[0]]})
        session = Session(args)
    stack = session.stack
    if session.deployment().get("resources") and not args.on("force"):
        raise EngineError(
            f"'{stack.name}' still has resources; removal rejected. Possible actions:\n"
            f"- Make sure that '{stack.name}' is the stack that you want to destroy\n"
            "- Run `pulumi destroy` to delete the resources, then run `pulumi stack rm`\n"
            "- Run `pulumi stack rm --force` to override this error"
        )
    session.confirm(f"This will permanently remove the '{stack.name}' stack!", stack.name)
    remove(session, preserve_config=args.on("preserve-config"), backups=args.on("remove-backups"))
    print(f"Stack '{stack.name}' has been removed!")


def remove(session: Session, *, preserve_config: bool, backups: bool = False) -> None:
    stack = session.stack
    with session.backend.lock(stack):
        session.backend.remove(stack, backups=backups)
    if not preserve_config:
        session.config_of(stack.name).path.unlink(missing_ok=True)
    if session.selected() == stack.name:
        session.select("")


def show(args: Args) -> None:
    session = Session(args)
    stack, deployment = session.stack, session.deployment()
    if args.on("show-name"):
        print(stack.name)
        return
    resources = deployment.get("resources") or []
    print(f"Current stack is {stack.name}:\n    Managed by {os.uname().nodename}")
    made = deployment.get("manifest") or {}
    if made.get("version"):
        print(f"    Last updated: {_ago(made['time'])} ({made['time'].replace('T', ' ').replace('Z', '')} +0000 UTC)")
        print(f"    Pulumi version used: {made['version']}")
    print(f"Current stack resources ({len(resources)}):")
    if resources:
        _tree(resources, urns=args.on("show-urns"), ids=args.on("show-ids"))
    else:
        print("    No resources currently in this stack")
    outputs = reveal(_root(deployment), session.state_secrets(deployment).decrypt if args.on("show-secrets") else None)
    print(f"\nCurrent stack outputs ({len(outputs)}):")
    _output_table(outputs)
    print("\nUse `pulumi stack select` to change stack; `pulumi stack ls` lists known ones")


def _ago(stamp: str) -> str:
    then = datetime.fromisoformat(stamp.split(".")[0].rstrip("Z")).replace(tzinfo=UTC)
    seconds = max(0, int((datetime.now(UTC) - then).total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            n = seconds // size
            return f"{n} {unit}{'s' * (n > 1)} ago"
    return f"{seconds} second{'s' * (seconds != 1)} ago" if seconds else "now"


def _tree(resources: list[dict[str, Any]], *, urns: bool, ids: bool) -> None:
    children: dict[str, list[dict[str, Any]]] = {}
    known = {r["urn"] for r in resources}
    for r in resources:
        parent = r.get("parent", "")
        children.setdefault(parent if parent in known else "", []).append(r)
    lines: list[tuple[str, str, list[str]]] = []

    def walk(r: dict[str, Any], prefix: str, below: str) -> None:
        inside = children.get(r["urn"], [])
        more = [f"URN: {r['urn']}"] * urns + [f"ID: {r.get('id')}"] * (ids and "id" in r)
        bar = "│  " if inside else "   "
        lines.append((prefix + r["type"], r["urn"].rsplit("::", 1)[1], [below + bar + m for m in more]))
        for i, child in enumerate(inside):
            last = i == len(inside) - 1
            walk(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))

    for top in children.get("", []):
        walk(top, "", "")
    width = max(len(t) for t, _, _ in [("TYPE", "", []), *lines])
    print(f"    {'TYPE':<{width}}  NAME")
    for kind, name, more in lines:
        print(f"    {kind:<{width}}  {name}")
        for m in more:
            print(f"    {m}")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _output_table(outputs: Mapping[str, Any]) -> None:
    if not outputs:
        print("    No output values currently in this stack")
        return
    width = max(6, *(len(k) for k in outputs))
    print(f"    {'OUTPUT':<{width}}  VALUE")
    for k, v in outputs.items():
        print(f"    {k:<{width}}  {_shown(v)}")


def output(args: Args) -> None:
    session = Session(args)
    deployment = session.deployment()
    outputs = _root(deployment)
    wanted = args.positional[0] if args.positional else None
    if wanted is not None and wanted not in outputs:
        raise EngineError(f"current stack does not have output property '{wanted}'")
    chosen = outputs if wanted is None else {wanted: outputs[wanted]}
    sealed = args.on("show-secrets") and "ciphertext" in json.dumps(chosen)
    decrypt = session.state_secrets(deployment).decrypt if sealed else None
    plain = reveal(chosen, decrypt)
    if args.on("json"):
        _print_json(plain if wanted is None else plain[wanted])
    elif args.on("shell"):
        for k, v in plain.items():
            print(f"{k}={shlex.quote(_shown(v))}")
    elif wanted is not None:
        print(_shown(plain[wanted]))
    else:
        print(f"Current stack outputs ({len(plain)}):")
        _output_table(plain)


# --- export, import, history --------------------------------------------------------------------------------------


def _map_secrets(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if is_sealed(value):
        return change(value)
    if isinstance(value, Mapping):
        return {k: _map_secrets(v, change) for k, v in value.items()}
    return [_map_secrets(v, change) for v in value] if isinstance(value, list) else value


def export(args: Args) -> None:
    session = Session(args)
    deployment = session.deployment()
    if args.given("version"):
        raise UsageError("the file backend keeps no numbered versions: see .pulumi/history in the backend's directory")
    if args.on("show-secrets"):
        secrets = session.state_secrets(deployment)
        deployment = _map_secrets(
            deployment,
            lambda s: {
                SIGNATURE: SECRET_SIGNATURE,
                "plaintext": secrets.decrypt(s["ciphertext"]) if "ciphertext" in s else s["plaintext"],
            },
        )
    for r in deployment.get("resources") or []:
        r |= {k: json.loads(json.dumps(r[k], sort_keys=True)) for k in ("inputs", "outputs") if k in r}
    text = json.dumps(
        {**envelope(deployment.get("resources") or []), "deployment": deployment}, indent=4, ensure_ascii=False
    )
    if args.text("file"):
        Path(args.text("file")).write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


def import_(args: Args) -> None:
    session = Session(args)
    stack = session.stack
    text = Path(args.text("file")).read_text(encoding="utf-8") if args.text("file") else sys.stdin.read()
    try:
        given = json.loads(text)
    except json.JSONDecodeError as e:
        raise EngineError(f"the deployment is not valid JSON: {e}") from e
    require_readable(given)
    deployment: dict[str, Any] = given.get("deployment") or {}
    problems = []
    for r in deployment.get("resources") or []:
        where = r["urn"].split("::")
        if where[0] != f"urn:pulumi:{stack.name}" or where[1] != stack.project:
            problems.append(f"resource '{r['urn']}' is of another stack or project than '{stack.project}/{stack.name}'")
    try:
        verify(list(deployment.get("resources") or []))
    except EngineError as e:
        problems.append(str(e))
    if problems and not args.on("force"):
        raise EngineError(
            "importing this file could be dangerous; rerun with --force to proceed anyway\n" + "\n".join(problems)
        )
    if "plaintext" in text:
        secrets = session.secrets
        secrets.at("import")
        deployment = _map_secrets(
            deployment,
            lambda s: {
                SIGNATURE: SECRET_SIGNATURE,
                "ciphertext": s["ciphertext"] if "ciphertext" in s else secrets.encrypt(s["plaintext"]),
            },
        )
        deployment["secrets_providers"] = {"type": "passphrase", "state": {"salt": secrets.state}}
    with session.backend.lock(stack):
        session.backend.write(stack, wrapped(stack.qualified, {**deployment, "manifest": manifest()}))
    print("Import complete.")


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def history(args: Args) -> None:
    session = Session(args)
    entries = session.backend.history(session.stack)
    size, page = args.number("page-size", 10), args.number("page", 1)
    if size > 0:
        entries = entries[(max(page, 1) - 1) * size :][:size]
    show = args.on("show-secrets")
    rows = []
    for e in entries:
        config = {}
        for key, raw in sorted((e.get("config") or {}).items()):
            value = opened(raw, session.secrets if show and has_secure(raw) else None)
            entry: dict[str, Any] = {} if value.secret and not show else {"value": value.text}
            if value.data is not None and (show or not value.secret):
                entry["objectValue"] = value.data
            config[key] = entry | {"secret": value.secret}
        row = {
            "version": e.get("version", 0), "kind": e["kind"], "startTime": _iso(e["startTime"]), "message": e.get("message", ""),
            "environment": e.get("environment") or {}, "config": config, "result": e["result"],
        }  # fmt: skip
        if e.get("endTime"):
            row["endTime"] = _iso(e["endTime"])
        if e.get("resourceChanges"):
            row["resourceChanges"] = e["resourceChanges"]
        rows.append(row)
    if args.on("json"):
        _print_json(rows)
        return
    if not rows:
        print("Stack has never been updated")
    for r in rows:
        changes = " ".join(f"{k}:{v}" for k, v in sorted(r.get("resourceChanges", {}).items()))
        print(f"UpdateKind: {r['kind']}\nStatus: {r['result']}\nMessage: {r['message']}\nResource Changes: {changes}")
        print(f"Updated {_ago(r['startTime'])} took {e_duration(r)}\n")


def e_duration(row: Mapping[str, Any]) -> str:
    ends = [datetime.fromisoformat(row[k].rstrip("Z")) for k in ("startTime", "endTime") if k in row]
    return f"{int((ends[-1] - ends[0]).total_seconds())}s"


# --- rename, tags, cancel -----------------------------------------------------------------------------------------


def rename(args: Args) -> None:
    session = Session(args)
    old = session.stack
    new = session.ref(args.positional[0])
    text = dumps(session.deployment())
    text = text.replace(f"urn:pulumi:{old.name}::{old.project}::", f"urn:pulumi:{new.name}::{new.project}::")
    text = text.replace(f'::{STACK_TYPE}::{old.project}-{old.name}"', f'::{STACK_TYPE}::{new.project}-{new.name}"')
    config, was_selected = session.config_of(old.name).path, session.selected() == old.name
    with session.backend.lock(old):
        session.backend.rename(old, new, wrapped(new.qualified, json.loads(text)))
    if config.exists():
        config.replace(session.config_of(new.name).path)
    if was_selected:
        session.select(new.name)
    print(f"Renamed {old.name} to {new.name}")


def _stack_tags(session: Session) -> dict[str, str]:
    project = session.project
    own = {"pulumi:project": project.name, "pulumi:runtime": project.runtime}
    return (
        own
        | ({"pulumi:description": project.description} if project.description else {})
        | session.backend.tags(session.stack)
    )


def tag_ls(args: Args) -> None:
    tags = _stack_tags(Session(args))
    if args.on("json"):
        _print_json(tags)
        return
    for k, v in sorted(tags.items()):
        print(f"{k:<25}{v}")


def tag_get(args: Args) -> None:
    session = Session(args)
    tags = _stack_tags(session)
    if args.positional[0] not in tags:
        raise EngineError(f"stack tag '{args.positional[0]}' not found for stack '{session.stack.name}'")
    print(tags[args.positional[0]])


def tag_set(args: Args) -> None:
    session = Session(args)
    session.backend.set_tags(
        session.stack, session.backend.tags(session.stack) | {args.positional[0]: args.positional[1]}
    )


def tag_rm(args: Args) -> None:
    session = Session(args)
    tags = session.backend.tags(session.stack)
    tags.pop(args.positional[0], None)
    session.backend.set_tags(session.stack, tags)


def cancel(args: Args) -> None:
    session = Session(args)
    if args.positional:
        session = Session(Args(args.command, [], {**args.given_flags, "stack": [args.positional[0]]}))
    stack: StackRef = session.stack
    session.confirm(f"This will irreversibly cancel the currently running update for '{stack.name}'!", stack.name)
    session.backend.cancel(stack)
    print(f"The currently running update for '{stack.name}' has been canceled!")


# --- state --------------------------------------------------------------------------------------------------------


def unprotect(args: Args) -> None:
    session = Session(args)
    if not args.positional and not args.on("all"):
        raise UsageError("a URN must be given (or --all)")
    session.confirm("This will edit the stack's state directly!", "yes")
    with session.backend.lock(session.stack):
        deployment = session.deployment()
        resources = deployment.get("resources") or []
        picked = resources if args.on("all") else [r for r in resources if r["urn"] == args.positional[0]]
        if not picked and not args.on("all"):
            raise EngineError(f"No such resource {args.positional[0]!r} exists in the current state")
        for r in picked:
            r.pop("protect", None)
        _save(session, deployment)
    print("All resources unprotected" if args.on("all") else "Resource unprotected")
