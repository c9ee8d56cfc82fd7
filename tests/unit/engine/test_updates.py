"""What an update does to a stack: order, failures, replacements, options. Programs run inline unless said otherwise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest
from pulumi import ResourceOptions as Opts

from offline.engine.provider import ProviderError

from .fakes import Group, StackUnderTest, Thing


@pytest.fixture
def stack(tmp_path: Path) -> StackUnderTest:
    return StackUnderTest(tmp_path)


def modules(*names: str, version: str = "1") -> None:
    """Per name a job, what it gates, and what points at that: the shape of a gated module."""
    for name in names:
        group = Group(name)
        job = Thing(f"{name}-{version}-job", opts=Opts(parent=group))
        release = Thing(f"{name}-{version}", opts=Opts(parent=group, depends_on=[job]))
        Thing(f"{name}-service", selector=version, opts=Opts(parent=group, depends_on=[release]))


# --- the plain course ---------------------------------------------------------------------------------------------


def test_first_update_creates_dependencies_before_dependents(stack: StackUnderTest) -> None:
    outcome = stack.up(lambda: modules("a"))
    assert outcome.ok
    assert outcome.steps() == ["create a", "create a-1-job", "create a-1", "create a-service"]
    assert stack.names() == ["a", "a-1-job", "a-1", "a-service"]


def test_second_update_finds_nothing_to_do_and_calls_no_provider(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    stack.world.calls.clear()
    outcome = stack.up(lambda: modules("a"))
    assert outcome.result.changes == {"same": 5}
    assert stack.world.calls == []


def test_new_version_comes_first_and_old_one_goes_last(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    outcome = stack.up(lambda: modules("a", version="2"))
    assert outcome.steps() == [
        "same a",
        "create a-2-job",
        "create a-2",
        "update a-service",
        "delete a-1",
        "delete a-1-job",
    ]
    assert stack.names() == ["a", "a-2-job", "a-2", "a-service"]


def test_preview_shows_the_same_steps_and_changes_nothing(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    before = stack.names()
    stack.world.calls.clear()
    shown = stack.preview(lambda: modules("a", version="2"))
    assert stack.world.calls == []
    assert stack.saves == []
    assert stack.names() == before
    assert shown.steps() == stack.up(lambda: modules("a", version="2")).steps()


def test_destroy_deletes_dependents_first_and_leaves_nothing(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    outcome = stack.run(None, "destroy")
    assert outcome.steps() == ["delete a-service", "delete a-1", "delete a-1-job", "delete a"]
    assert stack.snapshot.resources == []
    assert stack.world.objects == {}


@pytest.mark.measures
def test_independent_resources_are_made_side_by_side(stack: StackUnderTest) -> None:
    all_of_them = threading.Barrier(8, timeout=60)
    stack.world.then = {f"create {n}": all_of_them.wait for n in "abcdefgh"}
    assert stack.up(lambda: [Thing(n) for n in "abcdefgh"], parallel=8).ok


def test_parallel_one_makes_them_one_by_one(stack: StackUnderTest) -> None:
    stack.world.slow = {f"create {n}": 0.05 for n in "abc"}
    stack.up(lambda: [Thing(n) for n in "abc"], parallel=1)
    assert [c.split()[0] for c in stack.world.calls] == ["begin", "end"] * 3


def test_default_provider_is_made_named_after_its_version_and_not_counted(stack: StackUnderTest) -> None:
    outcome = stack.up(lambda: Thing("a"), config={"fake:region": "here"})
    provider = stack.state("default_1_0_0")
    assert provider.inputs == {"region": "here", "version": "1.0.0", "__internal": {}}
    assert provider.outputs == {"region": "here", "version": "1.0.0"}
    assert stack.state("a").provider == f"{provider.urn}::{provider.id}"
    assert outcome.result.changes == {"create": 2}


def test_outputs_flow_from_one_resource_to_the_next(stack: StackUnderTest) -> None:
    def program() -> None:
        a = Thing("a")
        Thing("b", size=a.result)
        pulumi.export("made", a.result)

    stack.up(program)
    assert stack.state("b").inputs["size"] == "made a"
    assert stack.state("b").dependencies == [stack.state("a").urn]
    assert stack.state("b").property_dependencies["size"] == [stack.state("a").urn]
    assert stack.state("test-dev").outputs == {"made": "made a"}


def test_state_tells_of_a_creation_before_the_provider_is_called(stack: StackUnderTest) -> None:
    seen: list[list[str]] = []
    inner = stack.world.note

    def note(what: str) -> None:
        seen.append([what, *(f"{p.type} {p.resource.name}" for p in stack.saves[-1].pending)])
        inner(what)

    stack.world.note = note  # type: ignore[method-assign]
    stack.up(lambda: Thing("a"))
    assert ["begin create a", "creating a"] in seen
    assert stack.snapshot.pending == []


# --- a local program ----------------------------------------------------------------------------------------------

LOCAL = """
import pulumi
class Thing(pulumi.CustomResource):
    def __init__(self, name, **props):
        super().__init__("fake:index:Thing", name, props, pulumi.ResourceOptions(version="1.0.0"))
