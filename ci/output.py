"""What a job prints reaches its log as text, whoever wrote it."""

from __future__ import annotations

import contextlib
import io
import secrets
import sys
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def as_text(environment: Mapping[str, str]) -> Iterator[None]:
    """Keeps GitHub's runner from obeying lines that look like its commands.

    Reports mark what pods say, so that none of it begins a line; this is for what else may print. GitLab has no such commands.
    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#stopping-and-starting-workflow-commands
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not environment.get("GITHUB_ACTIONS"):
        yield
        return
    token = secrets.token_hex(16)
    # The runner reads the two streams apart. Whichever line it reads first stops the commands; the other is text to it.
    for stream in (sys.stdout, sys.stderr):
        print(f"::stop-commands::{token}", file=stream, flush=True)
    try:
        yield
    finally:
        sys.stderr.flush()
        print(f"\n::{token}::", flush=True)
