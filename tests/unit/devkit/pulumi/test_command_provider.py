"""The command provider: what is run, what is kept, what is said when it fails, here and over SSH."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN

from devkit.pulumi.command_provider import LOCAL, REMOTE, CommandFailed, CommandProvider

HELLO = {
    "create": "echo created $WHO",
    "update": "echo updated",
    "delete": "echo deleted",
    "environment": {"WHO": "me"},
    "triggers": ["1"],
}


def urn(kind: str = LOCAL) -> str:
    return f"urn:pulumi:dev::test::{kind}::hello"


def values(plain: dict[str, Any]) -> dict[str, PropertyValue]:
    return {name: value(each) for name, each in plain.items()}


def value(plain: Any) -> PropertyValue:
    if isinstance(plain, PropertyValue):
        return plain
    if isinstance(plain, dict):
        return PropertyValue(values(plain))
    if isinstance(plain, list):
        return PropertyValue([value(each) for each in plain])
    return PropertyValue(float(plain) if type(plain) is int else plain)


class Provider:
    """The provider, called from outside of its loop, with the lines that it logged."""

    def __init__(self) -> None:
        self.logged: list[str] = []

    def run(self, call: Callable[[CommandProvider], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            return await call(CommandProvider(lambda _urn, line: self.logged.append(line)))

        return asyncio.run(whole())

    def create(self, inputs: dict[str, Any], *, kind: str = LOCAL, preview: bool = False) -> sdk.CreateResponse:
        request = sdk.CreateRequest(urn(kind), values(inputs), 0, preview)
        made: sdk.CreateResponse = self.run(lambda provider: provider.create(request))
        return made

    def update(self, olds: dict[str, PropertyValue], news: dict[str, Any]) -> dict[str, PropertyValue]:
        request = sdk.UpdateRequest(urn(), "id", olds, values(news), 0, [], False)
        made: sdk.UpdateResponse = self.run(lambda provider: provider.update(request))
        return made.properties

    def diff(self, before: dict[str, Any], after: dict[str, Any]) -> sdk.DiffResponse:
        request = sdk.DiffRequest(urn(), "id", values(before), values(after), [])
        found: sdk.DiffResponse = self.run(lambda provider: provider.diff(request))
        return found


@pytest.fixture
def provider() -> Provider:
    return Provider()


def test_create_runs_the_command_in_its_environment_and_keeps_what_it_printed(provider: Provider) -> None:
    made = provider.create(HELLO)
    assert re.fullmatch(r"hello[0-9a-f]{8}", made.resource_id or "")
    assert made.properties == values(HELLO | {"stdout": "created me", "stderr": ""})
    assert provider.logged == ["created me"]


def test_update_runs_its_own_command_or_create_again(provider: Provider) -> None:
    first = provider.create(HELLO).properties
    assert provider.update(first, HELLO)["stdout"].value == "updated"
    again = {k: v for k, v in HELLO.items() if k != "update"}
    assert provider.update(first, again)["stdout"].value == "created me"


def test_an_update_without_a_command_keeps_what_was_printed(provider: Provider) -> None:
    first = provider.create({"create": "echo first"}).properties
    assert provider.update(first, {"create": "", "delete": "true"})["stdout"].value == "first"


def test_delete_gets_what_the_last_command_printed(provider: Provider, tmp_path: Path) -> None:
    inputs = {"create": "echo first", "delete": "echo $PULUMI_COMMAND_STDOUT > out", "dir": str(tmp_path)}
    made = provider.create(inputs)
    provider.run(lambda p: p.delete(sdk.DeleteRequest(urn(), made.resource_id or "", made.properties, 0)))
    assert (tmp_path / "out").read_text() == "first\n"


def test_stdin_and_interpreter(provider: Provider) -> None:
    made = provider.create({"create": "cat; echo $0", "stdin": "in ", "interpreter": ["/bin/bash", "-c"]})
    assert made.properties["stdout"].value == "in /bin/bash"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"create": "echo no >&2; exit 3"}, 'exit status 3: running "echo no >&2; exit 3":\nno\n'),
        ({"create": "x", "interpreter": ["/no/shell"]}, 'fork/exec /no/shell: No such file or directory: running "x"'),
    ],
)
def test_a_failing_command_is_reported_with_what_it_printed(
    inputs: dict[str, Any], message: str, provider: Provider
) -> None:
    with pytest.raises(CommandFailed) as failed:
        provider.create(inputs)
    assert str(failed.value) == message


def test_a_changed_trigger_replaces_and_anything_else_updates(provider: Provider) -> None:
    replaced = provider.diff(HELLO, HELLO | {"triggers": ["2"]})
    assert (replaced.changes, replaced.replaces) == (True, ["triggers"])
    assert replaced.detailed_diff["triggers"].kind is sdk.PropertyDiffKind.UPDATE_REPLACE
    updated = provider.diff(HELLO, HELLO | {"environment": {"WHO": "you"}})
    assert (updated.changes, updated.replaces, updated.diffs) == (True, [], ["environment"])
    assert not provider.diff(HELLO | {"stdout": "x"}, HELLO).changes


def test_secrets_are_not_logged_and_what_is_printed_is_secret_too(provider: Provider) -> None:
    made = provider.create({"create": "echo $P", "environment": {"P": PropertyValue("canary", is_secret=True)}})
    assert made.properties["stdout"] == PropertyValue("canary", is_secret=True)
    assert provider.logged == []


def test_a_preview_runs_nothing(provider: Provider, tmp_path: Path) -> None:
    made = provider.create({"create": "touch x", "dir": str(tmp_path)}, preview=True)
    assert made.properties["stdout"].value == UNKNOWN
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_input_is_refused_by_name(provider: Provider) -> None:
    request = sdk.CheckRequest(urn(), {}, values({"create": "true", "dirr": "/"}), b"")
    checked: sdk.CheckResponse = provider.run(lambda p: p.check(request))
    assert [(f.property, f.reason) for f in checked.failures or []] == [("dirr", "unknown property 'dirr'")]


@pytest.mark.measures
def test_an_interrupted_command_is_ended_with_all_it_started(provider: Provider, tmp_path: Path) -> None:
    async def interrupted(command: CommandProvider) -> None:
        asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(command.cancel()))
        request = sdk.CreateRequest(
            urn(), values({"create": "sleep 30 & echo $! > pid; sleep 30", "dir": str(tmp_path)}), 0, False
        )
        await command.create(request)

    began = time.monotonic()
    with pytest.raises(CommandFailed, match="interrupted"):
        provider.run(interrupted)
    assert time.monotonic() - began < 5
    stat = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":  # ended, though nobody has asked how
        assert time.monotonic() - began < 5, "what it had started runs on"


@asynccontextmanager
async def ssh_server(key: asyncssh.SSHKey, **options: Any) -> AsyncIterator[int]:
    """An SSH server on this machine that runs commands by the shell; yields its port."""

    async def run(process: asyncssh.SSHServerProcess[str]) -> None:
        shell = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", process.command or "", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await shell.communicate((await process.stdin.read()).encode())
        process.stdout.write(out.decode())
        process.stderr.write(err.decode())
        process.exit(shell.returncode or 0)

    server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[key], process_factory=run, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def remote(inputs: dict[str, Any], logged: list[str], host_key: str | None = None) -> sdk.CreateResponse:
    """Runs a command on a server that knows one client's key."""

    async def whole() -> sdk.CreateResponse:
        server_key, client_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        authorized = asyncssh.import_authorized_keys(client_key.export_public_key().decode())
        async with ssh_server(server_key, authorized_client_keys=authorized) as port:
            connection = {
                "host": "127.0.0.1", "port": port, "user": "deploy", "dialErrorLimit": 1,
                "privateKey": PropertyValue(client_key.export_private_key().decode(), is_secret=True),
                "hostKey": host_key or server_key.export_public_key().decode(),
            }  # fmt: skip
            request = sdk.CreateRequest(urn(REMOTE), values({**inputs, "connection": connection}), 0, False)
            return await CommandProvider(lambda _urn, line: logged.append(line)).create(request)

    return asyncio.run(whole())


def test_a_remote_command_runs_with_its_environment_and_stdin() -> None:
    made = remote({"create": "cat; echo $WHO", "environment": {"WHO": "it's me"}, "stdin": "in "}, [])
    assert made.properties["stdout"] == PropertyValue("in it's me", is_secret=True), "secret, as the key is"


def test_a_failing_remote_command_is_reported_like_a_local_one() -> None:
    with pytest.raises(CommandFailed, match=r'^exit status 3: running "echo no >&2; exit 3":\nno'):
        remote({"create": "echo no >&2; exit 3"}, [])


def test_another_host_key_is_refused() -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    with pytest.raises(CommandFailed, match=r"127\.0\.0\.1: .*[Hh]ost key"):
        remote({"create": "true"}, [], other)
