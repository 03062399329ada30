"""
What lies where in the data folder, and who may use it.

One folder is one cluster: its database, credentials, volumes, logs and the addresses it was born
with. Everything below it is for its owner alone (0700, 0600), because the certificates in it make
anybody the admin of the cluster. One supervisor at a time may run a folder; a lock that the kernel
releases says who, so a killed supervisor never leaves a stale one.

Unix sockets may have paths of 107 characters (unix(7)) and folders may be longer. So programs run
with the data folder as working folder and name sockets relative to it, and the node's own folders
are bound to short fixed paths inside its mount namespace (`enclosure.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM_BYTES = 500 * 2**20
"""What a cluster wants free at start: database, logs and a margin (measured: some 120 MB)."""

ETCD_SOCKET = "run/etcd.sock"
"""Below the data folder; relative, see the module's docstring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Paths below the data folder *root*, which is absolute."""

    root: Path

    @property
    def logs(self) -> Path:
        """One file per program."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Process ids and sockets: meaningful only while the cluster runs."""
        return self.root / "run"

    @property
    def pki(self) -> Path:
        """The authority, and a certificate and kubeconfig for each identity."""
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        """The database."""
        return self.root / "etcd"

    @property
    def volumes(self) -> Path:
        """PersistentVolumes, a folder each."""
        return self.root / "volumes"

    @property
    def config(self) -> Path:
        """Files made from the inventory at each start."""
        return self.root / "config"

    @property
    def node(self) -> Path:
        """What belongs to the Node: its kubelet, runtime and devices."""
        return self.root / "node"

    @property
    def addresses(self) -> Path:
        """Ports and Pod network, kept over restarts."""
        return self.root / "addresses.json"

    def log(self, name: str) -> Path:
        """Return the log of the program *name*."""
        return self.logs / f"{name}.log"

    def pid(self, name: str) -> Path:
        """Return where the process id of the program *name* stands while it runs."""
        return self.run / f"{name}.pid"

    def kubeconfig(self, identity: str) -> Path:
        """Return the kubeconfig of *identity*."""
        return self.pki / f"{identity}.kubeconfig"

    def folders(self) -> tuple[Path, ...]:
        """Return all folders, parents first."""
        return (
            self.root, self.logs, self.run, self.pki, self.etcd, self.volumes, self.config,
            self.node,
        )  # fmt: skip


@contextlib.contextmanager
def opened(root: Path) -> Iterator[Layout]:
    """
    Make the folders below *root* if need be, and hold its lock.

    Raises:
        Trouble: It cannot be written, is on a full disk, or another supervisor holds it.
    """
    layout = Layout(root=root.absolute())
    try:
        for folder in layout.folders():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout.root.chmod(0o700)
        lock = os.open(layout.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Trouble(
            problem=f"The data folder {layout.root} cannot be used: {error.strerror or error}.",
            remedy="Give a folder that you may write with --data DIR.",
        ) from error
    try:
        _take(lock, layout.root)
        require_room(layout.root, wanted=ROOM_BYTES, purpose="a cluster")
        yield layout
    finally:
        os.close(lock)


def require_room(folder: Path, *, wanted: int, purpose: str) -> None:
    """
    Check that the disk of *folder* has *wanted* bytes free.

    Raises:
        Trouble: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise Trouble(
            problem=f"The disk of {folder} has {free / 1e9:.1f} GB free and {purpose} "
            f"wants {wanted / 1e9:.1f} GB.",
            remedy="Free some, or choose a folder on another disk.",
        )


def write_private(path: Path, content: str | bytes) -> None:
    """Write *content* to *path* for its owner alone, in one step: readers see old or new."""
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _take(lock: int, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise Trouble(
            problem=f"The data folder {root} is in use by another devcluster (process {holder}).",
            remedy="Stop that one, or give another folder with --data DIR.",
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
