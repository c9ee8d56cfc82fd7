"""Builds executables from Go modules, once per version, into the cache: the cluster's, Pulumi's, and those of images.

Each directory below ``tools/`` is a Go module: a ``go.mod`` that pins one upstream release and lists its commands as
``tool``, and the ``go.sum`` that fixes every byte. Only the Kubernetes provider has code of its own, as upstream's
command needs files that are generated there. The registry of Go modules is the only thing needed: there are no release
archives to download on the machines this is for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devkit import paths
from devkit.cluster.errors import BuildError
from devkit.cluster.progress import Progress

TOOLS = Path(__file__).parent
_REFUSED = re.compile(r"(?P<module>[\w.-]+\.[\w-]+/[^\s:@]+@v[^\s:]+): (?:reading|verifying) ")


@dataclass(frozen=True)
class Group:
    """The commands of one upstream release.

    Attributes:
        name: the directory below ``tools/``.
        module: the upstream module whose version is the release's.
        commands: executable's name -> Go package.
        version_packages: Kubernetes' packages that hold the release's version (set by the linker); other than in
            upstream's own builds they would be empty, and clients warn about the odd version.
        version_variable: likewise, one Go string variable.
        released_as: the version that executables tell, where the module is a commit of it rather than its tag.
        generated: files of the upstream module that the build copies beside the folder's ``main.go``.
    """

    name: str
    module: str
    commands: dict[str, str]
    version_packages: tuple[str, ...] = ()
    version_variable: str = ""
    released_as: str = ""
    generated: tuple[str, ...] = ()

    def version(self) -> str:
        """The pinned version, read from the group's ``go.mod``: there is no second place to keep in step."""
        return self.released_as or self.pinned()

    def pinned(self) -> str:
        """The version of the module, as ``go.mod`` has it."""
        text = (TOOLS / self.name / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"^(?:require\s+|\t){re.escape(self.module)} (v\S+)(?: // indirect)?$", text, re.MULTILINE)
        if found is None:
            raise BuildError(f"devkit/tools/{self.name}/go.mod does not require {self.module}")
        return found.group(1)

    def directory(self) -> Path:
        """Where the built executables are."""
        return paths.cache_dir() / "bin" / f"{self.name}-{self.version()}"

    def missing(self) -> list[str]:
        """The executables that are not built yet."""
        return [name for name in self.commands if not (self.directory() / name).exists()]

    def ldflags(self) -> str:
        """The linker's flags: no symbol table, and the version that ``--version`` and ``kubectl version`` tell."""
        version = self.version()
        major, minor = version.removeprefix("v").split(".")[:2]
        flags = ["-s", "-w"]
        for package in self.version_packages:
            flags += [f"-X {package}.gitVersion={version}", f"-X {package}.gitMajor={major}"]
            flags += [f"-X {package}.gitMinor={minor}", f"-X {package}.gitTreeState=clean"]
        if self.version_variable:
            flags.append(f"-X {self.version_variable}={version}")
        return " ".join(flags)


GROUPS = (
    Group("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Group("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"}),
    Group(
        "kubernetes",
        "k8s.io/kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
            )
        },
        version_packages=("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"),
    ),
)  # fmt: skip

