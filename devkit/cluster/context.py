"""Somebody else's cluster, named by ``KUBE_CONTEXT``: it is only checked, never changed."""

from __future__ import annotations

import os

from devkit.cluster.errors import ContextError


def given() -> str | None:
    """The context named by ``KUBE_CONTEXT``; None when the devkit's cluster is to be used."""
    return os.environ.get("KUBE_CONTEXT") or None


def verify(context: str) -> str:
    """Check that the API server of a context answers this user.

    Args:
        context: a name in the kubeconfig of what ``KUBECONFIG`` or ``~/.kube/config`` names.

    Returns:
        The API server's URL.

    Raises:
        ContextError: no such context, unreachable, or not allowed in.
    """
    # Imported here: it takes half a second, and the devkit's cluster does not need it.
    import httpx2
    from lightkube import Client
    from lightkube.core.exceptions import ApiError, ConfigError
    from lightkube.resources.core_v1 import Namespace

    from components import kubeconfig

    try:
        single = kubeconfig.choose(context)
        server = str(single.cluster.server)
        client = Client(config=single)
        next(iter(client.list(Namespace, chunk_size=1)), None)
    except ConfigError as error:
        raise ContextError(f"KUBE_CONTEXT={context}: {error}: see kubectl config get-contexts") from error
    except ApiError as error:
        if error.status.code == 403:  # It is reachable and knows us; what we may do is the work's own matter.
            return server
        raise ContextError(f"KUBE_CONTEXT={context}: the API server refuses: {error}") from error
    except httpx2.HTTPError as error:
        raise ContextError(f"KUBE_CONTEXT={context}: the API server is not reachable: {error}") from error
    return server
