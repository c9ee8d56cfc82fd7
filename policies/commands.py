"""What a container's command does of migrations: it migrates, goes back, does something else, or nothing that changes a database.

A tool that is known migrates by its forward verbs only: whatever else it is told is no migration. Of a program that is not known, a word
must have ``migrate`` for a part, and none of the verbs by which the known tools look, prepare or go back may follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .shell import LONGEST, SHELLS, Kind, outcome, script_of
from .shell_syntax import Unreadable
from .values import UNKNOWN, NotKnown, get


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = "migrate"
_DONE_BY = frozenset([_WORD, f"auto{_WORD}"])

# Tools and the verbs by which they bring a database forward, from their own documentation.
_FORWARD: Mapping[str, frozenset[str]] = {
    name: _words(verbs)
    for name, verbs in {
        "aerich": "upgrade",
        "airflow": "migrate upgrade",
        "alembic": "upgrade",
        "atlas": "apply",
        "dbmate": "up migrate",
        "diesel": "run",
        "django-admin": "migrate migrate_schemas",
        "drizzle-kit": "migrate push",
        "flask": "upgrade",
        "flyway": "migrate",
        "goose": "up up-by-one up-to",
        "hasura": "apply",
        "knex": "migrate:latest migrate:up",
        "knex-migrator": "init migrate",
        "kong": "bootstrap up finish",
        "liquibase": "update update-count update-to-tag updatecount updatetotag",
        "manage.py": "migrate migrate_schemas",
        "migrate-mongo": "up",
        "mikro-orm": "migration:up",
        "node-pg-migrate": "up",
        "db-migrate": "up",
        "pgroll": "start complete migrate",
        "prisma": "deploy push",
        "sequelize": "db:migrate",
        "sequelize-cli": "db:migrate",
        "sql-migrate": "up",
        "sqitch": "deploy",
        "sqlx": "run",
        "superset": "upgrade",
        "tern": "migrate",
        "typeorm": "migration:run",
        "yoyo": "apply",
    }.items()
}
# What those tools, golang-migrate, Rails, Laravel, Doctrine, Ecto and Ory have for verbs that take something back ...
_BACK = _words(
    "down downgrade rollback revert undo redo reset fresh refresh drop drop-all dropall clean clear wipe flush purge "
    "zero base prev first destroy uninstall truncate backward backwards"
)
# ... and that look, prepare, or write down what was not done.
_LOOKS = _words(
    "status list ls show info history version current heads pending check validate verify lint diff hash plan preview "
    "explain generate gen create make new add edit squash stamp mark mark-applied resolve baseline repair force fake "
    "unlock lock help h docs completion inspect install skip print dump export test drift squashmigrations "
    "changelog-sync"
)
# Flags by which a migration is not done, and those that say where it goes: back, where that is 0.
_DRY = _words(
    "dry-run dryrun dry plan check list pretend fake noop no-op help usage validate validate-only check-only "
    "check-unapplied status preview what-if explain show-sql write-sql print-sql skip-execution "
    "skipexecutingmigrations"
)
_TARGETS = frozenset(["t", "target", "to", "version"])
_FALSE = _words("false no off 0 none never disabled disable skip manual")
_TRUE = _words("true yes on 1 always auto up latest all only head")
# Parts before ``migrate`` that make a word say something else: --skip-migrate, pre-migrate, wait-for-migrate.
_OPPOSITE = _words(
    "no not non skip without disable disabled pre post before after for if pending wait await check test verify "
    "validate list show status un undo rollback revert dont never ignore exclude has needs can should"
)
# Flags that ask for a migration by more than their last part; --migrate-lock-timeout is a setting.
_ASKING = re.compile(
    r"(?:[a-z0-9]+[-_.])*(?:auto)?migrate(?:[-_.](?:db|database|schema|all|up|now|only|latest|and-exit|(?:on|at)[-_](?:start|startup|boot)))?"
)
# Flags whose next word is a name of something.
_NAMING = _words(
    "q queue queues topic channel group job jobs name label tag user role u username d db database dbname schema "
    "table env environment profile config c f file path p dir directory folder source host url uri dsn log-level "
    "loglevel log-format format component service exclude except ignore skip without only namespace n context output "
    "o e strategy mode driver type l level"
)
# Programs that change no database, whatever words follow: of shells, of POSIX and coreutils, that ask, wait and talk.
_IDLE = _words(
    ": true false echo printf sleep cat tac head tail less more ls dir find grep egrep fgrep rg awk gawk sed cut tr "
    "sort uniq wc tee test [ [[ type which whereis command-v hash man info date cal env-file printenv pwd cd pushd "
    "popd mkdir rmdir rm cp mv ln touch chmod chown chgrp stat file du df id whoami hostname uname uptime ps kill "
    "pkill killall wait read export unset set shift local readonly declare typeset alias unalias let getopts ulimit "
    "umask trap exit return break continue basename dirname realpath readlink yes seq expr jq yq base64 md5sum "
    "sha256sum sha1sum cksum cmp diff patch split paste join fold fmt nl od xxd hexdump strings logger lsof fuser "
    "free top vmstat mount umount sync dd tar gzip gunzip zcat zip unzip xz bzip2 curl wget nc ncat netcat telnet "
    "ping dig nslookup host getent openssl ssh-keyscan git kubectl oc k8s-wait-for wait-for wait_for.sh wait-for.sh "
    "wait-for-it wait-for-it.sh kubewait pg_isready pg_config mysqladmin redis-cli pg_dump pg_dumpall mysqldump "
    "mongodump ldd apk apt-get apt yum dnf pip gem pgrep tty stty clear reset-terminal usleep nproc shopt"
)
_TOOLS_THAT_WAIT = frozenset(["job", "job-we", "job-wr", "pod", "pod-we", "pod-wr"])
# Programs that run another, with what stands between: flags, numbers, settings.
_RUNNERS = _words(
    "exec command builtin env time timeout nice ionice nohup setsid stdbuf unbuffer chronic tini dumb-init catatonit "
    "doas sudo gosu su-exec setpriv chpst runuser vault-env envconsul xargs catchsegv eatmydata faketime strace retry"
)
_TAKE_A_NAME = frozenset(["gosu", "su-exec", "chpst"])
# Programs that wait or ask, and then run another.
_THEN = frozenset(["wait-for", "wait-for.sh", "wait-for-it", "wait-for-it.sh", "wait_for.sh", "dockerize"])
_INTERPRETERS = re.compile(
    r"(?:python|pypy|php|ruby|node|perl)[\d.]*|deno|bun|tsx|ts-node|npx|bunx|pnpm|yarn|npm|java|dotnet|make|task|just|"
    + "|".join(sorted(SHELLS))
)
_VERSION_0 = re.compile(r"version=0+", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PARTS = re.compile(r"[^a-z0-9]+")
_SUFFIX = re.compile(r"(?:^|[^a-z0-9])(?:auto)?migrate[:/._-]([a-z0-9]+(?:-(?:all|applied|sync|sql))?)(?![a-z0-9])")
_LONGEST_WORD = 4096  # a longer word is no command's


class Command(NamedTuple):
    """What a container runs.

    Args:
        migrates: a command of it migrates.
        other: a command of it may do anything.
        backwards: a command of it takes a migration back.
        hides: how it may end well although what migrates, or may, has failed; empty where it does not.
        unreadable: why its script cannot be judged; empty where it can.
    """

    migrates: bool = False
    other: bool = False
    backwards: bool = False
    hides: str = ""
    unreadable: str = ""


def argv(container: Mapping[str, Any]) -> list[Any]:
    """A container's command and arguments, with the variables replaced that it has in plain text; ``UNKNOWN`` where that is not known."""
    found: list[Any] = []
    for key in ("command", "args"):
        try:
            several = get(container, key) or []
        except NotKnown:
            found.append(UNKNOWN)
            continue
        if not isinstance(several, list):
            raise TypeError(key)
        found += several
    if any(isinstance(word, str) and "$(" in word for word in found):
        texts = _plain_variables(container)
        found = [_VARIABLE.sub(lambda v: texts.get(v[1], v[0]), w) if isinstance(w, str) else w for w in found]
    return found


