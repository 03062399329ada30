"""
Decisions: what admission answers, as values.

`Admitted` carries the grant, everything resolved, from which the manifests are made; `Queued` is
the same grant while its devices are taken; `Denied` carries for each refusal the machine reason,
a sentence, who can change it, and the change of the request that would remove it. Applying all
changes gives the nearest request that is admitted. Source: design §5; promise 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from eugospawner.policy import units
from eugospawner.policy.reasons import RULES, Reason, Who

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Project
    from eugospawner.policy.capacity import Fit
    from eugospawner.policy.catalog import Flavor, GpuModel, Image, Kind, Profile, Queue
    from eugospawner.policy.quota import Demand, Limit, Period
    from eugospawner.policy.requests import WorkspaceRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    One reason why a request is refused.

    Attributes:
        word: The word of the request that is at fault; the form puts the sentence beside it.
            `options`: none of them, but the request as a whole.
        sentence: What is wrong and what to do, for the person who asked.
        change: Words and values that would remove the refusal; empty: no change helps.
    """

    reason: Reason
    word: str
    sentence: str
    change: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return RULES[self.reason].status

    @property
    def who(self) -> Who:
        """Who can change it."""
        return RULES[self.reason].who


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """Admitted GPUs: *count* devices of *model* with *sm_percent* of each."""

    model: GpuModel
    count: int
    sm_percent: int

    @property
    def percent(self) -> int:
        """What is charged per unit of time, in GPU percent: the effective GPUs of design §6."""
        return units.gpu_percent(self.count, self.model.charged_percent(self.sm_percent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """
    An admitted extra volume.

    Attributes:
        claim_name: Its PersistentVolumeClaim; `None`: the volume is new and gets one.
    """

    key: str
    mount_path: str
    claim_name: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """
    What a workspace gets, everything resolved. CPU in millicores, memory in bytes.

    Attributes:
        node: Where it has to run, since a volume of it is attached there; `None`: anywhere.
    """

    owner: str
    workspace: str
    project: Project
    profile: Profile
    flavor: Flavor
    kind: Kind
    image: Image
    queue: Queue
    gpus: Gpus | None
    cpu_millicores: int
    memory_bytes: int
    mounts: tuple[Mount, ...]
    root_shell: bool
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    How it stands with one limit, and what the session would take of it (L6).

    Attributes:
        used: Settled and reserved before the session.
        takes: What it reserves in the present period, to its deadline.
        period: The day or month it begins in; `None`: a limit of what is held at once.
    """

    limit: Limit
    used: int
    takes: int
    period: Period | None

    @property
    def left(self) -> int:
        """What would remain; never negative."""
        return max(self.limit.amount - self.used - self.takes, 0)

    @property
    def used_percent(self) -> int:
        """What was used before the session, in percent of the limit, rounded down."""
        return 100 * self.used // self.limit.amount if self.limit.amount else 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """
    The request may start.

    Attributes:
        ends_at: Deadline of the session, aware UTC.
        ends_because: What the deadline comes from: `max-session`, `plan-window` or
            `quota-exhausted`.
        charge_percent: What is charged per unit of time, in GPU percent.
        fit: Capacity as last seen; advisory.
        demand: What the store is asked to reserve; its deadline may come out earlier still, if
            somebody else was admitted meanwhile.
        shares: How it stands with each limit that counts the session, in admission order.
    """

    grant: Grant
    ends_at: datetime
    ends_because: str
    charge_percent: int
    fit: Fit
    demand: Demand
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The request is admitted, but its devices are taken now: the scheduler makes it wait."""

    admitted: Admitted
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The request may not start; *refusals* is never empty and stands in admission order."""

    refusals: tuple[Refusal, ...]

    @property
    def first(self) -> Refusal:
        """The refusal that is the message."""
        return self.refusals[0]

    def amend(self, request: WorkspaceRequest) -> WorkspaceRequest | None:
        """Return *request* with every change applied, or `None` if some refusal has none."""
        if not all(refusal.change for refusal in self.refusals):
            return None
        # Refusals that come first decide: a model that is absent outweighs its count.
        changes: dict[str, object] = {}
        for refusal in reversed(self.refusals):
            changes |= refusal.change
        return replace(request, **changes)  # type: ignore[arg-type]


def shown(text: str) -> str:
    """Return foreign *text* as it is, unless a sentence could be forged with it."""
    return text if text.isprintable() else repr(text)


Decision: TypeAlias = Admitted | Queued | Denied
