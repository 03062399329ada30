"""What an answer of the API server means for a test, said once."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.base.caller import Answer


def assert_admitted(answer: Answer) -> None:
    assert answer.status in {HTTPStatus.OK, HTTPStatus.CREATED}, answer.message
    assert answer.warnings == ()


def assert_refused(answer: Answer, *, policy: str, saying: str) -> None:
    """Check that *policy* refused, in words that a person can act on."""
    assert answer.status == HTTPStatus.FORBIDDEN, answer
    assert f"'{policy}'" in answer.message
    assert saying in answer.message
