"""
Say how a cluster is, by looking at it from outside: its lock, its processes, its API server.

For people and for scripts that wait. It starts nothing and changes nothing, and it works whoever
started the cluster, as long as the data folder may be read.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import components, credentials
from .api import Api, Refused, Unreachable
from .errors import ExitCode, Trouble

if TYPE_CHECKING:
    from .layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What was seen."""

    processes: dict[str, int | None]
    """Process id of each program; None if it does not run."""

    api: str
    """`ok`, or what the API server, or the way to it, says."""

    server: str

    @property
    def is_well(self) -> bool:
        """Whether the API server is ready."""
        return self.api == "ok"

    def words(self) -> str:
        """Return a line for each program, and one for the whole."""
        lines = [
            f"{name:24} {f'process {pid}' if pid else 'not running'}"
            for name, pid in self.processes.items()
        ]
        return "\n".join([*lines, f"{self.server}: {self.api}"])


def look(layout: Layout) -> Status:
    """
    Look at the cluster of *layout*.

    Raises:
        Trouble: There is none.
    """
    try:
        port = json.loads(layout.addresses.read_text("ascii"))["api_port"]
    except (OSError, ValueError, KeyError) as error:
        raise Trouble(
            problem=f"{layout.root} holds no cluster.",
            remedy="Give the folder that `python -m devcluster --data DIR` was given.",
            exit_code=ExitCode.MISTAKE,
        ) from error
    processes = {name: _process(layout, name) for name in components.ALL}
    try:
        api = Api.opened(port=port, pki=layout.pki, identity=credentials.ADMIN.name)
        answer = str(api.get("/readyz"))
    except (OSError, Unreachable, Refused) as error:
        answer = f"not ready ({error})"
    return Status(processes=processes, api=answer, server=f"https://127.0.0.1:{port}")


def _process(layout: Layout, name: str) -> int | None:
    try:
        pid = int(layout.pid(name).read_text("ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid
