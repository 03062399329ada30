"""
The spawn form: what may be picked, and what was wrong with the last try, as HTML.

`render` is pure: the catalog, the owner's projects and volumes, the cluster as last seen and the
words to preselect go in, a fragment comes out, for the hub to put between its form tags. Fields
are named by the words of a request, so `options.from_form` reads them back; an empty field is an
absent word. Nothing is decided here: refusals come from `admission` and are put beside the field
whose word they name, and a value that is no longer on offer stays selected and says so, because
a form that quietly drops a choice starts something else than the page showed.

Everything works without JavaScript; `static/form.js` only adds what has to change while typing.
Source: design §5; features F40 to F45, F48, F54, screen "Launch form".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eugospawner import assets, choices, lines, links
from eugospawner.choices import size, text_of, with_unknown
from eugospawner.policy import names, units
from eugospawner.policy import volumes as volume_rules
from eugospawner.policy.catalog import WHOLE_PERCENT, Catalog, Kind
from eugospawner.policy.errors import BadQuantity
from eugospawner.policy.reasons import PREREQUISITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.decisions import Refusal
    from eugospawner.policy.standing import Standing, StorageStanding
    from eugospawner.policy.volumes import Volume, Volumes
    from eugospawner.store import Workspace

#: For the hub's `template_paths`: the pages that carry the form.
TEMPLATES: Final = Path(__file__).parent / "templates"

#: What people read for each word of a request; the order is that of the page.
LABELS: Final[Mapping[str, str]] = {
    "project": "Project",
    "name": "Name",
    "profile": "Profile",
    "kind": "Editor",
    "image": "Framework and image",
    "flavor": "Flavor",
    "cpu": "CPU",
    "memory": "Memory",
    "gpu_model": "GPU Model",
    "gpu_count": "GPU Count",
    "sm_percent": "SM Percentage",
    "volumes": "Volumes",
    "queue": "Scheduling Queue",
    "root_shell": "Root shell",
}
_ADVANCED: Final = ("queue", "root_shell")
#: Empty rows for volumes where no script adds any; arbitrary, few mount more at once.
_EMPTY_ROWS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRow:
    """One row of the volume editor, with which of its two fields are at fault."""

    claim: str = ""
    path: str = ""
    claim_invalid: bool = False
    path_invalid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How the nearest admissible request differs in one word."""

    label: str
    before: str
    after: str


class Outcome(StrEnum):
    """What would come of pressing Start now."""

    STARTS = "starts"
    WAITS = "waits"
    REFUSED = "refused"


