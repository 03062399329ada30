"""
Every exception this product raises on purpose, in one tree.

Expected outcomes are values, not exceptions: a refused start is a
`eugospawner.policy.decisions.Denied`. An exception says that something is broken: the
configuration, the cluster, the store or the program. The adapter that meets a foreign exception
translates it with ``raise … from``; nothing else catches broadly.

    EugoError
    ├── PolicyError        a rule was called with values that cannot be (a bug)
    │   └── BadQuantity    text is no Kubernetes quantity
    ├── ConfigError        the catalog or a setting is wrong; the hub refuses to start
    ├── ClusterError       Kubernetes refused, failed or did not answer
    ├── StoreError         the database refused, failed or did not answer
    │   └── UnfitSettings  what was changed at run time makes no sense with the file
    ├── Barred             what was asked of a workspace is not done, and why
    ├── SignInError        the identity provider did, or what it says is not believed (oidc/)
    └── HubError           the hub's REST API did (hub_services/common/hub.py)
"""

from __future__ import annotations

import re
from typing import Final

_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
#: What the API server says if roles do not allow it, and not if the object itself is refused.
_NO_ROLE: Final = re.compile(r' is forbidden: User "[^"]*" cannot ')


class EugoError(Exception):
    """Base of all; never raised itself."""


class PolicyError(EugoError):
    """A rule was called with values that cannot be."""


class BadQuantity(PolicyError, ValueError):
    """A text is no Kubernetes quantity, or none that makes sense here."""


class ConfigError(EugoError):
    """
    The catalog or a setting is wrong.

    The message names file, line, field, the value's problem and the remedy.
    """


class Barred(EugoError):
    """
    Something that was asked of a workspace, and is not done.

    Attributes:
        reason: Machine reason (`policy.reasons`); its status is that of the answer.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class ClusterError(EugoError):
    """
    Kubernetes refused, failed or did not answer.

    Args:
        message: What was tried and what the cluster said.
        status: The HTTP status of the answer; 0 if there was none.
        reason: Kubernetes' machine reason, such as ``Forbidden`` or ``AlreadyExists``.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def is_passing(self) -> bool:
        """
        Whether the same may be granted later, unchanged: nobody answered, or who did was not ready.

        An API server that has just begun denies what roles allow, until it has read them (rbac/v1).
        """
        if self.status == _FORBIDDEN:
            return _NO_ROLE.search(str(self)) is not None
        return not self.status or self.status == _TOO_MANY or self.status >= _SERVER_ERROR


class StoreError(EugoError):
    """The database refused, failed or did not answer."""


class UnfitSettings(StoreError):
    """What was changed at run time makes no sense with the file, so nothing is decided by it."""


class SignInError(EugoError):
    """The identity provider refused, failed or did not answer, or what it says is not believed."""
