"""Asks the cluster DNS the way a pod does: over UDP, at the service's address, through kube-proxy's rules."""

from __future__ import annotations

import secrets
import socket
import struct

from devkit.cluster import config


def resolve(name: str, timeout: float = 1.0) -> str | None:
    """The IPv4 address of a name.

    Args:
        name: fully qualified, without the last dot.
        timeout: seconds to wait for the answer.

    Returns:
        The address, or None when the server says that the name has none.

    Raises:
        OSError: no answer.
    """
    identity = secrets.randbelow(1 << 16)
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    query = struct.pack("!6H", identity, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout)
        udp.connect((config.DNS_SERVICE, 53))
        udp.send(query)
        answer = udp.recv(4096)
    got, _, _, answers, _, _ = struct.unpack("!6H", answer[:12])
    # The server repeats our question as it was; the first record of type A and length 4 that follows is the answer.
    rest = answer[len(query) :]
    if got != identity or not answers:
        return None
    while rest:
        rest = rest[2:] if rest[0] & 0xC0 else rest[rest.index(0) + 1 :]
        kind, _, _, length = struct.unpack("!HHIH", rest[:10])
        if kind == 1 and length == 4:
            return socket.inet_ntoa(rest[10:14])
        rest = rest[10 + length :]
    return None
