"""Hypothesis judges what code does and not how fast: a machine that is busy elsewhere makes no test fail.

The engine is this repository's unless ENGINE says otherwise: whichever `pulumi` a machine happens to have is not what is tested.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
os.environ.setdefault("ENGINE", "offline")
