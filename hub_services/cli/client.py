"""Client: the API of a service, asked with a token of the hub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS = 60
_CHUNK = 1 << 18
_FIRST_ERROR = 400


class Refused(click.ClickException):
    """The service said no; exit code 1."""

    exit_code = 1

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{problem['detail']} [{problem['reason']}]")
        self.problem = problem


class Unreachable(click.ClickException):
    """Nobody answered; exit code 3."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Client:
    """
    A service of a hub.

    Attributes:
        url: The hub's address, as people open it.
        token: Of the hub.
        service: Its name.
    """

    url: str
    token: str
    service: str = "quota"

    def of(self, service: str) -> Client:
        """Return the same for another service of the hub."""
        return replace(self, service=service)

    def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Any:
        """Return what stands at *path*."""
        return self._ask("GET", path, parameters=parameters)

    def post(self, path: str, body: Mapping[str, object] | None) -> Any:
        """Return the answer to *body*."""
        return self._ask("POST", path, body=body)

    def put(self, path: str, body: Mapping[str, object]) -> Any:
        """Have *body* stand at *path*."""
        return self._ask("PUT", path, body=body)

    def delete(self, path: str, parameters: Mapping[str, object]) -> Any:
        """Have nothing stand at *path*."""
        return self._ask("DELETE", path, parameters=parameters)

    def send(
        self, path: str, content: Iterator[bytes], kind: str, parameters: Mapping[str, object]
    ) -> Any:
        """Return the answer to *content*, which is sent as it comes; there is no hurry."""
        return self._ask(
            "POST", path, parameters=parameters, content=content, kind=kind, seconds=None
        )

    def fetch(self, address: str) -> Iterator[bytes]:
        """
        Yield what stands at *address*, which an answer named: below the hub, and no part of the API.

        Raises:
            Refused: The service says no.
            Unreachable: It does not answer, or breaks off.
        """
        where = f"{self.url.rstrip('/')}{address}"
        try:
            with requests.get(
                where,
                headers={"Authorization": f"token {self.token}"},
                timeout=_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as answer:
                if answer.status_code != requests.codes.ok:
                    message = f"It cannot be fetched any more ({answer.status_code}). Create a new export."
                    raise Unreachable(message)
                yield from answer.iter_content(_CHUNK)
        except requests.RequestException as error:
            message = f"The download from {self.url} broke off: {error}. Try again."
            raise Unreachable(message) from error

    def _ask(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        content: Iterator[bytes] | None = None,
        kind: str = "",
        seconds: float | None = _SECONDS,
    ) -> Any:
        """
        Return the answer.

        Raises:
            Refused: The service says no.
            Unreachable: It does not answer, or something else does.
        """
        where = f"{self.url.rstrip('/')}/services/{self.service}/api/v1{path}"
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        try:
            answer = requests.request(
                method,
                where,
                params=given,  # type: ignore[arg-type]
                json=body,  # type: ignore[arg-type]
                data=content,
                headers={
                    "Authorization": f"token {self.token}",
                    **({"Content-Type": kind} if kind else {}),
                },
                timeout=(_SECONDS, seconds),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            message = f"No answer from {where}: {error}. Is EUGO_URL the hub's address?"
            raise Unreachable(message) from error
        try:
            content = answer.json()
        except ValueError as error:
            message = (
                f"{where} answers {answer.status_code} and no JSON: is EUGO_URL the hub's address, "
                f"and does the hub run the {self.service} service?"
            )
            raise Unreachable(message) from error
        if answer.status_code < _FIRST_ERROR:
            return content
        if isinstance(content, dict) and {"detail", "reason"} <= content.keys():
            raise Refused(content)
        message = f"{where} answers {answer.status_code}: {content}"
        raise Unreachable(message)


def part(text: str) -> str:
    """Return *text* as one part of a path."""
    return quote(text, safe="")
