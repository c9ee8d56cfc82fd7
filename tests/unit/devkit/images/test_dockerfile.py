"""The Dockerfiles are followed as Docker would, and what is not understood is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from devkit.images import catalogue
from devkit.images.build import Builder
from devkit.images.dockerfile import commands, parse
from devkit.images.errors import DockerfileError


def test_arguments_fill_variables_where_docker_fills_them() -> None:
    text = 'ARG BASE=a\nFROM ${BASE}\nARG V\nENV X=$V Y=${V}b\nLABEL l="two words"\nCMD ["$V"]'
    source, env, label, command = parse(text, {"V": "1.1.0"})
    assert source.arguments == ("a",)
    assert env.pairs == {"X": "1.1.0", "Y": "1.1.0b"}
    assert label.pairs == {"l": "two words"}
    assert command.arguments == ("$V",)


def test_an_argument_before_from_is_unknown_after_it() -> None:
    with pytest.raises(DockerfileError, match="BASE is not set"):
        parse("ARG BASE=a\nFROM $BASE\nENV X=$BASE", {})


def test_lines_are_joined_and_comments_left_out() -> None:
    _, run = parse("FROM a\n# why\nRUN x 'y z' \\\n  # inside\n && w\n", {})
    assert run.line == 3
    assert commands(run) == [["x", "y z"], ["w"]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM a\nADD x /", "ADD is not followed"),
        ("FROM a\nFROM b", "one FROM"),
        ("ENV X=1", "one FROM"),
        ("FROM a\nARG V", "V has no default"),
        ("FROM a\nCMD serve", "as a list"),
        ("FROM a\nCOPY --chown=1 x /y", "options of COPY"),
        ("FROM a\nENV X 1", "NAME=value"),
        ("FROM a\nRUN x \\", "backslash"),
    ],
)
def test_what_is_not_followed_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason):
        parse(text, {})


@pytest.mark.parametrize("run", ["x | y", "x; y", "x > y", "echo $HOME", "ls *", "x &"])
def test_shell_syntax_is_refused(run: str) -> None:
    _, instruction = parse(f"FROM a\nRUN {run}", {})
    with pytest.raises(DockerfileError, match="joined by &&"):
        commands(instruction)


@pytest.mark.parametrize("name", ["migrator", "ledger"])
def test_the_repository_s_dockerfiles_are_understood(name: str) -> None:
    text = (Path(catalogue.__file__).parent / f"Dockerfile.{name}").read_text()
    found = parse(text, {"VERSION": "1.1.0"})
    assert [each.arguments for each in found if each.name == "USER"][-1] == ("65532:65532",)
    assert all(commands(each) for each in found if each.name == "RUN")


def test_copy_takes_the_tree_without_caches_and_hidden_files(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/__pycache__/a.pyc", "src/.hidden", "src/b/c.sql"):
        path = tmp_path / "context" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    builder = Builder(tmp_path / "context", tmp_path / "cache", print)
    _, copy = parse("FROM a\nCOPY src/ /app/src/", {})
    assert [target for _, target in builder._sources(copy)] == ["/app/src/a.py", "/app/src/b/c.sql"]
