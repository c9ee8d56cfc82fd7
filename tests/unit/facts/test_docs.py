"""docs/modules.md says what it was compared with, and has every kind and setting of the operator's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from settings.catalog import KINDS
from settings.reference import page
from tests.unit.facts import FACTS

MODULES = Path("docs/modules.md").read_text()
OPERATOR = Path("docs/operator.md").read_text()
_ROW = re.compile(r"^\| `([^`|]+)` \|(?: `[^`|]+` \|)? (.+) \|$", re.MULTILINE)
_PLACE = re.compile(r"<[a-z-]+>")


def rows(text: str) -> dict[str, str]:
    """First cell -> last cell of every table's rows."""
    return dict(_ROW.findall(text))


@pytest.mark.parametrize("kind", FACTS["kinds"])
def test_every_kind_of_the_operator_has_its_counterpart_or_the_reason_for_none(kind: str) -> None:
    [section] = MODULES.split("## Compared with the Formance operator\n")[1:]
    here = rows(section)[kind]
    named = re.match(r"module `(\w+)`", here)
    assert named is None or named[1] in KINDS
    assert not here.startswith("none") or len(here) > len("none: "), "and why"


@pytest.mark.parametrize("key", FACTS["settings"])
def test_every_setting_of_the_operator_has_its_counterpart_or_the_reason_for_none(key: str) -> None:
    pattern = ".".join(r"(\"[^\"]+\"|[^.]+)" if _PLACE.fullmatch(part) else re.escape(part) for part in key.split("."))
    found = [here for each, here in (rows(OPERATOR) | rows(MODULES)).items() if re.fullmatch(pattern, each)]
    assert found, f"no row for {key} in docs/operator.md or docs/modules.md"
    assert all(here != "none" for here in found)


def test_what_stands_in_the_place_of_a_newer_setting_is_a_setting() -> None:
    reference = page()
    [table] = MODULES.split("Settings that [operator.md](operator.md) does not list")[1:]
    for here in rows(table).values():
        for name in re.findall(r"^`([\w.]+)`", here):
            assert f"`{re.sub(r'^(defaults|modules[.][a-z]+)[.]', '', name)}" in reference, name


def test_the_version_that_was_compared_with_is_said() -> None:
    assert all(str(each) in MODULES for each in FACTS["compared_with"].values())


def test_every_kind_of_module_is_in_the_table_with_its_versions() -> None:
    table = rows(MODULES)
    assert set(KINDS) <= set(table)
