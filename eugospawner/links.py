"""
Links: where pages of ours in the hub are, and tokens that somebody was sent.

A token is random and is kept as a hash alone, so whoever reads the database has none. The link's query is
called ``token``, which JupyterHub leaves out of its log. Source: F111; facts on security.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final
from urllib.parse import urlencode

_BYTES: Final = 32
#: Below the hub's address: where an invitation leads, where somebody asks for access, and what is done to
#: workspaces.
INVITATION: Final = "eugo/invitation"
REQUEST_ACCESS: Final = "eugo/request-access"
WORKSPACES: Final = "eugo/workspaces"
#: The default server in an address; names of servers begin with a letter.
DEFAULT: Final = "_"


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(_BYTES)


def hash_of(token: str) -> str:
    """Return what is kept of *token*; empty: of none."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest() if token else ""


def invitation_url(public_url: str, token: str) -> str:
    """
    Return the link of an invitation.

    Args:
        public_url: The hub's, as people type it: ``https://hub.example.org``, with a path if it has one.
    """
    return f"{public_url.rstrip('/')}/hub/{INVITATION}?{urlencode({'token': token})}"
