"""The grammar of a shell's script: words, commands, redirections and what joins them.

https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html , and of Bash ``[[``, ``((``, ``function``, arrays and ``|&``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_DEEPEST = 48  # commands in commands


class Unreadable(Exception):
    """A script that is no shell's, or too large to be followed."""


class Part(NamedTuple):
    text: str  # of an expansion as it is written
    expands: bool = False
    quoted: bool = False


class Word(NamedTuple):
    text: str  # without quotes; what is expanded stays as it is written
    quoted: bool = False
    scripts: tuple[str, ...] = ()  # of its command substitutions
    parts: tuple[Part, ...] = ()
    array: tuple[Word, ...] | None = None  # what is assigned is an array of these


class Redirect(NamedTuple):
    operator: str
    target: Word
    document: str = ""


_OPERATOR = re.compile(r"&&|\|\||;;&|;;|;&|\|&|\(\(|[;&|()\n]")
_REDIRECT = re.compile(r"\d*(?:<<<|<<-?|&>>|&>|>>|>&|>\||<>|<&|[<>])(?!\()")
_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_PLAIN = re.compile(r"[^\s'\"`$\\;&|()<>]+")
_EXPANSION = re.compile(r"\$(?:[A-Za-z_]\w*|[?!$#@*0-9-])")
_BEGINS_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=")
ASSIGNS = re.compile(r"([A-Za-z_]\w*(?:\[[^\[\]]*\])?\+?)=(.*)", re.DOTALL)


def _tokens(text: str, arrays: bool = True) -> list[Word | Redirect | str]:
    """Words, redirections and operators."""
    found: list[Word | Redirect | str] = []
    documents: list[int] = []
    at, end = 0, len(text)
    while at < end:
        blank = _BLANK.match(text, at)
        if blank:
            at = blank.end()
            continue
        if text[at] == "#":
            at = _line_end(text, at)
            continue
        redirect = _REDIRECT.match(text, at)
        if redirect:
            at = redirect.end()
            while at < end and text[at] in " \t":
                at += 1
            target, at = _word(text, at)
            found.append(Redirect(redirect[0].lstrip("0123456789"), target))
            if found[-1].operator in ("<<", "<<-"):  # type: ignore[union-attr]
                documents.append(len(found) - 1)
            continue
        operator = _OPERATOR.match(text, at)
        if operator:
            found.append(operator[0])
            at = operator.end()
            if operator[0] == "\n":
                for n in documents:
                    begun, document = at, found[n]
                    assert isinstance(document, Redirect)
                    at, until = _after_document(text, at, document.target.text)
                    found[n] = document._replace(document=text[begun:until])
                documents = []
            continue
        word, at = _word(text, at)
        if arrays and not word.quoted and text[at : at + 1] == "(" and _BEGINS_ARRAY.fullmatch(word.text):
            end_of_array = _closed(text, at + 1)
            several = [t for t in _tokens(text[at + 1 : end_of_array - 1], False) if isinstance(t, Word)]
            word = word._replace(scripts=tuple(x for w in several for x in w.scripts), array=tuple(several))
            at = end_of_array
        found.append(word)
    return found


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _after_document(text: str, at: int, delimiter: str) -> tuple[int, int]:
    """What comes behind a here-document, and where its text ends."""
    until = at
    while at < len(text):
        until = at
        end = _line_end(text, at)
        line = text[at:end]
        at = end + 1
        if line.lstrip("\t") == delimiter:
            return min(at, len(text)), until
    return len(text), len(text)


_BACKQUOTED = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
_ESCAPED = re.compile(r"\\([`\\$])")
_DOLLAR_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_IN_DOUBLE = re.compile(r"[^\"`$\\]+")


