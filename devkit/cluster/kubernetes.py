"""The Kubernetes components: their certificates, configurations and command lines."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devkit import paths
from devkit.cluster import api, config, containerd, files, pki
from devkit.cluster.pki import Pair
from devkit.cluster.processes import Component
from devkit.tools import build

SERVER = f"https://{config.ADDRESS}:{config.APISERVER_PORT}"


@dataclass(frozen=True)
class Identities:
    """Every certificate of the control plane and the node."""

    authority: Pair
    etcd_authority: Pair
    etcd: Pair
    etcd_client: Pair
    apiserver: Pair
    kubelet_client: Pair
    kubelet: Pair
    loopback: Pair
    admin: Pair
    service_accounts: Pair


def _directory() -> Path:
    return paths.state_dir() / "kubernetes"


def _kubeconfig(name: str) -> Path:
    return _directory() / f"{name}.kubeconfig"


def _binary(name: str) -> str:
    return str(build.require(name))


def prepare() -> Identities:
    """Make what is missing of the certificates, kubeconfigs and configuration files."""
    authority = pki.Authority(paths.state_dir() / "pki" / "kubernetes", "rollout-devkit-kubernetes")
    etcd = pki.Authority(paths.state_dir() / "pki" / "etcd", "rollout-devkit-etcd")
    service = f"kubernetes.default.svc.{config.DOMAIN}"
    identities = Identities(
        authority=authority.pair,
        etcd_authority=etcd.pair,
        etcd=etcd.server("server", "etcd", "localhost", "127.0.0.1"),
        etcd_client=etcd.client("client", "kube-apiserver"),
        apiserver=authority.server(
            "apiserver", "kube-apiserver", "kubernetes", "kubernetes.default", "kubernetes.default.svc", service,
            "localhost", "127.0.0.1", config.ADDRESS, config.KUBERNETES_SERVICE,
        ),
        kubelet_client=authority.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        kubelet=authority.server(
            "kubelet", f"system:node:{config.NODE}", config.NODE, config.ADDRESS, groups=("system:nodes",)
        ),
        loopback=authority.server("loopback", "loopback", "localhost", "127.0.0.1"),
        admin=authority.client("admin", "devkit-admin", "system:masters"),
        service_accounts=pki.signing_key(paths.state_dir() / "pki" / "kubernetes", "service-accounts"),
    )  # fmt: skip
    clients = {
        "kube-controller-manager": authority.client("kube-controller-manager", "system:kube-controller-manager"),
        "kube-scheduler": authority.client("kube-scheduler", "system:kube-scheduler"),
        "kube-proxy": authority.client("kube-proxy", "system:kube-proxy"),
        "coredns": authority.client("coredns", "system:coredns"),
        "kubelet": identities.kubelet,
    }
    for name, pair in clients.items():
        pki.kubeconfig(_kubeconfig(name), config.CONTEXT, SERVER, authority.pair, pair)
    pki.kubeconfig(paths.kubeconfig(), config.CONTEXT, SERVER, authority.pair, identities.admin)
    for name, value in {
        "audit-policy.json": audit_policy(),
        "admission.json": admission_configuration(),
        "scheduler.json": scheduler_configuration(),
        "kubelet.json": kubelet_configuration(identities),
        "kube-proxy.json": proxy_configuration(),
    }.items():
        files.write_json(_directory() / name, value)
    files.write(_directory() / "Corefile", corefile())
    return identities


def client(identities: Identities) -> api.Api:
    """An API client as the administrator."""
    return api.Api(identities.authority.certificate, identities.admin)


def etcd(identities: Identities) -> Component:
    """etcd, the API server's database."""
    endpoint = f"https://127.0.0.1:{config.ETCD_CLIENT_PORT}"
    peer = f"https://127.0.0.1:{config.ETCD_PEER_PORT}"
    pair, authority = identities.etcd, identities.etcd_authority.certificate
    tls = ssl.create_default_context(cafile=str(authority))
    tls.load_cert_chain(identities.etcd_client.certificate, identities.etcd_client.key)
    argv = [
        _binary("etcd"),
        "--name=devkit",
        f"--data-dir={paths.state_dir()}/etcd",
        f"--listen-client-urls={endpoint}",
        f"--advertise-client-urls={endpoint}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=devkit={peer}",
        f"--cert-file={pair.certificate}", f"--key-file={pair.key}",
        f"--trusted-ca-file={authority}", "--client-cert-auth",
        f"--peer-cert-file={pair.certificate}", f"--peer-key-file={pair.key}",
        f"--peer-trusted-ca-file={authority}", "--peer-client-cert-auth",
        # Every write would wait for the disk. Without, data survives the end of every process, which is what is
        # tested here, but not a power failure; then `down` and `up` make a new cluster.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]  # fmt: skip
    return Component("etcd", argv, lambda: api.http_ok(config.ETCD_CLIENT_PORT, "/readyz", tls))


def apiserver(identities: Identities) -> Component:
    """kube-apiserver, with RBAC, Pod Security admission and the audit log."""
    configs = [_directory() / "audit-policy.json", _directory() / "admission.json"]
    argv = [
        _binary("kube-apiserver"),
        f"--advertise-address={config.ADDRESS}",
        f"--bind-address={config.ADDRESS}",
        f"--secure-port={config.APISERVER_PORT}",
        "--allow-privileged=true",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--admission-control-config-file={configs[1]}",
        f"--audit-policy-file={configs[0]}",
        f"--audit-log-path={paths.state_dir()}/audit.log",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
        f"--cert-dir={_directory()}",
        f"--client-ca-file={identities.authority.certificate}",
        f"--tls-cert-file={identities.apiserver.certificate}",
        f"--tls-private-key-file={identities.apiserver.key}",
        f"--etcd-servers=https://127.0.0.1:{config.ETCD_CLIENT_PORT}",
        f"--etcd-cafile={identities.etcd_authority.certificate}",
        f"--etcd-certfile={identities.etcd_client.certificate}",
        f"--etcd-keyfile={identities.etcd_client.key}",
        f"--kubelet-certificate-authority={identities.authority.certificate}",
        f"--kubelet-client-certificate={identities.kubelet_client.certificate}",
        f"--kubelet-client-key={identities.kubelet_client.key}",
        # The default tries the node's name first, which no DNS outside of the cluster knows.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{config.DOMAIN}",
        f"--service-account-key-file={identities.service_accounts.certificate}",
        f"--service-account-signing-key-file={identities.service_accounts.key}",
        f"--service-cluster-ip-range={config.SERVICE_CIDR}",
        "--profiling=false",
    ]
    admin = client(identities)
    return Component("kube-apiserver", argv, lambda: admin.ok("/readyz"), configs)


def controller_manager(identities: Identities) -> Component:
    """kube-controller-manager."""
    kubeconfig = _kubeconfig("kube-controller-manager")
    argv = [
        _binary("kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={config.CONTROLLER_MANAGER_PORT}",
        f"--tls-cert-file={identities.loopback.certificate}",
        f"--tls-private-key-file={identities.loopback.key}",
        # There is no second instance to elect against, and no lease to wait for after a kill.
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={identities.service_accounts.key}",
        f"--root-ca-file={identities.authority.certificate}",
        f"--cluster-signing-cert-file={identities.authority.certificate}",
        f"--cluster-signing-key-file={identities.authority.key}",
        f"--service-cluster-ip-range={config.SERVICE_CIDR}",
        f"--flex-volume-plugin-dir={_directory()}/volume-plugins",
        # The defaults (20 and 30) are for sharing an API server; here they would only slow down large stacks.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]
    return Component(
        "kube-controller-manager", argv, _over_tls(identities, config.CONTROLLER_MANAGER_PORT), [kubeconfig]
    )


def scheduler(identities: Identities) -> Component:
    """kube-scheduler."""
    configuration = _directory() / "scheduler.json"
    argv = [
        _binary("kube-scheduler"),
        f"--config={configuration}",
        "--bind-address=127.0.0.1",
        f"--secure-port={config.SCHEDULER_PORT}",
        f"--tls-cert-file={identities.loopback.certificate}",
        f"--tls-private-key-file={identities.loopback.key}",
    ]
    return Component("kube-scheduler", argv, _over_tls(identities, config.SCHEDULER_PORT), [configuration])


def kubelet() -> Component:
    """The kubelet."""
    configuration = _directory() / "kubelet.json"
    argv = [
        _binary("kubelet"),
        f"--config={configuration}",
        f"--kubeconfig={_kubeconfig('kubelet')}",
        f"--hostname-override={config.NODE}",
        # Loopback addresses are refused, and without one the kubelet looks for a default route.
        f"--node-ip={config.ADDRESS}",
        f"--root-dir={paths.state_dir()}/kubelet",
        f"--cert-dir={paths.state_dir()}/kubelet/pki",
    ]
    return Component("kubelet", argv, lambda: api.http_ok(config.KUBELET_HEALTH_PORT, "/healthz"), [configuration])


def kube_proxy() -> Component:
    """kube-proxy, in iptables mode."""
    configuration = _directory() / "kube-proxy.json"
    argv = [_binary("kube-proxy"), f"--config={configuration}"]
    return Component("kube-proxy", argv, lambda: api.http_ok(config.PROXY_HEALTH_PORT, "/healthz"), [configuration])


def coredns() -> Component:
    """CoreDNS: a process of the host behind the service ``kube-dns``, so that DNS needs neither image nor pod."""
    configuration = _directory() / "Corefile"
    argv = [_binary("coredns"), "-conf", str(configuration)]
    return Component("coredns", argv, lambda: api.http_ok(config.DNS_READY_PORT, "/ready"), [configuration])


def _over_tls(identities: Identities, port: int) -> Callable[[], bool]:
    tls = ssl.create_default_context(cafile=str(identities.authority.certificate))
    return lambda: api.http_ok(port, "/healthz", tls)


def audit_policy() -> dict[str, Any]:
    """What the API server's audit log records: every write, once, when it has been answered.

    Left out: reads; the components' heartbeats and events; the status that system components report; and the
    "creates" that are questions (reviews). A dry run is in it, with ``dryRun=All`` in its ``requestURI``. So a user
    (``devkit-admin`` for the kubeconfig's) who has no line without ``dryRun`` in a period has written nothing.
    """
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "verbs": ["get", "list", "watch"]},
            {
                "level": "None",
                "resources": [
                    {"group": "coordination.k8s.io", "resources": ["leases"]},
                    {"group": "", "resources": ["events"]},
                    {"group": "events.k8s.io", "resources": ["events"]},
                    {"group": "authentication.k8s.io"},
                    {"group": "authorization.k8s.io"},
                ],
            },
            {
                "level": "None",
                "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"],
                "resources": [
                    {"group": "", "resources": ["nodes/status", "pods/status"]},
                    {"group": "apps", "resources": ["*/status"]},
                    {"group": "policy", "resources": ["*/status"]},
                ],
            },
            {"level": "Metadata"},
        ],
    }


