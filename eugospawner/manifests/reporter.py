"""
Reporter: how the program that tells of work gets into a workspace.

It is handed over as text by a hook that Kubernetes runs in the container once that has begun, so it needs
nothing of the image but a shell and Python; an image without either is a workspace all the same, of which less
is known. Source: `eugospawner.workspace.reporter`; F66.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

#: In the background and with nothing open, so that the hook ends at once.
_LAUNCH: Final = (
    'command -v python3 >/dev/null 2>&1 || exit 0; python3 -c "$1" </dev/null >/dev/null 2>&1 &'
)


@cache
def _program() -> str:
    return resources.files("eugospawner.workspace").joinpath("reporter.py").read_text("utf-8")


def make_lifecycle() -> dict[str, object]:
    """Return what Kubernetes does in the workspace's container when it begins."""
    return {"postStart": {"exec": {"command": ["sh", "-c", _LAUNCH, "eugo-reporter", _program()]}}}
