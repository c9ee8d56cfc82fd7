"""The values the cluster is configured with: pins, ports, rules to remove, archives, and the lock."""

from __future__ import annotations

import io
import json
import multiprocessing
import tarfile
import time
from pathlib import Path

import pytest
import yaml

from devkit import paths
from devkit.cluster import config, images, kubernetes, lock, network, packages
from devkit.cluster.errors import BusyError, ClusterError
from devkit.cluster.progress import Progress
from devkit.tools import build


def test_every_tool_is_pinned_and_comes_from_its_own_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLOUT_CACHE", "/cache")
    assert build.executable("kubelet") == Path("/cache/bin/kubernetes-v1.34.4/kubelet")
    assert build.executable("etcd") == Path("/cache/bin/etcd-v3.6.6/etcd")
    assert build.executable("coredns") == Path("/cache/bin/coredns-v1.14.6/coredns")
    assert build.executable("bash") is None
    for group in build.GROUPS:
        assert (build.TOOLS / group.name / "go.sum").exists()
        module = (build.TOOLS / group.name / "go.mod").read_text(encoding="utf-8")
        assert all(package in module for package in group.commands.values())


def test_kubernetes_staging_modules_are_all_of_the_same_release() -> None:
    module = (build.TOOLS / "kubernetes" / "go.mod").read_text(encoding="utf-8")
    replaced = [line.split()[-1] for line in module.splitlines() if "=>" in line]
    assert len(replaced) == 31
    assert set(replaced) == {"v0.34.4"}


def test_version_is_linked_in() -> None:
    kubernetes_group = next(group for group in build.GROUPS if group.name == "kubernetes")
    assert "-X k8s.io/component-base/version.gitVersion=v1.34.4" in kubernetes_group.ldflags()


def test_no_two_servers_share_a_port_or_use_a_well_known_one() -> None:
    ports = [value for name, value in vars(config).items() if name.endswith("_PORT")]
    assert len(set(ports)) == len(ports)
    assert not {6443, 2379, 2380, 10250, 10256, 5432, 53} & set(ports)
    # Below Linux's range for outgoing connections, and outside that of node ports.
    assert all(port < 30000 for port in ports)


def test_audit_policy_drops_reads_and_heartbeats_only() -> None:
    *dropped, last = kubernetes.audit_policy()["rules"]
    assert last == {"level": "Metadata"}
    assert all(rule["level"] == "None" for rule in dropped)
    users = [rule for rule in dropped if "userGroups" not in rule and "verbs" not in rule]
    groups = {resource["group"] for rule in users for resource in rule["resources"]}
    resources = {name for rule in users for resource in rule["resources"] for name in resource.get("resources", ())}
    assert resources == {"leases", "events"}
    assert groups == {"coordination.k8s.io", "", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io"}


def test_containers_rules_are_removed_and_others_kept() -> None:
    saved = """\
# Generated
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SEP-A - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m comment --comment "service portals" -j KUBE-SERVICES
-A PREROUTING -j DOCKER
-A KUBE-SERVICES -j KUBE-SEP-A
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
COMMIT
"""
    assert network.removal(saved).splitlines() == [
        "*nat",
        ":KUBE-SERVICES - [0:0]",
        ":KUBE-SEP-A - [0:0]",
        '-D PREROUTING -m comment --comment "service portals" -j KUBE-SERVICES',
        "-X KUBE-SERVICES",
        "-X KUBE-SEP-A",
        "COMMIT",
    ]
    assert network.removal("") == ""


def test_image_archive_is_the_same_every_time_and_complete() -> None:
    image = images.Image(
        "localhost/x:1", {"bin/x": images.Entry(b"x"), "bin/y": images.Entry(link="x")}, {"Cmd": ["x"]}
    )
    archive = images.archive(image)
    assert images.archive(image) == archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = json.loads(_read(tar, "manifest.json"))
        assert [entry["RepoTags"] for entry in manifest] == [["localhost/x:1"]]
        with tarfile.open(fileobj=io.BytesIO(_read(tar, manifest[0]["Layers"][0]))) as layer:
            assert layer.getnames() == ["bin", "bin/x", "bin/y"]
            assert layer.getmember("bin/y").linkname == "x"


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def test_generated_configurations_are_valid_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (kubernetes.audit_policy(), kubernetes.admission_configuration(), kubernetes.proxy_configuration()):
        assert yaml.safe_load(json.dumps(value)) == value


def test_policy_of_an_interrupted_installation_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "_POLICY_SAVED", tmp_path / "saved")
    (tmp_path / "policy-rc.d").write_text("the administrator's", encoding="utf-8")
    killed = packages._no_services()
    killed.__enter__()
    assert "exit 101" in (tmp_path / "policy-rc.d").read_text(encoding="utf-8")
    with packages._no_services():
        pass
    assert (tmp_path / "policy-rc.d").read_text(encoding="utf-8") == "the administrator's"
    assert not (tmp_path / "saved").exists()


def _hold(name: str, held: object, release: object) -> None:
    with lock.exclusive(Progress(quiet=True), name=name):
        held.set()  # type: ignore[attr-defined]
        release.wait(10)  # type: ignore[attr-defined]


def test_lock_is_exclusive_names_its_holder_and_dies_with_it() -> None:
    name = f"\0rollout-test-{time.monotonic_ns()}"
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(name, held, release))
    other.start()
    assert held.wait(10)
    assert lock.holder(name) == other.pid
    with (
        pytest.raises(BusyError, match=f"process {other.pid} has been at work"),
        lock.exclusive(Progress(quiet=True), patience=0.2, name=name),
    ):
        pass
    other.kill()
    other.join()
    with lock.exclusive(Progress(quiet=True), patience=5, name=name):
        pass


def test_directory_that_holds_other_files_is_neither_used_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from devkit.cluster import lifecycle

    (tmp_path / "thesis.tex").touch()
    monkeypatch.setenv("ROLLOUT_STATE", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(ClusterError, match="not the devkit cluster's"):
        lifecycle._own_directories()
    monkeypatch.setattr(lock, "NAME", "\0rollout-test")
    with pytest.raises(ClusterError, match="left alone"):
        lifecycle.down(Progress(quiet=True))
    assert (tmp_path / "thesis.tex").exists()


def test_paths_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROLLOUT_STATE", str(tmp_path))
    monkeypatch.delenv("ROLLOUT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert paths.kubeconfig() == tmp_path / "kubeconfig"
    assert paths.cache_dir() == Path("/xdg/rollout")
    with pytest.raises(FileNotFoundError, match=r"python -m devkit\.cluster up"):
        paths.postgres()
