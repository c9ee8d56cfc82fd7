"""What a container's command does of migrations: it migrates, goes back, does something else, or nothing that changes a database.

A tool that is known migrates by its forward verbs only: whatever else it is told is no migration. Of a program that is not known, a word
must have ``migrate`` for a part, and none of the verbs by which the known tools look, prepare or go back may follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .code import code_of, read_code
from .runners import FORGETS, LEAVES, program_of, unwrapped
from .shell import LONGEST, Does, Kind, Surroundings, outcome
from .shell_calls import SHELLS
from .shell_syntax import Unreadable
from .sql_clients import CLIENTS, read_client
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
        "diesel": "run setup",
        "django-admin": "migrate migrate_schemas",
        "dotnet-ef": "update",
        "drizzle-kit": "migrate push",
        "ef": "update",
        "flask": "upgrade",
        "flyway": "migrate",
        "goose": "up up-by-one up-to",
        "hasura": "apply deploy",
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
        "sqlx": "run setup",
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
_TARGETS = frozenset(["t", "target", "to", "version", "destination"])
_COUNTS = frozenset(["count", "steps"])
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
    "uvicorn gunicorn hypercorn daphne celery puma unicorn sidekiq nginx httpd caddy envoy haproxy pause "
    "ping dig nslookup host getent openssl ssh-keyscan git kubectl oc k8s-wait-for wait-for wait_for.sh wait-for.sh "
    "wait-for-it wait-for-it.sh kubewait pg_isready pg_config mysqladmin redis-cli pg_dump pg_dumpall mysqldump "
    "command mongodump ldd apk apt-get apt yum dnf pip gem pgrep tty stty clear reset-terminal usleep nproc shopt"
)
_TOOLS_THAT_WAIT = frozenset(["job", "job-we", "job-wr", "pod", "pod-we", "pod-wr"])
# Programs that build, test or look at code: what they are told of is not run as it is in production.
_BUILD = _words(
    "pytest py.test unittest tox nox jest vitest mocha ava cypress playwright rspec phpunit pest gotestsum bats ctest eslint "
    "prettier biome tsc swc esbuild webpack rollup vite ruff flake8 pylint mypy pyright black isort bandit rubocop "
    "golangci-lint staticcheck gofmt goimports rustc rustfmt gcc g++ clang cc c++ javac kotlinc scalac protoc buf sqlc "
    "sqlfluff squawk shellcheck hadolint yamllint pre-commit cmake ninja trivy cosign semgrep kaniko buildah buildctl "
    "py_compile compileall"
)
# Of programs that do that and more, the verbs by which they run nothing of the application.
_BUILDS: Mapping[str, frozenset[str]] = {
    name: _words(verbs)
    for name, verbs in {
        "bun": "install add remove update build test link pm",
        "bundle": "install update check lock add config cache clean",
        "cargo": "build b test t check c clippy bench doc fmt install add update fetch vendor publish",
        "composer": "install update require remove dump-autoload dumpautoload validate",
        "deno": "test lint fmt check compile bundle cache install doc",
        "docker": "build buildx pull push tag images image ps logs inspect save load login",
        "dotnet": "build test publish restore pack add new clean format remove list",
        "go": "build test vet install get mod fmt list doc env clean work",
        "gradle": "build test assemble check clean jar classes compilejava compiletestjava",
        "gradlew": "build test assemble check clean jar classes compilejava compiletestjava",
        "mix": "test compile deps.get format deps.compile release",
        "mvn": "compile test package verify install deploy clean validate test-compile",
        "mvnw": "compile test package verify install deploy clean validate test-compile",
        "npm": "test t install i ci add uninstall publish pack audit update outdated link view ls",
        "pipenv": "install sync lock update check",
        "pnpm": "test install i add remove update publish pack audit build fetch",
        "podman": "build pull push tag images image ps logs inspect save load login",
        "poetry": "install add build lock update publish check export",
        "uv": "pip sync add lock build venv export",
        "yarn": "test install add remove build lint publish pack audit upgrade",
    }.items()
}
# Flags by which a program ends well also where what it is asked for has failed, or is not there.
_FORGIVING = _words(
    "ignore-errors ignore-error ignore-failure ignore-failures continue-on-error continue-on-errors fail-never graceful no-fail "
    "allow-failure allow-failures exit-zero always-succeed no-bail"
)
# And those by which it does not wait for the end of what it does; some programs do nothing else.
_LEAVING = _words("detach background daemon daemonize async no-wait nowait")
_LEAVE = _words("pm2 forever supervisorctl systemctl rc-service screen tmux at batch")
# Short flags by which a program that runs what a file says only tells of it.
_TELLING = {"make": "nqt", "gmake": "nqt", "rake": "nTPWDA", "just": "nl", "task": "n", "gradle": "m", "gradlew": "m"}
_FILE_OF_DATA = re.compile(
    r".*\.(?:sql|ya?ml|json|toml|ini|conf|cfg|env|properties|xml|csv|txt|md|log|lock|tar|gz|zip|crt|pem)"
)
_INTERPRETERS = re.compile(
    r"(?:python|pypy|php|ruby|node|perl)[\d.]*|deno|bun|tsx|ts-node|npx|bunx|pnpm|yarn|npm|java|dotnet|make|task|just|"
    + "|".join(sorted(SHELLS))
)
_VERSION_0 = re.compile(r"version=0+", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PARTS = re.compile(r"[^a-z0-9]+")
_SUFFIX = re.compile(r"(?:^|[^a-z0-9])(?:auto)?migrate[:/._-]([a-z0-9]+(?:-(?:all|applied|sync|sql))?)(?![a-z0-9])")
_LONGEST_WORD = 4096  # a longer word is no command's
_NOWHERE = Surroundings()
_LATER = "$KNOWN_LATER"  # a word that is known only when the update runs


class Command(NamedTuple):
    """What a container runs.

    Args:
        migrates: a command of it migrates.
        other: a command of it may do anything.
        backwards: a command of it takes a migration back.
        hides: how it may end well although what migrates, or may, has failed; empty where it does not.
        unreadable: why its script cannot be judged; empty where it can.
        fails: it may fail.
        ran: the words of the commands that migrate or may do anything, the variables that they are given first.
    """

    migrates: bool = False
    other: bool = False
    backwards: bool = False
    hides: str = ""
    unreadable: str = ""
    fails: bool = True
    ran: frozenset[tuple[str, ...]] = frozenset()


# https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/#use-environment-variables-to-define-arguments
_VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_.-][\w.-]*)\)")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A text with the variables in it that are known, as Kubernetes has it."""
    return _VARIABLE.sub(lambda v: "$" if v[0] == "$$" else variables.get(v[1], v[0]), text)