def _word(text: str, at: int) -> tuple[Word, int]:
    parts: list[Part] = []
    scripts: list[str] = []
    quoted, begun, double = False, at, False
    while at < len(text):
        character = text[at]
        if character == "\\":
            following = text[at + 1 : at + 2]
            kept = double and following not in tuple('$`"\\\n')
            parts.append(Part("" if following == "\n" else f"\\{following}" if kept else following, False, True))
            quoted, at = True, at + 2
        elif character == '"':
            double, quoted, at = not double, True, at + 1
            parts.append(Part("", False, True))
        elif character == "'" and not double:
            end = text.find("'", at + 1)
            if end < 0:
                raise Unreadable("a quote that is not closed")
            parts.append(Part(text[at + 1 : end], False, True))
            quoted, at = True, end + 1
        elif character == "`":
            found = _BACKQUOTED.match(text, at)
            if not found:
                raise Unreadable("a quote that is not closed")
            scripts.append(_ESCAPED.sub(r"\1", found[1]))
            parts.append(Part(found[0], True, double))
            at = found.end()
        elif not double and (dollar := _DOLLAR_QUOTED.match(text, at)):
            parts.append(Part(dollar[1], False, True))
            quoted, at = True, dollar.end()
        elif text.startswith("$(", at) or (not double and text.startswith(("<(", ">("), at)):
            end = _closed(text, at + 2)
            if not text.startswith("$((", at):
                scripts.append(text[at + 2 : end - 1])
            parts.append(Part(text[at:end], True, double))
            at = end
        elif text.startswith("${", at):
            end = _closed_brace(text, at + 2, double)
            parts.append(Part(text[at:end], True, double))
            at = end
        elif character == "$":
            expansion = _EXPANSION.match(text, at)
            parts.append(Part(expansion[0] if expansion else "$", expansion is not None, double))
            at += len(parts[-1].text)
        elif double:
            plain = _IN_DOUBLE.match(text, at)
            assert plain is not None
            parts.append(Part(plain[0], False, True))
            at = plain.end()
        else:
            unquoted = _PLAIN.match(text, at)
            if not unquoted:
                break
            parts.append(Part(unquoted[0]))
            at = unquoted.end()
    if double:
        raise Unreadable("a quote that is not closed")
    if at == begun:
        raise Unreadable("a word is missing")
    return Word("".join(part.text for part in parts), quoted, tuple(scripts), tuple(parts)), at


def word_of(text: str) -> Word:
    """A text as one word, such as what stands for a variable that is not set.

    Raises:
        Unreadable: it is none.
    """
    return _word(f'"{text}"', 0)[0] if text else Word("")


def _closed_brace(text: str, at: int, double: bool) -> int:
    """Where an expansion in braces ends."""
    depth, inner = 1, False
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == '"':
            inner = not inner
        elif character == "'" and not double and not inner:
            at = text.find("'", at + 1)
            if at < 0:
                break
        elif not inner:
            depth += (character == "{") - (character == "}")
        at += 1
        if depth == 0:
            return at
    raise Unreadable("a brace that is not closed")


_IN_PARENTHESES = re.compile(r"[^()'\"\\<#ce\n$]+")
_CASE = re.compile(r"\bcase\s+(?:\"[^\"]{0,200}\"|\$\([^()]{0,200}\)|\S{1,200})\s+in\b")
_ESAC = re.compile(r"\besac\b")
_DOCUMENT = re.compile(r"<<-?[ \t]*[\"'\\]?(\w+)[\"']?")


def _closed(text: str, at: int) -> int:
    """Where the parenthesis ends that is open: not that of a pattern, nor one in a comment or a here-document."""
    depth, double = 1, False
    cases: list[int] = []
    documents: list[str] = []
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 2
        elif character == "'" and not double:
            at = text.find("'", at + 1) + 1
            if not at:
                break
        elif character == "#" and not double and text[at - 1] in " \t\n;(":
            at = _line_end(text, at)
        elif character == "<" and not double and (document := _DOCUMENT.match(text, at)):
            documents.append(document[1])
            at = document.end()
        elif character == "<" and text.startswith("<<<", at):
            at += 3
        elif double and text.startswith("$(", at):
            at = _closed(text, at + 2)
        elif character == "\n" and documents:
            at, _ = _after_document(text, at + 1, documents.pop(0))
            at -= bool(documents)  # the next begins where this one ends
        elif not double and (case := _CASE.match(text, at)):
            cases.append(depth)
            at = case.end()
        elif cases and not double and _ESAC.match(text, at):
            cases.pop()
            at += len("esac")
        else:
            plain = _IN_PARENTHESES.match(text, at)
            at = plain.end() if plain else at + 1
            if character == '"':
                double = not double
            if double or (character == ")" and cases and cases[-1] == depth):
                continue
            depth += (character == "(") - (character == ")")
            if depth == 0:
                return at
    raise Unreadable("a parenthesis that is not closed")


# What a script is made of.