_TITLES: Final = {
    Outcome.STARTS: "It can start",
    Outcome.WAITS: "It would wait",
    Outcome.REFUSED: "It would not start",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of what a workspace would get."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """
    What the page says about the form as it stands (L2); `preflight.describe` makes it.

    Attributes:
        nearest: Words that would be admitted; `None`: these would, or no change helps.
    """

    outcome: Outcome
    sentence: str
    facts: tuple[Fact, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    changes: tuple[Change, ...] = ()
    nearest: Mapping[str, object] | None = None

    @property
    def title(self) -> str:
        """The outcome, readable without its colour."""
        return _TITLES[self.outcome]


def render(
    *,
    catalog: Catalog,
    accounts: Accounts,
    volumes: Volumes,
    workspaces: Iterable[Workspace] = (),
    workspace: str = "",
    cluster: ClusterView,
    options: Mapping[str, object],
    refusals: tuple[Refusal, ...] = (),
    nearest: Mapping[str, object] | None = None,
    standings: Iterable[Standing] = (),
    storage_standings: Iterable[StorageStanding] = (),
    preflight: Preflight | None = None,
    preflight_url: str = "",
    base_url: str,
    now: datetime,
) -> str:
    """
    Return the form's fields.

    Args:
        workspaces: The owner's, to copy settings from.
        workspace: Server name of the one that would start.
        options: JSON words to preselect: saved options, a prefill, or the refused attempt. They
            may be anything; what no field can hold is left out.
        refusals: What was wrong with that attempt, in admission order.
        nearest: Words that would be admitted; offered as one button, which posts them to the
            form ``eugo-nearest`` of ``spawn.html`` (a form of its own, so that Enter in a field
            never presses it).
        standings: How it stands with the limits of the chosen project.
        storage_standings: Likewise with the room for extra volumes.
        preflight: What would come of pressing Start with *options*.
        preflight_url: Where the module asks again while fields change; empty: nowhere.
        base_url: Prefix of the hub, for addresses.
    """
    chosen = choices.Chosen(catalog, options)
    project = accounts.find(chosen.text("project") or None) or accounts.personal
    plan = project.plan
    rows = tuple(_rows(catalog, options))
    by_word = {word: tuple(each for each in refusals if each.word == word) for word in LABELS}
    return (
        _environment()
        .get_template("eugo_form.html")
        .render(
            labels=LABELS,
            value=chosen.text,
            refusals=refusals,
            missing=missing(preflight.refusals if preflight else ()),
            request_url=f"{base_url}{links.REQUEST_ACCESS}",
            by_word=by_word,
            changes=changes(options, nearest) if nearest is not None else (),
            nearest=None if nearest is None else json.dumps(nearest, sort_keys=True),
            projects=choices.projects(accounts, chosen),
            project=project,
            copies=tuple(_copies(workspaces, workspace)),
            longest_name=names.LONGEST,
            default_name=workspace or "your user name",
            profiles=with_unknown(
                chosen, "profile", choices.profiles(catalog, plan, cluster, chosen)
            ),
            flavors=with_unknown(chosen, "flavor", choices.flavors(catalog, chosen)),
            gpu_models=with_unknown(
                chosen, "gpu_model", choices.gpu_models(catalog, plan, cluster, chosen)
            ),
            kinds=with_unknown(chosen, "kind", choices.kinds(catalog, chosen)),
            images=with_unknown(chosen, "image", choices.images(catalog, plan, chosen)),
            queues=with_unknown(chosen, "queue", choices.queues(catalog, plan, now, chosen)),
            may_run_as_root=project.may_run_as_root,
            plan=plan,
            standings=(
                *(lines.line_of(each, catalog.zone) for each in standings),
                *(lines.storage_line_of(each) for each in storage_standings),
            ),
            root_shell=options.get("root_shell") is True,
            advanced_open=any(by_word[word] or chosen.text(word) for word in _ADVANCED),
            effective=chosen.effective(),
            limits=catalog.limits,
            rows=rows,
            volume_at_fault=_volume_at_fault(rows),
            owned=[
                (reference, _about(reference, each)) for reference, each in volumes.by_key.items()
            ],
            storage=catalog.storage,
            whole_gpu=WHOLE_PERCENT,
            preflight=preflight,
            preflight_url=preflight_url,
            home_url=f"{base_url.rstrip('/')}/home",
            module=assets.url(base_url, "form.js"),
        )
    )


def _about(reference: str, volume: Volume) -> str:
    """Return what helps to choose a volume."""
    project = volume_rules.project_named_in(reference)
    return (
        f"{size(volume.size_bytes)}, of the project {project}"
        if project
        else size(volume.size_bytes)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A workspace whose settings can be taken over: its name, and the query that fills them in."""

    name: str
    query: str


def _copies(workspaces: Iterable[Workspace], this: str) -> Iterator[Copy]:
    for each in workspaces:
        if each.server != this:
            yield Copy(name=each.name, query=urlencode(fields(each.options), doseq=True))


def missing(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """Return what is missing whatever is asked for (F11)."""
    return tuple(each for each in refusals if each.reason in PREREQUISITES)


def fields(words: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the form fields that stand for JSON *words*; `options.from_form` reads them back."""
    shown: dict[str, list[str]] = {}
    for word, value in words.items():
        if word == "volumes":
            rows = [_row(each) for each in _listed(value)]
            shown["volume_claim"] = [row.claim for row in rows]
            shown["volume_path"] = [row.path for row in rows]
        elif text := text_of(value):
            shown[word] = [text]
    return shown


def _rows(catalog: Catalog, options: Mapping[str, object]) -> Iterator[VolumeRow]:
    """Mark what the same rules refuse, so that the fault is found in a long list."""
    rows = [_row(each) for each in _listed(options.get("volumes"))]
    for index, row in enumerate(rows):
        before = rows[:index]
        yield VolumeRow(
            claim=row.claim,
            path=row.path,
            claim_invalid=not volume_rules.is_key(row.claim.partition("@")[0])
            or any(row.claim == other.claim for other in before),
            path_invalid=volume_rules.problem_of_path(row.path, catalog.storage.home_path)
            is not None
            or any(volume_rules.overlap(row.path, other.path) for other in before),
        )
    for _ in range(min(_EMPTY_ROWS, max(catalog.limits.max_volumes - len(rows), 0))):
        yield VolumeRow()


def _volume_at_fault(rows: tuple[VolumeRow, ...]) -> str:
    """Return the id of the field that an error about volumes leads to."""
    for index, row in enumerate(rows, start=1):
        if row.claim and row.claim_invalid:
            return f"eugo-volume_claim-{index}"
        if row.path_invalid:
            return f"eugo-volume_path-{index}"
    return "eugo-volume_claim-1"


def _row(volume: object) -> VolumeRow:
    words = volume if isinstance(volume, dict) else {}
    return VolumeRow(claim=text_of(words.get("claim")), path=text_of(words.get("mount_path")))


def _listed(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def changes(options: Mapping[str, object], nearest: Mapping[str, object]) -> tuple[Change, ...]:
    """Return how *nearest* differs from *options*, in words of the page and in its order."""
    pairs = (
        (label, _shown(word, options.get(word)), _shown(word, nearest.get(word)))
        for word, label in LABELS.items()
    )
    return tuple(
        Change(label=label, before=before, after=after)
        for label, before, after in pairs
        if before != after
    )


def _shown(word: str, value: object) -> str:
    """Return *value* for reading, the same text for the same meaning."""
    if word == "volumes":
        rows = [_row(each) for each in _listed(value)]
        return ", ".join(f"{row.claim} at {row.path}" for row in rows) or "none"
    text = text_of(value)
    if word == "kind" and text in list(Kind):
        return Kind(text).display_name
    try:
        if text and word == "cpu":
            return units.format_cpu(units.parse_cpu(text))
        if text and word == "memory":
            return units.format_memory(units.parse_memory(text))
    except BadQuantity:
        return text
    return text or "not set"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"cpu": units.format_cpu, "memory": size}
    return environment
