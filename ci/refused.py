"""Why a pipeline does not begin a run."""

from __future__ import annotations


class Refused(Exception):
    """Nothing was begun; the text says why."""
