"""
Frames: what every page of ours in the hub has around it.

Any script in a page runs upstream. Our pages run those of the hub and of ours and no other: the one that
upstream writes into each page is known by a nonce. Source: CSP level 3; facts on security.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from jupyterhub.handlers.base import BaseHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable

#: Upstream's page has one script of its own in it, which begins so.
_INLINE_SCRIPT: Final = '<script type="text/javascript">'


class StrictPage(BaseHandler):
    """A page that runs and loads nothing but what the hub itself serves."""

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
