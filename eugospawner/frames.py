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

from eugospawner import assets
from eugospawner.origins import SENTENCE, is_change_from_elsewhere

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Upstream's page has one script of its own in it, which begins so.
_INLINE_SCRIPT: Final = '<script type="text/javascript">'


def asset_url(handler: Any) -> Callable[[str], str]:
    """Return what gives the address of a script or style of ours."""
    return lambda name: assets.url(handler.hub.base_url, name)


class SentFromHere(BaseHandler):
    """What changes something, and is refused where a page of another site had the browser send it."""

    def check_xsrf_cookie(self) -> None:
        """
        Check the token, and where the request comes from, whatever token it has.

        Raises:
            HTTPError: 403, it is forged.
        """
        super().check_xsrf_cookie()
        by_token = getattr(self, "_token_authenticated", False)
        if not by_token and is_change_from_elsewhere(self.request.method, self.request.headers):
            raise web.HTTPError(403, SENTENCE)


class StrictPage(SentFromHere):
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
        """Render a page with the addresses of our assets, its inline script marked as one that may run."""
        page = super().render_template(name, sync, **{"asset_url": asset_url(self), **words})
        return self._marked(page) if sync else self._marked_later(page)

    def _marked(self, page: str) -> str:
        marked = _INLINE_SCRIPT.replace("<script", f'<script nonce="{self._nonce}"')
        return page.replace(_INLINE_SCRIPT, marked, 1)

    async def _marked_later(self, page: Awaitable[str]) -> str:
        return self._marked(await page)
