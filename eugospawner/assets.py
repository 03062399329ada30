"""
Assets: the scripts and styles of our pages, and their addresses.

An address carries a hash of the content, so that browsers may keep a file for ever and still see
the next release at once. Only the kinds of files named here are ever served.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STATIC: Final = Path(__file__).parent / "static"

#: Below the hub's prefix.
PATH: Final = "eugo/static/"

#: Spelled out because the machine's own table may call a module anything.
CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def version(name: str) -> str:
    """Return the version of the file *name*: the same content, the same version."""
    return sha256((STATIC / name).read_bytes()).hexdigest()[:16]


def url(base_url: str, name: str) -> str:
    """Return the address of the file *name* below the hub's prefix *base_url*."""
    return f"{base_url.rstrip('/')}/{PATH}{name}?v={version(name)}"
