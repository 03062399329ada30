"""
Show the hub in the user's browser once it is ready: `scripts/demo --open`.

The browser must not be a descendant of the demo, which at its end stops every descendant it finds:
a browser that happened to be started by us would take the user's other windows with it. So this
is a small program of its own that is cut loose first, waits for the ready file, opens the page,
and ends; it also ends when the demo does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

_LOOK_SECONDS = 0.2


def cut_loose(ready: Path) -> None:
    """
    Start the opener as a child of nobody's; call this before becoming a subreaper.

    Args:
        ready: The ready file to wait for, which does not exist yet.
    """
    orphaning = 'setsid "$@" </dev/null >/dev/null 2>&1 &'
    program = [sys.executable, __file__, str(ready), str(os.getpid())]
    subprocess.run(["sh", "-c", orphaning, "sh", *program], check=False)


def wait_and_open(ready: Path, demo: int) -> None:
    """Open the page that *ready* names as soon as it does; give up when process *demo* is gone."""
    while not ready.exists():
        if not is_running(demo):
            return
        time.sleep(_LOOK_SECONDS)
    webbrowser.open(json.loads(ready.read_text("utf-8"))["url"])


def is_running(pid: int) -> bool:
    """Tell whether there is a process *pid*."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    wait_and_open(Path(sys.argv[1]), int(sys.argv[2]))