def texts(entries: Iterable[Any]) -> dict[str, str]:
    """The variables of which the text is known, each with those before it that are in it."""
    found: dict[str, str] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            continue
        found.pop(entry["name"], None)
        if isinstance(entry.get("value"), str):
            found[entry["name"]] = expanded(entry["value"], found)
    return found


def surroundings(
    container: Mapping[str, Any], entries: Iterable[Any] | None = None, files: Mapping[str, str] | None = None
) -> Surroundings:
    """What is known of a container.

    Args:
        entries: its variables, where more is known of them than it says itself.
        files: the texts of what is mounted.
    """
    if entries is None:
        entries = _known(container, "env") or ()
    known = texts(entries if isinstance(entries, list) else ())
    folder = _known(container, "workingDir")
    return Surroundings(tuple(known.items()), tuple((files or {}).items()), folder if isinstance(folder, str) else "")


def argv(container: Mapping[str, Any], around: Surroundings | None = None) -> list[Any]:
    """A container's command and arguments, with the variables replaced whose text is known; ``UNKNOWN`` where that is not known."""
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
    if any(isinstance(word, str) and "$" in word for word in found):
        known = dict((around or surroundings(container)).variables)
        found = [expanded(w, known) if isinstance(w, str) else w for w in found]
    return found


