"""
B7: what rendering the spawn form costs over KubeSpawner's, at 10 profiles of 6 choices each.

    .venv/bin/python bench/form_render.py [--repeats 5] [--renders 500]

Both show the same choices: the 10 of 12 profiles that a plan allows, with 6 images each that no
other profile has, and what was picked last time. KubeSpawner filters in a callable `profile_list`,
ours shows a smaller catalog; both filter each time. Ours has flavors, GPUs and volumes besides.
*Judged* is what a page costs in all: admission decides about the words, and the form says what
would come of them.

All take turns, render by render, so that a busy moment of the machine meets all. Wall is by the
clock; CPU is of the thread, which other programs disturb less. The first renders do not count: our
compiled template is kept, KubeSpawner compiles its own anew each time.

Goal: p99 of ours ≤ 0.5 times KubeSpawner's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kubespawner import KubeSpawner  # noqa: E402
from spawners import config as configured  # noqa: E402
from spawners import percentile, spawner_of  # noqa: E402

from eugospawner import form, judge, preflight, settings  # noqa: E402
from eugospawner.policy import accounts  # noqa: E402
from eugospawner.policy.capacity import ClusterView, Device  # noqa: E402
from eugospawner.policy.catalog import AtOnce  # noqa: E402
from eugospawner.policy.plans import Plan  # noqa: E402
from eugospawner.policy.quota import NOTHING_USED  # noqa: E402
from eugospawner.policy.volumes import Volumes  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eugospawner.policy.catalog import Catalog

PROFILES, ALLOWED, CHOICES = 12, 10, 6
WARM: Final = 20
GOAL: Final = 0.5
LAST: Final = 4
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def sample() -> Catalog:
    """Return the sample catalog with 12 profiles of 6 images each."""
    catalog = settings.load(ROOT / "helm-values" / "catalog.yaml").catalog
    some = tuple(catalog.profiles.values())[:PROFILES]
    images = {
        key: replace(
            catalog.images["base-notebook"],
            key=key,
            reference=f"registry.example/eugo/{key}:2026.11",
            display_name=f"Image {key}",
        )
        for number in range(PROFILES * CHOICES)
        for key in [f"i{number}"]
    }
    profiles = {
        profile.key: replace(profile, images=tuple(images)[at * CHOICES : (at + 1) * CHOICES])
        for at, profile in enumerate(some)
    }
    return replace(catalog, images=images, profiles=profiles)


def ours(catalog: Catalog, *, judged: bool) -> Callable[[], Awaitable[str]]:
    """Return what renders our form."""
    devices = tuple(Device(node=f"n{number}", free_percent=50) for number in range(8))
    cluster = ClusterView(devices=dict.fromkeys(catalog.gpu_models, devices))
    allowed = tuple(catalog.profiles)[:ALLOWED]
    profile = catalog.profiles[allowed[LAST]]
    words = {"profile": profile.key, "image": catalog.images[profile.images[2]].reference}
    plan = Plan(
        key="some",
        display_name="Some",
        profiles=frozenset(allowed),
        gpu_models=frozenset(catalog.gpu_models),
        images=frozenset(key for each in allowed for key in catalog.profiles[each].images),
        queues=(),
        windows=(),
        at_once=AtOnce(gpu_percent=200),
        person_at_once=AtOnce(),
        volumes_bytes=None,
    )
    personal = accounts.Project(key="personal-alice", display_name="Personal", plan=plan)
    owned = accounts.Accounts(person=accounts.Person(name="alice"), projects=(personal,))
    actor = accounts.Actor(name="alice", is_admin=False)

    async def render() -> str:
        circumstances = judge.Circumstances(
            revision=0,
            catalog=catalog,
            accounts=owned,
            usage=NOTHING_USED,
            volumes=Volumes(by_key={}),
            cluster=cluster,
            now=NOW,
        )
        panel = None
        if judged:
            verdict = judge.judge(words, circumstances, owner="alice", workspace="", actor=actor)
            panel = preflight.describe(verdict.decision, words=words, nearest=verdict.nearest)
            assert panel.outcome is form.Outcome.STARTS
        return form.render(
            catalog=catalog,
            accounts=owned,
            standings=circumstances.standings(words),
            now=NOW,
            volumes=circumstances.volumes,
            cluster=cluster,
            options=words,
            preflight=panel,
            base_url="/hub/",
        )

    return render


def theirs(catalog: Catalog) -> Callable[[], Awaitable[str]]:
    """Return what renders KubeSpawner's form."""
    listed = [
        {
            "display_name": profile.display_name,
            "slug": profile.key,
            "description": profile.when_to_use,
            "default": number == 0,
            "profile_options": {
                "image": {
                    "display_name": "Image",
                    "choices": {
                        key: {
                            "display_name": f"{image.display_name} – {image.description}",
                            "kubespawner_override": {"image": image.reference},
                        }
                        for key in profile.images
                        for image in [catalog.images[key]]
                    },
                }
            },
        }
        for number, profile in enumerate(catalog.profiles.values())
    ]
    allowed = set(tuple(catalog.profiles)[:ALLOWED])
    made = configured("bench", store=Path("unused"), catalog=Path("unused"))
    made.KubeSpawner.profile_list = lambda _spawner: [
        each for each in listed if each["slug"] in allowed
    ]
    with mock.patch("kubespawner.spawner.load_config"):  # there is no cluster, and none is asked
        spawner = spawner_of(KubeSpawner, "alice", made)
    profile = catalog.profiles[tuple(catalog.profiles)[LAST]]
    spawner.user_options = {"profile": profile.key, "image": profile.images[2]}

    async def render() -> str:
        html: str = await spawner._render_options_form_dynamically(spawner)
        return html

    return render


