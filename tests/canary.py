"""
Canary: no secret that a run planted stands in any log that it wrote.

When a run ends, the logs below pytest's folder are searched for the secrets of its demos, for those of the provider in
memory, and for whatever looks like a token, also as addresses, JSON and HTTP's Basic would write them. A hit fails the
run with file, line and what it is, and is not shown: the report is a log, too. Source: promise 8.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, quote_plus

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_LOG: Final = re.compile(r"log|.*\.log(\.\d+)?")
#: Where the demo keeps what nobody may guess (`scripts.local.workdir`).
_SECRETS: Final = "secrets.json"
#: What is a secret whatever its value.
_SHAPES: Final[Mapping[str, bytes]] = {
    "a JSON Web Token": rb"\beyJ[\w-]{12,}",
    "a token of the provider in memory": rb"(?<![\w-])(?:access|refresh)-\d+(?![\w-])",
    "something called a canary": rb"(?<![\w/-])canary-(?:[a-z]+-)*\d+",
    "a secret in an address": (
        rb"[?&](?:_xsrf|access_token|client_secret|code|code_verifier|id_token|id_token_hint|logout_token|password"
        rb"|refresh_token|state|token)=(?!\[secret\]|\.{3}(?:\s|$))[^\s&]"
    ),
}
#: What is shorter is no secret, and stands anywhere.
_SHORTEST: Final = 8
_SHOWN: Final = 20


class Hit(NamedTuple):
    """
    A secret in a log.

    Attributes:
        name: Of the secret, which itself is kept out of this.
    """

    path: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name}"


class Search(NamedTuple):
    """How a search went."""

    hits: tuple[Hit, ...]
    logs: int
    secrets: int


def watch(config: pytest.Config) -> None:
    """Have the run of *config* searched when it ends; its workers write below the same folder."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Canary(), "eugo-canary")


class Canary:
    """Searches at the end of a run, and fails it."""

    _found: Search | None = None

    @pytest.hookimpl(trylast=True)  # after the workers have ended, and their programs
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search what the run wrote."""
        base = session.config._tmp_path_factory._basetemp
        if base is None:  # nothing was written
            return
        self._found = search(base)
        if self._found.hits and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found."""
        if self._found is None or not self._found.logs:
            return
        hits, logs, secrets = self._found
        if not hits:
            terminalreporter.line(
                f"canary: none of {secrets} secrets, and no token, stands in {logs} logs"
            )
            return
        terminalreporter.section("secrets in logs", red=True)
        for hit in hits[:_SHOWN]:
            terminalreporter.line(str(hit))
        terminalreporter.line(f"canary: {len(hits)} lines of {logs} logs hold a secret")


def search(base: Path) -> Search:
    """Search all logs below *base* for the secrets that were planted there."""
    logs, files = [], []
    for folder, _, names in os.walk(base):  # links are not followed: pytest makes some
        within = Path(folder)
        is_of_logs = "log" in within.relative_to(base).parts
        for name in names:
            path = within / name
            if not stat.S_ISREG(path.lstat().st_mode):
                continue  # a link to another, or a pipe that nobody writes to
            if is_of_logs or _LOG.fullmatch(name):
                logs.append(path)
            elif name == _SECRETS:
                files.append(path)
    if not logs:
        return Search((), 0, 0)
    names = {value: name for name, value in planted(base, files)}  # once, also if shared
    secrets = [(name, spelled(value)) for value, name in names.items()]
    hits = tuple(hit for log in sorted(logs) for hit in _hits(log, secrets))
    return Search(hits, len(logs), len(secrets))


def planted(base: Path, files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each secret: those in *files*, and the tests' own."""
    from tests.factories.providers import SECRET  # noqa: PLC0415 - most runs write no log
    from tests.integration.sso.conftest import TOKEN  # noqa: PLC0415 - as above

    yield "the client's secret at the provider in memory", SECRET
    yield "the token of the tests' script", TOKEN
    for path in files:
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue  # cut short, as some tests have it
        for name, value in found.items() if isinstance(found, dict) else ():
            if isinstance(value, str) and len(value) >= _SHORTEST:
                yield f"{name} of {path.relative_to(base)}", value


def spelled(secret: str) -> set[bytes]:
    """Return how *secret* may stand in a log: as it is, in an address, in JSON, within base64."""
    plain = secret.encode()
    texts = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    found = {text.encode() for text in texts}
    for before, spoilt in enumerate((0, 2, 3)):  # bytes before it, and characters that these are in
        data = bytes(before) + plain
        core = base64.b64encode(data[: len(data) // 3 * 3])[spoilt:]
        found |= {core, core.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def _hits(log: Path, secrets: Iterable[tuple[str, set[bytes]]]) -> Iterator[Hit]:
    try:
        content = log.read_bytes()
    except OSError:
        return  # its user's alone
    shapes = dict(_SHAPES)
    for name, spellings in secrets:
        if any(each in content for each in spellings):  # many times as fast as to match
            shapes[name] = b"|".join(map(re.escape, spellings))
    for name, shape in shapes.items():
        lines = {content.count(b"\n", 0, each.start()) + 1 for each in re.finditer(shape, content)}
        yield from (Hit(log, line, name) for line in sorted(lines))
