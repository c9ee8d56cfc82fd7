"""Prints the reference page of all settings: ``python -m settings > docs/settings.md``."""

from .reference import page

print(page(), end="")
