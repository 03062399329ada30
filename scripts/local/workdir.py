"""
The demo's folder: what is remembered from one start to the next, and who may use it now.

    DIR/hub.sqlite  store.sqlite      the hub's tables, and the product's
    DIR/secrets.json  ports.json      made once, reused by every start
    DIR/cluster/  kubeconfig          the embedded Kubernetes and its admin
    DIR/hub.kubeconfig  hub.json      the hub's own credential and settings of this start
    DIR/sso.json  people.json         with --sso: the example provider's settings and people
    DIR/log/hub.log                   the hub's words, of this start and the one before
    DIR/ready.json                    there while the hub answers; how programs find it

One demo uses a folder at a time (a lock that dies with its process). Files hold credentials, so
the folder is made 0700 and they are 0600; each is written beside its place and moved into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What nobody may guess; made once per folder."""

    user_password: str
    """Shared by all people of the demo; short enough to type."""

    admin_password: str
    """Of the platform admin; JupyterHub wants 32 characters at least."""

    admin_token: str
    """Opens the hub's REST API with an admin's rights, for tests and scripts."""

    proxy_token: str
    """Between hub and proxy."""

    cookie_secret: str
    """Signs people's sign-ins, which therefore survive a restart; 32 bytes in hex."""

    crypt_key: str
    """Encrypts what the hub keeps of a provider's tokens; 32 bytes in hex."""

    client_secret: str
    """Between the hub and the example provider."""

    provider_cookie_key: str
    """Signs the example provider's cookies."""


@dataclass(frozen=True, slots=True)
class Workdir:
    """A folder that this process alone uses."""

    folder: Path

    @property
    def ready(self) -> Path:
        """Where the ready file stands while the hub answers."""
        return self.folder / "ready.json"

    @property
    def hub_log(self) -> Path:
        """What the hub says."""
        return self.folder / "log" / "hub.log"

    @property
    def store_url(self) -> str:
        """The store's database."""
        return f"sqlite:///{self.folder / 'store.sqlite'}"

    def secrets(self) -> Secrets:
        """Return the folder's secrets, made now if there are none."""
        path = self.folder / "secrets.json"
        remembered = _read(path)
        new = asdict(
            Secrets(
                user_password=secrets.token_hex(6),
                admin_password=secrets.token_hex(16),
                admin_token=secrets.token_hex(32),
                proxy_token=secrets.token_hex(32),
                cookie_secret=secrets.token_hex(32),
                crypt_key=secrets.token_hex(32),
                client_secret=secrets.token_hex(32),
                provider_cookie_key=secrets.token_hex(32),
            )
        )
        values = {name: remembered.get(name, value) for name, value in new.items()}
        if values != remembered:
            self.write(path.name, json.dumps(values, indent=2))
        return Secrets(**values)

    def remembered_ports(self) -> tuple[int, ...]:
        """Return the ports of the last start, () if this is the first."""
        return tuple(_read(self.folder / "ports.json").values())

    def remember_ports(self, **ports: int) -> None:
        """Keep *ports* for the next start."""
        self.write("ports.json", json.dumps(ports))

    def write(self, name: str, text: str) -> Path:
        """Write the file *name*, mode 0600, in one step; readers see all of it or the old one."""
        descriptor, scratch = tempfile.mkstemp(prefix=f".{name}-", dir=self.folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return Path(scratch).rename(self.folder / name)

    def turn_hub_log(self) -> None:
        """Keep the last start's log as `hub.log.1`, so that one log tells of one start."""
        self.hub_log.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.hub_log.rename(self.hub_log.with_suffix(".log.1"))


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Workdir]:
    """
    Make *folder* and hold it alone.

    Raises:
        Trouble: It cannot be written, or another demo uses it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise Trouble(
            problem=f"Cannot write to the data folder {folder}: {error.strerror}.",
            remedy="Choose another with `scripts/demo --data DIR`.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise Trouble(
                problem=f"Another demo (process {lock.read().strip() or 'unknown'}) "
                f"uses the data folder {folder}.",
                remedy="Stop it, or choose another folder with `scripts/demo --data DIR`.",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        workdir = Workdir(folder)
        workdir.ready.unlink(missing_ok=True)  # of a demo that was killed
        try:
            yield workdir
        finally:
            workdir.ready.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object in *path*, {} if there is none or it was cut short."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found
