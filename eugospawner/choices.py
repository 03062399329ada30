"""
Choices: what the spawn form offers, as values.

Each list holds what the project's plan allows; what the catalog has beyond that is *outside*, shown
behind a disclosure with whom to ask (F41). A value that is no longer on offer stays selected and
says so, because a form that quietly drops a choice starts something else than the page showed.
Source: design §5; features F39 to F41, F48, F55, F59.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from eugospawner.policy import units
from eugospawner.policy.case import opening_of
from eugospawner.policy.catalog import (
    DEFAULT_QUEUE,
    WHOLE_PERCENT,
    Catalog,
    Flavor,
    Kind,
    Profile,
    sharing_words,
)
from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.windows import next_opening

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta
    from typing import TypeGuard

    from eugospawner.policy.accounts import Accounts
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.catalog import Queue
    from eugospawner.policy.plans import Plan

_ASK: Final = "Ask a project manager to bind a plan that includes the model you need."
_ABOUT_KINDS: Final = {
    Kind.JUPYTERLAB: "Notebooks, consoles and terminals",
    Kind.VSCODE: "VS Code in the browser, with your home opened",
    Kind.CUSTOM: "The web program of an image",
}
_ICONS: Final = {Kind.JUPYTERLAB: "book", Kind.VSCODE: "code", Kind.CUSTOM: "globe"}
#: Far above any count or share; Python itself refuses to write down integers without end.
_LARGEST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """
    One thing to pick.

    Attributes:
        details: Lines below the label.
        group: Heading under which it stands in a list; empty: under none.
        icon: Name in Font Awesome Free, which the hub serves; empty: none.
        note: Why it cannot be had, or not now; always visible, never a tooltip.
        outside: Not in the plan of the project.
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
    outside: bool = False
    data: Mapping[str, str] = field(default_factory=dict[str, str])


class Chosen:
    """The words to preselect, and what they come to where a word is absent."""

    def __init__(self, catalog: Catalog, options: Mapping[str, object]) -> None:
        self._catalog = catalog
        self._options = options

    def text(self, word: str) -> str:
        """The field's text for *word*; empty if it was not named."""
        return text_of(self._options.get(word))

    @property
    def profile(self) -> Profile | None:
        """The profile asked for, or the default one."""
        return self._catalog.profiles.get(self.text("profile") or self._catalog.default_profile)

    @property
    def flavor(self) -> Flavor | None:
        """The flavor asked for, or the profile's."""
        if key := self.text("flavor"):
            return self._catalog.flavors.get(key)
        return self._catalog.flavors[self.profile.flavors[0]] if self.profile else None

    def effective(self) -> str:
        """Return the effective GPUs as people read them; empty if the words make no number."""
        gpu = self.flavor.gpu if self.flavor else None
        count = self._options.get("gpu_count", gpu.count if gpu else 0)
        percent = self._options.get("sm_percent", WHOLE_PERCENT)
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


def projects(accounts: Accounts, chosen: Chosen) -> tuple[Choice, ...]:
    """Return the owner's projects, the personal one first."""
    asked = chosen.text("project") or accounts.personal.key
    known = tuple(
        Choice(value=each.key, label=each.display_name, chosen=each.key == asked)
        for each in accounts.projects
    )
    return with_unknown(chosen, "project", known)


def profiles(
    catalog: Catalog, plan: Plan, cluster: ClusterView, chosen: Chosen
) -> Iterator[Choice]:
    """Yield the profiles, with what each would be."""
    asked = chosen.text("profile") or catalog.default_profile
    for profile in catalog.profiles.values():
        flavor = catalog.flavors[profile.flavors[0]]
        model = catalog.gpu_models[flavor.gpu.model] if flavor.gpu else None
        notes = [catalog.obstacle(profile, profile.kinds[0])]
        if model is not None and not cluster.has(model.key):
            notes.append(f"The cluster has no {model.display_name} at present.")
        outside = profile.key not in plan.profiles
        if model is not None and model.key not in plan.gpu_models:
            outside = True
            notes.append(_ASK)
        yield Choice(
            value=profile.key,
            label=profile.display_name,
            details=tuple(filter(None, (profile.when_to_use, _shape(flavor), _ends(profile)))),
            note=" ".join(filter(None, notes)),
            chosen=profile.key == asked,
            outside=outside,
            disabled=outside and profile.key != asked,
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


def flavors(catalog: Catalog, chosen: Chosen) -> Iterator[Choice]:
    """Yield the flavors."""
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


def gpu_models(
    catalog: Catalog, plan: Plan, cluster: ClusterView, chosen: Chosen
) -> Iterator[Choice]:
    """Yield the GPU models, with how each is shared and how many there are."""
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
        outside = model.key not in plan.gpu_models
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
            note=_ASK if outside else "Not in the cluster at present." if absent else note,
            chosen=picked,
            outside=outside,
            # A disabled field is not sent: what was picked stays, to be refused in words.
            disabled=(absent or outside) and not picked,
            data={"charge": "whole"} if model.charged_percent(1) == WHOLE_PERCENT else {},
        )


def kinds(catalog: Catalog, chosen: Chosen) -> Iterator[Choice]:
    """Yield the editors that some profile offers."""
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


def images(catalog: Catalog, plan: Plan, chosen: Chosen) -> Iterator[Choice]:
    """Yield the images of the plan."""
    for image in catalog.images.values():
        if image.key not in plan.images and image.reference != chosen.text("image"):
            continue
        yield Choice(
            value=image.reference,
            label=f"{image.display_name} – {image.description}",
            note=image.unavailable,
            group=image.framework,
            chosen=image.reference == chosen.text("image"),
        )


def queues(catalog: Catalog, plan: Plan, now: datetime, chosen: Chosen) -> Iterator[Choice]:
    """Yield the queues of the plan and the default queue, with what each means (F39, F55, F59)."""
    asked = chosen.text("queue") or DEFAULT_QUEUE
    for queue in catalog.queues.values():
        if plan.offers_queue(queue.key):
            yield Choice(
                value="" if queue.key == DEFAULT_QUEUE else queue.key,
                label=f"{queue.display_name} – {queue.description} ({_standing(queue)})",
                note=_closed(catalog, plan, queue, now),
                chosen=queue.key == asked,
            )


def _standing(queue: Queue) -> str:
    parts = [f"priority {queue.priority}"]
    if queue.deserved_percent is not None:
        parts.append(f"deserves {units.effective_gpus(queue.deserved_percent)} GPUs")
    parts.append("preemptible" if queue.preemptible else "not preemptible")
    return ", ".join(parts)


def _closed(catalog: Catalog, plan: Plan, queue: Queue, now: datetime) -> str:
    if opening_of(plan, queue, now) is not None:
        return ""
    opening = next_opening(plan.windows, now)
    return f"Closed, opens {local(opening.opens_at, catalog.zone)}" if opening else "Closed"


def with_unknown(chosen: Chosen, word: str, known: Iterable[Choice]) -> tuple[Choice, ...]:
    """Keep a value that is not on offer, selected and named as such."""
    choices, asked = tuple(known), chosen.text(word)
    if not asked or any(choice.chosen for choice in choices):
        return choices
    return (Choice(value=asked, label=asked, note="Not on offer.", chosen=True), *choices)


def text_of(value: object) -> str:
    """Return what a field shows for a JSON value; empty for what no field can hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) <= _LARGEST else ""
    # JSON can carry half a surrogate pair, which no page can.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