# https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/#use-environment-variables-to-define-arguments
_VARIABLE = re.compile(r"\$\(([A-Za-z_][\w.-]*)\)")


def _plain_variables(container: Mapping[str, Any]) -> dict[str, str]:
    try:
        env = get(container, "env") or ()
        return {str(e["name"]): e["value"] for e in env if isinstance(e, Mapping) and isinstance(e.get("value"), str)}
    except NotKnown:
        return {}


def read(container: Mapping[str, Any]) -> Command:
    """What a container runs.

    Raises:
        NotKnown: what is known of it does not migrate, and not everything is known.
    """
    words = argv(container)
    known = command(tuple(str(word) for word in words if word is not UNKNOWN))
    if UNKNOWN in words and not known.migrates:
        raise NotKnown("command")
    return known


_SHELLS_FILES = (".sh", ".bash", ".ksh", ".zsh")
# What stands before a file that a script runs.
_RUNS = r"(?:sh|bash|dash|ash|ksh|zsh|source|\.|exec|then|do|else)[ \t]{1,9}(?:-[a-z]+[ \t]{1,9})*"


def of_file(words: Sequence[str], path: str, text: str) -> Command | None:
    """What a file of a shell does that a command runs, None where the file is no shell's.

    Args:
        words: of the command, to the one that names the file.
        path: of the file.
        text: of the file. A configuration, SQL or a program of another language is nothing that a shell runs.
    """
    first = text.partition("\n")[0]
    by = first.removeprefix("#!").split() if first.startswith("#!") else []
    if by and _program(by[-1:] if by[0].endswith("/env") else by[:1]) not in SHELLS:
        return None
    if not by and not path.endswith(_SHELLS_FILES) and not _is_run_by_a_shell(words, path):
        return None
    flags = [word for word in _unwrapped(words[:-1]) if re.fullmatch(r"[-+][abefhkmnuvxo]+|errexit|pipefail", word)]
    return command(("sh", *(flag for flag in by[1:] if flag.startswith("-")), *flags, "-c", text))


