"""version, about, login, whoami, install and plugins."""

from __future__ import annotations

import getpass
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from offline.backend.store import Backend
from offline.engine import VERSION
from offline.engine.errors import EngineError, NotCovered

from ..main import Args
from ..session import Session, credentials, save_credentials

ABOUT = "the offline engine: a stand-in for the Pulumi CLI that covers what this project uses, for machines without it"
BUILT_IN = {"kubernetes": "pulumi-kubernetes", "command": "pulumi-command"}  # provider -> SDK whose release it follows


def version(_: Args) -> None:
    print(VERSION)


def _plugins() -> list[dict[str, Any]]:
    from importlib import metadata

    found = []
    when = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for name, package in sorted(BUILT_IN.items()):
        try:
            of = metadata.version(package)
            found.append(
                {"name": name, "kind": "resource", "version": of, "size": 0, "installTime": when, "lastUsedTime": when}
            )
        except metadata.PackageNotFoundError:
            continue
    return found


def about(args: Args) -> None:
    session = Session(args)
    host = {"os": sys.platform, "version": os.uname().release, "arch": os.uname().machine}
    facts: dict[str, Any] = {
        "cliAbout": {
            "version": VERSION.removeprefix("v"),
            "engine": "offline",
            "note": ABOUT,
            "python": sys.version.split()[0],
        },
        "host": host,
        "plugins": [{"name": p["name"], "version": p["version"], "builtIn": True} for p in _plugins()],
        "errors": [],
    }
    try:
        facts["backend"] = {"name": os.uname().nodename, "url": session.backend.url, "user": getpass.getuser()}
        facts["runtime"] = {"language": session.project.runtime}
        stack = session.stack
        facts["currentStack"] = {"name": stack.qualified, "fullyQualifiedName": stack.qualified}
    except EngineError as e:
        facts["errors"].append(str(e))
    if args.on("json"):
        print(json.dumps(facts, indent=2))
        return
    print(f"This is {ABOUT}.\nProduction uses the Pulumi CLI: https://www.pulumi.com/docs/install/\n")
    print(
        f"CLI\nVersion      {VERSION.removeprefix('v')} (the release whose behaviour is imitated)\nEngine       offline"
    )
    print("\nPlugins (built in)\nNAME        VERSION")
    for p in _plugins():
        print(f"{p['name']:<12}{p['version']}")
    if "backend" in facts:
        print(f"\nBackend\nURL   {facts['backend']['url']}\nUser  {facts['backend']['user']}")
    if "currentStack" in facts:
        print(f"\nCurrent Stack: {facts['currentStack']['name']}")
    for problem in facts["errors"]:
        print(f"\nwarning: {problem}", file=sys.stderr)


def login(args: Args) -> None:
    url = args.positional[0] if args.positional else args.text("cloud-url")
    if args.on("local"):
        url = "file://~"
    url = url or os.environ.get("PULUMI_BACKEND_URL") or str(credentials().get("current") or "")
    if not url:
        raise NotCovered("login to Pulumi Cloud (give file://<directory> or --local)")
    backend = Backend(url)
    backend.prepare()
    saved = credentials()
    saved["current"] = url
    saved.setdefault("accessTokens", {})[url] = ""
    saved.setdefault("accounts", {})[url] = {"lastValidatedAt": "0001-01-01T00:00:00Z"}
    save_credentials(saved)
    print(f"Logged in to {os.uname().nodename} as {getpass.getuser()} ({url})")


def whoami(args: Args) -> None:
    backend = Session(args).backend
    if args.on("json"):
        print(json.dumps({"user": getpass.getuser(), "url": backend.url}, indent=2))
    elif args.given("verbose"):
        print(f"User: {getpass.getuser()}\nOrganizations: \nBackend URL: {backend.url}")
    else:
        print(getpass.getuser())


def install(args: Args) -> None:
    session = Session(args)
    if session.project.runtime != "python":
        raise NotCovered(f"runtime {session.project.runtime!r}")
    print(
        "The offline engine installs nothing: its providers are built in, and the Python environment is the caller's."
    )


def plugin_ls(args: Args) -> None:
    plugins = _plugins()
    if args.on("json"):
        print(json.dumps(plugins, indent=2))
        return
    print("NAME        KIND      VERSION  SIZE      INSTALLED  LAST USED")
    for p in plugins:
        print(f"{p['name']:<12}{p['kind']:<10}{p['version']:<9}built in")


def plugin_install(args: Args) -> None:
    if args.positional:
        kind, name, *_ = [*args.positional, ""]
        if kind != "resource" or name not in BUILT_IN:
            raise NotCovered(f"plugin {kind} {name}")
    print("Nothing to install: the kubernetes and command providers are built into the offline engine.")


def plugin_rm(_: Args) -> None:
    print("Nothing to remove: the providers are built into the offline engine.")
