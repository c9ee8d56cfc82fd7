"""A container's log as the real client reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import pod_log
from components.cluster import LiveCluster
from components.rehearsal_cluster import LiveRehearsals
from tests.unit.components.api import Api


@given(st.lists(st.text("ab\n\r", max_size=30), max_size=6), st.integers(1, 10))
def test_lines_are_those_of_the_text_each_within_its_bound(chunks: list[str], most: int) -> None:
    found = list(pod_log.bounded(chunks, most))
    whole = "".join(chunks).removesuffix("\n").split("\n") if "".join(chunks) else []
    assert len(found) == len(whole)
    for told, line in zip(found, whole, strict=True):
        if len(line) <= most:
            assert told == line.removesuffix("\r")
        else:
            assert told == f"{line[:most]}... ({len(line) - most} more characters)"


def test_a_log_is_followed_and_its_end_is_read(api: Api, live: LiveCluster) -> None:
    api.override = lambda: (200, "text/plain", "one\r\ntwo\u2028still two\n" + "x" * 3_000_000 + "\nlast")
    cluster = LiveRehearsals(live)
    for found in (list(cluster.log("p", "c")), cluster.tail("p", "c")):
        assert found[:2] == ["one", "two\u2028still two"]
        assert len(found[2]) < 1_100_000
        assert found[2].endswith("more characters)")
        assert found[3:] == ["last"]


def test_a_log_that_the_server_refuses_has_no_end(api: Api, live: LiveCluster) -> None:
    api.override = lambda: (
        400,
        "application/json",
        '{"kind": "Status", "code": 400, "message": "is waiting to start"}',
    )
    assert LiveRehearsals(live).tail("p", "c") == []
    with pytest.raises(Exception, match="waiting to start"):
        list(LiveRehearsals(live).log("p", "c"))