def _is_run_by_a_shell(words: Sequence[str], path: str) -> bool:
    *before, word = words
    if word == path:  # the command itself, or a shell's first argument
        return not before or _program(_unwrapped(before)) in SHELLS
    place = re.escape(path)
    return re.search(rf"(?:^|[;&|(){{\n]|(?:^|[\s;&|(]){_RUNS})[ \t]*[\"']?{place}(?![\w./-])", word) is not None


@lru_cache(maxsize=4096)  # the rules ask about a program's containers again and again
def command(words: tuple[str, ...]) -> Command:
    """What a command does, by its words."""
    if not words:
        return Command(other=True)  # whatever the image's own is
    if words[0].startswith("-") and re.fullmatch(r"-[A-Za-z]*c", words[0]):
        words = ("sh", *words)  # the image's entrypoint is a shell
    unwrapped = _unwrapped(words)
    nested = None if _program(unwrapped) in _IDLE else script_of(words)
    if nested is None:
        kind = _kind(words)
        return Command(kind == "migrates", kind == "other", kind == "backwards")
    flags, script = nested
    try:
        found = outcome(script, flags, _kind)
        if not found.migrates and found.other:
            found = found._replace(hides=outcome(script, flags, _any_may_migrate).hides)
    except Unreadable as e:
        # What cannot be followed may do anything, and is no gate before it can.
        return Command(migrates=_WORD in script[:LONGEST].lower(), other=True, unreadable=str(e))
    return Command(found.migrates, found.other, found.backwards, found.hides)


def _any_may_migrate(words: Sequence[str]) -> Kind:
    kind = _kind(words)
    return "migrates" if kind == "other" else kind


def _kind(words: Sequence[str]) -> Kind:
    """What one command does; one that is told to do nothing is idle."""
    words = [word[:_LONGEST_WORD] for word in _unwrapped(words)]
    name = _program(words)
    if not words or name in _IDLE or (name in _TOOLS_THAT_WAIT and len(words) > 1):
        return "idle"
    if name in SHELLS and any(re.fullmatch(r"-[a-z]*n[a-z]*", word) for word in words[1:2]):
        return "idle"  # read, and not run
    at = next((n for n, word in enumerate(words) if _program([word]) in _FORWARD and not word.startswith("-")), None)
    if at is not None:
        return _of_a_tool(_program([words[at]]), words[at + 1 :])
    return _of_any(words)


