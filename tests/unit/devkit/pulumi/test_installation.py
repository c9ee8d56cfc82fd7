"""Which Pulumi CLI the demo and the tests run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from automation.errors import UnsupportedPulumi
from devkit import paths, pulumi
from devkit.workspace import pulumi_environment


def executable(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of the PATH, for a CLI of the user's own."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi-home"))
    return folder


def test_without_one_on_the_path_it_is_the_built_one(own: Path) -> None:
    found = pulumi.installed()
    assert found.executables.is_relative_to(paths.cache_dir() / "pulumi")
    assert found.plugins.parent == found.executables.parent


def test_a_supported_one_on_the_path_is_used_with_the_plugins_of_its_user(own: Path, tmp_path: Path) -> None:
    executable(own, "pulumi", "echo v3.280.0")
    executable(own, "pulumi-language-python", "true")
    assert pulumi.installed() == pulumi.Installation(own, tmp_path / "pulumi-home" / "plugins")


def test_one_without_a_language_host_for_python_is_not_used(own: Path) -> None:
    executable(own, "pulumi", "echo v3.280.0")
    assert pulumi.installed().executables != own


def test_one_that_is_too_old_is_refused_with_what_is_needed(own: Path) -> None:
    executable(own, "pulumi", "echo v3.100.0")
    with pytest.raises(UnsupportedPulumi, match=r"3\.100\.0, and this program needs 3\.260\.0 or newer"):
        pulumi.installed()


def test_a_home_of_its_own_has_the_plugins_of_the_cli(own: Path, tmp_path: Path) -> None:
    environment = pulumi_environment(tmp_path / "home")
    found = pulumi.installed()
    assert environment["PATH"].split(os.pathsep)[0] == str(found.executables)
    assert (tmp_path / "home" / "plugins").resolve() == found.plugins.resolve()


def test_a_change_of_the_language_host_makes_another_installation(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pulumi.installed()
    monkeypatch.setattr(pulumi, "_LANGUAGE_HOST", {"pulumi-language-python": "command_provider.py"})
    assert pulumi.installed() != before
