"""Whether a shell's script fails when a certain command in it fails: the script is read, and run with every outcome of its commands.

Nothing is executed. A command is told apart by the caller; every other one may succeed or fail, but for those whose status is
known (``true``, ``echo``, ``exit 1``, ``[ "$rc" -ne 0 ]``). What is known of variables, of arguments and of files that are mounted is
put in their place. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html has the grammar and what ``set -e`` leaves
out; of Bash there are pipefail, PIPESTATUS, arrays, ``[[``, ``((`` and traps of ERR.

Time is bounded: a script that is too long, too deep or has too many ways through it is ``Unreadable``.
"""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from .runners import FORGETS, program_of, unwrapped
from .shell_calls import called_shell, flags_of_file
from .shell_expansion import FAILED, Value, fields, is_known, text_of, value_of
from .shell_files import NAMES, Files, plain
from .shell_state import State, status_text
from .shell_syntax import (
    ASSIGNS,
    AndOr,
    Case,
    Each,
    Function,
    If,
    Loop,
    Node,
    Pipe,
    Redirect,
    Redirected,
    Sequence,
    Simple,
    Subshell,
    Unreadable,
    Word,
    parsed,
)
from .shell_tests import counted, number, tested

Kind = Literal["migrates", "backwards", "other", "idle"]
Words = abc.Sequence[str]


class Does(NamedTuple):
    """What a command does, and how it may end well although that has failed."""

    kind: Kind
    hides: str = ""


Classify = Callable[[Words, str], Does]  # by its words, and by what is known of its input and its files

LONGEST = 16_384  # characters of a script
_WORDS = 4_096  # of a command
_DEEPEST = 12  # scripts in scripts, and commands in commands
_STEPS = 6_000  # commands that are followed, on all ways through the script
_WAYS = 200  # states between two commands
_FEW = 24  # of which all is kept that is known of variables
_TIMES = 16  # rounds of loops in each other whose words are taken one by one

GOES_ON = "goes on after a command that has failed"
SHRUGS = "ends well also if the command has failed"
BACKGROUND = "leaves the command in the background"
PIPE = "ends as the last command of a pipe does"
TRAP = "has a trap that ends it well"


class Surroundings(NamedTuple):
    """What is known of the container that a command runs in.

    Args:
        variables: names and texts of its environment.
        files: paths and texts of what is mounted.
        folder: the one that it begins in; empty where that is the image's own.
    """

    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    folder: str = ""


class Outcome(NamedTuple):
    """What may become of a command.

    Args:
        migrates: a command that migrates may be reached.
        other: a command that is not known to do nothing may be reached.
        backwards: a command that goes back may be reached although nothing has failed.
        hides: how it may end well although what migrates has failed; empty where it does not.
        fails: it may fail.
        ran: the words of the commands that migrate or may do anything, the variables that they are given first.
    """

    migrates: bool
    other: bool
    backwards: bool
    hides: str
    fails: bool
    ran: frozenset[tuple[str, ...]]


_States = set[State]
_ALWAYS = {
    "pwd": 0,
    "date": 0,
    "hostname": 0,
    "whoami": 0,
    "id": 0,
    "uname": 0,
    "true": 0,
    ":": 0,
    "echo": 0,
    "printf": 0,
    "sleep": 0,
    "false": 1,
    "unset": 0,
    "shopt": 0,
}
_DECLARES = frozenset(["export", "local", "readonly", "declare", "typeset"])
_READS = frozenset(["read", "getopts", "mapfile", "readarray", "let"])  # into variables


