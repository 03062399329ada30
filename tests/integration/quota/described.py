"""Whether a service answers as its served OpenAPI document says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import schemathesis
from hypothesis import HealthCheck, given, settings

if TYPE_CHECKING:
    from typing import Any

    from schemathesis import Case
    from schemathesis.schemas import BaseSchema

    from tests.integration.quota.servers import Running


@schemathesis.serializer("application/zip")
def packed(_: Any, value: Any) -> bytes:
    """Return what is sent as an archive: whatever it is, it is none."""
    return value if isinstance(value, bytes) else json.dumps(value, default=str).encode()


def described(service: Running) -> BaseSchema:
    """Return what the document of *service* describes, at its address."""
    document = json.loads(service.ask("GET", "/openapi.json", token=None).text)
    loaded = schemathesis.openapi.from_dict(document)
    loaded.config.update(base_url=f"{service.url}{service.prefix}api/v1")
    return loaded


def agrees(
    api: BaseSchema, method: str, path: str, *, is_judged: bool = True, examples: int = 20
) -> None:
    """
    Ask as an admin, who gets through to everything; nothing is ever a fault of ours.

    Args:
        is_judged: Whether words that the document allows may make no sense together, and be refused.
    """
    excluded = [schemathesis.checks.ignored_auth]
    if is_judged:
        excluded.append(schemathesis.checks.positive_data_acceptance)

    @given(case=api[path][method].as_strategy())
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    def asks(case: Case) -> None:
        case.call_and_validate(headers={"Authorization": "token t-ada"}, excluded_checks=excluded)

    asks()


def operations_of(service: Running) -> set[tuple[str, str]]:
    """Return method and path of all that the document describes."""
    document = json.loads(service.ask("GET", "/openapi.json", token=None).text)
    return {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
