"""Which cluster is meant, by the same rules as kubectl and Pulumi's Kubernetes provider.

lightkube's own ``KubeConfig.from_env`` prefers the service account of the pod it runs in to ``KUBECONFIG``, and reads one file
only: in a CI runner that is a pod, the guards would look at another cluster than the one Pulumi writes to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from lightkube import KubeConfig
    from lightkube.config.kubeconfig import SingleConfig

# The entries whose values are paths, relative to the file they stand in.
_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def choose(context: str | None) -> SingleConfig:
    """One context of :func:`load`'s configuration; None is the current one.

    Raises:
        lightkube.ConfigError: there is no such context, or it names a cluster or user that is not there.
    """
    from lightkube import ConfigError

    try:
        chosen = load().get(context_name=context)
    except KeyError as error:
        raise ConfigError(f"the kubeconfig's context names {error}, which is not in it") from error
    assert chosen is not None  # only with a default
    return chosen


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
