"""
Problems: how a service says no, to programs and to people (RFC 9457).

Every refusal has a machine reason, a sentence and the status that goes with it. The rules' own
reasons (`policy.reasons`) are passed on as they are; those of the doors stand here. Source: design §5.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from eugospawner.policy.errors import EugoError
from eugospawner.policy.reasons import RULES as POLICY_RULES
from eugospawner.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.policy.errors import ConfigError

_Found = TypeVar("_Found")

#: The media type of a problem.
CONTENT_TYPE: Final = "application/problem+json"


class DoorReason(StrEnum):
    """Why a door does not let a request through."""

    NOT_SIGNED_IN = "not-signed-in"
    NOT_PERMITTED = "not-permitted"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    NOT_JSON = "not-json"
    SETTINGS_WRONG = "settings-wrong"
    SETTINGS_CHANGED = "settings-changed"
    ALREADY_THERE = "already-there"
    LINK_INVALID = "link-invalid"
    LINK_EXPIRED = "link-expired"
    LINK_REVOKED = "link-revoked"
    TOO_MANY = "too-many"
    NOT_SET_UP = "not-set-up"
    STORE_UNAVAILABLE = "store-unavailable"
    CLUSTER_UNAVAILABLE = "cluster-unavailable"
    HUB_UNAVAILABLE = "hub-unavailable"
    SHARE_REFUSED = "share-refused"
    EXPORT_FAILED = "export-failed"
    NOT_ZIP = "not-zip"
    NOT_RESTORED = "not-restored"
    VOLUME_FIXED = "volume-fixed"
    VOLUME_SHRINKS = "volume-shrinks"
    FAILED = "failed"


#: HTTP status and what it means, in the order of the reference.
RULES: Final[Mapping[DoorReason, tuple[int, str]]] = {
    DoorReason.MALFORMED: (400, "A parameter or the body is not what the API describes."),
    DoorReason.NOT_SIGNED_IN: (401, "There is no token, or it is not valid (any more)."),
    DoorReason.NOT_PERMITTED: (403, "Who asks may not do or see this."),
    DoorReason.LINK_INVALID: (403, "The link is not one of ours, or was changed."),
    DoorReason.NOT_FOUND: (404, "There is no such thing, or who asks may not know of it."),
    DoorReason.METHOD_NOT_ALLOWED: (405, "The address has no such method."),
    DoorReason.SETTINGS_CHANGED: (409, "Somebody changed the settings since they were read."),
    DoorReason.ALREADY_THERE: (409, "What is asked for exists or happened already."),
    DoorReason.VOLUME_SHRINKS: (409, "A volume becomes larger, never smaller."),
    DoorReason.VOLUME_FIXED: (409, "The cluster does not let the volume have another size."),
    DoorReason.LINK_EXPIRED: (410, "The link's hour is over."),
    DoorReason.LINK_REVOKED: (410, "Somebody took the link back."),
    DoorReason.TOO_LARGE: (413, "The body is larger than any entry."),
    DoorReason.NOT_JSON: (415, "The body is not declared as application/json."),
    DoorReason.NOT_ZIP: (415, "The body is not declared as application/zip."),
    DoorReason.NOT_RESTORED: (422, "The archive was not restored, and nothing of it is there."),
    DoorReason.SETTINGS_WRONG: (422, "With this change the settings would make no sense."),
    DoorReason.SHARE_REFUSED: (422, "It cannot be shared, or not with these."),
    DoorReason.TOO_MANY: (429, "There are as many of it as one person may have at a time."),
    DoorReason.FAILED: (500, "A fault of ours; the service's log has it."),
    DoorReason.NOT_SET_UP: (501, "This deployment has not set up what that needs."),
    DoorReason.HUB_UNAVAILABLE: (502, "The hub could not be asked who this is."),
    DoorReason.EXPORT_FAILED: (502, "The volume could not be read."),
    DoorReason.STORE_UNAVAILABLE: (503, "The records cannot be reached; try again."),
    DoorReason.CLUSTER_UNAVAILABLE: (503, "Kubernetes does not answer, or refuses; try again."),
}


def rule_of(reason: DoorReason | Reason) -> tuple[int, str]:
    """Return the HTTP status of *reason*, and what it means in general."""
    if isinstance(reason, DoorReason):
        return RULES[reason]
    rule = POLICY_RULES[reason]
    return rule.status, rule.meaning


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(description="Where it stands: `body.document.hours`.")
    detail: str = Field(description="What is wrong with it, and what to write.")


class Problem(BaseModel):
    """A refusal (RFC 9457)."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="`urn:eugo:reason:` and the machine reason.")
    title: str = Field(description="What the reason means in general.")
    status: int = Field(description="The HTTP status, again.")
    detail: str = Field(description="What is wrong and what to do, as the pages say it.")
    reason: str = Field(description="The machine reason.")
    errors: list[FieldProblem] = Field(default=[], description="Each field that is wrong.")


class Fault(EugoError):
    """A request that is refused at a door."""

    def __init__(
        self, reason: DoorReason | Reason, detail: str, errors: tuple[FieldProblem, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.errors = errors

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return rule_of(self.reason)[0]

    def to_problem(self) -> Problem:
        """Return the answer's body."""
        return Problem(
            type=f"urn:eugo:reason:{self.reason}",
            title=rule_of(self.reason)[1],
            status=self.status,
            detail=self.detail,
            reason=str(self.reason),
            errors=list(self.errors),
        )


class Relayed(Fault):
    """What somebody else refused, or failed at, said on in their words."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(DoorReason.FAILED, detail)
        self._status = status
        self._said = reason

    @property
    def status(self) -> int:
        """The HTTP status of the answer: theirs."""
        return self._status

    def to_problem(self) -> Problem:
        """Return the answer's body."""
        return Problem(
            type=f"urn:eugo:reason:{self._said}",
            title=HTTPStatus(self._status).phrase,
            status=self._status,
            detail=self.detail,
            reason=self._said,
        )


def permit(what: str, *, allowed: bool, ask: str = "an admin") -> None:
    """
    Return if it is *allowed*.

    Args:
        what: What is not, else: it ends "You may not …".
        ask: Who may (`permissions.who_may`).
    """
    if not allowed:
        raise Fault(DoorReason.NOT_PERMITTED, f"You may not {what}. Ask {ask}.")


def existing(found: _Found | None, kind: str, key: str) -> _Found:
    """
    Return *found*.

    Raises:
        Fault: It is `None`: there is no *kind* named *key*.
    """
    if found is None:
        message = f"There is no {kind} {key!r}, or you may not see it."
        raise Fault(DoorReason.NOT_FOUND, message)
    return found


def settings_wrong(error: ConfigError) -> Fault:
    """Return the refusal of a change with which the settings make no sense."""
    # The place of a problem is the change itself.
    told = [line.removeprefix("changed at run time: ") for line in str(error).splitlines()]
    return Fault(DoorReason.SETTINGS_WRONG, "\n".join(told))


def settings_changed() -> Fault:
    """Return the refusal of a change that was made from settings which are not the newest."""
    return Fault(
        DoorReason.SETTINGS_CHANGED,
        "Somebody changed the settings since you read them. Read them again, and see whether your "
        "change is still right.",
    )
