"""The reference page is the models' own."""

from pathlib import Path

from settings.reference import page


def test_the_page_in_the_docs_is_current() -> None:
    assert Path("docs/settings.md").read_text() == page(), "run: python -m settings > docs/settings.md"
