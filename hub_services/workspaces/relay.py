"""
Relay: what is the hub's to do, asked of the hub with the token of whoever asks us.

The hub's own doors then judge it: scopes, permissions, admission. Its refusals are said on as they are, with their
reasons. Source: design §5; F130; JupyterHub 6.1, ``/users/{name}/servers/{server}``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp

from hub_services.common.problems import DoorReason, Fault, Relayed

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The hub answers a start when it is decided, and a stop when it is under way.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
_FIRST_ERROR: Final = 400
_NOT_FOUND: Final = 404
_REASON: Final = re.compile(r"^(?P<sentence>.*?)\s*\[(?P<reason>[a-z][a-z0-9-]*)\]$", re.DOTALL)


class Relay:
    """
    The hub's REST API, asked for others.

    Args:
        session: Closed by whoever made it.
        url: As in JUPYTERHUB_API_URL.
    """

    def __init__(self, session: aiohttp.ClientSession, *, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def start(self, token: str, owner: str, server: str, words: Mapping[str, Any]) -> None:
        """
        Start a server with *words* of a request.

        Raises:
            Fault: The hub refuses, fails or does not answer.
        """
        body: dict[str, Any] = {"user_options": dict(words)}
        if server:
            body["display_name"] = str(words.get("name") or server)
        await self._ask("POST", token, owner, server, body)

    async def stop(self, token: str, owner: str, server: str, session: str) -> None:
        """Stop one session of a server; raises as `start`."""
        await self._ask("DELETE", token, owner, server, {"session": session} if session else {})

    async def remove(self, token: str, owner: str, server: str) -> bool:
        """Stop and remove a server; return whether the hub had it; raises as `start`."""
        if not server:
            await self._ask("DELETE", token, owner, server, {})
            return False
        status = await self._ask(
            "DELETE", token, owner, server, {"remove": True}, absent_is_fine=True
        )
        return status != _NOT_FOUND

    async def _ask(
        self,
        method: str,
        token: str,
        owner: str,
        server: str,
        body: Mapping[str, Any],
        *,
        absent_is_fine: bool = False,
    ) -> int:
        path = f"/users/{quote(owner, safe='')}" + (
            f"/servers/{quote(server, safe='')}" if server else "/server"
        )
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=body,
                headers={"Authorization": f"token {token}"},
                timeout=_TIMEOUT,
            ) as answer:
                status, text = answer.status, await answer.text()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Fault(
                DoorReason.HUB_UNAVAILABLE, "The hub does not answer. Try again."
            ) from error
        if status < _FIRST_ERROR or (absent_is_fine and status == _NOT_FOUND):
            return status
        raise _said_on(status, text)


def _said_on(status: int, text: str) -> Fault:
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return Fault(DoorReason.HUB_UNAVAILABLE, f"The hub answers {status}. Try again.")
    found = _REASON.match(message)
    if found is None:
        return Relayed(status, "hub-refused", message)
    return Relayed(status, found["reason"], found["sentence"])
