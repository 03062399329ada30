"""
Wait for what other processes do, by looking again and again.

A look may cost the process that is waited for more than it is worth: ten a second were a sixth of a hub. So the pauses
grow, from what is quick to notice to what nobody minds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST: Final = 0.1
_GROWTH: Final = 1.4
_LONGEST: Final = 0.4

_Found = TypeVar("_Found")


def eventually(
    look: Callable[[], _Found], otherwise: str | Callable[[], object], *, seconds: float
) -> _Found:
    """Return what *look* finds, once it is something; after so many *seconds* fail and say *otherwise*."""
    deadline, pause = time.monotonic() + seconds, _FIRST
    while not (found := look()):
        assert time.monotonic() < deadline, otherwise() if callable(otherwise) else otherwise
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST)
    return found