class _Run:
    def __init__(self, classify: Classify, around: Surroundings) -> None:
        self.classify = classify
        self.given = frozenset(around.variables)
        self.files = Files(around.files)
        self.steps = self.depth = self.calls = self.loops = 0
        self.times = 1
        self.enclosing = 0  # loops around what is run, in its function or subshell
        self.beyond = False  # and whether there are any around that
        self.before_trap: int | None = None
        self.functions: dict[str, Node] = {}
        self.exits: _States = set()
        self.breaks: _States = set()
        self.continues: _States = set()
        self.returns: _States = set()
        self.migrates = self.other = self.backwards = False
        self.ran: set[tuple[str, ...]] = set()

    def ends(self, node: Node, begin: State) -> _States:
        """The states that a shell may end with, its traps of EXIT included."""
        return self.ended(lambda: self.run(node, {begin}, False))

    def ended(self, run: Callable[[], _States]) -> _States:
        before = self.exits
        self.exits = set()
        ended = run() | self.exits
        found: _States = set()
        for state in ended:
            if not state.on_exit:
                found.add(state)
                continue
            self.exits = set()
            trap = self.parsed(state.on_exit)
            outer, self.before_trap = self.before_trap, state.status
            kept = self.run(trap, {replace(state, on_exit="")}, False)
            self.before_trap = outer
            found |= {replace(s, status=state.status) for s in kept}
            found |= {s.passing(TRAP) for s in self.exits}
        self.exits = before
        return found

    def parsed(self, script: str) -> Node:
        if len(script) > LONGEST:
            raise Unreadable(f"longer than {LONGEST} characters")
        return parsed(script)

    @contextmanager
    def apart(self, beyond: bool | None = None) -> Iterator[None]:
        """In a function, a subshell or, beyond no loop, another shell."""
        kept = self.enclosing, self.beyond
        self.enclosing, self.beyond = 0, bool(self.enclosing or self.beyond) if beyond is None else beyond
        yield
        self.enclosing, self.beyond = kept

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable("scripts that run each other")
        yield
        self.depth -= 1

    def run(self, node: Node, states: _States, asked: bool) -> _States:
        """Every state after a node; ``asked``: its failure is a condition, and so nothing to ``set -e``."""
        if len(states) > _FEW:
            states = _forgetting(states)
        self.steps += max(1, len(states))
        if self.steps > _STEPS or len(states) > _WAYS:
            raise Unreadable("too many ways through it")
        if not states:
            return states
        if isinstance(node, Simple):
            return self.checked({s for state in states for s in self.simple(node, state, asked)}, asked)
        if isinstance(node, Redirected):
            return self.run(node.body, {s for state in states for s in self.redirected(node.redirects, state)}, asked)
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
            return self.loop(node.body, states, asked, node.condition, until=node.until)
        if isinstance(node, Each):
            return {s for state in states for s in self.each(node, state, asked)}
        if isinstance(node, Case):
            return {s for state in states for s in self.cases(node, state, asked)}
        if isinstance(node, Function):
            self.functions[node.name] = node.body
            return {replace(s, status=0) for s in states}
        return self.checked({s for state in states for s in counted(node.text, state)}, asked)

    def checked(self, states: _States, asked: bool) -> _States:
        """Without those that ``set -e`` or a trap of ERR ends."""
        if asked:
            return states
        found: _States = set()
        for state in states:
            if state.status and state.on_error:
                on_error, quiet = self.parsed(state.on_error), replace(state, on_error="")
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
                    replace(s.inside(state).having("!", status_text(s.status)), status=0).passing(BACKGROUND)
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

    def subshell(self, node: Node, state: State, asked: bool) -> _States:
        kept = self.breaks, self.continues, self.returns
        functions = dict(self.functions)
        self.breaks, self.continues, self.returns = set(), set(), set()
        quiet = replace(state, on_exit="", errexit=state.errexit and not asked)
        with self.apart():
            found = self.ends(node, quiet) | self.returns | self.breaks | self.continues
        self.breaks, self.continues, self.returns = kept
        self.functions = functions
        return found

    def child(self, script: str, flags: Words, arguments: tuple[str, ...] | None, state: State) -> _States:
        """Another shell, which has of this one what it exports."""
        begin = State(
            failed=state.failed,
            variables=frozenset(v for v in state.variables if v[0] in state.exported),
            exported=state.exported,
            arguments=arguments,
            folder=state.folder,
            fed=state.fed,
        )
        kept = self.functions, self.calls, self.loops, self.times
        self.functions, self.calls, self.loops, self.times = {}, 0, 0, 1
        with self.deeper(), self.apart(beyond=False):
            found = {s.inside(state) for s in self.subshell(self.parsed(script), _set(flags, begin), False)}
        self.functions, self.calls, self.loops, self.times = kept
        return found

    def pipe(self, node: Pipe, states: _States, asked: bool) -> _States:
        found: _States = set()
        for state in states:
            ways: set[tuple[State, tuple[int, ...]]] = {(state, ())}
            for n, part in enumerate(node.parts):
                last = n == len(node.parts) - 1
                ways = {
                    (s.inside(way) if last else s.inside(way).passing(PIPE), (*statuses, s.status))
                    if len(node.parts) > 1
                    else (s, (s.status,))
                    for way, statuses in ways
                    for s in (
                        self.run(part, {way}, True)
                        if len(node.parts) == 1
                        else self.subshell(part, replace(way, status=0, fed=way.fed or n > 0), asked)
                    )
                }
                if len(ways) > _WAYS:
                    raise Unreadable("too many ways through it")
            for way, statuses in ways:
                failed = any(statuses) if way.pipefail else statuses[-1]
                status = int(not failed if node.negated else bool(failed))
                done = replace(way, status=status)
                for n, each in enumerate(statuses):
                    done = done.having(f"PIPESTATUS[{n}]", status_text(each))
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

    def cases(self, node: Case, state: State, asked: bool) -> _States:
        text = text_of(node.word, self.files.known(state))
        every = [([text_of(p, self.files.known(state)) for p in patterns], body) for patterns, body in node.branches]
        found: _States = set()
        if node.ends and is_known(text) and all(is_known(p) for patterns, _ in every for p in patterns):
            for patterns, body in every:
                if any(fnmatchcase(text, pattern) for pattern in patterns):
                    return self.run(body, {state}, asked)
            return {replace(state, status=0)}
        for _, body in every:
            found |= self.run(body, {state}, asked)
        return found if any("*" in patterns for patterns, _ in every) else found | {replace(state, status=0)}

    def each(self, node: Each, state: State, asked: bool) -> _States:
        if node.words is None:
            words = ["$@"] if state.arguments is None else list(state.arguments)
        else:
            words = [word for w in node.words for word in fields(w, self.files.known(state))]
        if node.counts or not all(is_known(w) and not re.search(r"[*?\[{]", w) for w in words):
            at_least_one = any("$" not in w or "seq " in w for w in words)
        elif len(words) * self.times <= _TIMES:
            return self.one_by_one(node, words, state, asked)
        else:
            at_least_one = True
        none = set() if at_least_one else {replace(state, status=0)}
        return none | self.loop(node.body, {state}, asked, sets=node.name)

    def one_by_one(self, node: Each, words: list[str], state: State, asked: bool) -> _States:
        kept = self.breaks, self.continues
        self.times *= max(1, len(words))
        self.enclosing += 1
        states, found = {replace(state, status=0)}, set()
        for word in words:
            self.breaks, self.continues = set(), set()
            begin = {s.passing(GOES_ON).having(node.name, word) for s in states}
            states = self.run(node.body, begin, asked) | self.continues
            found |= {replace(s, status=0) for s in self.breaks}
        self.times //= max(1, len(words))
        self.enclosing -= 1
        self.breaks, self.continues = kept
        return found | states

    def loop(
        self,
        inner: Node,
        states: _States,
        asked: bool,
        condition: Node | None = None,
        *,
        until: bool = False,
        sets: str = "",
    ) -> _States:
        """A loop of which it is not known how often it is run: until nothing new comes of it."""
        kept = self.breaks, self.continues
        self.breaks, self.continues = set(), set()
        self.loops += 1
        self.enclosing += 1
        found: _States = set()
        seen: _States = set()
        todo = {s.having(sets, None) for s in states} if sets else states
        first = True
        while todo:
            seen |= todo
            if condition is None:
                body = todo
            else:
                body = set()
                for before in (0, 1):
                    asked_for = self.run(condition, {s for s in todo if s.status == before}, True)
                    goes = {s for s in asked_for if (s.status != 0) == until}
                    body |= goes
                    # It ends as its last round did.
                    found |= {replace(s, status=0 if first else before) for s in asked_for - goes}
            after = self.run(inner, {s.passing(GOES_ON) for s in body}, asked) | self.continues
            if condition is None:
                found |= after
            after = {s.passing(GOES_ON) for s in after}
            todo, first = after if first else after - seen, False
        found |= {replace(s, status=0) for s in self.breaks}
        self.breaks, self.continues = kept
        self.loops -= 1
        self.enclosing -= 1
        return found

    def substituted(self, scripts: abc.Iterable[str], states: _States, asked: bool) -> _States:
        for script in scripts:
            # Bash does not hand set -e on to a substitution, dash does.
            states = {
                s.inside(before)
                for before in states
                for errexit in {False, before.errexit}
                for s in self.subshell(self.parsed(script), replace(before, errexit=errexit), asked and not errexit)
            }
        return states

    def redirected(self, redirects: tuple[Redirect, ...], state: State) -> _States:
        """What is run for a redirection is not waited for."""
        states = {state}
        for redirect in redirects:
            if redirect.target.scripts:
                states = {s.passing(BACKGROUND) for s in self.substituted(redirect.target.scripts, states, True)}
        return {replace(s, status=state.status) for s in states}

    def simple(self, node: Simple, state: State, asked: bool) -> _States:
        scripts = [script for _, value in node.assigned for script in value.scripts]
        scripts += [script for word in node.words for script in word.scripts]
        states = {s for one in self.redirected(node.redirects, state) for s in self.substituted(scripts, {one}, asked)}
        found: _States = set()
        for s in states:
            for array in (word for word in node.words if word.array is not None):  # declare -a x=(a b)
                s = self.assigned(array.text.rstrip("="), array, s)
            words = [text for word in node.words if word.array is None for text in fields(word, self.files.known(s))]
            if words:
                given = {name: value_of(value, self.files.known(s)) for name, value in node.assigned}
                found |= self.given_too(words, given, s, asked, node.redirects)
            else:
                # An assignment succeeds, or ends as the substitution in it.
                status = s.status if scripts else 0
                for name, value in node.assigned:
                    s = self.assigned(name, value, s)
                found.add(replace(s, status=status))
        return found

    def assigned(self, name: str, word: Word, state: State) -> State:
        value = value_of(word, self.files.known(state))
        if name.endswith("+"):
            name = name[:-1]
            before = state.of(name)
            if isinstance(before, tuple) and isinstance(value, tuple) and not self.loops:
                value = before + value
            else:
                value = (
                    before + value if isinstance(before, str) and isinstance(value, str) and not self.loops else None
                )
        # A loop that adds to a variable would have no end.
        if self.loops and re.search(rf"\$\{{?{re.escape(name)}\b", word.text) and value != FAILED:
            value = None
        return state.having(name, value)

    def given_too(
        self,
        words: list[str],
        given: dict[str, Value | None],
        state: State,
        asked: bool,
        redirects: tuple[Redirect, ...],
    ) -> _States:
        """A command with variables of its own before it, which it alone has."""
        if not given:
            return self.command(words, state, asked, redirects)
        begin = state
        for name, value in given.items():
            begin = begin.having(name.rstrip("+"), value).exporting(name.rstrip("+"))
        if words[0] == "export" or words[0] == "exec":
            return self.command(words, begin, asked, redirects)
        ended = self.command(words, begin, asked, redirects)
        back = {name.rstrip("+"): state.of(name.rstrip("+")) for name in given}
        found: _States = set()
        for s in ended:
            for name, before in back.items():
                s = s.having(name, before)
            found.add(replace(s, exported=state.exported))
        return found

    def command(self, words: list[str], state: State, asked: bool, redirects: tuple[Redirect, ...] = ()) -> _States:
        while words[0] in ("command", "builtin") and len(words) > 1 and not words[1].startswith("-"):
            words = words[1:]
        name = words[0]
        if name in self.functions:
            return self.call(self.functions[name], words[1:], state, asked)
        if name in ("exit", "return"):
            # In a trap, exit alone is that with the status of before.
            bare = state.status if name == "return" or self.before_trap is None else self.before_trap
            given = number(words[1]) if len(words) > 1 else bare
            for status in (0, 1) if given is None else (int(given != 0),):
                (self.exits if name == "exit" or not self.calls else self.returns).add(replace(state, status=status))
            return set()
        if name in ("break", "continue"):
            on = replace(state, status=0)
            if self.enclosing or self.beyond:
                (self.breaks if name == "break" else self.continues).add(on)
            # Outside of a loop it does nothing; out of a function or a subshell in one, the shells differ.
            return set() if self.enclosing else {on}
        if name == "set":
            if any(re.fullmatch(r"-[A-Za-z]*n[A-Za-z]*|noexec", word) for word in words[1:]):
                self.exits.add(replace(state, status=0))  # what follows is read, and not run
                return set()
            return {_set(words[1:], state)}
        if name == "alias":
            for word in words[1:]:
                alias, _, value = word.partition("=")
                self.functions[alias] = self.parsed(f'{value or alias} "$@"')
            return {replace(state, status=0)}
        if name == "shift":
            count = int(words[1]) if words[1:] and words[1].isdigit() else 1
            left = state.arguments[count:] if state.arguments is not None and words[1:2] in ([], [str(count)]) else None
            if state.arguments is not None and count > len(state.arguments):
                self.exits.add(replace(state, status=1))  # of dash
                return {replace(state, status=1)}
            return {replace(state, arguments=left, status=0)}
        if name == "trap":
            return {_trapped(words[1:], state)}
        if name == "wait":
            return _waited(words[1:], state)
        if name in _DECLARES:
            return {self.declared(words, state)}
        if name in _READS or name == "unset":
            for word in words[1:]:
                state = state.having(word.partition("=")[0], "" if name == "unset" else None)
            return {replace(state, status=s) for s in ((0,) if name == "unset" else (0, 1))}
        if name == "printf" and words[1:2] == ["-v"] and len(words) > 2:
            return {replace(state.having(words[2], None), status=0)}
        if name in ("cd", "pushd", "popd"):
            to = self.files.path(words[1], state) if name == "cd" and len(words) == 2 else ""
            return {replace(state, folder=to, status=0), replace(state, status=1)}
        if name == "eval":
            with self.deeper():
                return self.run(self.parsed(" ".join(words[1:])), {state}, asked)
        if name in (".", "source") and len(words) > 1:
            return self.sourced(words, state, asked)
        if name == "exec":
            at = 1
            while at < len(words) and words[at].startswith("-"):
                at += 2 if words[at] == "-a" else 1
            if at >= len(words):
                return {replace(state, status=0)}  # redirects the shell's own
            self.exits |= {replace(s, on_exit="") for s in self.program(words[at:], state, redirects)}
            return set()
        return self.program(words, state, redirects)

    def declared(self, words: list[str], state: State) -> State:
        exports = words[0] == "export" or any(re.fullmatch(r"-\w*x\w*", word) for word in words[1:])
        for word in words[1:]:
            given = ASSIGNS.fullmatch(word)
            name = given[1].rstrip("+") if given else word
            if given:
                state = state.having(name, None if given[1].endswith("+") else given[2][:LONGEST])
            if exports and not word.startswith("-"):
                state = state.exporting(name)
        return replace(state, status=0)

    def sourced(self, words: list[str], state: State, asked: bool) -> _States:
        text = self.files.text(words[1], state)
        if text is None:
            # What it sets is not known.
            unknown = replace(state, variables=frozenset(v for v in state.variables if v[1] in ("0", FAILED)))
            return self.classified(words, unknown)
        arguments = tuple(words[2:]) or state.arguments
        with self.deeper():
            return self.call(self.parsed(text), list(arguments) if arguments is not None else None, state, asked)

    def program(self, words: list[str], state: State, redirects: tuple[Redirect, ...] = ()) -> _States:
        """A program, with what runs it before it."""
        inner = unwrapped(words)
        begin = state
        for setting in inner.settings:
            name, _, value = setting.partition("=")
            begin = begin.having(name, value).exporting(name)
        found = self.unwrapped_program(inner.words or words, begin, redirects)
        if inner.hides:
            found |= {replace(s.passing(inner.hides), status=0) for s in found if s.status}
        return {s.inside(state) for s in found}

    def unwrapped_program(self, words: list[str], state: State, redirects: tuple[Redirect, ...]) -> _States:
        name = words[0].rpartition("/")[2]
        if name in ("[", "[[", "test"):
            return tested([w for w in words[1:] if w not in ("]", "]]")], state, patterns=name == "[[")
        shell = called_shell(words)
        if shell is None:
            text = self.files.text(words[0], state)
            flags = None if text is None else flags_of_file(text)
            if text is not None and flags is not None:
                return self.child(text, flags, tuple(words[1:]), state)
            return self.classified(words, state, redirects)
        if shell.idle:
            return {replace(state, status=0), replace(state, status=1)}
        script, arguments = shell.script, shell.arguments
        if script is None and shell.file:
            script = self.files.text(shell.file, state)
            if script is None:
                return self.classified(words, state, redirects)
        if script is None:
            script = self.fed_with(redirects, state)
            if script is None:
                if state.fed:
                    raise Unreadable("a shell that is given its commands by another program")
                return {replace(state, status=0)}  # its input is empty
        found = self.child(script, shell.flags, arguments, state)
        if shell.forgets:
            found |= {replace(s.passing(FORGETS), status=0) for s in found if s.status}
        return found

    def fed_with(self, redirects: tuple[Redirect, ...], state: State) -> str | None:
        """What a command reads, None where that is nothing that is known."""
        for redirect in reversed(redirects):
            if redirect.operator.startswith("<<"):
                return redirect.document if redirect.operator != "<<<" else text_of(redirect.target, state.of)
            if redirect.operator == "<":
                found = self.files.text(text_of(redirect.target, state.of), state)
                if found is None:
                    raise Unreadable("a shell that is given its commands by a file")
                return found
        return None

    def classified(self, words: list[str], state: State, redirects: tuple[Redirect, ...] = ()) -> _States:
        reads = {"VERSION"} if any(program_of([w]) in ("rake", "rails") for w in words[:6]) else set()
        own = tuple(
            f"{name}={value}"
            for name, value in sorted(state.variables, key=str)
            if name in state.exported and ((name, value) not in self.given or name in reads)
        )
        said = (*own, *words)
        what = self.classify(said, self.given_to(words, redirects, state))
        name = words[0].rpartition("/")[2]
        if what.kind == "idle":
            self.files.write(name, words, state, redirects)
            status = _ALWAYS.get(name)
            return {replace(state, status=s) for s in ((0, 1) if status is None else (status,))}
        if what.kind == "other":
            for word in words[1:]:
                # A program that is not known, and a script of a shell that it is told to run.
                text = self.files.text(word, state) if word.endswith(NAMES) else None
                if text is not None:
                    return self.child(text, (), None, state)
        if what.kind == "backwards":
            self.backwards |= not state.failed
        self.migrates |= what.kind == "migrates"
        self.other |= what.kind == "other"
        if what.kind != "backwards":
            self.ran.add(said)
        if what.kind != "migrates":
            return {replace(state, status=0), replace(state, status=1)}
        text = " ".join((*filter(is_known, own), *words))
        # The same again is a second attempt; with a variable in it, it may be another.
        repaired = state.failed if "$" in text else frozenset(f for f in state.failed if f[0] != text)
        found = {
            replace(state, status=0, failed=repaired),
            replace(state, status=1, failed=state.failed | {(text, "")}),
        }
        return found | {replace(s.passing(what.hides), status=0) for s in found if s.status and what.hides}

    def given_to(self, words: list[str], redirects: tuple[Redirect, ...], state: State) -> str:
        """The texts that a program reads, as far as they are known."""
        texts = [redirect.document for redirect in redirects]
        names = [
            *words[1:],
            *(text_of(redirect.target, state.of) for redirect in redirects if redirect.operator == "<"),
        ]
        texts += [self.files.text(name.rpartition("=")[2], state) or "" for name in names]
        return "\n".join(filter(None, texts))

    def call(self, body: Node, arguments: list[str] | None, state: State, asked: bool) -> _States:
        if self.calls > _DEEPEST:
            raise Unreadable("functions that call each other")
        kept, self.returns = self.returns, set()
        self.calls += 1
        given = None if arguments is None else tuple(arguments)
        with self.apart():
            found = self.run(body, {replace(state, arguments=given)}, asked)
        self.calls -= 1
        found |= self.returns
        self.returns = kept
        return self.checked({replace(s, arguments=state.arguments) for s in found}, asked)


