"""
Choose where a cluster listens, all of it on loopback, so that any number run side by side.

Two ports: the API server's and the kubelet's (etcd has a unix socket). And a network for its Pods:
a Pod has no network namespace here, its address is one of 127.X.0.0/16, and X is the cluster's own.
Linux gives the whole of 127.0.0.0/8 to the loopback interface, so nothing has to be configured.

Both are kept with the data and taken again while they are free: kubeconfigs that people copied and
addresses that programs remember stay right over a restart. That no other cluster of this machine
has the same network is sure, not likely: a running cluster holds an abstract unix socket named
after X, which the kernel frees when its process ends.
"""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import asdict, dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

from .errors import Trouble
from .layout import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPBACK = "127.0.0.1"

_FIRST_NETWORK, _LAST_NETWORK = 64, 254
"""127.0 and 127.1 are in use on most machines (hosts file, resolvers); the rest is a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where one cluster listens."""

    api_port: int

    kubelet_port: int

    network: int
    """X of its Pods' 127.X.0.0/16."""

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://{LOOPBACK}:{self.api_port}"

    @property
    def pod_network(self) -> str:
        """The addresses of Pods, as a CIDR."""
        return f"127.{self.network}.0.0/16"


def is_free(port: int) -> bool:
    """Tell whether a server could listen on *port* now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are only fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Return *count* different ports that are free now."""
    with contextlib.ExitStack() as stack:
        # All held at once, else the system may offer one twice.
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return tuple(probe.getsockname()[1] for probe in probes)


def hold_network(preferred: int | None) -> tuple[int, socket.socket]:
    """
    Take a Pod network that no running cluster has, the *preferred* one if possible.

    Returns:
        X, and a socket that holds it until it is closed.

    Raises:
        Trouble: All are taken.
    """
    others = list(range(_FIRST_NETWORK, _LAST_NETWORK + 1))
    SystemRandom().shuffle(others)
    for network in [*([] if preferred is None else [preferred]), *others]:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0eugo-devcluster-network-{network}")
        except OSError:
            claim.close()
        else:
            return network, claim
    raise Trouble(
        problem=f"All {len(others)} networks that Pods may have (127.{_FIRST_NETWORK}.0.0/16 to "
        f"127.{_LAST_NETWORK}.0.0/16) are in use by running clusters.",
        remedy="Stop one of them.",
    )


@contextlib.contextmanager
def held(kept: Path) -> Iterator[Addresses]:
    """Choose addresses, those *kept* in the file first, and hold the network meanwhile."""
    old = _read(kept)
    network, claim = hold_network(old.network if old else None)
    with claim:
        ports: tuple[int, ...] = (old.api_port, old.kubelet_port) if old else ()
        if len(ports) != 2 or not all(map(is_free, ports)):  # noqa: PLR2004  # API and kubelet
            ports = free_ports(2)
        new = Addresses(api_port=ports[0], kubelet_port=ports[1], network=network)
        if new != old:
            write_private(kept, json.dumps(asdict(new)))
        yield new


def _read(kept: Path) -> Addresses | None:
    try:
        return Addresses(**json.loads(kept.read_text("ascii")))
    except (OSError, ValueError, TypeError):
        return None  # never written, or by another version: choose anew
