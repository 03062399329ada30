"""
One identity at the API server, speaking plain HTTP.

Permissions and admission are about verbs, paths and answers, so the tests say those instead of a
client library's method names. TLS and credentials come from the kubeconfig through the stock
`kubernetes` client; its models are not used, because they would hide what is sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlencode

from kubernetes import client, config

if TYPE_CHECKING:
    from pathlib import Path

    from urllib3 import BaseHTTPResponse

MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server said."""

    status: int
    body: dict[str, Any]
    #: Texts of `Warning:` headers, such as those of Pod Security's `warn` label.
    warnings: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The sentence of a refusal; empty when there is none."""
        text = self.body.get("message", "")
        assert isinstance(text, str)
        return text


class Caller:
    """Requests under one name."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    def from_kubeconfig(cls, path: Path | str) -> Self:
        return cls(config.new_client_from_config(config_file=str(path)))

    def with_token(self, token: str) -> Caller:
        """Return a caller at the same server who has nothing but *token*."""
        configuration = client.Configuration()
        configuration.host = self._api.configuration.host
        configuration.ssl_ca_cert = self._api.configuration.ssl_ca_cert
        configuration.api_key = {"authorization": f"Bearer {token}"}
        return Caller(client.ApiClient(configuration))

    @property
    def authority(self) -> str:
        """The file with the certificate that the server is known by."""
        return str(self._api.configuration.ssl_ca_cert)

    @property
    def server(self) -> str:
        """Where it is."""
        return str(self._api.configuration.host)

    def close(self) -> None:
        self._api.rest_client.pool_manager.clear()
        self._api.close()

    def get(self, path: str, **query: str) -> Answer:
        return self.request("GET", path, query=query)

    def create(self, path: str, body: object, **query: str) -> Answer:
        return self.request("POST", path, body=body, query=query)

    def update(self, path: str, body: object, **query: str) -> Answer:
        return self.request("PUT", path, body=body, query=query)

    def patch(
        self, path: str, body: object, *, content_type: str = MERGE_PATCH, **query: str
    ) -> Answer:
        return self.request("PATCH", path, body=body, content_type=content_type, query=query)

    def delete(self, path: str, **query: str) -> Answer:
        return self.request("DELETE", path, query=query)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request; a refusal is an answer, not an exception."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        # A watch has no end to wait for: its status is the answer.
        is_watch = bool(query and "watch" in query)
        response = self._api.rest_client.pool_manager.request(
            method,
            f"{self._api.configuration.host}{path}?{urlencode(query or {})}",
            body=None if body is None else json.dumps(body),
            headers=headers,
            preload_content=not is_watch,
        )
        try:
            content = {} if is_watch and response.status == HTTPStatus.OK else _content(response)
        finally:
            response.close()
        return Answer(
            status=response.status,
            body=content,
            warnings=tuple(response.headers.getlist("Warning")),
        )


def _content(response: BaseHTTPResponse) -> dict[str, Any]:
    """Return a JSON object; empty for anything else, such as the lines of a log."""
    if not response.headers.get("Content-Type", "").startswith("application/json"):
        return {}
    content = json.loads(response.data)
    return content if isinstance(content, dict) else {}
