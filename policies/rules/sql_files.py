"""What a migration's SQL files would do to those who use the database meanwhile, as far as reading them tells."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..kubernetes import annotation
from ..migration import SQL, is_migration
from ..rule import Examples, Finding, Options, ResourceRule
from ..values import Resource

_BESIDE = Path(__file__).resolve().parents[2]
_LEVELS = {"error": ("error",), "warning": ("error", "warning"), "advice": ("error", "warning", "advice")}

PASSES = """
apiVersion: batch/v1
kind: Job
metadata: {name: ledger-1-1-0-migrate}
spec:
  template:
    metadata: {annotations: {rollout.formance.com/sql: devkit/sample/sql/1.1.0}}
    spec:
      containers: [{name: migrate, image: "example.org/ledger:1.1.0", args: [migrate]}]
"""
FAILS = PASSES.replace("1.1.0", "1.5.0").replace("1-1-0", "1-5-0")


def _read(resource: Resource, options: Options) -> Iterator[Finding]:
    folder = annotation(resource, SQL) if is_migration(resource) else None
    if folder is None:
        return
    said = _lint(str(_BESIDE / options["root"] / folder), int(options["after"]))
    if said["outcome"] not in ("found", "advised", "clean"):
        yield Finding(
            f"its SQL files in {folder} cannot be read: {said['message']}", str(said["hint"]).rstrip(".") or "Mend them"
        )
        return
    for found in said["findings"]:
        if found["level"] in _LEVELS[options["level"]]:
            where = f"{folder}/{Path(found['file']).name}:{found['line']}"
            yield Finding(
                f"{where}: {found['message'].rstrip('.')} ({found['rule']})",
                (found["help"] or f"Write it otherwise, or `-- squawk-ignore {found['rule']}` above it").rstrip("."),
            )


@lru_cache
def _lint(folder: str, after: int) -> dict[str, Any]:
    # A process of its own: the pack knows the command, not the code behind it.
    command = [sys.executable, "-m", "migrator", "lint", "--json", "--directory", folder, "--after", str(after)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_BESIDE)
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"outcome": "failed", "message": (done.stderr or done.stdout)[-300:].strip(), "hint": ""}
    return said


RULE = ResourceRule(
    name="sql-files",
    description="A migration's SQL files hold nothing that is known to lock others out or to break the previous version.",
    reason="A statement that rewrites a table or waits for its lock stops the service that is to be upgraded without a stop. squawk "
    "(https://squawkhq.com) knows most of them by reading. The files are those of the folder in the annotation `rollout.formance.com/sql` "
    "of the Job or its pods, which the setting `migration.sql` writes; a Job without it is not judged.",
    unseen="migrations that are in the image and not in the repository, code that makes SQL, and how large a table is",
    options={
        "root": {
            "type": "string",
            "default": "",
            "description": "where the annotation's folders begin; a relative one begins beside the pack's own folder",
        },
        "after": {
            "type": "integer",
            "default": 0,
            "description": "files up to this number are applied everywhere, and not read",
        },
        "level": {
            "type": "string",
            "enum": list(_LEVELS),
            "default": "warning",
            "description": "the least that counts: `error` cannot run, `warning` hurts others, `advice`",
        },
    },
    examples=Examples(PASSES, FAILS),
    checks=(_read,),
)
