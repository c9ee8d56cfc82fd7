"""The restricted Pod Security Standard, and no token where none is used."""

from __future__ import annotations

from collections.abc import Iterator

from ..kubernetes import containers, is_workload, kind, named, pod
from ..rule import Examples, Finding, Options, ResourceRule
from ..values import Resource, get

PASSES = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: ledger
          image: example.org/ledger:1.1.0
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""
FAILS = PASSES.replace("allowPrivilegeEscalation: false", "privileged: true")
_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "name",
}


def _pod(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource) or resource.type.endswith("Patch"):
        return
    spec = pod(resource)
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        if get(spec, shared):
            yield Finding(f"its pods share the node's {shared.removeprefix('host').lower()}", f"Remove {shared}")
    for volume in get(spec, "volumes") or ():
        for source in set(volume) - _VOLUMES:
            if get(volume, source) is not None:
                yield Finding(
                    f"volume {get(volume, 'name')!r} is of the kind {source}",
                    "Use a ConfigMap, Secret, emptyDir or PersistentVolumeClaim",
                )
    if options["serviceAccountToken"] == "forbidden" and get(spec, "automountServiceAccountToken") is not False:
        yield Finding(
            "its pods are given a token of the Kubernetes API",
            "Set automountServiceAccountToken: false in the pod's spec; a workload that talks to the API needs serviceAccountToken: allowed in this rule's configuration",
        )


def _containers(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource) or resource.type.endswith("Patch"):
        return
    outer = get(pod(resource), "securityContext") or {}
    for container in containers(resource):
        own = get(container, "securityContext") or {}
        who = named(container)

        def setting(*path: str, own: object = own) -> object:
            value = get(own, *path)
            return get(outer, *path) if value is None else value

        if setting("runAsNonRoot") is not True:
            yield Finding(f"{who} may run as root", "Set securityContext.runAsNonRoot: true")
        if setting("runAsUser") == 0:
            yield Finding(f"{who} runs as user 0, root", "Set a runAsUser above 0, such as 65532")
        if setting("seccompProfile", "type") not in ("RuntimeDefault", "Localhost"):
            yield Finding(f"{who} has no seccomp profile", "Set securityContext.seccompProfile.type: RuntimeDefault")
        if get(own, "privileged"):
            yield Finding(f"{who} is privileged", "Remove securityContext.privileged")
        if get(own, "allowPrivilegeEscalation") is not False:
            yield Finding(f"{who} may gain privileges", "Set securityContext.allowPrivilegeEscalation: false")
        if "ALL" not in (get(own, "capabilities", "drop") or ()):
            yield Finding(f"{who} keeps Linux capabilities", "Set securityContext.capabilities.drop: [ALL]")
        added = set(get(own, "capabilities", "add") or ()) - {"NET_BIND_SERVICE"}
        if added:
            yield Finding(f"{who} adds the capabilities {', '.join(sorted(added))}", "Remove them")
        if get(own, "procMount") not in (None, "Default"):
            yield Finding(f"{who} unmasks /proc", "Remove securityContext.procMount")
        for port in get(container, "ports") or ():
            if get(port, "hostPort"):
                yield Finding(
                    f"{who} takes port {get(port, 'hostPort'):.0f} of its node",
                    "Remove hostPort; a Service gives it an address",
                )


def _account(resource: Resource, options: Options) -> Iterator[Finding]:
    if (
        kind(resource) == "ServiceAccount"
        and options["serviceAccountToken"] == "forbidden"
        and resource.get("automountServiceAccountToken") is not False
    ):
        yield Finding(
            "every pod that uses it is given a token of the Kubernetes API", "Set automountServiceAccountToken: false"
        )


RULE = ResourceRule(
    name="pod-security",
    description="Pods keep to the restricted Pod Security Standard and carry no API token.",
    reason="https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted . A namespace that enforces it refuses the pods only "
    "once the Deployment is there; here it is seen at preview. A token that is not used is only good to who steals it.",
    severity="high",
    options={
        "serviceAccountToken": {
            "type": "string",
            "enum": ["forbidden", "allowed"],
            "default": "forbidden",
            "description": "whether pods may be given a token of the Kubernetes API",
        }
    },
    examples=Examples(PASSES, FAILS),
    checks=(_pod, _containers, _account),
)
