"""
Pre-flight: the answer to "Will it start?", before anybody presses Start (L2).

What admission says to the form as it stands is put into the words of the page: whether it starts,
waits or would be refused, what it would get and be charged, when it would end, every refusal at
once and the changes that would remove them. Page and HTTP door show the same value; nothing is
decided here, and nothing is reserved. Source: features L2, F42, F52; design §5, step 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from eugospawner import form, lines
from eugospawner.choices import size
from eugospawner.policy import units
from eugospawner.policy.capacity import Fit
from eugospawner.policy.case import MAX_SESSION, WINDOW
from eugospawner.policy.catalog import WHOLE_PERCENT
from eugospawner.policy.decisions import Admitted, Denied, Queued
from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.limits import words_of
from eugospawner.policy.quota import EXHAUSTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eugospawner.policy.decisions import Decision, Share

#: Below the hub's prefix; user and server name follow (`handlers.PreflightHandler`).
PATH: Final = "eugo/preflight"

_FITS: Final[Mapping[Fit, str]] = {
    Fit.NOW: "It starts now: its GPUs are free.",
    Fit.UNKNOWN: "It can start. Whether its GPUs are free cannot be seen at present.",
}
_WITHOUT_GPU: Final = "It starts now: nothing stands in its way."


def describe(
    decision: Decision, *, words: Mapping[str, object], nearest: Mapping[str, object] | None
) -> form.Preflight:
    """
    Return what the page says about *decision*.

    Args:
        words: The JSON words that were decided about.
        nearest: Words that would be admitted, if these were not and such words exist.
    """
    match decision:
        case Denied(refusals=refusals):
            count = "one reason" if len(refusals) == 1 else f"{len(refusals)} reasons"
            return form.Preflight(
                outcome=form.Outcome.REFUSED,
                sentence=f"It would be refused, for {count}.",
                refusals=refusals,
                changes=() if nearest is None else form.changes(words, nearest),
                nearest=nearest,
            )
        case Queued(admitted=admitted, sentence=sentence):
            return form.Preflight(
                outcome=form.Outcome.WAITS, sentence=sentence, facts=tuple(_facts(admitted))
            )
        case Admitted() as admitted:
            sentence = _FITS[admitted.fit] if admitted.grant.gpus else _WITHOUT_GPU
            return form.Preflight(
                outcome=form.Outcome.STARTS, sentence=sentence, facts=tuple(_facts(admitted))
            )
        case _:
            assert_never(decision)


def to_json(preflight: form.Preflight) -> dict[str, Any]:
    """Return *preflight* as the form's script reads it; all text, never HTML."""
    return {
        "outcome": str(preflight.outcome),
        "title": preflight.title,
        "sentence": preflight.sentence,
        "facts": [{"label": each.label, "value": each.value} for each in preflight.facts],
        "refusals": [
            {
                "reason": str(each.reason),
                "word": each.word,
                "label": form.LABELS.get(each.word, ""),
                "sentence": each.sentence,
                "who": str(each.who),
                "status": each.status,
            }
            for each in preflight.refusals
        ],
        "changes": [
            {"label": each.label, "before": each.before, "after": each.after}
            for each in preflight.changes
        ],
        "nearest": None if preflight.nearest is None else form.fields(preflight.nearest),
    }


def _facts(admitted: Admitted) -> Iterator[form.Fact]:
    grant, gpus = admitted.grant, admitted.grant.gpus
    if gpus is None:
        yield form.Fact(label="GPU", value="none")
    else:
        share = "whole" if gpus.sm_percent == WHOLE_PERCENT else f"{gpus.sm_percent} % SM"
        apiece = " each" if gpus.count > 1 else ""
        gpu = f"{gpus.count} × {gpus.model.display_name}, {share}{apiece}"
        yield form.Fact(label="GPU", value=gpu)
        requested = units.gpu_percent(gpus.count, gpus.sm_percent)
        asked, charged = (
            units.effective_gpus(percent) for percent in (requested, admitted.charge_percent)
        )
        both = charged if asked == charged else f"requested {asked}, charged {charged}"
        yield form.Fact(label="Effective GPUs", value=both)
        yield form.Fact(label="Charge per hour", value=f"{charged} GPU hours")
    yield form.Fact(
        label="CPU and memory",
        value=f"{units.format_cpu(grant.cpu_millicores)} CPU, {size(grant.memory_bytes)}",
    )
    ends = local(admitted.ends_at, admitted.demand.zone)
    yield form.Fact(
        label="Ends",
        value=f"when you stop it, at the latest {ends}: {_BECAUSE[admitted.ends_because]}",
    )
    for each in admitted.shares:
        yield form.Fact(label=lines.label_of(each.limit), value=_of_share(each))
    if grant.mounts:
        paths = ", ".join(mount.mount_path for mount in grant.mounts)
        yield form.Fact(label="Volumes", value=f"your home, {paths}")


_BECAUSE: Final[Mapping[str, str]] = {
    MAX_SESSION: "the longest session of the profile",
    WINDOW: "the window of the plan closes then",
    EXHAUSTED: "no more of a quota is left",
}


def _of_share(share: Share) -> str:
    limit = share.limit
    takes = "takes" if share.period is None else "reserves up to"
    return f"{takes} {words_of(share.takes, limit, up=True)}, leaves {words_of(share.left, limit)}"
