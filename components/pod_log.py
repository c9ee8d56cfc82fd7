"""The log of a container, line by line and within bounds: a container may write a line that does not end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightkube import Client

LINE = 1 << 20  # characters of a line that is data
SHOWN = 1 << 14  # of one that is shown


def follow(client: Client, pod: str, container: str, most: int = LINE) -> Iterator[str]:
    """The lines of a container's log as they come, until it ends.

    Args:
        client: of the cluster.
        pod: name, in the client's namespace.
        container: in it.
        most: characters of a line; what comes after them is counted.

    Raises:
        lightkube.ApiError: the server refuses.
        httpx2.HTTPError: it does not answer.
    """
    yield from _lines(client, {"container": container, "follow": True}, pod, most)


def tail(client: Client, pod: str, container: str, lines: int, most: int = SHOWN) -> list[str]:
    """The last lines of a container's log; no line where the server does not give it.

    Args:
        client: of the cluster.
        pod: name, in the client's namespace.
        container: in it.
        lines: how many.
        most: characters of a line.
    """
    import httpx2 as httpx

    try:
        return list(_lines(client, {"container": container, "tailLines": lines}, pod, most))
    except httpx.HTTPError:
        return []


def _lines(client: Client, params: dict[str, object], pod: str, most: int) -> Iterator[str]:
    """As `lightkube.Client.log`, which reads a log that is not followed whole, and a line however long it is."""
    import httpx2 as httpx
    from lightkube.resources.core_v1 import PodLog

    generic = client._client
    request = generic.prepare_request("get", PodLog, name=pod, params=params)
    if "follow" in params:
        usual = generic._client.timeout
        request.timeout = httpx.Timeout(connect=usual.connect, read=None, write=usual.write, pool=usual.pool)
    with closing(generic.send(generic.build_adapter_request(request), stream=True)) as response:
        if response.is_error:
            response.read()
        generic.raise_for_status(response)
        yield from bounded(response.iter_text(), most)


def bounded(chunks: Iterable[str], most: int) -> Iterator[str]:
    """The lines of a stream of text, without their ends; of a long one its beginning, and how much more there was."""
    line, more = "", 0
    for chunk in chunks:
        for number, part in enumerate(chunk.split("\n")):
            if number:
                yield _ended(line, more)
                line, more = "", 0
            room = most - len(line)
            line, more = line + part[:room], more + len(part[room:])
    if line or more:
        yield _ended(line, more)


def _ended(line: str, more: int) -> str:
    return f"{line}... ({more} more characters)" if more else line.removesuffix("\r")
