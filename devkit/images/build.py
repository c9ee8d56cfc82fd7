"""Builds images by following their Dockerfiles, step by step, with a cache keyed by what each step depends on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from devkit.images import base, dockerfile, layers
from devkit.images.dockerfile import Instruction
from devkit.images.errors import BuildError, DockerfileError
from devkit.images.layers import Layer

Say = Callable[[str], None]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PIP = ["python3", "-m", "pip", "install"]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class State:
    """An image after some of its steps.

    Attributes:
        key: digest of everything it depends on.
        layers: from the bottom up.
        environment: ENV.
        labels: LABEL.
        user: USER.
        directory: WORKDIR.
        entrypoint: ENTRYPOINT.
        command: CMD.
        ports: EXPOSE.
    """

    key: str
    layers: tuple[Layer, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": _PATH, "LANG": "C.UTF-8"})
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    directory: str = "/"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()

    def configuration(self) -> bytes:
        """Gives the OCI image configuration, the same bytes for the same image."""
        return _json(
            {
                "created": "1970-01-01T00:00:00Z",
                "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "config": {
                    "User": self.user,
                    "Env": [f"{name}={value}" for name, value in self.environment.items()],
                    "Entrypoint": list(self.entrypoint),
                    "Cmd": list(self.command),
                    "WorkingDir": self.directory,
                    "Labels": dict(self.labels),
                    "ExposedPorts": {port: {} for port in self.ports},
                },
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
            }
        )

    def manifest(self) -> bytes:
        """Gives the OCI image manifest."""
        configuration = self.configuration()
        kind = "application/vnd.oci.image"
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": f"{kind}.manifest.v1+json",
                "config": {
                    "mediaType": f"{kind}.config.v1+json",
                    "digest": digest(configuration),
                    "size": len(configuration),
                },
                "layers": [
                    {"mediaType": f"{kind}.layer.v1.tar", "digest": layer.digest, "size": layer.size}
                    for layer in self.layers
                ],
            }
        )


def digest(content: bytes) -> str:
    """Gives the OCI digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Builder:
    """Builds images out of one source tree into one cache.

    Args:
        context: the source tree, as `docker build` has it.
        cache: directory for layers and steps.
        say: told about steps that take time.
    """

    def __init__(self, context: Path, cache: Path, say: Say) -> None:
        self._context = context
        self._cache = cache
        self._say = say
        self.blobs = cache / "blobs"
        self._steps = cache / "steps"
        for directory in (self.blobs, self._steps):
            directory.mkdir(parents=True, exist_ok=True)

    def within(self, context: Path) -> Builder:
        """Gives a builder with the same cache whose COPY takes files from another directory."""
        return Builder(context, self._cache, self._say)

    def base(self) -> State:
        """Gives the base image, making it where it is not in the cache."""
        key = f"base-{base.key()}"

        def make() -> Layer:
            self._tell("the base (Debian's Python)")
            return base.make(self.blobs)

        return self._cached(State(key, ()), make)

    def build(self, path: Path, arguments: Mapping[str, str], under: State) -> State:
        """Builds one image.

        Args:
            path: its Dockerfile.
            arguments: values of the Dockerfile's ARGs.
            under: the image to stand on, in the place of what FROM names.

        Returns:
            The image.

        Raises:
            DockerfileError: the Dockerfile is not understood.
            BuildError: a step failed.
        """
        try:
            state = under
            with _Tree(self.blobs) as tree:
                for instruction in dockerfile.parse(path.read_text(), arguments):
                    state = self._step(state, instruction, tree)
        except DockerfileError as error:
            raise DockerfileError(f"{path.name}: {error}") from None
        return state

    def _step(self, state: State, instruction: Instruction, tree: _Tree) -> State:
        words = instruction.arguments
        match instruction.name:
            case "FROM":
                return state
            case "ENV":
                return replace(state, environment={**state.environment, **instruction.pairs})
            case "LABEL":
                return replace(state, labels={**state.labels, **instruction.pairs})
            case "USER":
                return replace(state, user=words[0])
            case "WORKDIR":
                return replace(state, directory=words[0])
            case "EXPOSE":
                return replace(state, ports=tuple(f"{port.removesuffix('/tcp')}/tcp" for port in words))
            case "ENTRYPOINT":
                return replace(state, entrypoint=words, command=())
            case "CMD":
                return replace(state, command=words)
            case "COPY":
                files = self._sources(instruction)
                content = layers.tree_digest([source for source, _ in files], self._context)
                return self._filesystem(state, instruction, content, tree, lambda root: _copy(files, root))
        commands = dockerfile.commands(instruction)
        environment = dict(state.environment)
        return self._filesystem(state, instruction, "", tree, lambda root: self._run(commands, environment, root))

    def _filesystem(
        self, state: State, instruction: Instruction, content: str, tree: _Tree, change: Callable[[Path], None]
    ) -> State:
        """Takes a step that makes a layer, or finds it in the cache."""

        def make() -> Layer:
            self._tell(str(instruction))
            root = tree.at(state.layers)
            before = layers.snapshot(root)
            change(root)
            changed, gone = layers.changed(before, layers.snapshot(root))
            layer = layers.write(root, changed, gone, self.blobs)
            tree.has = (*state.layers, layer)
            return layer

        python = sys.version_info[:2] if "pip" in instruction.arguments else ""
        settled = [1, state.key, str(instruction), content, str(python), sorted(state.environment.items())]
        key = hashlib.sha256(_json(settled)).hexdigest()[:32]
        return self._cached(replace(state, key=key), make)

    def _cached(self, state: State, make: Callable[[], Layer]) -> State:
        """Gives the state with the step's layer on top."""
        record = self._steps / f"{state.key}.json"
        layer: Layer | None = None
        if record.exists():
            known = json.loads(record.read_text())
            if (self.blobs / known["digest"].removeprefix("sha256:")).exists():
                layer = Layer(**known)
        if layer is None:
            layer = make()
            partial = record.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(asdict(layer)))
            partial.replace(record)
        return replace(state, layers=(*state.layers, layer))

    def _sources(self, instruction: Instruction) -> list[tuple[Path, str]]:
        """Gives the files of a COPY and where in the image each goes."""
        *sources, target = instruction.arguments
        if len(sources) != 1 or not target.startswith("/"):
            raise DockerfileError(f"line {instruction.line}: one source and an absolute target are followed here")
        source = self._context / sources[0]
        if source.is_file() and not target.endswith("/"):
            return [(source, target)]
        if not source.is_dir() or not target.endswith("/"):
            raise DockerfileError(f"line {instruction.line}: {sources[0]} is neither file nor directory of the tree")
        found = sorted(
            path
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        )
        return [(path, target + str(path.relative_to(source))) for path in found]

    def _run(self, commands: list[list[str]], environment: dict[str, str], root: Path) -> None:
        for command in commands:
            if command[: len(_PIP)] == _PIP:
                _pip(command[len(_PIP) :], root)
                continue
            if command[0] == "apt-get":
                _apt(command[1:])
                continue
            done = subprocess.run(
                ["chroot", str(root), *command], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise BuildError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr[-2000:]}")

    def _tell(self, step: str) -> None:
        self._say(step if len(step) < 140 else step[:139] + "…")


