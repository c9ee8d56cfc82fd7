"""The command line: what is covered, and turning arguments into a call. Flags are written and mixed as the CLI takes them.

A command's flags are one text: ``name``, ``name/short``; ``=`` takes a value, ``=*`` may be repeated, ``!`` is known to
the CLI but not covered here and refused by name. Commands are imported when called: ``pulumi version`` starts no engine.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from offline.engine.errors import EngineError, NotCovered, UpdateFailed, UsageError

GLOBAL: Final = (
    "color= cwd/C= non-interactive help/h disable-integrity-checking emoji/e logflow logtostderr verbose/v= tracing= "
    "tracing-header= profiling= memprofilerate= fully-qualify-stack-names otel-traces="
)
_OPERATION: Final = (
    "stack/s= yes/y message/m= debug/d diff json/j config-file= parallel/p= refresh/r=? show-config show-full-output "
    "show-replacement-steps show-sames show-reads show-secrets show-policy-remediations suppress-outputs suppress-progress "
    "suppress-permalink=? target/t=* target-dependents! exclude=* exclude-dependents! event-log= exec-kind= exec-agent= "
    "client= run-program=? neo copilot attach-debugger! remote! agent-ids= strict strict-schema! "
)
_CHANGE: Final = "continue-on-error skip-preview/f expect-no-changes preview-only "
_CONFIG: Final = "stack/s= config-file= "

# command -> where its function is, how many arguments it takes, its flags
COMMANDS: Final[dict[str, tuple[str, int, int, str]]] = {
    "version": ("misc:version", 0, 0, ""),
    "about": ("misc:about", 0, 0, "json/j stack/s= transitive/t"),
    "login": ("misc:login", 0, 1, "local/l cloud-url/c= default-org= interactive insecure oidc-token!"),
    "whoami": ("misc:whoami", 0, 0, "json/j verbose/v"),
    "install": ("misc:install", 0, 1, "no-plugins no-dependencies reinstall use-language-version-tools parallel= parallel/p="),
    "plugin ls": ("misc:plugin_ls", 0, 0, "json/j project/p"),
    "plugin install": ("misc:plugin_install", 0, 3, "exact reinstall server= file/f! checksum="),
    "plugin rm": ("misc:plugin_rm", 0, 3, "all/a yes/y"),
    "cancel": ("stack:cancel", 0, 1, "yes/y stack/s="),
    "stack": ("stack:show", 0, 0, "stack/s= show-ids/i show-urns/u show-name show-secrets"),
    "stack init": ("stack:init", 0, 1, "stack/s= secrets-provider= no-select copy-config-from! teams! remote-config!"),
    "stack select": ("stack:select", 0, 1, "stack/s= create/c secrets-provider="),
    "stack ls": ("stack:ls", 0, 0, "json/j all/a organization/o= project/p= tag/t="),
    "stack rm": ("stack:rm", 0, 1, "stack/s= yes/y force/f preserve-config remove-backups"),
    "stack output": ("stack:output", 0, 1, "stack/s= json/j show-secrets shell"),
    "stack export": ("stack:export", 0, 0, "stack/s= file= show-secrets version="),
    "stack import": ("stack:import_", 0, 0, "stack/s= file= force/f"),
    "stack history": ("stack:history", 0, 0, "stack/s= json/j show-secrets page= page-size= full-dates"),
    "stack rename": ("stack:rename", 1, 1, "stack/s="),
    "stack tag ls": ("stack:tag_ls", 0, 0, "stack/s= json/j"),
    "stack tag get": ("stack:tag_get", 1, 1, "stack/s="),
    "stack tag set": ("stack:tag_set", 2, 2, "stack/s="),
    "stack tag rm": ("stack:tag_rm", 1, 1, "stack/s="),
    "state unprotect": ("stack:unprotect", 0, 1, "stack/s= yes/y all"),
    "config": ("config:ls", 0, 0, _CONFIG + "json/j show-secrets open!"),
    "config get": ("config:get", 1, 1, _CONFIG + "json/j path open!"),
    "config set": ("config:set_", 1, 2, _CONFIG + "path plaintext secret type="),
    "config set-all": ("config:set_all", 0, 0, _CONFIG + "path plaintext=* secret=* json="),
    "config rm": ("config:rm", 1, 1, _CONFIG + "path"),
    "config rm-all": ("config:rm_all", 1, 999, _CONFIG + "path"),
    "config refresh": ("config:refresh", 0, 0, _CONFIG + "force/f"),
    "preview": ("update:preview", 0, 0, _OPERATION + (
        "config/c=* config-path expect-no-changes continue-on-error replace! target-replace! policy-pack=* policy-pack-config=* "
        "import-file! save-plan!")),
    "up": ("update:up", 0, 1, _OPERATION + _CHANGE + (
        "config/c=* config-path replace! target-replace! policy-pack=* policy-pack-config=* plan! secrets-provider=")),
    "refresh": ("update:refresh", 0, 0, _OPERATION + _CHANGE + "clear-pending-creates skip-pending-creates import-pending-creates!"),
    "destroy": ("update:destroy", 0, 0, _OPERATION + _CHANGE + "remove exclude-protected!"),
}  # fmt: skip
ALIASES: Final = {
    "update": "up", "pre": "preview", "down": "destroy", "dn": "destroy", "stack list": "stack ls", "stack delete": "stack rm",
    "stack remove": "stack rm", "history": "stack history", "stack export-state": "stack export", "config list": "config",
    "config ls": "config",
}  # fmt: skip
UNCOVERED: Final = frozenset({
    "new", "logout", "stack unselect", "stack change-secrets-provider", "state protect", "state delete", "config cp", "import", "watch", "logs", "console", "env", "config env", "schema", "package", "policy", "state", "org", "ai", "neo", "copilot",
    "convert", "gen-completion", "deployment", "template", "project", "query", "replay-events", "api", "view-trace", "do", "cloud",
    "insights", "generate-docs", "whatsnew", "doctor", "login-status",
})  # fmt: skip


@dataclass
class Args:
    """Parsed arguments of one command."""

    command: str
    positional: list[str] = field(default_factory=list)
    _values: dict[str, list[str]] = field(default_factory=dict)

    def on(self, flag: str, default: bool = False) -> bool:
        return self._values[flag][-1] not in ("false", "False", "0", "f") if flag in self._values else default

    def text(self, flag: str, default: str = "") -> str:
        return self._values[flag][-1] if flag in self._values else default

    def many(self, flag: str) -> list[str]:
        return self._values.get(flag, [])

    def given(self, flag: str) -> bool:
        return flag in self._values

    def number(self, flag: str, default: int) -> int:
        try:
            return int(self.text(flag)) if flag in self._values else default
        except ValueError:
            raise UsageError(f'invalid argument "{self.text(flag)}" for "--{flag}" flag: not a number') from None

    @property
    def given_flags(self) -> dict[str, list[str]]:
        return dict(self._values)


def _flags(text: str) -> dict[str, tuple[str, str]]:
    """Flag or ``-short`` -> (long name, kind); kind is "", "=", "=*", "=?" (a value only after "=") or "!"."""
    out = {}
    for token in text.split():
        name = token.rstrip("=*?!")
        kind = token[len(name) :]
        name, _, short = name.partition("/")
        out[name] = (name, kind)
        if short:
            out["-" + short] = (name, kind)
    return out


def parse(argv: Sequence[str]) -> Args:
    """Raises: UsageError, NotCovered"""
    words, flags = _command(argv)
    command = " ".join(words)
    command = ALIASES.get(command, command)
    if not command:
        return Args("help")
    if command not in COMMANDS:
        raise _unknown(command)
    _, least, most, text = COMMANDS[command]
    known = _flags(GLOBAL) | _flags(text)
    args = Args(command)
    rest = iter(flags)
    for word in rest:
        if word == "--":
            args.positional.extend(rest)
        elif word.startswith("--"):
            _long(args, word[2:], known, rest)
        elif word.startswith("-") and len(word) > 1 and not word[1:].isdigit():
            _short(args, word[1:], known, rest)
        else:
            args.positional.append(word)
    if not args.on("help"):
        if len(args.positional) < least:
            raise UsageError(f"pulumi {command} needs at least {least} argument(s), received {len(args.positional)}")
        if len(args.positional) > most:
            raise UsageError(
                f"pulumi {command} takes at most {most} argument(s), received {len(args.positional)}: {args.positional}"
            )
    return args


def _command(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits off the words that name the command; flags may stand before, between and after them."""
    takes_value = {k: v for k, v in _flags(GLOBAL).items() if v[1] == "="}
    words: list[str] = []
    rest: list[str] = []
    done = skip = False
    prefixes = {" ".join(c.split()[: i + 1]) for c in (*COMMANDS, *ALIASES, *UNCOVERED) for i in range(len(c.split()))}
    for word in argv:
        if done or skip or word.startswith("-"):
            rest.append(word)
            if word == "--":
                done = True
            skip = not skip and not done and "=" not in word and not words and (
                word[2:] in takes_value or word in takes_value)  # fmt: skip
        elif not words or " ".join([*words, word]) in prefixes:
            words.append(word)
        else:
            done = True
            rest.append(word)
    return words, rest


