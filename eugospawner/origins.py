"""
Origins: whether another site had a browser send a request, by what browsers say of it.

Whoever is no browser says nothing and is not meant: what it sends is believed for its token alone.
Source: Fetch Metadata Request Headers (W3C), 2.3; facts on security.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a person reads who is refused.
SENTENCE: Final = "Another site sent this. Open the page here and try again."

_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site had the browser send it."""
    return headers.get("Sec-Fetch-Site") in _ELSEWHERE


def is_change_from_elsewhere(method: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a page of another site had the browser send what may change something."""
    return method not in _SAFE and is_from_elsewhere(headers)
