"""The processes of a hub under test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.demo.demos import Demo


def hub_pid(demo: Demo) -> int:
    """The hub's process: the demo's child that runs jupyterhub."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"jupyterhub" in words and str(demo.data).encode() in environment:
            return int(folder.name)
    pytest.fail("no hub")
