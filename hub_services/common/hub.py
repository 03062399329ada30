"""
Hub: what a service asks of JupyterHub's REST API.

An answer is whole or it is none. JupyterHub leaves out what a token may not see instead of saying
so, and a user who is left out looks like a user without servers; whoever deletes on that ground
deletes everything. So the client first asks what its token may see, and refuses to answer if that
is less than everything (promise 7). Pages are read by offset, and a list that changes between two
of them can still miss a user: an answer about all is a hint, `servers_of` is the word on one.

Source: JupyterHub 6.1 REST API; scopes ``list:users`` and ``read:servers``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp

from eugospawner.policy.errors import EugoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: JSON as the hub gives it.
Json = Any

#: What a token needs, on everybody.
SCOPES: Final = frozenset({"list:users", "read:servers"})
#: JupyterHub gives a list its paging only to those who ask for it.
_PAGED: Final = "application/jupyterhub-pagination+json"
#: The most that JupyterHub gives by default (`api_page_max_limit`).
_PAGE_USERS: Final = 200
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20)
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_FIRST_ERROR: Final = 400
#: Clients and servers fold these away, and 404 then says nothing about the user.
_UNASKABLE: Final = frozenset({"", ".", ".."})


class HubError(EugoError):
    """The hub refused, failed, did not answer, or may not tell this token enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """
    An active server: one that runs, or that the hub is busy with.

    Attributes:
        name: Empty for the default server.
        pending: What the hub is busy with: ``spawn``, ``stop``, ``check`` (after its own restart)
            or ``rename``; `None`: nothing, it is ready.
    """

    owner: str
    name: str
    pending: str | None


class Hub:
    """
    The hub's REST API.

    Args:
        session: Closed by whoever made it.
        url: As in JUPYTERHUB_API_URL.
        token: As in JUPYTERHUB_API_TOKEN.
    """

    def __init__(self, session: aiohttp.ClientSession, *, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"token {token}", "Accept": _PAGED}

    async def servers(self) -> tuple[Server, ...]:
        """
        Return all active servers, in the order of their users.

        Raises:
            HubError: The hub does not answer, or not about everybody.
        """
        await self._require_scopes()
        found: list[Server] = []
        path, offset = "/users", 0
        while True:
            page = await self._get(
                path, {"state": "active", "limit": str(_PAGE_USERS), "offset": str(offset)}
            )
            try:
                for user in page["items"]:
                    found += _servers_of(user)
                following = page["_pagination"]["next"]
                if following is None:
                    return tuple(found)
                offset = int(following["offset"])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise _strange(path, error) from error

    async def servers_of(self, owner: str) -> tuple[Server, ...]:
        """
        Return the active servers of *owner*; none if there is no such user.

        Raises:
            HubError: The hub does not answer, or not about everybody.
        """
        if owner in _UNASKABLE:
            message = f"The hub cannot be asked about a user named {owner!r}: no URL can carry it"
            raise HubError(message)
        # Without the scopes, the answer for anybody is 404, too.
        await self._require_scopes()
        path = f"/users/{quote(owner, safe='')}"
        user = await self._get(path, absent_is=None)
        if user is None:
            return ()
        try:
            if user["name"] != owner:
                raise _strange(path, ValueError(user["name"]))
            return tuple(_servers_of(user))
        except (KeyError, TypeError, AttributeError) as error:
            raise _strange(path, error) from error

    async def stop(self, owner: str, server: str, session: str, *, remove: bool = False) -> None:
        """
        Have the hub stop one session of a server; what has stopped, or is another one by now, is fine.

        Args:
            remove: Also remove the server, which the hub does once it has stopped.

        Raises:
            HubError: The hub does not answer, refuses or fails; whether it stops is not known then.
        """
        if owner in _UNASKABLE:
            message = f"The hub cannot be asked about a user named {owner!r}: no URL can carry it"
            raise HubError(message)
        path = f"/users/{quote(owner, safe='')}" + (
            f"/servers/{quote(server, safe='')}" if server else "/server"
        )
        body: dict[str, object] = {"remove": True} if remove and server else {}
        if session:
            body["session"] = session
        status, text = await self._send("DELETE", path, body)
        if status >= _FIRST_ERROR and status not in {_NOT_FOUND, _CONFLICT}:
            message = f"The hub answers {status} to stopping {owner}/{server}: {_message(text)}"
            raise HubError(message)

    async def _send(self, method: str, path: str, body: object) -> tuple[int, str]:
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=self._headers, timeout=_TIMEOUT
            ) as answer:
                return answer.status, await answer.text()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"The hub at {self._url} does not answer ({str(error) or 'too slow'})"
            raise HubError(message) from error

    async def _require_scopes(self) -> None:
        said = await self._get("/user")
        missing = SCOPES.difference(said.get("scopes") or ())
        if missing:
            message = (
                f"The hub does not let this service see all servers: give its role the scopes "
                f"{', '.join(sorted(missing))}, without a filter"
            )
            raise HubError(message)

    async def _get(
        self,
        path: str,
        parameters: Mapping[str, str] | None = None,
        *,
        absent_is: Json = NotImplemented,
    ) -> Json:
        """Return the answer; *absent_is*, if given, stands for 404."""
        try:
            async with self._session.get(
                self._url + path, params=parameters, headers=self._headers, timeout=_TIMEOUT
            ) as answer:
                text = await answer.text()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"The hub at {self._url} does not answer ({str(error) or 'too slow'})"
            raise HubError(message) from error
        if answer.status == _NOT_FOUND and absent_is is not NotImplemented:
            return absent_is
        if not answer.ok:
            message = f"The hub answers {answer.status} to {path}: {_message(text)}"
            raise HubError(message)
        try:
            return json.loads(text)
        except ValueError as error:
            raise _strange(path, error) from error


def _servers_of(user: Json) -> Iterable[Server]:
    # A missing key means "may not be seen"; JupyterHub says so by leaving it out.
    for name, server in user["servers"].items():
        if server.get("pending") or server["ready"]:
            yield Server(owner=user["name"], name=name, pending=server.get("pending") or None)


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200] or "nothing"


def _strange(path: str, error: Exception) -> HubError:
    return HubError(f"The hub's answer to {path} is not what JupyterHub 6.1 gives ({error!r})")