def admission_configuration() -> dict[str, Any]:
    """Pod Security: ``baseline`` where a namespace says nothing itself, as no test may lean on a privileged pod."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    "defaults": {"enforce": "baseline", "enforce-version": "latest"},
                    "exemptions": {"namespaces": ["kube-system"]},
                },
            }
        ],
    }


def scheduler_configuration() -> dict[str, Any]:
    """The scheduler's configuration file."""
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(_kubeconfig("kube-scheduler")), "qps": 200, "burst": 400},
    }


def kubelet_configuration(identities: Identities) -> dict[str, Any]:
    """The kubelet's configuration file."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": config.ADDRESS,
        "port": config.KUBELET_PORT,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": config.KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(identities.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(identities.kubelet.certificate),
        "tlsPrivateKeyFile": str(identities.kubelet.key),
        "containerRuntimeEndpoint": f"unix://{containerd.socket_path()}",
        "clusterDNS": [config.DNS_SERVICE],
        "clusterDomain": config.DOMAIN,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{config.CGROUP}",
        # Machines with cgroup version 1 are still about; the limits of pods need nothing newer.
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxPods": 240,
        "podPidsLimit": -1,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "containerLogMaxSize": "20Mi",
        "containerLogMaxFiles": 3,
        "podLogsDir": f"{paths.state_dir()}/pods",
        "volumePluginDir": str(_directory() / "volume-plugins"),
        # A developer's disk that is 90 % full is no reason to evict pods or to delete images that no registry has.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "50Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            "imagefs.available": "0%", "imagefs.inodesFree": "0%",
        },
    }  # fmt: skip


def proxy_configuration() -> dict[str, Any]:
    """kube-proxy's configuration file."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": config.NODE,
        "clientConnection": {"kubeconfig": str(_kubeconfig("kube-proxy"))},
        "clusterCIDR": config.CLUSTER_CIDR,
        "healthzBindAddress": f"127.0.0.1:{config.PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"127.0.0.1:{config.PROXY_METRICS_PORT}",
        "nodePortAddresses": [f"{config.ADDRESS}/32"],
        # The default second is for thousands of services; here a changed endpoint may be known at once.
        "iptables": {"localhostNodePorts": False, "minSyncPeriod": "100ms"},
        # Sizing the connection table needs rights on the host's settings that a container or sandbox may lack.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "oomScoreAdj": 0,
    }