def _copy(files: list[tuple[Path, str]], root: Path) -> None:
    for source, target in files:
        path = root / target.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes())
        path.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _apt(words: list[str]) -> None:
    """Packages are in the base, which has no package manager; one that is not would be missed at run time only."""
    missing = [word for word in words[1:] if not word.startswith("-") and word not in base.PACKAGES]
    if words[0] == "install" and missing:
        raise BuildError(f"apt-get install: {', '.join(missing)} is not in the base (devkit/images/base.py)")


def _pip(options: list[str], root: Path) -> None:
    """Runs the host's pip for the image's Python: the base has neither pip nor a use for it afterwards.

    Scripts are left out. Their first line would name the host's interpreter.
    """
    inside = {"--target", "-r", "--requirement"}
    mapped = [
        str(root / word.removeprefix("/")) if before in inside else word
        for before, word in zip(["", *options], options, strict=False)
    ]
    if "--target" not in options:
        raise BuildError("pip install without --target is not done here: there is no pip in the image")
    target = Path(mapped[options.index("--target") + 1])
    machine = platform.machine()
    platforms = [f"{tag}_{machine}" for tag in ("manylinux_2_17", "manylinux2014", "manylinux_2_28")]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += [option for option in mapped if option != "--no-cache-dir"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={base.PYTHON}"]
    command += [f"--platform={each}" for each in platforms]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"pip install exited with {done.returncode}:\n{done.stderr[-2000:]}")
    if (scripts := target / "bin").is_dir():
        for script in scripts.iterdir():
            script.unlink()
        scripts.rmdir()
    for record in target.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(sorted(line for line in lines if not line.startswith("../../bin/"))))


class _Tree:
    """A directory holding the files of some layers, made when first needed and kept from step to step."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = blobs
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.has: tuple[Layer, ...] = ()

    def __enter__(self) -> _Tree:
        return self

    def __exit__(self, *_: object) -> None:
        if self._temporary:
            self._temporary.cleanup()

    def at(self, wanted: tuple[Layer, ...]) -> Path:
        """Gives the directory with these layers in it."""
        if self._temporary is None or wanted[: len(self.has)] != self.has:
            if self._temporary:
                self._temporary.cleanup()
            self._temporary = tempfile.TemporaryDirectory(prefix="tree-", dir=self._blobs.parent)
            self.has = ()
        root = Path(self._temporary.name)
        for layer in wanted[len(self.has) :]:
            layers.extract(layer, self._blobs, root)
        self.has = wanted
        return root
