"""The guards look at the cluster that Pulumi writes to, whatever way it was named."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from lightkube import ConfigError

from automation.cluster import Cluster
from automation.errors import ClusterUnreachable as Unreachable
from components import kubeconfig
from components.cluster import LiveCluster
from components.errors import ClusterUnreachable
from tests.unit.components.api import Api
from tests.unit.components.declared import OWNER

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


# As plugins do that know one version only: it says no unless it is told that one.
PLUGIN = """#!{python}
import json, os, sys
told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
if told != {{"apiVersion": "client.authentication.k8s.io/{version}", "kind": "ExecCredential", "spec": {{"interactive": False}}}}:
    sys.exit("told " + str(told))
token = "-".join([os.environ["WHO"], *sys.argv[1:]])
print(json.dumps({{"apiVersion": told["apiVersion"], "kind": "ExecCredential", "status": {{"token": token}}}}))
"""


def plugin(command: Path | str, version: str = "v1", **more: Any) -> dict[str, Any]:
    """The user of a kubeconfig with a plugin, as `aws eks update-kubeconfig` and its like write it."""
    env = [{"name": "WHO", "value": "me"}, {"name": "KUBERNETES_EXEC_INFO", "value": "not this"}]
    return {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "interactiveMode": "Never",
            "command": str(command),
            "args": ["a", "b"],
            "env": env,
            **more,
        }
    }


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_plugin_is_told_the_version_of_the_kubeconfig_and_its_token_is_used(
    api: Api, live: LiveCluster, tmp_path: Path, version: str
) -> None:
    text = PLUGIN.format(python=sys.executable, version=version)
    api.log_in(plugin(script(tmp_path / "plugin", text), version))
    assert live.serving() == {}
    assert api.authorizations == ["Bearer me-a-b"]


def test_a_plugin_of_a_version_that_nobody_knows_is_refused(api: Api, live: LiveCluster) -> None:
    api.log_in(plugin("never-run", "v2"))
    with pytest.raises(ClusterUnreachable, match=r"client\.authentication\.k8s\.io/v2 not implemented"):
        live.serving()


def asked(live: LiveCluster) -> list[str]:
    """What the program and the command line say of a cluster that cannot be asked."""
    with pytest.raises(ClusterUnreachable) as program:
        live.serving()
    cluster = Cluster(None, "dev", "owner")
    try:
        with pytest.raises(Unreachable) as command_line:
            cluster.snapshot()
    finally:
        cluster.close()
    return [str(program.value), str(command_line.value)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "credentials plugin {command} cannot be run: [Errno 2]"),
        ("not for a machine", "credentials plugin {command} cannot be run: [Errno 8]"),
        ("#!/bin/sh\n", "credentials plugin {command} printed no ExecCredential with a token: JSONDecodeError"),
        ("#!/bin/sh\necho '{{}}'\n", "credentials plugin {command} printed no ExecCredential with a token: KeyError"),
        ("#!/bin/sh\necho null\n", "credentials plugin {command} printed no ExecCredential with a token: TypeError"),
        ("#!/bin/sh\necho who are you >&2; exit 3\n", "{command} returned 3: who are you"),
    ],
    ids=["missing", "no program", "prints nothing", "prints no token", "prints no object", "fails"],
)
def test_a_plugin_that_gives_no_token_is_named(
    api: Api, live: LiveCluster, tmp_path: Path, text: str | None, said: str
) -> None:
    command = tmp_path / "plugin"
    if text is not None:
        script(command, text.format())
    api.log_in(plugin(command))
    for words in asked(live):
        assert said.format(command=command) in words
    assert api.authorizations == []


def test_a_missing_plugin_is_said_with_the_hint_that_its_kubeconfig_has(api: Api, live: LiveCluster) -> None:
    api.log_in(plugin("no-such-plugin", installHint="Install it from example.org."))
    for words in asked(live):
        assert "plugin no-such-plugin cannot be run" in words
        assert "Install it from example.org." in words


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "text/html", "<html>Log in</html>"), "what answered is no Kubernetes API, or a proxy in its place"),
        ((502, "application/json", "<html>Bad"), "what answered is no Kubernetes API, or a proxy in its place"),
        ((502, "text/html", "<html>Bad"), "502 Bad Gateway"),
    ],
    ids=["a page", "a page that says it is JSON", "a proxy's error"],
)
def test_a_proxy_that_answers_in_the_clusters_place_is_said(
    api: Api, live: LiveCluster, answer: tuple[int, str, str], said: str
) -> None:
    api.override = lambda: answer
    for words in asked(live):
        assert said in words


def test_a_missing_certificate_of_the_cluster_is_said(files: tuple[Path, Path]) -> None:
    """The kubeconfigs of these files name certificates that are not there."""
    live = LiveCluster("dev", None, OWNER)
    with pytest.raises(ClusterUnreachable, match="a file that the kubeconfig names cannot be used"):
        live.serving()


def test_an_error_of_the_program_is_not_the_clusters(live: LiveCluster) -> None:
    def mistaken() -> None:
        with live.reachable():
            raise KeyError("typo")

    with pytest.raises(KeyError, match="typo"):
        mistaken()
