"""Resource hooks: the program's functions around the engine's steps."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pulumi
import pytest
from pulumi import ResourceOptions as Opts

from .fakes import StackUnderTest, Thing


@pytest.fixture
def stack(tmp_path: Path) -> StackUnderTest:
    return StackUnderTest(tmp_path)


def refuse(args: pulumi.ResourceHookArgs) -> None:
    raise RuntimeError(f"{args.name} still serves")


def guarded(*names: str) -> None:
    hook = pulumi.ResourceHook("keep-serving", refuse)
    for name in names:
        Thing(name, opts=Opts(hooks=pulumi.ResourceHookBinding(before_delete=[hook])))


def test_before_delete_hook_that_raises_keeps_the_resource(stack: StackUnderTest) -> None:
    stack.up(lambda: guarded("a"))
    assert stack.state("a").hooks == {"BeforeDelete": ["keep-serving"]}
    outcome = stack.up(lambda: guarded("b"))
    assert not outcome.ok
    assert outcome.diagnostics()[0] == 'before hook "keep-serving" failed: a still serves\n'
    assert stack.names() == ["b", "a"]


def test_destroy_without_the_program_is_refused_while_hooks_guard(stack: StackUnderTest) -> None:
    stack.up(lambda: guarded("a"))
    outcome = stack.run(None, "destroy")
    assert "--run-program" in outcome.result.error
    assert outcome.diagnostics() == [
        "Resource has delete hooks registered, but the program is not running. Hooks: keep-serving\n"
    ]
    assert stack.names() == ["a"]


def test_destroy_with_the_program_runs_the_hooks_and_deletes(stack: StackUnderTest) -> None:
    seen: list[str] = []

    def program() -> None:
        hook = pulumi.ResourceHook("note", lambda args: seen.append(args.name))
        binding = pulumi.ResourceHookBinding(before_delete=[hook])
        a = Thing("a", opts=Opts(hooks=binding))
        Thing("b", opts=Opts(hooks=binding, depends_on=[a]))

    stack.up(program)
    outcome = stack.run(program, "destroy")
    assert outcome.ok
    assert seen == ["b", "a"]
    assert stack.snapshot.resources == []
    assert outcome.result.changes == {"same": 3, "delete": 3}


def test_hooks_see_old_and_new_values_in_their_order(stack: StackUnderTest) -> None:
    seen: list[tuple[str, object, object]] = []

    def program(size: int) -> None:
        def note(kind: str) -> pulumi.ResourceHook:
            def call(args: pulumi.ResourceHookArgs) -> None:
                seen.append(
                    (kind, args.old_inputs and args.old_inputs["size"], args.new_inputs and args.new_inputs["size"])
                )

            return pulumi.ResourceHook(kind, call)

        binding = pulumi.ResourceHookBinding(
            before_create=[note("before create")],
            after_create=[note("after create")],
            before_update=[note("before update")],
            after_update=[note("after update")],
        )
        Thing("a", size=size, opts=Opts(hooks=binding))

    stack.up(lambda: program(1))
    stack.up(lambda: program(2))
    assert seen == [
        ("before create", None, 1),
        ("after create", None, 1),
        ("before update", 1, 2),
        ("after update", 1, 2),
    ]


def test_after_hook_that_raises_fails_the_update_but_keeps_the_resource(stack: StackUnderTest) -> None:
    def program() -> None:
        hook = pulumi.ResourceHook("check", refuse)
        Thing("a", opts=Opts(hooks=pulumi.ResourceHookBinding(after_create=[hook])))

    outcome = stack.up(program)
    assert not outcome.ok
    assert outcome.diagnostics()[0] == 'after hook "check" failed: a still serves\n'
    assert stack.names() == ["a"]


def test_hooks_do_not_run_in_a_preview_unless_they_ask_to(stack: StackUnderTest) -> None:
    seen: list[str] = []

    def program() -> None:
        quiet = pulumi.ResourceHook("quiet", lambda args: seen.append("quiet"))
        eager = pulumi.ResourceHook(
            "eager", lambda args: seen.append("eager"), pulumi.ResourceHookOptions(on_dry_run=True)
        )
        Thing("a", opts=Opts(hooks=pulumi.ResourceHookBinding(before_create=[quiet, eager])))

    assert stack.preview(program).ok
    assert seen == ["eager"]


def test_error_hook_is_refused_by_name(stack: StackUnderTest) -> None:
    outcome = stack.up(lambda: pulumi.ErrorHook("again", lambda args: True))
    assert not outcome.ok
    assert "the error hook again is not covered by the offline engine; use the Pulumi CLI" in "".join(
        outcome.diagnostics()
    )


def test_cancel_ends_the_wait_for_a_hook_and_nothing_is_deleted(stack: StackUnderTest) -> None:
    release = threading.Event()

    def program(*names: str) -> None:
        async def wait(args: pulumi.ResourceHookArgs) -> None:
            stack.cancel.set()
            while not release.is_set():
                await asyncio.sleep(0.01)

        hook = pulumi.ResourceHook("wait", wait)
        for name in names:
            Thing(name, opts=Opts(hooks=pulumi.ResourceHookBinding(before_delete=[hook])))

    stack.up(lambda: program("a"))
    outcome = stack.up(lambda: program("b"))
    release.set()
    assert outcome.result.cancelled
    assert stack.names() == ["b", "a"]
    assert stack.world.began() == ["create a", "create b"]
