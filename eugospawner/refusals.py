"""
Refusals: how a denial reaches JupyterHub.

JupyterHub 6 has `SpawnException` for a start that policy forbids: an answer with a status, not
a failure of the hub, and never counted towards its failure limit. Every refusal of ours becomes
one, those of the cluster and the store included, with the machine reason at the end of the
message as ``[reason-code]`` (design §5; promise 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jupyterhub.spawner import SpawnException

from eugospawner.policy.errors import ClusterError, StoreError
from eugospawner.policy.reasons import RULES, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from logging import Logger

    from eugospawner.diagnosis import Failure
    from eugospawner.manifests.gate import ManifestRefused
    from eugospawner.policy.decisions import Refusal

_SERVER_ERROR: Final = 500


def denied(refusals: Sequence[Refusal]) -> SpawnException:
    """Return the answer to a denied start: the first refusal is the message."""
    first = refusals[0]
    return _answer(first.reason, first.sentence, first.status)


def cluster_refused(error: ClusterError) -> SpawnException:
    """Return the answer when Kubernetes refused an object, or did not answer."""
    if error.reason == "DropsShares":
        reason = Reason.CLUSTER_DROPS_SHARES
    elif not error.status or error.status >= _SERVER_ERROR:
        reason = Reason.CLUSTER_UNREACHABLE
    else:
        reason = Reason.CLUSTER_REFUSED
    return _answer(reason, f"{str(error).rstrip('.')}.", RULES[reason].status)


def answer_to(error: StoreError | ClusterError | ManifestRefused, log: Logger) -> SpawnException:
    """Return the answer to what broke off a start that was admitted."""
    match error:
        case StoreError():
            return store_down()
        case ClusterError():
            return cluster_refused(error)
        case _:
            return manifest_refused(error, log)


def manifest_refused(error: ManifestRefused, log: Logger) -> SpawnException:
    """Return the answer when a hook or an override added to the Pod; every addition is logged."""
    for violation in error.violations:
        log.error("The Pod would hold more than was granted: %s", violation)
    first, more = error.violations[0].path or "all of it", len(error.violations) - 1
    sentence = (
        "The workspace was not started: its Pod would hold more than was granted "
        f"({first}{f' and {more} more' if more else ''}). Tell an admin: a hook or an override of "
        "the hub's configuration added it, and the hub's log names every place."
    )
    return _answer(Reason.MANIFEST_REFUSED, sentence, RULES[Reason.MANIFEST_REFUSED].status)


def store_down() -> SpawnException:
    """Return the answer while the store is down: no start, and running workspaces go on."""
    reason = Reason.STORE_UNAVAILABLE
    sentence = (
        "Workspaces cannot be started at the moment: the records are unavailable. "
        "Running workspaces are not affected. Try again in a few minutes, or tell an admin."
    )
    return _answer(reason, sentence, RULES[reason].status)


def failed(failure: Failure) -> SpawnException:
    """Return the answer to a start that cannot become ready."""
    return _answer(failure.reason, failure.sentence, _SERVER_ERROR)


def _answer(reason: str, sentence: str, status: int) -> SpawnException:
    message = f"{sentence} [{reason}]"
    answer = SpawnException(message, reason=str(reason), status_code=status)
    # What the hub's own pages and the progress stream show of an exception.
    answer.jupyterhub_message = message
    return answer
