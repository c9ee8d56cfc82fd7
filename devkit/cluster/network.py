"""The pods' bridge and everything that the cluster adds to the host's network; and its removal."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from devkit import paths
from devkit.cluster import config, files
from devkit.cluster.errors import ComponentError

#: Chains of kube-proxy, the kubelet and CNI plugins. Their owners never delete them on their own.
CHAINS = re.compile(r"^(KUBE-|CNI-)")


def conflist() -> Path:
    """The file that tells containerd how pods are attached."""
    return paths.state_dir() / "cni" / "net.d" / "10-rollout.conflist"


def ipam_directory() -> Path:
    """Where the host-local plugin notes which pod has which address."""
    return paths.state_dir() / "cni" / "addresses"


def configure() -> None:
    """Make the bridge with the node's address, the route to services, and the CNI configuration."""
    if not exists():
        # A fixed hardware address: a bridge without one takes the lowest of its ports', and changes it with the pods.
        _ip("link", "add", config.BRIDGE, "address", "0a:58:0a:f4:00:01", "type", "bridge")
    _ip("address", "replace", f"{config.ADDRESS}/24", "dev", config.BRIDGE)
    _ip("link", "set", config.BRIDGE, "up")
    # Without it, calling a service from the host would need a default route, which an isolated machine may not have.
    _ip("route", "replace", config.SERVICE_CIDR, "dev", config.BRIDGE, "src", config.ADDRESS)
    files.write_json(
        conflist(),
        {
            "cniVersion": "0.4.0",
            "name": "rollout",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": config.BRIDGE,
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(ipam_directory()),
                        "ranges": [[{"subnet": config.POD_CIDR, "gateway": config.ADDRESS}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        },
    )


def exists() -> bool:
    """Whether the bridge is there at all."""
    return (Path("/sys/class/net") / config.BRIDGE).exists()


def configured() -> bool:
    """Whether the bridge is there and up with the node's address, and services are routed to it."""
    shown = subprocess.run(
        ["ip", "-json", "address", "show", "dev", config.BRIDGE], capture_output=True, text=True, check=False
    )
    if shown.returncode != 0:
        return False
    (link,) = json.loads(shown.stdout)
    routes = subprocess.run(
        ["ip", "-json", "route", "show", config.SERVICE_CIDR], capture_output=True, text=True, check=False
    )
    return (
        "UP" in link["flags"]
        and any(address["local"] == config.ADDRESS for address in link["addr_info"])
        and any(route.get("dev") == config.BRIDGE for route in json.loads(routes.stdout or "[]"))
    )


def remove_pods() -> None:
    """Remove the interfaces of pods that are no more, and forget which address was whose."""
    for port in Path(f"/sys/class/net/{config.BRIDGE}/brif").glob("*"):
        _ip("link", "delete", port.name, check=False)
    for file in (ipam_directory() / "rollout").glob("*"):
        # The last address given stays known: a new pod shall not get one that connections may still be tracked for.
        if not file.name.startswith("last_reserved_ip"):
            file.unlink()


def remove() -> None:
    """Remove the bridge (with it its address and routes) and every chain and rule of Kubernetes and CNI."""
    remove_pods()
    _ip("link", "delete", config.BRIDGE, check=False)
    remove_chains()


def remove_chains() -> None:
    """Remove Kubernetes' and CNI's chains, and the rules elsewhere that jump to them, in one transaction per family."""
    for family in ("iptables", "ip6tables"):
        saved = subprocess.run([f"{family}-save"], capture_output=True, text=True, check=False)
        commands = removal(saved.stdout)
        if commands:
            restored = subprocess.run(
                [f"{family}-restore", "--noflush", "--wait", "10"],
                input=commands, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if restored.returncode != 0:
                raise ComponentError("network", f"{family}-restore refused to remove chains: {restored.stderr.strip()}")


def removal(saved: str) -> str:
    """Input for ``iptables-restore --noflush`` that removes our chains from what ``iptables-save`` printed.

    Args:
        saved: the output of ``iptables-save``.

    Returns:
        The commands; empty when there is nothing to remove.
    """
    output: list[str] = []
    for table in re.split(r"^(?=\*)", saved, flags=re.MULTILINE):
        lines = table.splitlines()
        if not lines or not lines[0].startswith("*"):
            continue
        chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
        ours = [chain for chain in chains if CHAINS.match(chain)]
        # A chain can only go once nothing jumps to it, so all jumps first; ours are emptied by being declared.
        jumps = [
            f"-D {line[3:]}"
            for line in lines
            if line.startswith("-A ") and not CHAINS.match(line.split()[1]) and re.search(r" -[jg] (KUBE-|CNI-)", line)
        ]
        if ours or jumps:
            declared = [f":{chain} - [0:0]" for chain in ours]
            output += [lines[0], *declared, *jumps, *(f"-X {chain}" for chain in ours), "COMMIT"]
    return "\n".join(output) + "\n" if output else ""


def _ip(*arguments: str, check: bool = True) -> None:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and result.returncode != 0:
        raise ComponentError("network", f"ip {' '.join(arguments)}: {result.stderr.strip()}")