def _unknown(command: str) -> EngineError:
    first = command.split()[0]
    groups = {c.split()[0] for c in COMMANDS}
    if command in UNCOVERED or first in UNCOVERED:
        return NotCovered(f"pulumi {command}")
    if first in groups:
        covered = ", ".join(sorted(c for c in COMMANDS if c.split()[0] == first))
        return UsageError(f"pulumi {command} needs a subcommand; covered are: {covered}")
    near = difflib.get_close_matches(first, [*groups, *UNCOVERED], 1)
    hint = f"\n\nDid you mean this?\n\t{near[0]}\n" if near else ""
    return UsageError(f'unknown command "{first}" for "pulumi"{hint}')


def _long(args: Args, word: str, known: dict[str, tuple[str, str]], rest: object) -> None:
    name, has_value, value = word.partition("=")
    if name not in known:
        raise UsageError(f"unknown flag: --{name}")
    _set(args, known[name], value if has_value else None, rest, f"--{name}")


def _short(args: Args, word: str, known: dict[str, tuple[str, str]], rest: object) -> None:
    while word:
        if "-" + word[0] not in known:
            raise UsageError(f"unknown shorthand flag: {word[0]!r} in -{word}")
        name, kind = known["-" + word[0]]
        word, first = word[1:], word[0]
        if kind in ("=", "=*"):
            _set(args, (name, kind), word.removeprefix("=") or None, rest, "-" + first)
            return
        _set(args, (name, kind), None, rest, "-" + first)


