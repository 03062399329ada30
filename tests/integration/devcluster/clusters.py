"""
A development cluster of a test's own, started as people start it: `python -m devcluster`.

Most tests share the run's one (`tests/conftest.py`, which uses this too); those that kill, restart
or misuse a cluster bring theirs. It ends with the block, however the block ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devcluster import build
from devcluster.layout import Layout
from tests.integration.base.caller import Caller

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]

READY_SIGN = "devcluster is ready"
_READY_SECONDS = 120
"""Seven on an idle machine; a busy one of two cores may take longer."""
_STOP_SECONDS = 30


def kubectl_command(kubeconfig: Path) -> tuple[str, ...]:
    """Return the compiled kubectl as the admin of *kubeconfig*."""
    kube = build.provide(keep=True, report=print).kube
    return (str(kube), "kubectl", f"--kubeconfig={kubeconfig}")


class Kubectl:
    """kubectl with the admin's credential; fails with what it said when it fails."""

    def __init__(self, kubeconfig: Path) -> None:
        self._command = kubectl_command(kubeconfig)
        self._caller = Caller.from_kubeconfig(kubeconfig)

    def __call__(
        self, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done

    def objects(self, kinds: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """
        Return the objects of *kinds*, joined by commas, of one namespace or all.

        A process of kubectl takes a fifth of a second of a core, and tests ask again and again; so
        the API is asked from here.
        """
        where = "" if namespace is None else f"namespaces/{namespace}/"
        found = []
        for kind in kinds.split(","):
            group, plural = _PATHS[kind]
            answer = self._caller.get(f"/{group}/{where}{plural}")
            assert answer.status == HTTPStatus.OK, answer.message
            found += answer.body["items"]
        return found


_PATHS = {
    "pods": ("api/v1", "pods"),
    "pvc": ("api/v1", "persistentvolumeclaims"),
    "persistentvolumeclaims": ("api/v1", "persistentvolumeclaims"),
    "resourceclaims": ("apis/resource.k8s.io/v1", "resourceclaims"),
}


def kubectl_of(kubeconfig: Path) -> Kubectl:
    """Return kubectl as the admin of *kubeconfig*."""
    return Kubectl(kubeconfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running one."""

    process: subprocess.Popen[str]
    layout: Layout
    kubeconfig: Path
    output: Path

    def said(self) -> str:
        """Return what it has printed so far."""
        return self.output.read_text()

    def pid(self, name: str) -> int | None:
        """Return the process id of its program *name*; None while there is none."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.layout.pid(name).read_text())
        return None

    def stop(self, *, with_signal: int = signal.SIGTERM) -> int:
        """End it; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(_STOP_SECONDS)


def processes_of(layout: Layout) -> list[str]:
    """Return the command lines of all processes that name the data folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if str(layout.root) in words and int(file.parent.name) != os.getpid():
                found.append(words)
    return found


def launch(*arguments: str, output: Path) -> subprocess.Popen[str]:
    """Start `python -m devcluster` with *arguments*."""
    with output.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "devcluster", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextlib.contextmanager
def running(
    folder: Path, *, data: Path | None = None, inventory: Path | None = None
) -> Iterator[Cluster]:
    """
    Run a cluster while the block lasts.

    Args:
        folder: For its kubeconfig and output, and its data unless *data* is given.
    """
    kubeconfig, output = folder / "kubeconfig", folder / "devcluster.log"
    layout = Layout(root=data or folder / "data")
    options = [f"--data={layout.root}", f"--kubeconfig={kubeconfig}"]
    if inventory is not None:
        options.append(f"--inventory={inventory}")
    process = launch(*options, output=output)
    cluster = Cluster(process=process, layout=layout, kubeconfig=kubeconfig, output=output)
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while READY_SIGN not in cluster.said():
            assert process.poll() is None, f"it ended:\n{cluster.said()[-4000:]}"
            assert time.monotonic() < deadline, f"it does not come up:\n{cluster.said()[-4000:]}"
            time.sleep(0.05)
        yield cluster
    finally:
        try:
            cluster.stop()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
