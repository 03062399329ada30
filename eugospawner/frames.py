"""
Frames: what every page of ours in the hub has around it.

Any script in a page runs upstream. Our pages run those of the hub and of ours and no other: the one that
upstream writes into each page is known by a nonce. Source: CSP level 3; facts on security.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from jupyterhub.handlers.base import BaseHandler
from tornado import web

if TYPE_CHECKING:
    from collections.abc import Awaitable

#: Upstream's page has one script of its own in it, which begins so.
_INLINE_SCRIPT: Final = '<script type="text/javascript">'


#: Where a browser says that a request comes from, if not from a page of ours (Fetch Metadata, W3C).
ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def refuse_from_elsewhere(handler: Any) -> None:
    """
    Refuse a request that a page of another site had the browser send, whatever token it brings.

    Raises:
        HTTPError: 403, it is one that changes something.
    """
    if handler.request.method in _SAFE or getattr(handler, "_token_authenticated", False):
        return
    if handler.request.headers.get("Sec-Fetch-Site") in ELSEWHERE:
        raise web.HTTPError(403, "Another site sent this. Open the page here and try again.")


class StrictPage(BaseHandler):
    """A page that runs and loads nothing but what the hub itself serves."""

    def check_xsrf_cookie(self) -> None:
        """Refuse what another site sent, whatever token it has."""
        super().check_xsrf_cookie()
        refuse_from_elsewhere(self)

    @property
    def content_security_policy(self) -> str:
        """Return the policy; upstream's forbids to be framed by others and nothing else."""
        self._nonce: str = getattr(self, "_nonce", "") or secrets.token_urlsafe(16)
        return "; ".join(
            [
                "default-src 'none'",
                f"script-src 'self' 'nonce-{self._nonce}'",
                "style-src 'self'",
                "img-src 'self' data:",  # Bootstrap draws its marks so
                "font-src 'self'",
                "connect-src 'self'",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
                f"report-uri {self.csp_report_uri}",
            ]
        )

    def render_template(self, name: str, sync: bool = False, **words: Any) -> Any:  # noqa: FBT001, FBT002
        """Render a page, with its inline script marked as one that may run."""
        page = super().render_template(name, sync, **words)
        return self._marked(page) if sync else self._marked_later(page)

    def _marked(self, page: str) -> str:
        marked = _INLINE_SCRIPT.replace("<script", f'<script nonce="{self._nonce}"')
        return page.replace(_INLINE_SCRIPT, marked, 1)

    async def _marked_later(self, page: Awaitable[str]) -> str:
        return self._marked(await page)
