"""What stands in other languages' texts, the Caddyfile's and Kubernetes', is made of characters that mean nothing there."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import settings as thorough
from hypothesis import strategies as st
from pydantic import ValidationError

from components.caddyfile import caddyfile
from settings import GatewaySettings, Route
from settings.module import ProbeRequest, ProbeSettings

PATHS = ("/_healthcheck", "/", "/health?checks=db,queue&deep=1", "/api/v1/~app/%7Bx%7D;a=1", "/a@b:8080/*")
TRICKS = (
    "/x\n}\n:80 {",
    "/x {\nrespond hi\n}",
    "/{env.POSTGRES_PASSWORD}",
    '/"',
    "/`",
    "/x # y",
    "/\\",
    "/$(POSTGRES_PASSWORD)",
    "/{$PASSWORD}",
    "/\r",
    "/\u2028",
    "/x\n",
)


@pytest.mark.parametrize("path", PATHS)
def test_paths_of_health_checks_are_accepted(path: str) -> None:
    assert ProbeSettings(path=path).path == path


@pytest.mark.parametrize("path", TRICKS)
def test_what_means_something_elsewhere_is_no_path_of_a_health_check(path: str) -> None:
    with pytest.raises(ValidationError):
        ProbeSettings(path=path)


@pytest.mark.parametrize("path", ["/x y", "/x\r\nHost: y", "/é", "x"])
def test_a_request_of_a_rehearsal_has_a_path_that_http_can_carry(path: str) -> None:
    with pytest.raises(ValidationError):
        ProbeRequest(path=path)
    assert ProbeRequest(path="/x?q=$(A)&r={1}").path == "/x?q=$(A)&r={1}"


@pytest.mark.parametrize("text", ["eu-west-1", "Zürich (prod)", "a@b", ""])
def test_regions_are_accepted(text: str) -> None:
    assert GatewaySettings(region=text, environment=text).region == text


@thorough(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
@example("/x", "a`\n}")
@example("/x\n}", "eu")
def test_nothing_that_is_accepted_adds_to_the_caddyfile(path: str, region: str) -> None:
    def shape(path: str, region: str) -> list[int]:
        text = caddyfile([Route("ledger", path)], GatewaySettings(plugins=(), region=region), grace_seconds=1)
        return [text.count(mark) for mark in '\n{}"`#']

    try:
        accepted = ProbeSettings(path=f"/{path}").path, GatewaySettings(region=region).region
    except ValidationError:
        return
    assert shape(*accepted) == shape("/x", "")
