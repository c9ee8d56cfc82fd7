"""Which cluster is meant, by the same rules as kubectl and Pulumi's Kubernetes provider.

lightkube's own ``KubeConfig.from_env`` prefers the service account of the pod it runs in to ``KUBECONFIG``, and reads one file
only: in a CI runner that is a pod, the guards would look at another cluster than the one Pulumi writes to.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from lightkube import KubeConfig
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import UserExec

# The entries whose values are paths, relative to the file they stand in.
_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")

_PLUGINS = "client.authentication.k8s.io"
# Where lightkube runs a plugin that gives credentials, and reads what it prints.
_RUNS_PLUGIN = ("lightkube.config.client_adapter", "sync_auth_flow")


def choose(context: str | None) -> SingleConfig:
    """One context of :func:`load`'s configuration; None is the current one.

    Raises:
        lightkube.ConfigError: there is no such context, or it names a cluster or user that is not there.
    """
    import msgspec
    from lightkube import ConfigError

    try:
        chosen = load().get(context_name=context)
    except KeyError as error:
        raise ConfigError(f"the kubeconfig's context names {error}, which is not in it") from error
    assert chosen is not None  # only with a default
    if chosen.user is None or chosen.user.exec is None:
        return chosen
    return chosen._replace(user=msgspec.structs.replace(chosen.user, exec=_plugin(chosen.user.exec)))


def _plugin(given: UserExec) -> UserExec:
    """A plugin that gives credentials, so that lightkube 1.0 runs it as kubectl does.

    lightkube tells it nothing, so what it must know is in its environment. It knows v1beta1 but not v1, whose documents are the
    same as far as a token goes; the plugin is told the version of the kubeconfig, and answers in that one.
    """
    import msgspec
    from lightkube.config.models import NameValue

    # Nobody is at hand: hooks ask from threads, in a process whose input is not theirs.
    info = {"apiVersion": given.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    told = NameValue("KUBERNETES_EXEC_INFO", json.dumps(info))
    known = f"{_PLUGINS}/v1beta1" if given.apiVersion == f"{_PLUGINS}/v1" else given.apiVersion
    return msgspec.structs.replace(given, apiVersion=known, env=[*(given.env or ()), told])


def why_not(error: Exception, config: SingleConfig | None) -> str | None:
    """Why a cluster cannot be asked, where that is what an error of lightkube's client says; None for any other error.

    lightkube lets out as it is what comes of a plugin that is not there or prints no credentials, of files that a kubeconfig names,
    and of an answer that is not Kubernetes' own.

    Args:
        error: as it was caught.
        config: that the client was made with; None before it was chosen.
    """
    import httpx2 as httpx
    from lightkube import ConfigError

    if isinstance(error, httpx.HTTPError | ConfigError):
        return str(error) or type(error).__name__
    places = [(f.f_globals.get("__name__", ""), f.f_code.co_name) for f, _ in traceback.walk_tb(error.__traceback__)]
    plugin = config.user.exec if config and config.user else None
    if plugin is not None and _RUNS_PLUGIN in places:
        if isinstance(error, OSError):
            hint = f". {plugin.installHint.strip()}" if plugin.installHint else ""
            return f"the kubeconfig's credentials plugin {plugin.command} cannot be run: {error}{hint}"
        if isinstance(error, ValueError | LookupError | TypeError):
            return f"the kubeconfig's credentials plugin {plugin.command} printed no ExecCredential with a token: {error!r}"
    if isinstance(error, OSError):
        return f"a file that the kubeconfig names cannot be used: {error}"
    # Without lightkube in between, a missing key is an error of the program.
    if isinstance(error, ValueError) or (
        isinstance(error, LookupError | TypeError) and any(module.startswith("lightkube.") for module, _ in places)
    ):
        return f"what answered is no Kubernetes API, or a proxy in its place: {error!r}"
    return None


def load(environment: Mapping[str, str] = os.environ) -> KubeConfig:
    """The configuration that ``KUBECONFIG``, else ``~/.kube/config``, else the pod's service account gives.

    ``KUBECONFIG`` may name several files. They are merged as kubectl merges them: missing files are passed over, and the
    first one that has a cluster, a user, a context or the current context decides
    (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files).

    Raises:
        lightkube.ConfigError: there is no configuration, or a file cannot be read as one.
    """
    import msgspec
    from lightkube import ConfigError, KubeConfig

    named = [Path(p).expanduser() for p in environment.get("KUBECONFIG", "").split(os.pathsep) if p]
    paths = [p for p in named or [Path("~/.kube/config").expanduser()] if p.is_file()]
    if not paths:
        try:
            return KubeConfig.from_service_account()
        except (ConfigError, KeyError):
            where = ", ".join(map(str, named)) or "~/.kube/config"
            raise ConfigError(f"no kubeconfig at {where}, and this is not a pod with a service account") from None
    try:
        return KubeConfig.from_dict(merge(paths), fname=paths[0])
    except (ValueError, msgspec.MsgspecError) as error:
        raise ConfigError(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{', '.join(map(str, paths))}: not as a kubeconfig should be: {error!r}") from error


def merge(paths: Sequence[Path]) -> dict[str, Any]:
    """The content of several kubeconfigs as one, with the paths in it made absolute.

    Raises:
        ValueError: one of them is no kubeconfig.
    """
    merged: dict[str, Any] = {"clusters": [], "contexts": [], "users": []}
    for path in paths:
        for key, value in _read(path).items():
            if key in ("clusters", "contexts", "users"):
                known = {entry["name"] for entry in merged[key]}
                merged[key] += [_absolute(entry, path.parent) for entry in value or () if entry["name"] not in known]
            elif value:
                merged.setdefault(key, value)
    return merged


def _read(path: Path) -> Mapping[str, Any]:
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is not a kubeconfig: {error}") from error
    if config is not None and not isinstance(config, Mapping):
        raise ValueError(f"{path} is not a kubeconfig: it holds no mapping")
    return config or {}


def _absolute(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """An entry like ``{"name": ..., "user": {...}}`` whose paths no longer depend on the file it came from."""
    return {
        key: {k: str(folder / v) if k in _PATHS and v else v for k, v in value.items()}
        if isinstance(value, Mapping)
        else value
        for key, value in entry.items()
    }
