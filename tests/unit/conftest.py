"""Hypothesis judges what code does and not how fast: a machine that is busy elsewhere makes no test fail."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