class Simple(NamedTuple):
    assigned: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()


class Redirected(NamedTuple):
    body: Node
    redirects: tuple[Redirect, ...]


class Pipe(NamedTuple):
    parts: tuple[Node, ...]
    negated: bool


class AndOr(NamedTuple):
    first: Node
    rest: tuple[tuple[str, Node], ...]


class Sequence(NamedTuple):
    parts: tuple[tuple[Node, bool], ...]  # and whether it is left in the background


class Subshell(NamedTuple):
    body: Node


class If(NamedTuple):
    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node | None


class Loop(NamedTuple):
    condition: Node
    until: bool
    body: Node


class Each(NamedTuple):
    """A ``for``: without words it takes the arguments, of one that counts there are none to tell."""

    name: str
    words: tuple[Word, ...] | None
    body: Node
    counts: bool = False


class Case(NamedTuple):
    word: Word
    branches: tuple[tuple[tuple[Word, ...], Node], ...]
    ends: bool  # each branch ends it


class Function(NamedTuple):
    name: str
    body: Node


class Arithmetic(NamedTuple):
    text: str


Node = Simple | Redirected | Pipe | AndOr | Sequence | Subshell | If | Loop | Each | Case | Function | Arithmetic


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def script(self) -> Node:
        found = self.sequence()
        if self.at < len(self.tokens):
            raise Unreadable(f"{self.peek()} is not expected")
        return found

    def peek(self) -> str | None:
        """The operator or the unquoted word that comes next; a quoted word is none that the grammar knows."""
        if self.at >= len(self.tokens):
            return None
        token = self.tokens[self.at]
        if isinstance(token, str):
            return token
        return "" if isinstance(token, Redirect) or token.quoted else token.text

    def take(self, *expected: str) -> None:
        if self.peek() not in expected:
            raise Unreadable(f"{' or '.join(expected)} is missing")
        self.at += 1

    def skip(self, *operators: str) -> None:
        while self.peek() in operators:
            self.at += 1

    def sequence(self, *ends: str) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Unreadable("too deep")
        parts: list[tuple[Node, bool]] = []
        self.skip("\n", ";")
        while self.at < len(self.tokens) and self.peek() not in (*ends, ")", ";;", ";&", ";;&"):
            node = self.and_or()
            left = self.peek() == "&" and isinstance(self.tokens[self.at], str)
            if left or self.peek() in (";", "\n"):
                self.at += 1
            elif self.at < len(self.tokens) and self.peek() not in (*ends, ")", ";;", ";&", ";;&"):
                raise Unreadable(f"{self.peek()} is not expected")
            parts.append((node, left))
            self.skip("\n", ";")
        self.depth -= 1
        return Sequence(tuple(parts))

    def and_or(self) -> Node:
        first, rest = self.pipe(), []
        while self.peek() in ("&&", "||"):
            operator = str(self.tokens[self.at])
            self.at += 1
            self.skip("\n")
            rest.append((operator, self.pipe()))
        return AndOr(first, tuple(rest)) if rest else first

    def pipe(self) -> Node:
        negated = False
        while self.peek() in ("!", "time"):
            negated ^= self.peek() == "!"
            self.at += 1
        parts = [self.command()]
        while self.peek() in ("|", "|&"):
            self.at += 1
            self.skip("\n")
            parts.append(self.command())
        return parts[0] if len(parts) == 1 and not negated else Pipe(tuple(parts), negated)

    def command(self) -> Node:
        node = self.compound()
        redirects = self.redirects()
        return Redirected(node, redirects) if redirects else node

    def redirects(self) -> tuple[Redirect, ...]:
        found = []
        while self.at < len(self.tokens) and isinstance(token := self.tokens[self.at], Redirect):
            found.append(token)
            self.at += 1
        return tuple(found)

    def compound(self) -> Node:
        word = self.peek()
        if word == "(":
            self.at += 1
            body = self.sequence()
            self.take(")")
            return Subshell(body)
        if word == "((":
            self.at += 1
            return self.arithmetic()
        if word == "{":
            self.at += 1
            body = self.sequence("}")
            self.take("}")
            return body
        if word == "if":
            return self.branches()
        if word in ("while", "until"):
            self.at += 1
            condition = self.sequence("do")
            return Loop(condition, word == "until", self.body())
        if word in ("for", "select"):
            return self.every()
        if word == "case":
            return self.cases()
        if word == "function":
            self.at += 1
            name = self.word().text
            if self.peek() == "(":
                self.at += 1
                self.take(")")
            self.skip("\n")
            return Function(name, self.command())
        if word in ("then", "else", "elif", "fi", "do", "done", "esac", "in", "}"):
            raise Unreadable(f"{word} is not expected")
        return self.simple()

    def arithmetic(self) -> Node:
        depth = 2
        text: list[str] = []
        while depth:
            if self.at >= len(self.tokens):
                raise Unreadable("a parenthesis that is not closed")
            token = self.tokens[self.at]
            self.at += 1
            depth += {"(": 1, "((": 2, ")": -1}.get(token, 0) if isinstance(token, str) else 0
            text.append(
                token
                if isinstance(token, str)
                else f"{token.operator} {token.target.text}"
                if isinstance(token, Redirect)
                else token.text
            )
        return Arithmetic(" ".join(text[:-2]))

    def word(self) -> Word:
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        if not isinstance(token, Word):
            raise Unreadable("a word is missing")
        self.at += 1
        return token

    def body(self) -> Node:
        self.skip("\n", ";")
        self.take("do")
        found = self.sequence("done")
        self.take("done")
        return found

    def branches(self) -> Node:
        found, otherwise = [], None
        self.take("if")
        while True:
            condition = self.sequence("then")
            self.take("then")
            found.append((condition, self.sequence("elif", "else", "fi")))
            if self.peek() != "elif":
                break
            self.at += 1
        if self.peek() == "else":
            self.at += 1
            otherwise = self.sequence("fi")
        self.take("fi")
        return If(tuple(found), otherwise)

    def every(self) -> Node:
        self.at += 1
        if self.peek() == "((":
            self.at += 1
            self.arithmetic()
            return Each("", (), self.body(), True)
        name = self.word().text
        self.skip("\n")
        words: list[Word] | None = None
        if self.peek() == "in":
            self.at += 1
            words = []
            while self.at < len(self.tokens) and isinstance(self.tokens[self.at], Word):
                words.append(self.word())
        return Each(name, None if words is None else tuple(words), self.body())

    def cases(self) -> Node:
        self.at += 1
        word = self.word()
        self.skip("\n")
        self.take("in")
        self.skip("\n")
        found, ends = [], True
        while self.peek() != "esac":
            if self.peek() == "(":
                self.at += 1
            patterns: list[Word] = []
            while self.peek() != ")":
                if self.peek() == "|":
                    self.at += 1
                else:
                    patterns.append(self.word())
            self.at += 1
            found.append((tuple(patterns), self.sequence("esac")))
            ends &= self.peek() not in (";&", ";;&")
            self.skip(";;", ";&", ";;&", "\n")
        self.take("esac")
        return Case(word, tuple(found), ends)

    def simple(self) -> Node:
        assigned: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        test = False
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if isinstance(token, Redirect):
                redirects.append(token)
                self.at += 1
                continue
            if isinstance(token, str):
                if test and token != "\n":  # operators of [[ ]]
                    words.append(Word(token, True, (), (Part(token),)))
                    self.at += 1
                    continue
                if token == "(" and len(words) == 1 and self.tokens[self.at + 1 : self.at + 2] == [")"]:
                    self.at += 2
                    self.skip("\n")
                    return Function(words[0].text, self.command())
                break
            self.at += 1
            given = ASSIGNS.fullmatch(token.text) if not words else None
            if given and not token.parts[0].quoted and "=" in token.parts[0].text:
                assigned.append((given[1], _after(token, given[2])))
                continue
            words.append(token)
            test = (test or (len(words) == 1 and token.text == "[[")) and token.text != "]]"
        if not words and not assigned and not redirects:
            raise Unreadable("a command is missing")
        return Simple(tuple(assigned), tuple(words), tuple(redirects))


def _after(word: Word, value: str) -> Word:
    """What an assignment assigns: the parts behind its sign."""
    first = word.parts[0].text.partition("=")[2]
    return Word(value, True, word.scripts, (Part(first), *word.parts[1:]), word.array)


def parsed(script: str) -> Node:
    """The commands of a script.

    Raises:
        Unreadable: it is no script of a shell, or its commands stand in each other too deep.
    """
    return _Parser(script).script()
