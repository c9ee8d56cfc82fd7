"""Whether a shell's script fails when a certain command in it fails: the script is read, and run with every outcome of its commands.

Nothing is executed. A command is told apart by the caller; every other one may succeed or fail, but for those whose status is
known (``true``, ``echo``, ``exit 1``, ``[ "$rc" -ne 0 ]``). https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html
has the grammar and what ``set -e`` leaves out; of Bash there are pipefail, PIPESTATUS, ``[[``, ``((`` and traps of ERR.

Time is bounded: a script that is too long, too deep or has too many ways through it is ``Unreadable``.
"""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from .shell_syntax import (
    ASSIGNS,
    AndOr,
    Case,
    Function,
    If,
    Loop,
    Node,
    Pipe,
    Sequence,
    Simple,
    Subshell,
    Unreadable,
    parsed,
)

Kind = Literal["migrates", "backwards", "other", "idle"]
Words = abc.Sequence[str]
Classify = Callable[[Words], Kind]

LONGEST = 16_384  # characters of a script
_DEEPEST = 12  # scripts in scripts, and commands in commands
_STEPS = 3_000  # commands that are followed, on all ways through the script
_WAYS = 200  # states between two commands

GOES_ON = "goes on after a command that has failed"
SHRUGS = "ends well also if the command has failed"
BACKGROUND = "leaves the command in the background"
PIPE = "ends as the last command of a pipe does"
TRAP = "has a trap that ends it well"


class Outcome(NamedTuple):
    """What may become of a script.

    Args:
        migrates: a command that migrates may be reached.
        other: a command that is not known to do nothing may be reached.
        backwards: a command that goes back may be reached although nothing has failed.
        hides: how it may end well although what migrates has failed; empty where it does not.
    """

    migrates: bool
    other: bool
    backwards: bool
    hides: str


@dataclass(frozen=True)
class _State:
    """One way in which a script may have gone so far.

    Args:
        failed: commands that have failed and not been repeated with success, with how that was passed over.
        status: ``$?``, 0 or 1 for any other.
        variables: those that hold a status.
    """

    failed: frozenset[tuple[str, str]] = frozenset()
    status: int = 0
    variables: frozenset[tuple[str, int]] = frozenset()
    errexit: bool = False
    pipefail: bool = False
    on_exit: str = ""
    on_error: str = ""

    def of(self, name: str) -> int | None:
        return next((value for known, value in self.variables if known == name), None)

    def having(self, name: str, value: int | None) -> _State:
        kept = frozenset(v for v in self.variables if v[0] != name)
        return replace(self, variables=kept if value is None else kept | {(name, value)})

    def passing(self, how: str) -> _State:
        if all(told for _, told in self.failed):
            return self
        return replace(self, failed=frozenset((text, told or how) for text, told in self.failed))

    def inside(self, other: _State) -> _State:
        """This state, with the shell as it was: what a subshell sets ends with it."""
        return replace(
            self,
            variables=other.variables,
            errexit=other.errexit,
            pipefail=other.pipefail,
            on_exit=other.on_exit,
            on_error=other.on_error,
        )


_States = set[_State]
_ALWAYS = {"true": 0, ":": 0, "echo": 0, "printf": 0, "sleep": 0, "false": 1, "shift": 0, "unset": 0, "shopt": 0}
_DECLARES = frozenset(["export", "local", "readonly", "declare", "typeset"])
SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "zsh"])


