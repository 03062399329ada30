"""
Placement: which Nodes a workspace can be put on, as far as taints and labels say.

For the advisory view of capacity: a GPU behind a taint that no workspace tolerates is none that
anybody here will ever get, and one on a Node that is cordoned or not ready comes back. What only
the scheduler weighs (affinity, topology, free CPU and memory) is left to it. Source: Kubernetes,
"Taints and Tolerations"; staging/src/k8s.io/component-helpers/scheduling/corev1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A Kubernetes object as JSON gives it.
Json = Any

#: Taints below this prefix stand for a condition of the Node and go when it is over.
_CONDITIONS: Final = "node.kubernetes.io/"
_REPELLING: Final = frozenset({"NoSchedule", "NoExecute"})


class Reach(StrEnum):
    """Whether a Node takes workspaces."""

    OPEN = "open"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """
    What every workspace's Pod says about Nodes.

    Attributes:
        tolerations: In Kubernetes' words.
        node_selector: Labels that a Node must have.
    """

    tolerations: Sequence[Mapping[str, Any]]
    node_selector: Mapping[str, str]

    def reach_of(self, node: Json) -> Reach:
        """Return whether *node* takes workspaces: now, later, or never."""
        labels = node["metadata"].get("labels") or {}
        if any(labels.get(key) != value for key, value in self.node_selector.items()):
            return Reach.NEVER
        spec = node.get("spec") or {}
        repelling = [
            taint
            for taint in spec.get("taints") or ()
            if taint.get("effect") in _REPELLING
            and not any(tolerates(each, taint) for each in self.tolerations)
        ]
        if any(not taint["key"].startswith(_CONDITIONS) for taint in repelling):
            return Reach.NEVER
        return Reach.LATER if repelling or spec.get("unschedulable") else Reach.OPEN


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """
    Return whether *toleration* matches *taint*.

    Operators that compare numbers (KEP-5471) count as no match: the view errs towards "never
    seen free", and the scheduler has the word.
    """
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if operator == "Exists":
        return key in {"", taint["key"]}
    same_value = (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(operator == "Equal" and key == taint["key"] and same_value)