def _of_a_tool(name: str, said: list[str]) -> Kind:
    tool = _FORWARD[name]
    verbs = [word.lower() for word in said if not word.startswith("-") and _VERSION_0.fullmatch(word) is None]
    forward = next((n for n, verb in enumerate(verbs) if verb in tool), None)
    back = any(_is_back(verb) for verb in verbs) or _flags_back(said)
    if back:
        return "backwards"
    if forward is None:
        return "idle" if said else "other"
    # alembic upgrade head --sql prints.
    return "idle" if _is_dry(said) or "--sql" in said else "migrates"


def _is_back(verb: str) -> bool:
    """Whether a verb of a known tool goes back: db:migrate:undo:all, downgrade, rollback-count."""
    return not _BACK.isdisjoint(_PARTS.split(verb)) or verb in _BACK


def _of_any(words: Sequence[str]) -> Kind:
    named = [n for n in range(len(words)) if _names(words, n)]
    if not named:
        return _of_migrations(words)
    first = named[0]
    lowered = [word.lower() for word in words]
    if "help" in lowered[:first]:
        return "idle"
    suffixes = {verb for n in named for verb in _SUFFIX.findall(_CAMEL.sub("-", words[n]).lower())}
    verbs = _verbs(lowered, first + 1)
    to_nothing = any(lowered[n : n + 2] == ["goto", "0"] for n in range(len(lowered)))
    if (
        to_nothing
        or not _BACK.isdisjoint(suffixes | verbs)
        or _flags_back(words)
        or any(map(_VERSION_0.fullmatch, words))
    ):
        return "backwards"
    if not _LOOKS.isdisjoint(suffixes | verbs) or _is_dry(words):
        return "idle"
    return "migrates" if any(_asks(words, n) for n in named) else "idle"


# migration:run, migrations up, migrations/apply: what has the name of migrations, and a verb.
_MIGRATIONS = re.compile(r"(?:[a-z0-9]+[:._/-])*(?:db|run)?migrations?(?:[:._/-]([a-z0-9]+)(?:[:._/-][a-z0-9]+)*)?")
_TAKES_BACK = _words("rollback downgrade revert undo")
_VERBS_FORWARD = _words("up run apply deploy execute latest upgrade migrate")


def _of_migrations(words: Sequence[str]) -> Kind:
    for n, word in enumerate(words):
        found = None if word.startswith("-") else _MIGRATIONS.fullmatch(word.lower())
        if found:
            verbs = {found[1] or (words[n + 1].lower() if n + 1 < len(words) else "")}
            if not _BACK.isdisjoint(verbs) or (not _VERBS_FORWARD.isdisjoint(verbs) and _flags_back(words)):
                return "backwards"
            if not _LOOKS.isdisjoint(verbs) or (not _VERBS_FORWARD.isdisjoint(verbs) and _is_dry(words)):
                return "idle"
            if not _VERBS_FORWARD.isdisjoint(verbs):
                return "migrates"
    if any(not _TAKES_BACK.isdisjoint(_PARTS.split(word.lower())) for word in words[1:4] if not word.startswith("-")):
        return "backwards"
    return "idle" if _is_dry(words) else "other"


def _names(words: Sequence[str], n: int) -> bool:
    """Whether a word names migrations: by a part of it, and not as a name of something else."""
    word = words[n]
    parts = _PARTS.split(_CAMEL.sub("-", word.partition("=")[0]).lower())
    if _DONE_BY.isdisjoint(parts) or "://" in word:
        return False
    before = words[n - 1] if n else ""
    if not before.startswith("-") or before == "--" or "=" in before or word.startswith("-"):
        return True
    flag = before.lstrip("-").lower()
    # What follows a flag may be its value: a queue's name, or a path that is no program's.
    if word.startswith(("/", "./", "../", "~")):
        return _interprets(words)
    return flag not in _NAMING