def _known(container: Mapping[str, Any], key: str) -> Any:
    try:
        return get(container, key)
    except NotKnown:
        return None


def read(container: Mapping[str, Any], around: Surroundings | None = None) -> Command:
    """What a container runs.

    Raises:
        NotKnown: what is known of it does not migrate, and not everything is known.
    """
    found = read_known(container, around)
    if not found.migrates and UNKNOWN in argv(container):
        raise NotKnown("command")
    return found


def read_known(container: Mapping[str, Any], around: Surroundings | None = None) -> Command:
    """What a container runs as far as is known."""
    around = around or surroundings(container)
    return command(tuple(_LATER if word is UNKNOWN else str(word) for word in argv(container, around)), around)


@lru_cache(maxsize=4096)  # the rules ask about a program's containers again and again
def command(words: tuple[str, ...], around: Surroundings = _NOWHERE) -> Command:
    """What a command does, by its words."""
    if not words:
        return Command(other=True)  # whatever the image's own is
    if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", words[0]):
        words = ("sh", *words)  # the image's entrypoint is a shell
    try:
        found = outcome(words, around, _kind)
        if not found.migrates and found.other:
            found = found._replace(hides=outcome(words, around, _any_may_migrate).hides)
    except Unreadable as e:
        # What cannot be followed may do anything, and is no gate before it can.
        return Command(migrates=any(_WORD in word[:LONGEST].lower() for word in words), other=True, unreadable=str(e))
    return Command(found.migrates, found.other, found.backwards, found.hides, "", found.fails, found.ran)


def _any_may_migrate(words: Sequence[str], given: str = "") -> Does:
    does = _kind(words, given)
    return does._replace(kind="migrates") if does.kind == "other" else does


def _kind(words: Sequence[str], given: str = "") -> Does:
    """What one command does; one that is told to do nothing is idle."""
    inner = unwrapped(words)
    words = [word[:_LONGEST_WORD] for word in inner.words]
    name = program_of(words)
    if (
        not words
        or name in _IDLE
        or (name in SHELLS and len(words) == 1)
        or (name in _TOOLS_THAT_WAIT and len(words) > 1)
    ):
        return Does("idle")
    if _builds(name, words):
        return Does("idle")
    if name in CLIENTS:
        return read_client(name, inner.words, given)
    code = code_of(name, inner.words)
    if code is not None:
        return _of_code(*code)
    at = next((n for n, word in enumerate(words) if program_of([word]) in _FORWARD and not word.startswith("-")), None)
    back = any(map(_VERSION_0.fullmatch, inner.settings))
    kind = _of_a_tool(program_of([words[at]]), words[at + 1 :]) if at is not None else _of_any(words)
    return Does("backwards" if back and kind in ("migrates", "other") else kind, _forgives(name, words))


def _builds(name: str, words: Sequence[str]) -> bool:
    if any(program_of([word]) in _BUILD for word in words[:4]):
        return True
    if name in _TELLING and any(re.fullmatch(rf"-[a-zA-Z]*[{_TELLING[name]}][a-zA-Z]*", word) for word in words[1:]):
        return True
    verbs = [word.lower() for word in words[1:] if not word.startswith(("-", "+"))]
    several = verbs if name in ("gradle", "gradlew", "mvn", "mvnw") else verbs[:1]
    return name in _BUILDS and bool(verbs) and _BUILDS[name].issuperset(several)


def _forgives(name: str, words: Sequence[str]) -> str:
    for n, word in enumerate(words):
        flag, _, value = word.partition("=")
        after = words[n + 1].lower() if n + 1 < len(words) and not value else value.lower()
        if flag.startswith("--") and flag[2:].lower() in _FORGIVING and after not in _FALSE:
            return FORGETS
        if flag.startswith("--") and flag[2:].lower() in _LEAVING and after not in _FALSE:
            return LEAVES
        if flag == "--if-present":
            return "ends well where there is no such command"
        if name in ("make", "gmake") and re.fullmatch(r"-[a-zA-Z]*i[a-zA-Z]*", word):
            return FORGETS
        if name in ("mvn", "mvnw") and word == "-fn":
            return FORGETS
    return LEAVES if name in _LEAVE else ""


