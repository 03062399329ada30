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
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eugospawner import assets
from eugospawner.policy import units
from eugospawner.policy import volumes as volume_rules
from eugospawner.policy.admission import WHOLE_GPU
from eugospawner.policy.catalog import (
    DEFAULT_QUEUE,
    Catalog,
    Flavor,
    Kind,
    Profile,
    sharing_words,
)
from eugospawner.policy.errors import BadQuantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import timedelta
    from typing import TypeGuard

    from eugospawner.policy.accounts import Accounts
    from eugospawner.policy.admission import Refusal
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.volumes import Volumes

#: For the hub's `template_paths`: the pages that carry the form.
TEMPLATES: Final = Path(__file__).parent / "templates"

#: What people read for each word of a request; the order is that of the page.
LABELS: Final[Mapping[str, str]] = {
    "project": "Project",
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
_ABOUT_KINDS: Final = {
    Kind.JUPYTERLAB: "Notebooks, consoles and terminals",
    Kind.VSCODE: "VS Code in the browser, with your home opened",
    Kind.CUSTOM: "The web program of an image",
}
_ICONS: Final = {Kind.JUPYTERLAB: "book", Kind.VSCODE: "code", Kind.CUSTOM: "globe"}
_ADVANCED: Final = ("queue", "root_shell")
#: Far above any count or share; Python itself refuses to write down integers without end.
_LARGEST: Final = 1_000_000_000
#: Empty rows for volumes where no script adds any; arbitrary, few mount more at once.
_EMPTY_ROWS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """
    One thing to pick.

    Attributes:
        details: Lines below the label.
        group: Heading under which it stands in a list; empty: under none.
        icon: Name in Font Awesome Free, which the hub serves; empty: none.
        note: Why it cannot be had, or not now; always visible, never a tooltip.
        data: ``data-`` attributes for the module.
    """

    value: str
    label: str
    details: tuple[str, ...] = ()
    note: str = ""
    group: str = ""
    icon: str = ""
    chosen: bool = False
    disabled: bool = False
    data: Mapping[str, str] = field(default_factory=dict[str, str])


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
    cluster: ClusterView,
    options: Mapping[str, object],
    refusals: tuple[Refusal, ...] = (),
    nearest: Mapping[str, object] | None = None,
    preflight: Preflight | None = None,
    preflight_url: str = "",
    base_url: str,
) -> str:
    """
    Return the form's fields.

    Args:
        options: JSON words to preselect: saved options, a prefill, or the refused attempt. They
            may be anything; what no field can hold is left out.
        refusals: What was wrong with that attempt, in admission order.
        nearest: Words that would be admitted; offered as one button, which posts them to the
            form ``eugo-nearest`` of ``spawn.html`` (a form of its own, so that Enter in a field
            never presses it).
        preflight: What would come of pressing Start with *options*.
        preflight_url: Where the module asks again while fields change; empty: nowhere.
        base_url: Prefix of the hub, for addresses.
    """
    chosen = _Chosen(catalog, options)
    rows = tuple(_rows(catalog, options))
    by_word = {word: tuple(each for each in refusals if each.word == word) for word in LABELS}
    return (
        _environment()
        .get_template("eugo_form.html")
        .render(
            labels=LABELS,
            value=chosen.text,
            refusals=refusals,
            by_word=by_word,
            changes=changes(options, nearest) if nearest is not None else (),
            nearest=None if nearest is None else json.dumps(nearest, sort_keys=True),
            projects=_projects(accounts, chosen),
            profiles=_with_unknown(chosen, "profile", _profiles(catalog, cluster, chosen)),
            flavors=_with_unknown(chosen, "flavor", _flavors(catalog, chosen)),
            gpu_models=_with_unknown(chosen, "gpu_model", _gpu_models(catalog, cluster, chosen)),
            kinds=_with_unknown(chosen, "kind", _kinds(catalog, chosen)),
            images=_with_unknown(chosen, "image", _images(catalog, chosen)),
            queues=_with_unknown(chosen, "queue", _queues(catalog, chosen)),
            roots=tuple(each.display_name for each in accounts.projects if each.may_run_as_root),
            root_shell=options.get("root_shell") is True,
            advanced_open=any(by_word[word] or chosen.text(word) for word in _ADVANCED),
            effective=chosen.effective(),
            limits=catalog.limits,
            rows=rows,
            volume_at_fault=_volume_at_fault(rows),
            owned=[(each.key, size(each.size_bytes)) for each in volumes.by_key.values()],
            storage=catalog.storage,
            whole_gpu=WHOLE_GPU,
            preflight=preflight,
            preflight_url=preflight_url,
            home_url=f"{base_url.rstrip('/')}/home",
            module=assets.url(base_url, "form.js"),
        )
    )


