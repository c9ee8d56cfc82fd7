"""Versions: what is accepted, how they compare, and that names made of them are valid and distinct."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings import InvalidVersion, Version

TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,80}", fullmatch=True).filter(
    lambda t: not re.fullmatch(r"v?[\d.]+", t)
)


@pytest.mark.parametrize("text", ["1.1.0", "v2.0.0-beta.1", "main", "2.4.12@sha256:" + "a" * 64])
def test_tags_and_digests_are_versions(text: str) -> None:
    assert Version.parse(text).tag == text.split("@")[0]


@pytest.mark.parametrize(
    "text", ["", "1.1", "v1.1", "1..0", "1.1.0.0", "1.1.0 ", "a/b", "1.1.0@sha256:abc", "-x", "1.1.0+build"]
)
def test_what_cannot_be_a_version_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidVersion, match=r"1\.1\.0|sha256"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("wanted", "serving", "older"),
    [
        ("1.0.0", "1.1.0", True),
        ("1.1.0", "1.1.0", False),
        ("1.10.0", "1.9.0", False),
        ("1.1.0-rc.1", "1.1.0", True),
        ("v1.0.0", "1.0.1", True),
        ("main", "1.0.0", False),
    ],
)
def test_downgrades_are_recognised_by_semantic_order(wanted: str, serving: str, older: bool) -> None:
    assert Version.parse(wanted).is_older_than(Version.parse(serving)) is older


@given(TAGS)
def test_every_version_makes_a_valid_name_and_label(tag: str) -> None:
    version = Version.parse(tag)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", version.slug)
    assert len(f"{'m' * 24}-{version.slug}-migrate-12345678") <= 63
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", version.label)


@given(TAGS, TAGS)
def test_two_versions_never_share_a_name(one: str, other: str) -> None:
    assert (one == other) == (Version(one).slug == Version(other).slug)


def test_names_that_differ_only_in_punctuation_differ() -> None:
    assert Version("1.1.0-rc.1").slug != Version("1.1.0-rc-1").slug
    assert Version("1.1.0").slug == "1-1-0"
