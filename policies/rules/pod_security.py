"""The restricted Pod Security Standard, and no token where none is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..kubernetes import HOOKS, containers, is_partial, is_workload, kind, named, pod, template_path
from ..rule import Examples, Finding, Options, ResourceRule, every
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
# Fields of a pod's or a container's securityContext -> what else than nothing may be written there.
_CONTEXT: Mapping[tuple[str, ...], tuple[Any, ...]] = {
    ("windowsOptions", "hostProcess"): (False,),
    ("seLinuxOptions", "type"): ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"),
    ("seLinuxOptions", "user"): ("",),
    ("seLinuxOptions", "role"): ("",),
    ("appArmorProfile", "type"): ("RuntimeDefault", "Localhost"),
    ("procMount",): ("Default",),
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_API = "kubernetes.default"  # the audience of a token that has none
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def _each(value: Any, *path: str) -> list[Any]:
    return [get(value, *path, n) for n in range(len(get(value, *path) or ()))]


def _pod(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource):
        return
    spec = pod(resource)
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        if get(spec, shared):
            yield Finding(f"its pods share the node's {shared.removeprefix('host').lower()}", f"Remove {shared}")
    for volume in _each(spec, "volumes"):
        for source in sorted(set(volume) - _VOLUMES):
            if get(volume, source) is not None:
                yield Finding(
                    f"volume {get(volume, 'name')!r} is of the kind {source}",
                    "Use a ConfigMap, Secret, emptyDir or PersistentVolumeClaim",
                )
    yield from _context(get(spec, "securityContext"), "its pods")
    for name in (get(s, "name") for s in _each(spec, "securityContext", "sysctls")):
        if name not in _SYSCTLS:
            yield Finding(f"its pods set the kernel's {name}", "Remove it; it is not safe beside other pods")
    annotations = get(resource.props, *template_path(resource), "metadata", "annotations") or {}
    for name in annotations:
        if name.startswith(_APPARMOR) and not str(get(annotations, name)).startswith(("runtime/default", "localhost/")):
            yield Finding(f"its pods are annotated {name}: {get(annotations, name)}", "Remove the annotation")


def _token(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource) or options["serviceAccountToken"] != "forbidden":
        return
    spec = pod(resource)
    mounted = get(spec, "automountServiceAccountToken")
    if mounted or (mounted is None and not is_partial(resource)):
        yield Finding(
            "its pods are given a token of the Kubernetes API",
            "Set automountServiceAccountToken: false in the pod's spec; a workload that talks to the API needs serviceAccountToken: allowed in this rule's configuration",
        )
    for volume in _each(spec, "volumes"):
        for token in (get(source, "serviceAccountToken") for source in _each(volume, "projected", "sources")):
            if token is not None and str(get(token, "audience") or _API).removeprefix("https://").startswith(_API):
                yield Finding(
                    f"volume {get(volume, 'name')!r} has a token of the Kubernetes API",
                    "Remove it, or give it the audience of the server that it is for",
                )


def _context(context: Any, who: str) -> Iterator[Finding]:
    for path, allowed in _CONTEXT.items():
        value = get(context, *path)
        if value is not None and value not in allowed:
            field = f"securityContext.{'.'.join(path)}"
            yield Finding(f"{field} of {who} is {value}", f"Remove {field}")


def _containers(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource):
        return
    outer = pod(resource).get("securityContext")
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#os-specific-policy-controls
    windows = get(pod(resource), "os", "name") == "windows"
    left_open: tuple[Any, ...] = (None,) if is_partial(resource) else ()
    yield from every(*(part for c in containers(resource) for part in _of_container(c, outer, windows, left_open)))


def _of_container(
    container: Mapping[str, Any], outer: Any, windows: bool, left_open: tuple[Any, ...]
) -> Iterator[Iterator[Finding]]:
    """What is asked of a container, each apart, as one answer may not be known yet."""
    who = named(container)

    def setting(*path: str) -> object:
        value = get(container, "securityContext", *path)
        return get(outer, *path) if value is None else value

    def user() -> Iterator[Finding]:
        if setting("runAsUser") == 0:
            yield Finding(f"{who} runs as user 0, root", "Set a runAsUser above 0, such as 65532")

    def no_root() -> Iterator[Finding]:
        if setting("runAsNonRoot") not in (True, *left_open):
            yield Finding(f"{who} may run as root", "Set securityContext.runAsNonRoot: true")

    def privileged() -> Iterator[Finding]:
        if get(container, "securityContext", "privileged"):
            yield Finding(f"{who} is privileged", "Remove securityContext.privileged")

    def seccomp() -> Iterator[Finding]:
        if not windows and setting("seccompProfile", "type") not in ("RuntimeDefault", "Localhost", *left_open):
            yield Finding(f"{who} has no seccomp profile", "Set securityContext.seccompProfile.type: RuntimeDefault")

    def escalation() -> Iterator[Finding]:
        if not windows and get(container, "securityContext", "allowPrivilegeEscalation") not in (False, *left_open):
            yield Finding(f"{who} may gain privileges", "Set securityContext.allowPrivilegeEscalation: false")

    def dropped() -> Iterator[Finding]:
        if not windows and not left_open and "ALL" not in _each(container, "securityContext", "capabilities", "drop"):
            yield Finding(f"{who} keeps Linux capabilities", "Set securityContext.capabilities.drop: [ALL]")

    def added() -> Iterator[Finding]:
        more = set(_each(container, "securityContext", "capabilities", "add")) - {"NET_BIND_SERVICE"}
        if more:
            yield Finding(f"{who} adds the capabilities {', '.join(sorted(more))}", "Remove them")

    def ports() -> Iterator[Finding]:
        for port in _each(container, "ports"):
            if get(port, "hostPort"):
                yield Finding(
                    f"{who} takes port {get(port, 'hostPort'):.0f} of its node",
                    "Remove hostPort; a Service gives it an address",
                )

    def hooks() -> Iterator[Finding]:
        for hook in HOOKS:
            host = get(container, *hook, "httpGet", "host") or get(container, *hook, "tcpSocket", "host")
            if host:
                yield Finding(
                    f"{'.'.join(hook)} of {who} makes the node ask {host}", "Remove host, so that the pod is asked"
                )

    yield from (no_root(), user(), privileged(), seccomp(), escalation(), dropped(), added(), ports(), hooks())
    yield _context(get(container, "securityContext") or {}, who)


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
    "once the Deployment is there; here it is seen at preview. A token that is not used is only good to who steals it; one for another audience, "
    "such as a cloud's or Vault's, is none of the API. Of a Patch resource only what it sets is judged.",
    unseen="what a privileged ServiceAccount may ask of the API, and pods that operators make",
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
    checks=(_pod, _token, _containers, _account),
)