def corefile() -> str:
    """CoreDNS's configuration. Other names go to the host's servers, where it has any."""
    resolv = Path("/etc/resolv.conf")
    has_servers = resolv.exists() and "nameserver" in resolv.read_text(encoding="utf-8")
    return f"""\
.:{config.DNS_PORT} {{
    bind {config.ADDRESS}
    errors
    health 127.0.0.1:{config.DNS_HEALTH_PORT}
    ready 127.0.0.1:{config.DNS_READY_PORT}
    kubernetes {config.DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {_kubeconfig("coredns")} {config.CONTEXT}
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }}
    {"forward . /etc/resolv.conf" if has_servers else ""}
    cache 5
}}
"""


def dns_objects() -> dict[str, dict[str, Any]]:
    """What the API server must know for DNS: path -> object. CoreDNS's rights, and the service in front of it."""
    metadata = {"name": "system:coredns"}
    service = {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    read = ["list", "watch"]
    return {
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:coredns": {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": [
                {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": read},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
            ],
        },
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:coredns": {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}],
        },
        "/api/v1/namespaces/kube-system/services/kube-dns": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": service,
            "spec": {
                "clusterIP": config.DNS_SERVICE,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": config.DNS_PORT},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": config.DNS_PORT},
                ],
            },
        },
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns": {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {
                    "kubernetes.io/service-name": "kube-dns",
                    "endpointslice.kubernetes.io/managed-by": "devkit-cluster",
                },
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [config.ADDRESS], "conditions": {"ready": True}}],
            "ports": [
                {"name": "dns", "port": config.DNS_PORT, "protocol": "UDP"},
                {"name": "dns-tcp", "port": config.DNS_PORT, "protocol": "TCP"},
            ],
        },
    }