PULUMI = Group(
    "pulumi",
    "github.com/pulumi/pulumi/pkg/v3",
    {"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
    # Nothing that reads the version works without it: requirements of plugins, `pulumi version`, the Automation API.
    version_variable="github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
)
PULUMI_KUBERNETES = Group(
    "pulumi-kubernetes",
    "github.com/pulumi/pulumi-kubernetes/provider/v4",
    {"pulumi-resource-kubernetes": "."},
    version_variable="github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version",
    released_as="4.25.0",  # the registry has the commit before that tag, and no tag
    generated=("cmd/pulumi-resource-kubernetes/schema.json", "cmd/pulumi-resource-kubernetes/terraform-mapping.json"),
)

# What goes into images rather than onto the node. Built when such an image is first wanted: a demo needs neither.
CADDY = Group("caddy", "github.com/caddyserver/caddy/v2", {"caddy": "github.com/caddyserver/caddy/v2/cmd/caddy"})
NATS = Group("nats", "github.com/nats-io/nats-server/v2", {"nats-server": "github.com/nats-io/nats-server/v2"})

# What tests alone need.
VERSITYGW = Group(
    "versitygw", "github.com/versity/versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}
)


def executable(name: str) -> Path | None:
    """Where the executable ``name`` is or will be built; None for a name that is not built here."""
    for group in GROUPS:
        if name in group.commands:
            return group.directory() / name
    return None


def require(name: str) -> Path:
    """The built executable ``name``.

    Raises:
        BuildError: it has not been built.
    """
    path = executable(name)
    if path is None or not path.exists():
        raise BuildError(f"{name} has not been built: run python -m devkit.cluster up")
    return path


def build_all(progress: Progress) -> None:
    """Build every executable of the cluster that the cache does not have.

    Raises:
        BuildError: see :func:`build`.
    """
    for group in GROUPS:
        build(group, progress)


def build(group: Group, progress: Progress) -> Path:
    """Build a release's executables, those that the cache does not have.

    Returns:
        The directory they are in.

    Raises:
        BuildError: Go is missing or too old, a module cannot be fetched, or a package does not compile.
    """
    if group.missing():
        _build(group, progress)
    return group.directory()


def _build(group: Group, progress: Progress) -> None:
    go = shutil.which("go")
    if go is None:
        raise BuildError("the go command is not on the PATH: install Go 1.26 or newer (https://go.dev/dl)")
    target = group.directory()
    target.mkdir(parents=True, exist_ok=True)
    # Next to the target, so that the rename that publishes an executable is atomic: an interrupted build leaves
    # nothing that looks finished, and Go's own build cache lets the next one continue where it stopped.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        missing = group.missing()
        with (
            progress.step(f"building {group.name} {group.version()} ({', '.join(missing)})") as step,
            _sources(group, go) as sources,
        ):
            # The linker would throw the debugging information away (-w): not making it saves a tenth of the time.
            command = [
                go, "build", "-C", str(sources), "-v", "-mod=readonly", "-trimpath", "-buildvcs=false",
                "-gcflags=all=-dwarf=false", f"-ldflags={group.ldflags()}", "-o", temporary + "/", *(group.commands[name] for name in missing),
            ]  # fmt: skip
            compiled = downloaded = 0
            last: deque[str] = deque(maxlen=40)
            with subprocess.Popen(
                command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process:
                assert process.stdout is not None
                try:
                    for line in process.stdout:
                        last.append(line.rstrip())
                        downloaded += line.startswith("go: downloading ")
                        compiled += not line.startswith(("go: ", "#"))
                        step.detail = (
                            f"{compiled} packages compiled" if compiled else f"{downloaded} modules being downloaded"
                        )
                    code = process.wait()
                except BaseException:
                    process.terminate()
                    raise
            if code != 0:
                raise _failed(group, "go build", code, list(last))
            for name in missing:
                # Go names an executable after its package's last element that is no version: etcd's is "server".
                produced = Path(temporary) / name
                if not produced.exists():
                    (produced,) = Path(temporary).iterdir()
                produced.replace(target / name)


@contextmanager
def _sources(group: Group, go: str) -> Iterator[Path]:
    """The folder to build in: the group's own, or a copy of it with the files that the upstream module generated."""
    folder = TOOLS / group.name
    if not group.generated:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix=f"{group.name}-") as temporary:
        copy = Path(temporary) / "src"
        shutil.copytree(folder, copy)
        done = subprocess.run(
            [go, "mod", "download", "-json", f"{group.module}@{group.pinned()}"],
            cwd=copy, env=_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            error = ""
            if done.stdout:
                error = "go: " + str(json.loads(done.stdout).get("Error", ""))
            raise _failed(group, "go mod download", done.returncode, [*done.stderr.splitlines(), error])
        module = Path(json.loads(done.stdout)["Dir"])
        for file in group.generated:
            shutil.copyfile(module / file, copy / Path(file).name)
        yield copy


def _failed(group: Group, command: str, code: int, lines: list[str]) -> BuildError:
    """What a failed build means: a module that cannot be had is named first, with what to do."""
    refused = dict.fromkeys(m["module"] for line in lines if (m := _REFUSED.search(line)))
    told = "\n  ".join(line for line in lines if line)
    if refused:
        own = " or put your own `pulumi` on the PATH," if group in (PULUMI, PULUMI_KUBERNETES) else ""
        return BuildError(
            f"{group.name} {group.version()} needs modules that the Go module proxy does not hand out: {', '.join(refused)}\n"
            f"  {told}\nname another version in devkit/tools/{group.name}/go.mod,{own} or try another proxy (go env GOPROXY)"
        )
    return BuildError(
        f"{group.name} {group.version()} did not build ({command} ended with {code}):\n  {told}"
        "\ncheck that the Go module proxy is reachable (go env GOPROXY) and run the same command again"
    )


def _environment() -> dict[str, str]:
    """The build's environment: static executables, and nothing of the user's own flags."""
    return {
        **{name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOWORK"}},
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOCACHE": str(paths.cache_dir() / "go-build"),
    }