class _Run:
    def __init__(self, classify: Classify, depth: int = 0) -> None:
        self.classify = classify
        self.depth = depth
        self.steps = 0
        self.functions: dict[str, Node] = {}
        self.exits: _States = set()
        self.breaks: _States = set()
        self.continues: _States = set()
        self.returns: _States = set()
        self.calls = 0
        self.migrates = self.other = self.backwards = False

    def ends(self, node: Node, begin: _State) -> _States:
        """The states that a shell may end with, its traps of EXIT included."""
        before = self.exits
        self.exits = set()
        ended = self.run(node, {begin}, False) | self.exits
        found: _States = set()
        for state in ended:
            if not state.on_exit:
                found.add(state)
                continue
            self.exits = set()
            trap = parsed(state.on_exit)
            kept = self.run(trap, {replace(state, on_exit="")}, False)
            found |= {replace(s, status=state.status) for s in kept}
            found |= {s.passing(TRAP) for s in self.exits}
        self.exits = before
        return found

    def run(self, node: Node, states: _States, asked: bool) -> _States:
        """Every state after a node; ``asked``: its failure is a condition, and so nothing to ``set -e``."""
        self.steps += 1
        if self.steps > _STEPS or len(states) > _WAYS:
            raise Unreadable("too many ways through it")
        if not states:
            return states
        if isinstance(node, Simple):
            return self.checked({s for state in states for s in self.simple(node, state, asked)}, asked)
        if isinstance(node, Sequence):
            return self.sequence(node, states, asked)
        if isinstance(node, AndOr):
            return self.and_or(node, states, asked)
        if isinstance(node, Pipe):
            return self.pipe(node, states, asked)
        if isinstance(node, Subshell):
            inside = {s.inside(state) for state in states for s in self.subshell(node.body, state, asked)}
            return self.checked(inside, asked)
        if isinstance(node, If):
            return self.branches(node, states, asked)
        if isinstance(node, Loop):
            return self.loop(node, states, asked)
        if isinstance(node, Case):
            found = set() if node.every else {replace(s, status=0) for s in states}
            for branch in node.branches:
                found |= self.run(branch, states, asked)
            return found
        if isinstance(node, Function):
            self.functions[node.name] = node.body
            return {replace(s, status=0) for s in states}
        return self.checked({s for state in states for s in _counted(node.text, state)}, asked)

    def checked(self, states: _States, asked: bool) -> _States:
        """Without those that ``set -e`` or a trap of ERR ends."""
        if asked:
            return states
        found: _States = set()
        for state in states:
            if state.status and state.on_error:
                on_error, quiet = parsed(state.on_error), replace(state, on_error="")
                after = self.run(on_error, {quiet}, True)
                ends = {replace(s, status=1) for s in after}
                (self.exits.update if state.errexit else found.update)(
                    replace(s, on_error=state.on_error) for s in ends
                )
            elif state.status and state.errexit:
                self.exits.add(state)
            else:
                found.add(state)
        return found

    def sequence(self, node: Sequence, states: _States, asked: bool) -> _States:
        for part, left in node.parts:
            states = {s.passing(GOES_ON) for s in states}
            if left:
                states = {
                    replace(s.inside(state).having("!", s.status), status=0).passing(BACKGROUND)
                    for state in states
                    for s in self.subshell(part, state, asked)
                }
            else:
                states = self.run(part, states, asked)
            if not states:
                break
        return states

    def and_or(self, node: AndOr, states: _States, asked: bool) -> _States:
        parts = [("", node.first), *node.rest]
        for n, (operator, part) in enumerate(parts):
            goes = {s for s in states if not operator or (s.status == 0) == (operator == "&&")}
            goes_on = {s.passing(SHRUGS) for s in goes} if operator == "||" else goes
            states = (states - goes) | self.run(part, goes_on, asked or n < len(parts) - 1)
        return states

    def subshell(self, node: Node, state: _State, asked: bool) -> _States:
        kept = self.breaks, self.continues, self.returns
        self.breaks, self.continues, self.returns = set(), set(), set()
        quiet = replace(state, on_exit="", errexit=state.errexit and not asked)
        found = self.ends(node, quiet) | self.returns
        self.breaks, self.continues, self.returns = kept
        return found

    def pipe(self, node: Pipe, states: _States, asked: bool) -> _States:
        found: _States = set()
        for state in states:
            ways: set[tuple[_State, tuple[int, ...]]] = {(state, ())}
            for n, part in enumerate(node.parts):
                last = n == len(node.parts) - 1
                ways = {
                    (s.inside(way) if last else s.inside(way).passing(PIPE), (*statuses, s.status))
                    for way, statuses in ways
                    for s in (
                        self.run(part, {way}, True)
                        if len(node.parts) == 1
                        else self.subshell(part, replace(way, status=0), asked)
                    )
                }
                if len(ways) > _WAYS:
                    raise Unreadable("too many ways through it")
            for way, statuses in ways:
                failed = any(statuses) if way.pipefail else statuses[-1]
                status = int(not failed if node.negated else bool(failed))
                done = replace(way, status=status)
                for n, each in enumerate(statuses):
                    done = done.having(f"PIPESTATUS[{n}]", each)
                found.add(done)
        return self.checked(found, asked or node.negated)

    def branches(self, node: If, states: _States, asked: bool) -> _States:
        found: _States = set()
        for condition, body in node.branches:
            states = self.run(condition, states, True)
            found |= self.run(body, {s.passing(GOES_ON) for s in states if s.status == 0}, asked)
            states = {s.passing(GOES_ON) for s in states if s.status}
        if node.otherwise is not None:
            return found | self.run(node.otherwise, states, asked)
        return found | {replace(s, status=0) for s in states}

    def loop(self, node: Loop, states: _States, asked: bool) -> _States:
        kept = self.breaks, self.continues
        self.breaks, self.continues = set(), set()
        found = {replace(s, status=0) for s in states} if node.may_be_none else set()
        seen: _States = set()
        todo = states
        while todo:
            seen |= todo
            if node.condition is None:
                body = todo
            else:
                asked_for = self.run(node.condition, todo, True)
                body = {s for s in asked_for if (s.status != 0) == node.until}
                found |= {replace(s, status=0) for s in asked_for - body}
            after = self.run(node.body, {s.passing(GOES_ON) for s in body}, asked) | self.continues
            if node.condition is None:
                found |= after
            after = {s.passing(GOES_ON) for s in after}
            todo = after - seen
        found |= {replace(s, status=0) for s in self.breaks}
        self.breaks, self.continues = kept
        return found

    def simple(self, node: Simple, state: _State, asked: bool) -> _States:
        states = {state}
        scripts = [script for _, value in node.assigned for script in value.scripts]
        scripts += [script for word in node.words for script in word.scripts]
        for script in scripts:
            # Bash does not hand set -e on to a substitution.
            states = {
                s.inside(before)
                for before in states
                for s in self.subshell(parsed(script), replace(before, errexit=False), asked)
            }
        if not node.words:
            return {self.assigned(node, s, state.status if not scripts else None) for s in states}
        words = [word.text for word in node.words]
        return {s for each in states for s in self.command(words, each, asked)}

    def assigned(self, node: Simple, state: _State, before: int | None) -> _State:
        """An assignment succeeds, or ends as the substitution in it."""
        status = 0 if before is not None else state.status
        for name, value in node.assigned:
            state = state.having(name, _value(value.text, state))
        return replace(state, status=status)

    def command(self, words: list[str], state: _State, asked: bool) -> _States:
        name = words[0].rpartition("/")[2]
        if name in self.functions:
            return self.call(self.functions[name], state, asked)
        if name in ("exit", "return"):
            given = _value(words[1], state) if len(words) > 1 else state.status
            for status in (0, 1) if given is None else (given,):
                (self.exits if name == "exit" or not self.calls else self.returns).add(replace(state, status=status))
            return set()
        if name in ("break", "continue"):
            (self.breaks if name == "break" else self.continues).add(replace(state, status=0))
            return set()
        if name == "set":
            return {_set(words[1:], state)}
        if name == "trap":
            return {_trapped(words[1:], state)}
        if name == "wait":
            return _waited(words[1:], state)
        if name in ("[", "[[", "test"):
            return _tested([w for w in words[1:] if w not in ("]", "]]")], state)
        if name in _DECLARES:
            for word in words[1:]:
                given_too = ASSIGNS.fullmatch(word)
                if given_too:
                    state = state.having(given_too[1], _value(given_too[2], state))
            return {replace(state, status=0)}
        if name == "eval":
            return self.run(parsed(" ".join(words[1:])), {state}, asked)
        if name == "exec" and len(words) > 1 and not words[1].startswith("-"):
            self.exits |= {replace(s, on_exit="") for s in self.command(words[1:], state, True)}
            return set()
        nested = script_of(words)
        if nested is not None:
            flags, script = nested
            begin = _set(flags, replace(state, errexit=False, pipefail=False, on_error="", variables=frozenset()))
            return {s.inside(state) for s in self.subshell(parsed(script), begin, False)}
        return self.program(words, name, state)

    def program(self, words: list[str], name: str, state: _State) -> _States:
        what = self.classify(words)
        if what == "idle":
            status = _ALWAYS.get(name)
            return {replace(state, status=s) for s in ((0, 1) if status is None else (status,))}
        if what == "backwards":
            self.backwards |= not state.failed
        self.migrates |= what == "migrates"
        self.other |= what == "other"
        if what != "migrates":
            return {replace(state, status=0), replace(state, status=1)}
        text = " ".join(words)
        # The same again is a second attempt; with a variable in it, it may be another.
        repaired = state.failed if "$" in text else frozenset(f for f in state.failed if f[0] != text)
        return {
            replace(state, status=0, failed=repaired),
            replace(state, status=1, failed=state.failed | {(text, "")}),
        }

    def call(self, body: Node, state: _State, asked: bool) -> _States:
        if self.calls > _DEEPEST:
            raise Unreadable("functions that call each other")
        kept, self.returns = self.returns, set()
        self.calls += 1
        found = self.run(body, {state}, asked)
        self.calls -= 1
        found |= self.returns
        self.returns = kept
        return self.checked(found, asked)