def _set(args: Args, flag: tuple[str, str], value: str | None, rest: object, shown: str) -> None:
    name, kind = flag
    if kind == "!":
        if value in ("false", "0"):
            return
        raise NotCovered(f"pulumi {args.command} --{name}")
    if kind in ("=", "=*") and value is None:
        value = next(rest, None)  # type: ignore[call-overload]
        if value is None:
            raise UsageError(f"flag needs an argument: {shown}")
    args._values.setdefault(name, []).append("true" if value is None else value)


def _help(args: Args) -> None:
    if args.command == "help":
        print(
            "The offline engine, a stand-in for the Pulumi CLI (https://www.pulumi.com/docs/install/).\n\nCovered commands:"
        )
        print("\n".join(f"  pulumi {c}" for c in sorted(COMMANDS)))
        return
    print(f"Usage:\n  pulumi {args.command} [flags]\n\nFlags covered by the offline engine:")
    for text in (COMMANDS[args.command][3], GLOBAL):
        for key, (name, kind) in sorted(_flags(text).items()):
            if key == name and kind != "!":
                print(f"      --{name}{' value' if kind in ('=', '=*') else ''}")


def main(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else it tells on stderr of every connection that a program ends
    try:
        args = parse(argv)
        if folder := args.text("cwd"):
            os.chdir(folder)
        if args.command == "help" or args.on("help"):
            _help(args)
            return 0
        module, function = COMMANDS[args.command][0].split(":")
        call: Callable[[Args], int | None] = getattr(
            importlib.import_module(f".commands.{module}", __package__), function
        )
        return call(args) or 0
    except UpdateFailed as e:
        if str(e):
            print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    except EngineError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    except BrokenPipeError:  # `pulumi ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
