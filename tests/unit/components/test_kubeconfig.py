"""The guards look at the cluster that Pulumi writes to, whatever way it was named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lightkube import ConfigError

from components import kubeconfig
from offline.providers.kubernetes.kubeconfig import Kubeconfig

FILE = """
current-context: {current}
clusters: [{{name: {name}, cluster: {{server: "https://{name}", certificate-authority: ca.crt}}}}]
contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}, {{name: both, context: {{cluster: {name}, user: {name}}}}}]
users: [{{name: {name}, user: {{client-certificate: tls.crt, client-key: tls.key}}}}]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two kubeconfigs in folders of their own, both in KUBECONFIG, with a missing one between them."""
    found = []
    for name in ("east", "west"):
        path = tmp_path / name / "config"
        path.parent.mkdir()
        path.write_text(FILE.format(name=name, current=name))
        found.append(path)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(found[0]), str(tmp_path / "missing"), str(found[1])]))
    return found[0], found[1]


def test_several_files_are_merged_and_the_first_one_decides(files: tuple[Path, Path]) -> None:
    config = kubeconfig.load()
    assert config.current_context == "east"
    assert config.contexts["both"].cluster == "east"
    assert set(config.clusters) == {"east", "west"}


def test_paths_stay_relative_to_the_file_they_stand_in(files: tuple[Path, Path]) -> None:
    chosen = kubeconfig.choose("west")
    assert chosen.user is not None
    assert chosen.cluster.certificate_auth == str(files[1].parent / "ca.crt")
    assert chosen.user.client_key == str(files[1].parent / "tls.key")


def test_the_offline_engine_reads_the_same(files: tuple[Path, Path]) -> None:
    assert Kubeconfig(None).cluster["server"] == "https://east"
    assert Kubeconfig(None, context="west").cluster["server"] == "https://west"


def test_kubeconfig_comes_before_the_pods_service_account(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Pulumi; lightkube by itself would take the service account."""
    from lightkube import KubeConfig

    def in_a_pod() -> KubeConfig:
        raise AssertionError("the service account was asked for")

    monkeypatch.setattr(KubeConfig, "from_service_account", in_a_pod)
    assert kubeconfig.load().current_context == "east"


@pytest.mark.parametrize("text", ["just words", "a: [", "\x00"])
def test_what_is_no_kubeconfig_is_said_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ConfigError, match=f"{path} is not a kubeconfig"):
        kubeconfig.load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clusters: [{cluster: {}}]", "not as a kubeconfig should be"),
        ("contexts: [{name: a, context: {cluster: b}}]\ncurrent-context: a", "'b', which is not in it"),
        ("contexts: []\ncurrent-context: a", "Context 'a' not found"),
    ],
)
def test_a_kubeconfig_with_something_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ConfigError, match=said):
        kubeconfig.choose(None)


def test_no_kubeconfig_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"no kubeconfig at .*nowhere"):
        kubeconfig.load()
