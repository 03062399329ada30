"""
Reporter: tells the hub when somebody, or something of theirs, works in this workspace.

Runs inside the Pod, beside whatever editor there is, with the standard library alone: images are other
people's. JupyterHub's own single-user server reports what kernels print and what is typed; it does not see a
kernel that computes in silence, a program in a terminal, or any editor but JupyterLab. A tab that is merely open
is no sign of work.

Signs, each of which alone counts as now:

- a kernel that is busy, as the Jupyter server of the workspace says;
- a program in a terminal that is no waiting shell;
- a process that uses a tenth of a core or more, whoever started it;
- code-server's heartbeat file, which counts as of when it was touched.

Source: F66; L5; facts on JupyterHub, §5; proc(5); code-server's `heart.ts`.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Between looks, in seconds.
INTERVAL = 60
#: Share of a core that is work, and not an editor that waits.
BUSY = 0.1
#: A hub or a server that is slower than this is asked again at the next look.
PATIENCE = 10
HEARTBEAT = "~/.local/share/code-server/heartbeat"


def processes(proc: Path = Path("/proc")) -> dict[int, tuple[int, int, float]]:
    """Return by pid: session, terminal (0: none) and CPU seconds so far, of all but this process."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            # The command stands in brackets and may have any in it.
            fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if fields[0] in {"Z", "X"}:
            continue
        session, terminal = int(fields[3]), int(fields[4])
        found[int(folder.name)] = (session, terminal, (int(fields[11]) + int(fields[12])) / ticks)
    return found


def works_in_terminal(found: Mapping[int, tuple[int, int, float]]) -> bool:
    """Whether a terminal has a program that is not the one it was opened with."""
    return any(terminal and pid != session for pid, (session, terminal, _) in found.items())


def computes(
    before: Mapping[int, tuple[int, int, float]],
    found: Mapping[int, tuple[int, int, float]],
    seconds: float,
) -> bool:
    """Whether a process that was there before has used much of a core since."""
    return seconds > 0 and any(
        (used - before[pid][2]) / seconds >= BUSY
        for pid, (_, _, used) in found.items()
        if pid in before
    )


def ask(url: str, token: str, body: object = None) -> Any:
    """Return the JSON at *url*, or send *body* there."""
    request = urllib.request.Request(  # noqa: S310 - the hub's own address
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
    )
    # The hub and the workspace itself are never behind a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read() or b"null")


def has_busy_kernel(environment: Mapping[str, str]) -> bool:
    """Whether the Jupyter server of this workspace says so; another editor has none."""
    where = environment.get("JUPYTERHUB_SERVICE_URL", "").replace("://0.0.0.0", "://127.0.0.1")
    address = environment.get("POD_IP")
    if address:
        where = where.replace("://127.0.0.1", f"://{address}")
    try:
        kernels = ask(f"{where.rstrip('/')}/api/kernels", environment["JUPYTERHUB_API_TOKEN"])
    except (OSError, ValueError):
        return False
    return any(
        isinstance(each, dict) and each.get("execution_state") in {"busy", "starting"}
        for each in kernels or ()
    )


def heartbeat() -> float:
    """Return when code-server last had something to do; 0: never."""
    try:
        return Path(HEARTBEAT).expanduser().stat().st_mtime
    except (OSError, RuntimeError):
        return 0


def report(environment: Mapping[str, str], at: float) -> None:
    """Tell the hub that there was work at *at*, in seconds since 1970."""
    moment = datetime.fromtimestamp(at, timezone.utc).isoformat()  # noqa: UP017 - old images
    name = environment.get("JUPYTERHUB_SERVER_NAME", "")
    ask(
        environment["JUPYTERHUB_ACTIVITY_URL"],
        environment["JUPYTERHUB_API_TOKEN"],
        {"servers": {name: {"last_activity": moment}}, "last_activity": moment},
    )


def main(
    environment: Mapping[str, str],
    clock: Callable[[], float] = time.time,  # noqa: TID251 - a program of its own
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Look and tell, for as long as the workspace runs."""
    interval = float(environment.get("EUGO_ACTIVITY_SECONDS") or INTERVAL)
    before, looked, told = processes(), clock(), 0.0
    while True:
        sleep(interval)
        now, found = clock(), processes()
        works = (
            works_in_terminal(found)
            or computes(before, found, now - looked)
            or has_busy_kernel(environment)
        )
        beat = heartbeat()
        # A file of tomorrow says nothing of today.
        seen = now if works else beat if beat <= now else 0
        before, looked = found, now
        if seen > told:
            try:
                report(environment, seen)
                told = seen
            except (OSError, ValueError):
                pass  # the hub is away; the next look tells it


if __name__ == "__main__":
    main(os.environ)
