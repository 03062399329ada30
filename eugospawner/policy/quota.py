"""
Usage: what subjects have used and reserved, as admission sees it.

Without plans there are no limits to compare with, so the value is empty for now; it is an
argument of `admission.decide` from the start because the decision's signature is final.
Source: design §§2 (promise 2) and 5.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Amounts that count against the limits of the owner's subjects."""


NOTHING_USED = Usage()