print("in", __file__)
Thing("a", size=pulumi.Config().get_int("size"))
"""


@pytest.mark.slow
def test_local_program_runs_in_its_own_process_with_its_configuration(stack: StackUnderTest) -> None:
    outcome = stack.up(LOCAL, config={"test:size": "3"})
    assert outcome.ok
    assert stack.state("a").inputs["size"] == 3
    assert any("__main__.py" in line for line in outcome.diagnostics("info"))
    assert stack.state("a").raw["sourcePosition"] == "project:///__main__.py#7"


@pytest.mark.slow
def test_local_program_that_raises_ends_the_update_with_its_own_traceback_only(stack: StackUnderTest) -> None:
    outcome = stack.up(LOCAL + "raise RuntimeError('settings are wrong')")
    assert not outcome.ok
    (text,) = outcome.diagnostics()
    assert text.startswith("Program failed with an unhandled exception:\nTraceback (most recent call last):\n  File ")
    assert "RuntimeError: settings are wrong" in text
    assert "runpy" not in text


@pytest.mark.slow
def test_local_program_that_dies_is_told_by_its_exit_code(stack: StackUnderTest) -> None:
    outcome = stack.up("import os; os._exit(7)")
    assert outcome.diagnostics() == ["an unhandled error occurred: program exited with non-zero exit code: 7\n"]


@pytest.mark.slow
def test_missing_configuration_is_told_without_a_traceback(stack: StackUnderTest) -> None:
    outcome = stack.up("import pulumi; pulumi.Config().require('spec')")
    assert "Missing required configuration variable 'test:spec'" in outcome.diagnostics()[0]
    assert "Traceback" not in outcome.diagnostics()[0]


@pytest.mark.slow
def test_failure_ends_a_local_program_that_would_sleep_on(stack: StackUnderTest) -> None:
    stack.world.fail["create a"] = ProviderError("no")
    stack.world.slow = {"create a": 0.3}
    began = time.monotonic()
    outcome = stack.up(LOCAL + "\nimport time\nThing('b').id.apply(lambda _: time.sleep(60))")
    assert not outcome.ok
    assert time.monotonic() - began < 50
    assert not any("KeyboardInterrupt" in d for d in outcome.diagnostics("info#err"))


# --- failures -----------------------------------------------------------------------------------------------------


def test_failed_job_halts_and_the_old_version_is_untouched(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    stack.world.unready = {"a-2-job"}
    outcome = stack.up(lambda: modules("a", version="2"))
    assert not outcome.ok
    assert outcome.steps() == ["same a", "create a-2-job"]
    assert outcome.steps("resOpFailedEvent") == ["create a-2-job"]
    assert outcome.diagnostics() == ["1 error occurred:\n\t* a-2-job did not become ready\n\n\n", "update failed\n"]
    assert stack.names() == ["a", "a-2-job", "a-1-job", "a-1", "a-service"]
    assert stack.state("a-2-job").init_errors == ["a-2-job did not become ready"]
    assert outcome.of("summaryEvent")[0]["result"] == "failed"


def test_going_back_removes_what_failed_and_touches_nothing_else(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    stack.world.unready = {"a-2-job"}
    stack.up(lambda: modules("a", version="2"))
    outcome = stack.up(lambda: modules("a"))
    assert outcome.steps() == ["same a", "same a-1-job", "same a-1", "same a-service", "delete a-2-job"]


def test_unready_object_is_waited_for_again_without_a_difference(stack: StackUnderTest) -> None:
    stack.world.unready = {"a"}
    stack.up(lambda: Thing("a"))
    again = stack.up(lambda: Thing("a"))
    assert again.steps() == ["update a"]
    assert not again.ok
    stack.world.unready = set()
    assert stack.up(lambda: Thing("a")).ok
    assert stack.state("a").init_errors == []


def test_replace_unready_deletes_the_dead_one_before_it_runs_again(stack: StackUnderTest) -> None:
    stack.world.unready, stack.world.replace_unready = {"a-1-job"}, True
    stack.up(lambda: modules("a"))
    stack.on_event = lambda e: stack.world.unready.clear() if "delete-replaced" in str(e) else None
    outcome = stack.up(lambda: modules("a"))
    assert outcome.ok
    assert outcome.steps()[1:4] == ["delete-replaced a-1-job", "replace a-1-job", "create-replacement a-1-job"]
    assert outcome.result.changes == {"same": 2, "replace": 1, "create": 2}
    assert stack.names() == ["a", "a-1-job", "a-1", "a-service"]


def test_init_error_trigger_replaces_and_keeps_the_dead_one_marked_until_the_end(stack: StackUnderTest) -> None:
    def program() -> None:
        Thing("a", opts=Opts(replace_on_changes=["#initerror"]))

    stack.world.unready = {"a"}
    stack.up(program)
    outcome = stack.up(program)
    assert outcome.steps() == ["create-replacement a"]
    assert stack.names() == ["a", "a!"]
    stack.world.unready = set()
    outcome = stack.up(program)
    assert outcome.steps() == ["create-replacement a", "replace a", "delete-replaced a", "delete-replaced a"]
    assert stack.names() == ["a"]


def test_provider_error_leaves_nothing_of_the_resource_and_keeps_the_rest(stack: StackUnderTest) -> None:
    stack.world.fail["create b"] = ProviderError("the API server says no")

    def program() -> None:
        a = Thing("a")
        Thing("b", opts=Opts(depends_on=[a]))

    outcome = stack.up(program)
    assert outcome.diagnostics() == ["the API server says no\n", "update failed\n"]
    assert stack.names() == ["a"]
    assert outcome.of("resOpFailedEvent")[0]["status"] == 0


def test_bug_in_a_provider_is_an_error_not_a_hang(stack: StackUnderTest) -> None:
    stack.world.fail["create a"] = KeyError("spec")
    outcome = stack.up(lambda: Thing("a"))
    assert not outcome.ok
    assert "'spec'" in outcome.diagnostics()[0]


def test_failed_check_is_told_with_property_and_reason(stack: StackUnderTest) -> None:
    outcome = stack.preview(lambda: Thing("a", size=-1))
    assert not outcome.ok
    assert outcome.diagnostics() == [
        "fake:index:Thing resource 'a': property size value {-1} has a problem: must not be negative\n"
    ]


def test_package_that_is_not_covered_is_named_together_with_the_pulumi_cli(stack: StackUnderTest) -> None:
    def program() -> None:
        pulumi.CustomResource("aws:s3:Bucket", "b", {}, Opts(version="7.0.0"))

    outcome = stack.preview(program)
    assert "'aws' is not covered by the offline engine" in outcome.diagnostics()[0]
    assert "Pulumi CLI" in outcome.diagnostics()[0]


@pytest.mark.slow
def test_display_that_breaks_ends_the_update_and_does_not_hang_it(stack: StackUnderTest) -> None:
    def broken(event: dict[str, object]) -> None:
        if "resourcePreEvent" in event:
            raise RuntimeError("the display broke")

    stack.on_event = broken
    with pytest.raises(RuntimeError, match="the display broke"):
        stack.up(LOCAL)


def test_other_steps_in_flight_finish_when_one_fails(stack: StackUnderTest) -> None:
    began, note = threading.Event(), stack.world.note

    def in_step(what: str) -> None:
        note(what)
        if what == "begin create slow":
            began.set()
        elif what == "begin create bad":
            began.wait(20)

    stack.world.note = in_step  # type: ignore[method-assign]
    stack.world.slow = {"create slow": 0.4}
    stack.world.fail["create bad"] = ProviderError("no")
    stack.up(lambda: [Thing("slow"), Thing("bad")])
    assert stack.names() == ["slow"]


def test_continue_on_error_finishes_the_others_and_deletes_what_nobody_needs(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a", "b"))
    stack.world.unready = {"a-2-job"}
    outcome = stack.up(lambda: modules("a", "b", version="2"), continue_on_error=True)
    assert not outcome.ok
    assert "update b-service" in outcome.steps()
    assert "create a-2" not in outcome.steps()
    # What the real engine does, too: an outage, were there no hook to refuse it.
    assert "delete a-1" in outcome.steps()
    assert outcome.diagnostics()[-1] == "update failed\n"


def test_failed_deletion_keeps_what_the_undeleted_needs(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    stack.world.fail["delete a-1"] = ProviderError("held")
    outcome = stack.run(None, "destroy", continue_on_error=True)
    assert not outcome.ok
    assert stack.names() == ["a", "a-1-job", "a-1"]


def test_state_can_be_read_after_every_single_save(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a", "b"))
    stack.up(lambda: modules("a", "b", version="2"))
    for snapshot in stack.saves:
        urns = {s.urn for s in snapshot.resources}
        for s in snapshot.resources:
            assert {*s.dependencies, s.parent} - {""} <= urns


# --- interruptions ------------------------------------------------------------------------------------------------


@pytest.mark.measures
def test_cancel_cuts_the_running_step_short_and_begins_no_other(stack: StackUnderTest) -> None:
    stack.world.slow = {"create a-1-job": 30}
    stack.world.then = {"create a-1-job": stack.cancel.set}
    began = time.monotonic()
    outcome = stack.up(lambda: modules("a"))
    assert time.monotonic() - began < 25
    assert outcome.result.cancelled
    assert outcome.steps() == ["create a", "create a-1-job"]
    assert stack.names() == ["a"]


def test_cancel_between_steps_is_told_as_canceled(stack: StackUnderTest) -> None:
    def program() -> None:
        def cut(_: str) -> None:
            stack.cancel.set()
            time.sleep(0.2)

        Thing("a").result.apply(cut)

    outcome = stack.up(program)
    assert outcome.diagnostics()[-1] == "update canceled\n"
    assert outcome.result.cancelled


def test_interrupted_creation_is_warned_about_and_stays_noted(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("a"))
    for kind in ("creating", "deleting"):
        from offline.engine.model import PendingOperation

        stack.snapshot.pending.append(PendingOperation(stack.state("a"), kind))
    outcome = stack.up(lambda: Thing("a"))
    assert outcome.ok
    assert "2 pending operations" in outcome.diagnostics("warning")[0]
    assert "interrupted while creating" in outcome.diagnostics("warning")[0]
    assert [p.type for p in stack.snapshot.pending] == ["creating"]


# --- replacement --------------------------------------------------------------------------------------------------


def test_replacement_makes_the_new_one_first_and_deletes_the_old_one_at_the_end(stack: StackUnderTest) -> None:
    def program(kind: str) -> None:
        a = Thing("a", kind=kind)
        Thing("b", of=a.id)

    stack.up(lambda: program("1"))
    outcome = stack.up(lambda: program("2"))
    assert outcome.steps() == ["create-replacement a", "replace a", "update b", "delete-replaced a"]
    assert outcome.of("resourcePreEvent")[2]["metadata"]["keys"] == ["kind"]
    assert outcome.result.changes == {"same": 1, "replace": 1, "update": 1}
    assert stack.names() == ["a", "b"]


def test_delete_before_replace_takes_dependents_down_first(stack: StackUnderTest) -> None:
    def program(kind: str) -> None:
        a = Thing("a", kind=kind)
        Thing("b", kind=a.id)

    stack.up(lambda: program("1"))
    stack.world.delete_before_replace = True
    outcome = stack.up(lambda: program("2"))
    assert outcome.steps() == [
        "delete-replaced b",
        "delete-replaced a",
        "replace a",
        "create-replacement a",
        "replace b",
        "create-replacement b",
    ]
    assert stack.names() == ["a", "b"]


def test_failed_creation_after_a_deletion_is_made_up_for_by_the_next_update(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("a", kind="1"))
    stack.world.delete_before_replace = True
    stack.world.fail["create a"] = ProviderError("no")
    assert not stack.up(lambda: Thing("a", kind="2")).ok
    assert stack.state("a").pending_replacement
    stack.world.fail.clear()
    outcome = stack.up(lambda: Thing("a", kind="2"))
    assert outcome.ok
    assert "delete-replaced a" not in outcome.steps()
    assert not stack.state("a").pending_replacement
    assert stack.names() == ["a"]


def test_replace_on_changes_turns_an_update_into_a_replacement(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("a", size=1))
    outcome = stack.up(lambda: Thing("a", size=2, opts=Opts(replace_on_changes=["size"])))
    assert outcome.steps()[:2] == ["create-replacement a", "replace a"]


def test_difference_that_replaces_is_known_by_its_kind_alone(stack: StackUnderTest) -> None:
    stack.world.name_replaced_keys = False
    stack.up(lambda: Thing("a", kind="1"))
    outcome = stack.up(lambda: Thing("a", kind="2"))
    assert outcome.steps() == ["create-replacement a", "replace a", "delete-replaced a"]
    assert "keys" not in outcome.of("resourcePreEvent")[2]["metadata"]


# --- options ------------------------------------------------------------------------------------------------------


def test_protected_resource_is_not_deleted_and_what_it_needs_stays(stack: StackUnderTest) -> None:
    def program(*, with_b: bool) -> None:
        Thing("other")
        if with_b:
            a = Thing("a")
            Thing("b", opts=Opts(protect=True, depends_on=[a]))

    stack.up(lambda: program(with_b=True))
    outcome = stack.up(lambda: program(with_b=False))
    assert not outcome.ok
    assert "because it is protected" in outcome.diagnostics()[0]
    assert stack.names() == ["other", "a", "b"]
    stack.state("b").protect = False
    assert stack.up(lambda: program(with_b=False)).ok
    assert stack.names() == ["other"]


def test_protected_resource_is_not_replaced_and_nothing_moves(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("a", kind="1", opts=Opts(protect=True)))
    stack.world.calls.clear()
    outcome = stack.up(lambda: Thing("a", kind="2", opts=Opts(protect=True)))
    assert "unable to replace resource" in outcome.diagnostics()[0]
    assert stack.world.calls == []


def test_retained_resource_leaves_the_state_but_not_the_world(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("a", opts=Opts(retain_on_delete=True)))
    assert stack.up(lambda: None).steps() == ["delete a"]
    assert stack.names() == []
    assert list(stack.world.objects) == ["a-1"]


def test_ignored_property_keeps_its_old_value(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("a", spec={"replicas": 1, "image": "x"}))
    same = stack.up(lambda: Thing("a", spec={"replicas": 3, "image": "x"}, opts=Opts(ignore_changes=["spec.replicas"])))
    assert same.steps() == ["same a"]
    assert stack.state("a").inputs["spec"] == {"replicas": 1, "image": "x"}


def test_alias_keeps_a_renamed_resource(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("old"))
    outcome = stack.up(lambda: Thing("new", opts=Opts(aliases=[pulumi.Alias(name="old")])))
    assert outcome.steps() == ["same new"]
    assert stack.names() == ["new"]


def test_alias_of_a_component_is_refused_and_nothing_moves(stack: StackUnderTest) -> None:
    def program(name: str, aliases: list[pulumi.Alias]) -> None:
        group = Group(name, Opts(aliases=aliases))
        Thing(f"{name}-child", opts=Opts(parent=group))

    stack.up(lambda: program("old", []))
    outcome = stack.up(lambda: program("new", [pulumi.Alias(name="old")]))
    assert "Group::old of a component is not covered by the offline engine" in outcome.diagnostics()[0]
    assert stack.names() == ["old", "old-child"]


def test_same_name_twice_is_an_error_that_names_the_urn(stack: StackUnderTest) -> None:
    def program() -> None:
        Thing("a")
        Thing("a")

    assert "Duplicate resource URN 'urn:pulumi:dev::test::fake:index:Thing::a'" in stack.up(program).diagnostics()[0]


def test_custom_timeouts_and_protection_reach_the_state(stack: StackUnderTest) -> None:
    def program() -> None:
        group = Group("g", Opts(protect=True))
        timeouts = pulumi.CustomTimeouts(create="1m30s", delete="5s")
        Thing("a", opts=Opts(parent=group, custom_timeouts=timeouts))

    stack.up(program)
    assert stack.state("a").custom_timeouts == {"create": 90.0, "delete": 5.0}
    assert stack.state("a").protect


# --- targets ------------------------------------------------------------------------------------------------------


def test_target_changes_only_what_it_names(stack: StackUnderTest) -> None:
    stack.up(lambda: [Thing("a", size=1), Thing("b", size=1)])
    outcome = stack.up(lambda: [Thing("a", size=2), Thing("b", size=2), Thing("c")], targets=["**Thing::a"])
    assert outcome.ok
    assert sorted(outcome.steps()) == ["same b", "same c", "update a"]
    assert stack.state("b").inputs["size"] == 1
    assert sorted(stack.names()) == ["a", "b"]


def test_target_whose_dependency_would_be_created_is_refused(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    outcome = stack.up(lambda: modules("a", version="2"), targets=["**::a-service"])
    urn = stack.state("a-service").urn
    assert outcome.diagnostics()[0].startswith(f"Resource '{urn}' depends on '")
    assert "not specified in --target list" in outcome.diagnostics()[0]
    assert stack.state("a-service").inputs["selector"] == "1"


def test_what_is_excluded_is_neither_changed_nor_deleted(stack: StackUnderTest) -> None:
    stack.up(lambda: [Thing("a", size=1), Thing("b", pulumi.ResourceOptions(depends_on=Thing("c")))])
    outcome = stack.up(lambda: [Thing("a", size=2), Thing("d")], excludes=["**"])
    assert outcome.ok
    assert sorted(stack.names()) == ["a", "b", "c"], "not even what the program does not declare"
    assert stack.state("a").inputs["size"] == 1
    assert stack.up(lambda: Thing("a", size=2), excludes=["**Thing::b"]).ok
    assert sorted(stack.names()) == ["a", "b", "c"], "nor what that stands on"
    assert stack.state("a").inputs["size"] == 2


def test_destroy_of_a_target_does_not_take_its_dependents(stack: StackUnderTest) -> None:
    stack.up(lambda: modules("a"))
    targets = [stack.state(name).urn for name in ("a-1", "a-service")]
    refused = stack.run(None, "destroy", targets=targets[:1])
    assert "was not specified in --target list" in refused.diagnostics()[0]
    assert stack.run(None, "destroy", targets=targets).ok
    assert stack.names() == ["a", "a-1-job"]


# --- secrets ------------------------------------------------------------------------------------------------------


def test_secrets_are_wrapped_in_the_state_and_masked_in_every_event(stack: StackUnderTest) -> None:
    def program() -> None:
        a = Thing("a", password=pulumi.Output.secret("canary-1"), opts=Opts(additional_secret_outputs=["result"]))
        pulumi.export("result", a.result)
        pulumi.log.info("the token is canary-2")

    outcome = stack.up(program, config={"test:token": "canary-2"}, secret_keys=["test:token"])
    assert "canary" not in str(outcome.events)
    assert "made a" not in str(outcome.events)
    assert repr(stack.state("a").inputs["password"]) == "Secret([secret])"
    assert repr(stack.state("test-dev").outputs["result"]) == "Secret([secret])"


# --- refresh ------------------------------------------------------------------------------------------------------


def test_refresh_takes_over_what_changed_and_forgets_what_is_gone(stack: StackUnderTest) -> None:
    def program() -> None:
        a, c = Thing("a", size=1), Thing("c")
        Thing("b", opts=Opts(depends_on=[a, c]))

    stack.up(program)
    stack.world.objects["a-1"] = {**stack.world.objects["a-1"], "size": 5} if "a-1" in stack.world.objects else {}
    ids = {s.name: s.id for s in stack.snapshot.resources}
    stack.world.objects[ids["a"]]["size"] = 5
    del stack.world.objects[ids["c"]]
    outcome = stack.run(None, "refresh")
    assert outcome.ok
    assert sorted(outcome.steps("resOutputsEvent")) == ["delete c", "same b", "update a"]
    assert stack.state("a").inputs["size"] == 5
    assert stack.state("b").dependencies == [stack.state("a").urn]


def test_up_with_refresh_repairs_drift(stack: StackUnderTest) -> None:
    stack.up(lambda: Thing("a", size=1))
    stack.world.objects[stack.state("a").id]["size"] = 5
    outcome = stack.up(lambda: Thing("a", size=1), refresh=True)
    assert outcome.steps() == ["refresh a", "update a"]
    assert outcome.result.changes == {"same": 1, "update": 1}


# --- what else programs do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (lambda other: Opts(deleted_with=other), "deleted_with"),
        (lambda other: Opts(replace_with=[other]), "replace_with"),
        (lambda other: Opts(replacement_trigger="1"), "replacement_trigger"),
        (lambda other: Opts(delete_before_replace=True), "delete_before_replace"),
        (lambda other: Opts(id="there"), "fake:index:Thing a by its id"),
        (lambda other: Opts(import_="there"), "the option import"),
    ],
)
def test_an_option_that_is_not_covered_is_refused_by_name_and_nothing_moves(
    stack: StackUnderTest, options: Callable[[Thing], Opts], said: str
) -> None:
    outcome = stack.up(lambda: Thing("a", opts=options(Thing("other"))))
    assert not outcome.ok
    assert any(said in d and "is not covered by the offline engine" in d for d in outcome.diagnostics())
    assert "a" not in stack.names()


def test_a_function_of_a_package_is_refused_by_name(stack: StackUnderTest) -> None:
    said = stack.up(lambda: pulumi.runtime.invoke("fake:index:other", {})).diagnostics()
    assert any("the function fake:index:other is not covered by the offline engine" in d for d in said)


@pytest.mark.slow
@pytest.mark.measures
def test_hundred_modules_are_planned_and_found_unchanged_quickly(stack: StackUnderTest) -> None:
    names = [f"m{i}" for i in range(100)]
    stack.keep_saves = False
    assert stack.up(lambda: modules(*names)).ok
    began = time.process_time()
    assert stack.up(lambda: modules(*names)).result.changes == {"same": 401}
    assert time.process_time() - began < 10
