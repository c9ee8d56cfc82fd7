"""The reference page and the JSON Schema are the models' own."""

from __future__ import annotations

import json
from pathlib import Path

from settings.reference import page, schema


def test_the_page_in_the_docs_is_current() -> None:
    assert Path("docs/settings.md").read_text() == page(), "run: python -m settings > docs/settings.md"


def test_the_schema_for_editors_is_current() -> None:
    assert json.loads(Path("settings/schema.json").read_text()) == schema(), (
        "run: python -m settings schema > settings/schema.json"
    )
