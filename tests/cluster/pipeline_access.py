"""The accounts of ``ci/access.yaml`` in a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightkube import ApiError, Client
from lightkube.codecs import load_all_yaml
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccountToken

from devkit.workspace import REPOSITORY


@contextmanager
def access(api: Client, namespace: str) -> Iterator[None]:
    """Makes them as docs/ci.md says, for a namespace that is there; what is outside of that is removed at the end."""
    made = []
    try:
        for each in load_all_yaml((REPOSITORY / "ci" / "access.yaml").read_text().replace("NAMESPACE", namespace)):
            made.append(api.create(each))
        yield
    finally:
        for each in reversed(made):
            if each.metadata and each.metadata.namespace != namespace:
                try:
                    api.delete(type(each), each.metadata.name, namespace=each.metadata.namespace)
                except ApiError as error:
                    if error.status.code != 404:
                        raise


def token(api: Client, namespace: str, account: str) -> str:
    """What ``kubectl create token`` prints."""
    request = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[]))
    answer = api.create(request, account, namespace=f"{namespace}-pipelines")
    assert answer.status
    return str(answer.status.token)