def _of_code(language: str, code: str) -> Does:
    """What a program in the command does, in the language of an interpreter."""
    said = read_code(language, code)
    kind: Kind = "other"
    for n, word in enumerate(said.words):
        if program_of([word]) in _FORWARD:
            found = _of_a_tool(program_of([word]), said.words[n + 1 : n + 8])
            kind = found if found in ("migrates", "backwards") else kind
    if any(not _DONE_BY.isdisjoint(_PARTS.split(_CAMEL.sub("-", word).lower())) for word in said.words):
        kind = "migrates" if kind == "other" else kind
        following = {verb.lower() for verb in _NEXT.findall(code)}
        if not _BACK.isdisjoint(following):
            kind = "backwards"
        elif not _LOOKS.isdisjoint(following):
            kind = "idle"
    return Does(kind, said.hides)


# What stands behind the word in the same list or call.
_NEXT = re.compile(r"(?<![a-zA-Z0-9])migrate[\s'\",:./-]{1,5}([a-zA-Z]+)")


def _of_a_tool(name: str, said: Sequence[str]) -> Kind:
    tool = _FORWARD[name]
    verbs = [word.lower() for word in said if not word.startswith("-") and _VERSION_0.fullmatch(word) is None]
    forward = next((n for n, verb in enumerate(verbs) if verb in tool), None)
    after = "" if forward is None else "".join(verbs[forward + 1 : forward + 2])
    back = any(_is_back(verb) for verb in verbs) or _flags_back(said)
    if back or (name in ("ef", "dotnet-ef") and after == "0"):
        return "backwards"
    if forward is None:
        return "idle" if said else "other"
    # alembic upgrade head --sql prints.
    return "idle" if _is_dry(said) or "--sql" in said or after in ("0", "+0") or _counts_none(said) else "migrates"


def _counts_none(words: Sequence[str]) -> bool:
    """Whether no migration is asked for, by their number."""
    for n, word in enumerate(words):
        flag, _, value = word.lstrip("-").lower().partition("=")
        if word.startswith("-") and flag in _COUNTS and (value or "".join(words[n + 1 : n + 2])) == "0":
            return True
    return False


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
    if not _LOOKS.isdisjoint(suffixes | verbs) or _is_dry(words) or _counts_none(words):
        return "idle"
    if any(lowered[n : n + 2] in (["up", "0"], ["up", "+0"]) for n in range(first, len(lowered))):
        return "idle"
    return "migrates" if any(_asks(words, n) for n in named) else "idle"


# migration:run, migrations up, migrations/apply: what has the name of migrations, and a verb.
_MIGRATIONS = re.compile(r"(?:[a-z0-9]+[:._/-])*(?:db|run)?migrations?(?:[:._/-]([a-z0-9]+)(?:[:._/-][a-z0-9]+)*)?")
_TAKES_BACK = _words("rollback downgrade revert undo")
_VERBS_FORWARD = _words("up run apply deploy execute latest upgrade migrate")


def _of_migrations(words: Sequence[str]) -> Kind:
    if program_of(words) == "efbundle":  # https://learn.microsoft.com/ef/core/managing-schemas/migrations/applying
        return "backwards" if "0" in words[1:2] else "idle" if _is_dry(words) else "migrates"
    if any(re.fullmatch(r"(?:app:)?db:prepare(?::\w+)?", word) for word in words):
        return "idle" if _is_dry(words) else "migrates"
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
    if _DONE_BY.isdisjoint(parts) or "://" in word or (n and _FILE_OF_DATA.fullmatch(word)):
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
    return _INTERPRETERS.fullmatch(program_of(words)) is not None