def _forgetting(states: _States) -> _States:
    """The same ways with less known of their variables: what all have, and statuses."""
    common = frozenset.intersection(*(state.variables for state in states))
    return {
        replace(state, variables=common | {v for v in state.variables if v[1] in ("0", FAILED)}) for state in states
    }


def _set(words: Words, state: State) -> State:
    """``set``, or the flags of a shell."""
    n = 0
    while n < len(words):
        word = words[n]
        if word == "--" or not re.fullmatch(r"[-+][A-Za-z]+", word):
            arguments = tuple(words[n + (word == "--") :])
            return replace(state, arguments=arguments, status=0)
        on = word.startswith("-")
        if "e" in word:
            state = replace(state, errexit=on)
        if "o" in word:
            n += 1
            option = words[n] if n < len(words) else ""
            if option == "errexit":
                state = replace(state, errexit=on)
            if option == "pipefail":
                state = replace(state, pipefail=on)
        n += 1
    return replace(state, status=0)


def _trapped(words: list[str], state: State) -> State:
    if words[:1] == ["--"]:
        words = words[1:]
    action = "" if not words or words[0] == "-" else words[0] or ":"
    for signal in words[1:]:
        if signal.upper() in ("EXIT", "0"):
            state = replace(state, on_exit=action)
        if signal.upper() == "ERR":
            state = replace(state, on_error=action)
    return replace(state, status=0)


