"""
What this machine must be and have, checked before anything is begun.

Only what can be told without trying: the system, programs that every distribution brings, an
endpoint that was given. Whether namespaces may be made is found by making them (`node.py`), whether
the disk has room where the room is needed (`layout.py`, `build.py`).
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

from .errors import ExitCode, Trouble

_PROGRAMS = ("nsenter", "setpriv")
"""Of util-linux; setpriv has --pdeathsig since 2.33 (2018)."""


def require_linux() -> None:
    """
    Raises:
        Trouble: Containers as processes need Linux.
    """
    if sys.platform != "linux":
        raise Trouble(
            problem=f"The embedded cluster runs on Linux only, and this is {sys.platform}.",
            remedy="Use an existing cluster: scripts/demo --kubeconfig FILE.",
        )


def require_programs() -> None:
    """
    Raises:
        Trouble: A program that we need is not on the PATH.
    """
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise Trouble(
            problem=f"This machine has no {' and no '.join(missing)} on the PATH.",
            remedy="Install util-linux (apt-get install util-linux).",
        )


def require_runtime(endpoint: str | None) -> None:
    """
    Check the *endpoint* of a container runtime of the machine's own.

    Raises:
        Trouble: It cannot be used.
    """
    if endpoint is None:
        return
    path = endpoint.removeprefix("unix://")
    if path == endpoint or not path.startswith("/"):
        raise Trouble(
            problem=f"--runtime: '{endpoint}' is no socket.",
            remedy="Write for instance unix:///run/containerd/containerd.sock.",
            exit_code=ExitCode.MISTAKE,
        )
    if os.geteuid() != 0:
        raise Trouble(
            problem="--runtime needs root: the kubelet makes mounts that the runtime must see.",
            remedy="Run as root, or leave --runtime away for containers as processes.",
        )
    try:
        is_socket = stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError as error:
        raise Trouble(
            problem=f"--runtime: {path}: {error.strerror}.",
            remedy="Start the container runtime first.",
        ) from error
    if not is_socket:
        raise Trouble(
            problem=f"--runtime: {path} is no socket.", remedy="Name the one of its CRI service."
        )
