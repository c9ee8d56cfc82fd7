"""The devkit cluster's names, addresses and ports: values only, no behaviour.

Every server binds to the loopback interface or to the bridge of the pods, never to an interface that leads outside,
and no port is one that another Kubernetes, etcd or PostgreSQL on the machine would use by default.
"""

from __future__ import annotations

NODE = "devkit"
CONTEXT = "devkit"
DOMAIN = "cluster.local"

BRIDGE = "rollout0"
#: The host's address on the bridge, and with it the node's: it exists as long as the cluster does, on every machine,
#: whatever the outer interfaces are called and whichever addresses they are given.
ADDRESS = "10.244.0.1"
POD_CIDR = "10.244.0.0/24"
CLUSTER_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"

APISERVER_PORT = 16443
KUBELET_PORT = 16250
KUBELET_HEALTH_PORT = 16248
PROXY_HEALTH_PORT = 16256
PROXY_METRICS_PORT = 16249
CONTROLLER_MANAGER_PORT = 16257
SCHEDULER_PORT = 16259
ETCD_CLIENT_PORT = 16379
ETCD_PEER_PORT = 16380
DNS_PORT = 16053
DNS_HEALTH_PORT = 16080
DNS_READY_PORT = 16081
POSTGRES_PORT = 15432

PAUSE_IMAGE = "localhost/rollout/pause:1"
BUSYBOX_IMAGE = "localhost/busybox:1"

#: The cgroup below which the kubelet keeps every pod's: being ours alone, everything in it may be ended by `down`.
CGROUP = "rollout"