def _value(text: str, state: _State) -> int | None:
    """The status that a word stands for, None where it is not known."""
    text = text.strip("\"'")
    if text.isdigit():
        return int(int(text[-9:]) % 256 != 0)
    if text in ("$?", "${?}"):
        return state.status
    variable = re.fullmatch(r"\$(?:\{(\w+(?:\[\d+\])?|!)(?::?-\d+)?\}|(\w+|!))", text)
    if variable:
        name = variable[1] or variable[2]
        return state.of("PIPESTATUS[0]" if name == "PIPESTATUS" else name)
    return 1 if re.fullmatch(r"\$\(\(\s*\$?\w+\s*\+\s*1\s*\)\)", text) else None


def _compared(left: str, operator: str, right: str, state: _State) -> set[int]:
    """The statuses of a comparison: 0 where it holds."""
    one, other = _value(left, state), _value(right, state)
    if one is None or other is None:
        return {0, 1}
    if operator in ("-eq", "=", "=="):
        return {0, 1} if one and other else {int(one != other)}
    if operator in ("-ne", "!="):
        return {0, 1} if one and other else {int(one == other)}
    if operator in ("-gt", ">"):
        return {0, 1} if other else {int(not one)}
    return {0, 1}


def _tested(words: list[str], state: _State) -> _States:
    negated = words[:1] == ["!"]
    words = words[negated:]
    statuses = _compared(words[0], words[1], words[2], state) if len(words) == 3 else {0, 1}
    return {replace(state, status=int(s != negated)) for s in statuses}


