"""
Names of objects that several starts share or find again.

A name is derived from what the object *is*, through a hash, so that two different things never
share a name and the same thing always has the same one (compare CVE-2020-15110: a template of
user and server name collided). Source: facts on security, §1.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: 80 bits: no collision among 10^9 objects, and short enough to read aloud.
_DIGITS = 20


def digest(value: object) -> str:
    """Return a short hexadecimal digest of a JSON value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def volume_claim_name(owner: str, key: str) -> str:
    """Return the PersistentVolumeClaim's name of an owner's extra volume."""
    return f"volume-{digest([owner, key])}"


def claim_template_name(spec: Mapping[str, object]) -> str:
    """Return the name of the ResourceClaimTemplate that has this *spec*."""
    return f"gpu-{digest(spec)}"


def of(manifest: Mapping[str, object]) -> str:
    """Return the name of *manifest*."""
    metadata: Any = manifest["metadata"]
    return str(metadata["name"])
