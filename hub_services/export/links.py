"""
Links: the address at which one person fetches one export for one hour.

The signature covers whose files they are, what was chosen, who may have it and until when; its key is the export's
own and never leaves the store. An address is believed only when it is signed, fetched by whom it is for, and in time:
at the last millisecond of the hour it is good, afterwards it is not. A download that has begun goes on.
Source: F85; facts on security, §4 (export link).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from eugospawner.store.exports import Standing
from hub_services.common.problems import DoorReason, Fault

if TYPE_CHECKING:
    from datetime import datetime

    from eugospawner.store.exports import Export

#: How long a link is good (F85).
VALID: Final = timedelta(hours=1)
_KEY_BYTES: Final = 32


def new_secret() -> str:
    """Return a new key, in hexadecimal digits."""
    return secrets.token_hex(_KEY_BYTES)


def sign(export: Export) -> str:
    """Return the signature of the link to *export*, which has one."""
    if export.expires_at is None:
        message = f"The export {export.id} has no link"
        raise ValueError(message)
    signed = [
        export.id,
        export.owner,
        export.server,
        export.creator,
        export.choice,
        int(export.expires_at.timestamp() * 1000),
    ]
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"))
    made = hmac.new(bytes.fromhex(export.secret), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def check(export: Export | None, signature: str, *, by: str, now: datetime) -> Export:
    """
    Return *export* if *by* may begin to fetch it at *now*.

    Raises:
        Fault: The signature is not its own, it is for somebody else, was taken back, or is over.
    """
    # Nothing is told of an export to whoever has no signature of it.
    if export is None or export.expires_at is None or not _is_signed(export, signature):
        raise Fault(
            DoorReason.LINK_INVALID,
            "This link is not valid: it was changed, or cut off. Copy it again from the page of the export.",
        )
    if by != export.creator:
        raise Fault(
            DoorReason.NOT_PERMITTED,
            f"This link is for {export.creator} alone. Ask them for the file, or for a share.",
        )
    standing = export.standing(now)
    if standing is Standing.REVOKED:
        raise Fault(DoorReason.LINK_REVOKED, "This link was revoked. Create a new export.")
    if standing is Standing.EXPIRED:
        raise Fault(DoorReason.LINK_EXPIRED, "This link has expired. Create a new export.")
    return export


def _is_signed(export: Export, signature: str) -> bool:
    return hmac.compare_digest(sign(export).encode(), signature.encode("utf-8", "replace"))


def exporter_token(export: Export) -> str:
    """Return what the export's Pod is asked with; the Pod itself has only its SHA-256."""
    key = bytes.fromhex(export.secret)
    return hmac.new(key, b"exporter", hashlib.sha256).hexdigest()