def fields(words: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the form fields that stand for JSON *words*; `options.from_form` reads them back."""
    shown: dict[str, list[str]] = {}
    for word, value in words.items():
        if word == "volumes":
            rows = [_row(each) for each in _listed(value)]
            shown["volume_claim"] = [row.claim for row in rows]
            shown["volume_path"] = [row.path for row in rows]
        elif text := _text(value):
            shown[word] = [text]
    return shown


class _Chosen:
    """The words to preselect, and what they come to where a word is absent."""

    def __init__(self, catalog: Catalog, options: Mapping[str, object]) -> None:
        self._catalog = catalog
        self._options = options

    def text(self, word: str) -> str:
        return _text(self._options.get(word))

    @property
    def profile(self) -> Profile | None:
        return self._catalog.profiles.get(self.text("profile") or self._catalog.default_profile)

    @property
    def flavor(self) -> Flavor | None:
        if key := self.text("flavor"):
            return self._catalog.flavors.get(key)
        return self._catalog.flavors[self.profile.flavors[0]] if self.profile else None

    def effective(self) -> str:
        """Return the effective GPUs as people read them; empty if the words make no number."""
        gpu = self.flavor.gpu if self.flavor else None
        count = self._options.get("gpu_count", gpu.count if gpu else 0)
        percent = self._options.get("sm_percent", WHOLE_GPU)
        if not _is_count(count) or not _is_count(percent):
            return ""
        if count == 0:
            return "No GPU"
        total = units.effective_gpus(units.gpu_percent(count, percent))
        key = self.text("gpu_model") or (gpu.model if gpu else "")
        model = self._catalog.gpu_models.get(key)
        charged = model.charged_percent(percent) if model else percent
        more = f", charged {units.effective_gpus(count * charged)}" if charged > percent else ""
        return f"Effective GPUs: {count} x {percent} % = {total}{more}"


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _projects(accounts: Accounts, chosen: _Chosen) -> tuple[Choice, ...]:
    asked = chosen.text("project") or accounts.personal.key
    known = tuple(
        Choice(value=each.key, label=each.display_name, chosen=each.key == asked)
        for each in accounts.projects
    )
    return _with_unknown(chosen, "project", known)


def _profiles(catalog: Catalog, cluster: ClusterView, chosen: _Chosen) -> Iterator[Choice]:
    asked = chosen.text("profile") or catalog.default_profile
    for profile in catalog.profiles.values():
        flavor = catalog.flavors[profile.flavors[0]]
        model = catalog.gpu_models[flavor.gpu.model] if flavor.gpu else None
        notes = [catalog.obstacle(profile, profile.kinds[0])]
        if model is not None and not cluster.has(model.key):
            notes.append(f"The cluster has no {model.display_name} at present.")
        yield Choice(
            value=profile.key,
            label=profile.display_name,
            details=tuple(filter(None, (profile.when_to_use, _shape(flavor), _ends(profile)))),
            note=" ".join(filter(None, notes)),
            chosen=profile.key == asked,
            data={
                "flavors": " ".join(profile.flavors),
                "images": " ".join(catalog.images[key].reference for key in profile.images),
                "kinds": " ".join(profile.kinds),
            },
        )


def _shape(flavor: Flavor) -> str:
    gpus = f"{flavor.gpu.count} × {flavor.gpu.model}" if flavor.gpu else "no GPU"
    cpu, memory = units.format_cpu(flavor.cpu_millicores), size(flavor.memory_bytes)
    return f"{cpu} CPU · {memory} · {gpus}"


def _ends(profile: Profile) -> str:
    parts = []
    if profile.idle_stop is not None:
        parts.append(f"Idle stop {duration(profile.idle_stop)}")
    if profile.max_session is not None:
        parts.append(f"Session limit {duration(profile.max_session)}")
    return " · ".join(parts)


def duration(length: timedelta) -> str:
    """Return a length of time as people read it: ``8 h``."""
    minutes = int(length.total_seconds()) // 60
    for unit, size in (("d", 24 * 60), ("h", 60)):
        if minutes >= size and minutes % size == 0:
            return f"{minutes // size} {unit}"
    return f"{minutes} min" if minutes else f"{int(length.total_seconds())} s"


def size(size_bytes: int) -> str:
    """Return bytes as people read them: ``8 GiB``."""
    text = units.format_memory(size_bytes)
    return f"{text[:-2]} {text[-2:]}B" if text.endswith("i") else f"{text} bytes"


def _flavors(catalog: Catalog, chosen: _Chosen) -> Iterator[Choice]:
    for flavor in catalog.flavors.values():
        yield Choice(
            value=flavor.key,
            label=f"{flavor.display_name} – {flavor.when_to_use}",
            chosen=flavor.key == chosen.text("flavor"),
            data={
                "cpu": units.format_cpu(flavor.cpu_millicores),
                "memory": units.format_memory(flavor.memory_bytes),
                "gpu-model": flavor.gpu.model if flavor.gpu else "",
                "gpu-count": str(flavor.gpu.count if flavor.gpu else 0),
            },
        )


def _gpu_models(catalog: Catalog, cluster: ClusterView, chosen: _Chosen) -> Iterator[Choice]:
    yield Choice(
        value="",
        label="As the flavor",
        details=("Its model, or none",),
        chosen=not chosen.text("gpu_model"),
    )
    for model in catalog.gpu_models.values():
        devices = () if cluster.devices is None else cluster.devices.get(model.key, ())
        absent = not cluster.has(model.key)
        taken = bool(devices) and not any(device.free_percent for device in devices)
        picked = model.key == chosen.text("gpu_model")
        note = "All taken now: the workspace waits for one." if taken else ""
        yield Choice(
            value=model.key,
            label=model.display_name,
            details=tuple(
                filter(
                    None,
                    (
                        sharing_words(model),
                        f"{len(devices)} in the cluster" if devices else "",
                    ),
                )
            ),
            note="Not in the cluster at present." if absent else note,
            chosen=picked,
            # A disabled field is not sent: what was picked stays, to be refused in words.
            disabled=absent and not picked,
            data={"charge": "whole"} if model.charged_percent(1) == WHOLE_GPU else {},
        )


def _kinds(catalog: Catalog, chosen: _Chosen) -> Iterator[Choice]:
    yield Choice(
        value="",
        label="As the profile",
        details=("Its first editor",),
        chosen=not chosen.text("kind"),
    )
    offered = {kind for profile in catalog.profiles.values() for kind in profile.kinds}
    for kind in Kind:
        if kind in offered:
            picked = kind == chosen.text("kind")
            note = catalog.unavailable_kinds.get(kind, "")
            yield Choice(
                value=kind,
                label=kind.display_name,
                details=(_ABOUT_KINDS[kind],),
                icon=_ICONS[kind],
                note=note,
                chosen=picked,
                disabled=bool(note) and not picked,
            )


def _images(catalog: Catalog, chosen: _Chosen) -> Iterator[Choice]:
    for image in catalog.images.values():
        yield Choice(
            value=image.reference,
            label=f"{image.display_name} – {image.description}",
            note=image.unavailable,
            group=image.framework,
            chosen=image.reference == chosen.text("image"),
        )


def _queues(catalog: Catalog, chosen: _Chosen) -> Iterator[Choice]:
    asked = chosen.text("queue") or DEFAULT_QUEUE
    for queue in catalog.queues.values():
        preemptible = "preemptible" if queue.preemptible else "not preemptible"
        yield Choice(
            value="" if queue.key == DEFAULT_QUEUE else queue.key,
            label=f"{queue.display_name} – {queue.description} "
            f"(priority {queue.priority}, {preemptible})",
            chosen=queue.key == asked,
        )


def _with_unknown(chosen: _Chosen, word: str, known: Iterable[Choice]) -> tuple[Choice, ...]:
    """Keep a value that is not on offer, selected and named as such."""
    choices, asked = tuple(known), chosen.text(word)
    if not asked or any(choice.chosen for choice in choices):
        return choices
    return (Choice(value=asked, label=asked, note="Not on offer.", chosen=True), *choices)


def _rows(catalog: Catalog, options: Mapping[str, object]) -> Iterator[VolumeRow]:
    """Mark what the same rules refuse, so that the fault is found in a long list."""
    rows = [_row(each) for each in _listed(options.get("volumes"))]
    for index, row in enumerate(rows):
        before = rows[:index]
        yield VolumeRow(
            claim=row.claim,
            path=row.path,
            claim_invalid=not volume_rules.is_key(row.claim)
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
    return VolumeRow(claim=_text(words.get("claim")), path=_text(words.get("mount_path")))


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
    text = _text(value)
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


def _text(value: object) -> str:
    """Return what a field shows for a JSON value; empty for what no field can hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) <= _LARGEST else ""
    # JSON can carry half a surrogate pair, which no page can.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


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