def _waited(words: list[str], state: State) -> _States:
    if not words:
        return {replace(state, status=0)}
    value = state.of("!") if words[0].startswith(("%", "-n")) else words[-1]
    status = number(value) if isinstance(value, str) else None
    return {replace(state, status=s) for s in ((0, 1) if status is None else (int(status != 0),))}


def outcome(words: Words, around: Surroundings, classify: Classify) -> Outcome:
    """What may become of a container's command.

    Args:
        words: of the command, as Kubernetes has it.
        around: what is known of the container.
        classify: what a program does by its words.

    Raises:
        Unreadable: it runs what is no script of a shell, or too large to be followed.
    """
    if len(words) > _WORDS:
        raise Unreadable(f"more than {_WORDS} words")
    run = _Run(classify, around)
    folder = plain(around.folder) if around.folder else ""
    names = frozenset(name for name, _ in around.variables)
    begin = State(variables=frozenset(around.variables), exported=names, folder=folder)
    try:
        ended = run.ended(lambda: run.program(list(words), begin))
    except RecursionError:
        raise Unreadable("too deep") from None
    hides = {how or GOES_ON for state in ended if state.status == 0 for _, how in state.failed}
    fails = any(state.status for state in ended)
    return Outcome(run.migrates, run.other, run.backwards, min(hides, default=""), fails, frozenset(run.ran))