def _asks(words: Sequence[str], n: int) -> bool:
    """Whether a word that names migrations asks for one."""
    word, _, value = words[n].partition("=")
    lowered = _CAMEL.sub("-", word).lower()
    parts = _PARTS.split(lowered)
    done = next(m for m, part in enumerate(parts) if part in _DONE_BY)
    if not _OPPOSITE.isdisjoint(parts[:done]):
        return False
    if not word.startswith("-"):
        return True
    after = words[n + 1].lower() if n + 1 < len(words) and "=" not in words[n] else ""
    if (value or after).lower() in _FALSE:
        return False
    return bool(_ASKING.fullmatch(lowered.lstrip("-"))) and (not value or value.lower() in _TRUE)


def _verbs(words: Sequence[str], begin: int) -> set[str]:
    """The words that may be verbs: not those of flags that name something."""
    found = set()
    for n in range(begin, len(words)):
        before = words[n - 1].lstrip("-") if words[n - 1].startswith("-") and n > begin else ""
        if words[n].startswith("-") or before in _NAMING:
            continue
        if words[n] in _BACK or not before or before in _SWITCHES:
            found.add(words[n])
    return found


_SWITCHES = _words("v verbose debug quiet y yes trace json all no-interaction no-input noinput a x")


def _is_dry(words: Sequence[str]) -> bool:
    for n, word in enumerate(words):
        if not word.startswith("-") or word in ("-", "--"):
            continue
        flag, _, value = word.lstrip("-").lower().partition("=")
        after = words[n + 1].lower() if n + 1 < len(words) and not value else value
        last = not after or after.startswith("-")
        if (flag in _DRY or flag.startswith(("dryrun", "dry-run"))) and after not in _FALSE:
            return True
        if flag in ("h", "version", "?") and last and not value:
            return True
    return False


def _flags_back(words: Sequence[str]) -> bool:
    for n, word in enumerate(words):
        if not word.startswith("-"):
            continue
        flag, _, value = word.lstrip("-").lower().partition("=")
        after = words[n + 1].lower() if n + 1 < len(words) and not value else value
        if (flag in _BACK or flag.startswith("drop-") or flag == "force-reset") and after not in _FALSE:
            return True
        if flag in _TARGETS and after in ("0", "zero", "first"):
            return True
    return False


def _interprets(words: Sequence[str]) -> bool:
    return _INTERPRETERS.fullmatch(_program(words)) is not None


def _program(words: Sequence[str]) -> str:
    """The name of a program: without its folder, its version and what says the language it is written in."""
    if not words:
        return ""
    name = words[0].rpartition("/")[2].lower()
    name = name.partition("@")[0] if name.partition("@")[0] else name
    return (
        name
        if name in ("manage.py", "wait-for-it.sh", "wait-for.sh", "wait_for.sh")
        else re.sub(r"\.(?:js|mjs|cjs|exe|phar)$", "", name)
    )


def _unwrapped(words: Sequence[str]) -> list[str]:
    """The words of the program that is run in the end: without settings, and programs that only run others."""
    left = list(words)
    while left:
        if re.match(r"[A-Za-z_]\w*=", left[0]) and not _VERSION_0.fullmatch(left[0]):
            left = left[1:]
            continue
        name = _program(left)
        if name in _THEN and "--" in left:
            left = left[left.index("--") + 1 :]
            continue
        if name == "dockerize":
            n = 1
            while n < len(left) and left[n].startswith("-"):
                n += 1 if "=" in left[n] else 2
            left = left[n:]
            continue
        if name not in _RUNNERS or len(left) == 1:
            return left
        left = left[1 + (name in _TAKE_A_NAME) :]
        while left and (left[0].startswith("-") or re.fullmatch(r"\d+(?:\.\d+)?[smhd]?", left[0])):
            takes = left[0] in ("-u", "-n", "-s", "-k", "-g", "--user", "--signal", "--kill-after") and len(left) > 1
            left = left[
                1 + (takes and "=" not in left[0] and name in ("sudo", "doas", "nice", "timeout", "runuser", "xargs")) :
            ]
    return left