def _counted(text: str, state: _State) -> _States:
    """An arithmetic command, which succeeds where its value is not 0."""
    found = re.fullmatch(r"\s*(\$?\w+|\$\?)\s*(?:(==|!=|>)\s*(\d+))?\s*", text)
    if not found:
        more = re.fullmatch(r"\s*(\w+)\s*(?:\+\+|\+=\s*1)\s*", text)
        if more:
            return {replace(state.having(more[1], 1), status=s) for s in (0, 1)}
        return {replace(state, status=0), replace(state, status=1)}
    name = found[1] if found[1].startswith("$") or found[1].isdigit() else f"${found[1]}"
    statuses = _compared(name, found[2] or "!=", found[3] or "0", state)
    return {replace(state, status=s) for s in statuses}


def _set(words: Words, state: _State) -> _State:
    """``set``, or the flags of a shell."""
    for n, word in enumerate(words):
        if re.fullmatch(r"[-+][A-Za-z]+", word):
            on = word.startswith("-")
            if "e" in word:
                state = replace(state, errexit=on)
            option = words[n + 1] if word.endswith("o") and n + 1 < len(words) else ""
            if option == "errexit":
                state = replace(state, errexit=on)
            if option == "pipefail":
                state = replace(state, pipefail=on)
    return replace(state, status=0)


def _trapped(words: list[str], state: _State) -> _State:
    if words[:1] == ["--"]:
        words = words[1:]
    action = "" if not words or words[0] == "-" else words[0] or ":"
    for signal in words[1:]:
        if signal.upper() in ("EXIT", "0"):
            state = replace(state, on_exit=action)
        if signal.upper() == "ERR":
            state = replace(state, on_error=action)
    return replace(state, status=0)


def _waited(words: list[str], state: _State) -> _States:
    if not words:
        return {replace(state, status=0)}
    status = state.of("!") if words[0].startswith(("%", "-n")) else _value(words[-1], state)
    return {replace(state, status=s) for s in ((0, 1) if status is None else (status,))}


def script_of(words: Words) -> tuple[list[str], str] | None:
    """The flags and the script of a ``sh -c``, also one that another command runs (``timeout 60 sh -c``, ``su app -c``).

    None where the words are no such command.
    """
    for n, word in enumerate(words):
        name = word.rpartition("/")[2]
        if name in SHELLS or (name in ("su", "runuser") and n == 0):
            flags: list[str] = []
            for m in range(n + 1, len(words)):
                flag = words[m]
                if re.fullmatch(r"-[A-Za-z]*c", flag) and m + 1 < len(words):
                    return [*flags, flag], words[m + 1]
                takes = flags[-1:] and re.fullmatch(r"[-+][A-Za-z]*o", flags[-1])
                if not flag.startswith(("-", "+")) and not takes and name in SHELLS:
                    return None  # a file
                flags.append(flag)
            return None
    return None


def outcome(script: str, flags: Words, classify: Classify) -> Outcome:
    """What may become of a script, run by a shell with these flags.

    Args:
        script: as ``sh -c`` takes it.
        flags: of the shell, such as ``-e``.
        classify: what a command's words are.

    Raises:
        Unreadable: it is no script of a shell, or too large to be followed.
    """
    if len(script) > LONGEST:
        raise Unreadable(f"longer than {LONGEST} characters")
    run = _Run(classify)
    try:
        ended = run.ends(parsed(script), _set(flags, _State()))
    except RecursionError:
        raise Unreadable("too deep") from None
    hides = {how or GOES_ON for state in ended if state.status == 0 for _, how in state.failed}
    return Outcome(run.migrates, run.other, run.backwards, min(hides, default=""))
