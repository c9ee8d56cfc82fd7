"""The Pulumi CLI that the demo, the tests and the benchmarks run.

Where the PATH has a ``pulumi`` that the product supports, it is that one, with the plugins of its user. Elsewhere the CLI
and the provider for Kubernetes are built from their Go modules, and what no registry of modules carries is put beside them:
the language host for Python and the ``command`` provider (`language_host`, `command_provider`), both on the SDK's own
protocol.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from automation.errors import PulumiNotFound
from automation.pulumi_cli import find
from devkit import paths
from devkit.cluster.progress import Progress
from devkit.tools import build

_HERE = Path(__file__).parent
_LANGUAGE_HOST = {"pulumi-language-python": "language_host.py", "run_program.py": "run_program.py"}
_COMMAND_PROVIDER = {"pulumi-resource-command": "command_provider.py"}


@dataclass(frozen=True)
class Installation:
    """A Pulumi CLI with what it needs.

    Attributes:
        executables: the folder of ``pulumi`` and its language host.
        plugins: what ``$PULUMI_HOME/plugins`` is to be.
    """

    executables: Path
    plugins: Path


def installed() -> Installation:
    """The CLI to use, which has been built already if need be."""
    own = _on_path()
    return own or _built()


def install(progress: Progress) -> Installation:
    """Builds and assembles what is missing.

    Raises:
        BuildError: a module cannot be had or does not compile.
    """
    if own := _on_path():
        progress.say(f"using {own.executables / 'pulumi'}")
        return own
    cli = build.build(build.PULUMI, progress) / "pulumi"
    provider = build.build(build.PULUMI_KUBERNETES, progress) / "pulumi-resource-kubernetes"
    installation = _built()
    folder = installation.plugins.parent
    if folder.exists():
        return installation
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _link(cli, partial / "bin" / "pulumi")
        for name, source in _LANGUAGE_HOST.items():
            _script(_HERE / source, partial / "bin" / name)
        plugins = partial / "plugins"
        _link(provider, plugins / f"resource-kubernetes-v{build.PULUMI_KUBERNETES.version()}" / provider.name)
        for name, source in _COMMAND_PROVIDER.items():
            _script(_HERE / source, plugins / f"resource-command-v{version('pulumi-command')}" / name)
        # Renamed as a whole, so that two at once, or one that is killed, leave nothing that looks finished.
        partial.chmod(0o755)
        partial.rename(folder)
    except OSError:
        if not folder.exists():  # unless another one was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return installation


def _on_path() -> Installation | None:
    """The CLI of the PATH; None where there is none, or one without a language host for Python.

    Raises:
        UnsupportedPulumi: it is too old or too new.
    """
    try:
        cli = find(os.environ)
    except PulumiNotFound:
        return None
    folder = cli.executable.resolve().parent
    if not shutil.which("pulumi-language-python", path=f"{folder}{os.pathsep}{os.environ['PATH']}"):
        return None
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    return Installation(folder, home / "plugins")


def _built() -> Installation:
    """Where the built CLI is or will be: a folder for each version of it, of the SDK's Python and of the code beside this file."""
    key = hashlib.sha256(sys.executable.encode())
    for source in (*_LANGUAGE_HOST.values(), *_COMMAND_PROVIDER.values()):
        key.update((_HERE / source).read_bytes())
    name = f"{build.PULUMI.version()}-kubernetes-{build.PULUMI_KUBERNETES.version()}-{key.hexdigest()[:12]}"
    folder = paths.cache_dir() / "pulumi" / name
    return Installation(folder / "bin", folder / "plugins")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # A hard link and no symbolic one: the CLI looks for its language host beside what the link leads to.
    os.link(source, target)


def _script(source: Path, target: Path) -> None:
    """A Python file as an executable that this environment's Python runs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"#!{sys.executable} -P\n{source.read_text(encoding='utf-8')}", encoding="utf-8")
    target.chmod(0o755)
