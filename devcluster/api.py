"""
The little that this package itself asks of the API server, over plain HTTPS.

Two verbs are enough: read, and apply on the server's side. Both can be repeated after any cut, and
apply leaves alone what others own. A client library would cost a second of start-up time for it.
Calls block and are meant for a thread; connections are verified against the cluster's authority.
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .addresses import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MANAGER = "devcluster"


class Unreachable(Exception):
    """The API server gave no answer: it is not up yet, or down."""


class Refused(Exception):
    """The API server said no."""

    def __init__(self, *, status: int, message: str) -> None:
        """Keep the HTTP *status* and the server's *message*."""
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Api:
    """The API server of one cluster, as one identity."""

    port: int
    tls: ssl.SSLContext

    @classmethod
    def opened(cls, *, port: int, pki: Path, identity: str) -> Api:
        """Return the API server on *port*, with a certificate out of the folder *pki*."""
        tls = ssl.create_default_context(cafile=pki / "ca.crt")
        tls.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
        return cls(port, tls)

    def get(self, path: str, *, timeout: float = 5) -> Any:  # JSON
        """Return what stands at *path*: parsed JSON, or text."""
        return self._ask("GET", path, timeout=timeout)

    def apply(self, path: str, content: Mapping[str, Any], *, timeout: float = 15) -> None:
        """Let the object at *path* have *content*, and keep whatever others have set."""
        self._ask(
            "PATCH",
            f"{path}?fieldManager={_MANAGER}&force=true",
            content=content,
            kind="application/apply-patch+yaml",
            timeout=timeout,
        )

    def merge(self, path: str, content: Mapping[str, Any], *, timeout: float = 15) -> None:
        """Replace the fields of *content* in the object at *path*."""
        self._ask(
            "PATCH", path, content=content, kind="application/merge-patch+json", timeout=timeout
        )

    def delete(self, path: str, *, timeout: float = 15) -> None:
        """Delete the object at *path*; one that is gone is no mistake."""
        try:
            self._ask("DELETE", path, timeout=timeout)
        except Refused as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def _ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        content: Mapping[str, Any] | None = None,
        kind: str = "",
    ) -> Any:
        connection = http.client.HTTPSConnection(
            LOOPBACK, self.port, context=self.tls, timeout=timeout
        )
        headers = {"Accept": "application/json, */*"} | ({"Content-Type": kind} if kind else {})
        body = None if content is None else json.dumps(content)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        parsed = json.loads(text) if is_json else text
        if answer.status >= http.client.BAD_REQUEST:
            message = parsed.get("message", text) if isinstance(parsed, dict) else text
            raise Refused(status=answer.status, message=message.strip())
        return parsed