async def measure(repeats: int, renders: int) -> dict[str, list[list[tuple[float, float]]]]:
    """Return wall and CPU seconds of each render, by repeat, by what was rendered."""
    catalog = sample()
    contenders: dict[str, Callable[[], Awaitable[str]]] = {
        "KubeSpawner": theirs(catalog),
        "ours": ours(catalog, judged=False),
        "ours, judged": ours(catalog, judged=True),
    }
    for name, render in contenders.items():
        page = [await render() for _ in range(WARM)][-1]
        assert page.count("Image i") == ALLOWED * CHOICES, name
    found: defaultdict[str, list[list[tuple[float, float]]]] = defaultdict(list)
    for repeat in range(repeats):
        order = list(contenders) if repeat % 2 == 0 else list(contenders)[::-1]
        for name in order:
            found[name].append([])
        for _ in range(renders):
            for name in order:
                wall, cpu = time.perf_counter(), time.thread_time()
                await contenders[name]()
                cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
                found[name][-1].append((wall, cpu))
    return dict(found)


def report(found: dict[str, list[list[tuple[float, float]]]], repeats: int, renders: int) -> None:
    """Print the table."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {repeats} repeats of {renders} ")
    print("renders; milliseconds: median (least to most) of the repeats\n")
    print("| form | figure | ours | KubeSpawner | ratio | goal |")
    print("|---|---|---|---|---|---|")
    for form_name in ("ours", "ours, judged"):
        for clock, kind in enumerate(("wall", "CPU")):
            for figure, share in (("p50", 0.5), ("p99", 0.99)):
                cells, medians = [], []
                for name in (form_name, "KubeSpawner"):
                    each = [percentile([e[clock] for e in batch], share) for batch in found[name]]
                    medians.append(median(each))
                    cells.append(
                        f"{median(each) * 1e3:.2f} ({min(each) * 1e3:.2f} to {max(each) * 1e3:.2f})"
                    )
                goal = GOAL if figure == "p99" else ""
                ratio = medians[0] / medians[1]
                print(
                    f"| {form_name} | {kind} {figure} | {' | '.join(cells)} | {ratio:.2f} | {goal} |"
                )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--renders", type=int, default=500)
    options = parser.parse_args()
    found = asyncio.run(measure(options.repeats, options.renders))
    report(found, options.repeats, options.renders)


if __name__ == "__main__":
    main()
