"""
Choose ports on the loopback interface, and say so when one that was asked for is taken.

Ports that nobody chose are remembered with the demo's data and taken again while they are free:
a workspace that outlives a killed hub keeps talking to the address it was born with.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

from .trouble import Trouble

LOOPBACK = "127.0.0.1"
#: Below it are ports of well-known services, from its end on NodePorts of Kubernetes.
_RANGE = (10_000, 30_000)
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000


def is_free(port: int, *, address: str = LOOPBACK) -> bool:
    """Tell whether a server could listen on *port* now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are only fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def claim(port: int) -> int:
    """
    Return *port* if it is free, or any free port for 0.

    Raises:
        Trouble: Something listens there, or the user may not.
    """
    if port == 0:
        return choose(1)[0]
    if is_free(port):
        return port
    raise Trouble(
        problem=f"Port {port} on {LOOPBACK} is busy or not yours to use.",
        remedy="Choose another with `scripts/demo --port N`, or stop what listens there "
        f"(`ss -ltnp 'sport = :{port}'` names it).",
    )


def choose(count: int, *, remembered: tuple[int, ...] = ()) -> tuple[int, ...]:
    """
    Return *count* distinct free ports, the *remembered* ones if all of them are free.

    They are none of those that the system lends to outgoing connections: a program that listens some
    seconds later, or again after it was killed, would find one of these lent by then.
    """
    if len(remembered) == count and all(map(is_free, remembered)):
        return remembered
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:  # all held at once, else one may be chosen twice
            _bind(probe)
        return tuple(probe.getsockname()[1] for probe in probes)
    finally:
        for probe in probes:
            probe.close()


def _bind(probe: socket.socket) -> None:
    first, end = _RANGE
    lent = _lent()
    chance = random.SystemRandom()
    for _ in range(_TRIES):
        port = chance.randrange(first, end)
        if port in lent:
            continue
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            continue
        return
    probe.bind((LOOPBACK, 0))


def _lent() -> range:
    """Return the ports that the system lends to outgoing connections."""
    try:
        first, last = map(int, _EPHEMERAL.read_text().split())
    except (OSError, ValueError):
        return range(0)
    return range(first, last + 1)
