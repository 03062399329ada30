"""
The spawn form, read back as a browser would read it.

The HTML is parsed into a small tree; what a form would send without JavaScript is computed from
it and handed to `options.from_form`, so that form and parser cannot drift apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from eugospawner import form, options, settings
from eugospawner.form import Outcome, Preflight
from eugospawner.policy.capacity import UNKNOWN_CLUSTER, ClusterView, Device
from eugospawner.policy.decisions import Refusal
from eugospawner.policy.limits import UNIT_HOUR
from eugospawner.policy.quota import (
    Limit,
    Resource,
    Span,
    Subject,
    SubjectKind,
    period_at,
)
from eugospawner.policy.reasons import Reason
from eugospawner.policy.standing import Standing, StorageStanding
from eugospawner.policy.storage import StorageLimit
from eugospawner.policy.volumes import Volume, Volumes
from eugospawner.policy.windows import WeeklyWindow, WeekTime
from eugospawner.store import Workspace
from tests.factories import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"
DECLARED = settings.load(SAMPLE)
CATALOG = DECLARED.catalog
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NO_PLAN = DECLARED.directory.accounts_of("alice", "alice")
OPEN = replace(NO_PLAN.personal.plan, gpu_models=frozenset(CATALOG.gpu_models))
ALICE = replace(NO_PLAN, projects=(replace(NO_PLAN.personal, plan=OPEN),))
VISION = replace(ALICE.personal, key="vision", display_name="Vision")
NO_VOLUMES = Volumes(by_key={})
_VOID = {"input", "meta", "link", "br"}


@dataclass
class Node:
    """An element: its attributes, and what stands in it."""

    tag: str
    attributes: dict[str, str]
    parent: Node | None = None
    children: list[Node | str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def __contains__(self, name: str) -> bool:
        return name in self.attributes

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, tag: str = "", **wanted: str) -> list[Node]:
        return [
            node
            for node in self.walk()
            if (not tag or node.tag == tag)
            and all(node.attributes.get(name) == value for name, value in wanted.items())
        ]

    def one(self, tag: str = "", **wanted: str) -> Node:
        (node,) = self.all(tag, **wanted)
        return node

    def by_id(self, identifier: str) -> Node:
        return self.one(id=identifier)

    @property
    def text(self) -> str:
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Node("root", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(node)
        if tag not in _VOID:
            self.here = node

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def read(html: str) -> Node:
    reader = _Reader()
    reader.feed(html)
    assert reader.here is reader.root, f"<{reader.here.tag}> is never closed"
    return reader.root


def page(**changes: Any) -> Node:
    arguments: dict[str, Any] = {
        "catalog": CATALOG,
        "accounts": ALICE,
        "volumes": NO_VOLUMES,
        "cluster": UNKNOWN_CLUSTER,
        "options": {},
        "base_url": "/hub/",
        "now": NOW,
    }
    return read(form.render(**(arguments | changes)))


def sent(root: Node) -> dict[str, list[str]]:
    """Return what a browser without JavaScript sends for the form as it stands."""
    fields: dict[str, list[str]] = {}
    skipped = {id(node) for template in root.all("template") for node in template.walk()}
    for node in root.walk():
        if id(node) in skipped or "name" not in node or "disabled" in node:
            continue
        if node.tag == "select":
            chosen = [each for each in node.all("option") if "selected" in each]
            value = (chosen or node.all("option"))[0]["value"]
        elif node.tag == "input" and node.attributes.get("type") in {"radio", "checkbox"}:
            if "checked" not in node:
                continue
            value = node["value"]
        elif node.tag == "input":
            value = node["value"]
        else:
            continue
        fields.setdefault(node["name"], []).append(value)
    return fields


def a_workspace(server: str, *, name: str = "", options: Any = None) -> Workspace:
    return Workspace(
        owner="alice", server=server, project="personal-alice", name=name or server,
        options=options or {}, created_at=NOW, changed_at=NOW,
    )  # fmt: skip


def refusal(
    word: str, reason: Reason = Reason.MALFORMED, sentence: str = "It is wrong."
) -> Refusal:
    return Refusal(reason=reason, word=word, sentence=sentence)


# What is sent


def test_an_untouched_form_asks_for_the_default_profile_and_nothing_else() -> None:
    assert options.from_form(sent(page())) == {"profile": CATALOG.default_profile}


def test_what_is_preselected_is_what_is_sent() -> None:
    words = {
        "profile": "nb-gpu-h100",
        "flavor": "nb-gpu-h100",
        "kind": "jupyterlab",
        "image": "registry.example/eugo/base-notebook:2026.11",
        "gpu_count": 2,
        "gpu_model": "H100",
        "sm_percent": 25,
        "cpu": "500m",
        "memory": "8Gi",
        "volumes": [
            {"claim": "datasets", "mount_path": "/data"},
            {"claim": "models", "mount_path": "/models"},
        ],
        "root_shell": True,
    }
    assert options.from_form(sent(page(options=words))) == words


def test_words_that_are_no_longer_on_offer_stay_chosen_and_say_so() -> None:
    words = {
        "project": "gone",
        "profile": "gone",
        "flavor": "gone",
        "kind": "emacs",
        "image": "registry.example/gone:1",
        "queue": "gone",
        "gpu_model": "V100",
    }
    root = page(options=words)
    assert options.from_form(sent(root)) == words
    assert root.one("option", value="registry.example/gone:1").text.startswith("Not on offer: ")


@pytest.mark.parametrize(
    "words",
    [
        {"profile": None, "cpu": 1.5, "memory": ["8Gi"], "sm_percent": {"a": 1}},
        {"volumes": "datasets"},
        {"volumes": [None, 3, {"claim": 7}]},
        {"gpu_count": True, "root_shell": "yes", "sm_percent": -1},
        {"gpu_count": 10**5000, "sm_percent": -(10**5000)},
        {"profile": "\ud800", "cpu": "\x00"},
        {"unknown": "word", "profile": "x" * 10_000},
    ],
    ids=["types", "no-list", "no-objects", "booleans", "huge", "surrogate", "unknown"],
)
def test_saved_words_of_any_kind_give_a_form(words: dict[str, object]) -> None:
    html = form.render(
        catalog=CATALOG,
        accounts=ALICE,
        volumes=NO_VOLUMES,
        cluster=UNKNOWN_CLUSTER,
        options=words,
        base_url="/hub/",
        now=NOW,
    )
    html.encode()
    read(html)


def test_fields_are_the_inverse_of_from_form() -> None:
    words = {
        "profile": "nb-cpu-2",
        "sm_percent": 25,
        "root_shell": True,
        "volumes": [{"claim": "a", "mount_path": "/a"}, {"claim": "b", "mount_path": "/b"}],
    }
    assert options.from_form(form.fields(words)) == words


# What is shown


def test_groups_are_fieldsets_with_these_legends_in_this_order() -> None:
    groups = [
        node for node in page().all("fieldset") if "eugo-group" in node.attributes.get("class", "")
    ]
    assert [group.all("legend")[0].text for group in groups] == [
        "Profile", "Compute", "GPU", "Storage", "Advanced",
    ]  # fmt: skip


def test_every_profile_is_a_card_with_when_to_use() -> None:
    root = page()
    for profile in CATALOG.profiles.values():
        card = root.one("input", name="profile", value=profile.key)
        about = root.by_id(card["aria-describedby"]).text
        assert profile.when_to_use in about


def test_every_control_has_a_label_and_every_id_is_unique() -> None:
    root = page(options={"volumes": [{"claim": "a", "mount_path": "/a"}]})
    ids = [node["id"] for node in root.walk() if "id" in node]
    assert len(ids) == len(set(ids))
    labelled = {label["for"] for label in root.all("label")}
    controls = [node for node in root.walk() if node.tag in {"input", "select"}]
    named = {control["id"] for control in controls if "aria-label" in control}
    assert {control["id"] for control in controls} <= labelled | named
    for node in root.walk():
        for name in node.attributes.get("aria-describedby", "").split():
            assert name in ids


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        (
            {"gpu_model": "H100", "gpu_count": 2, "sm_percent": 25},
            "Effective GPUs: 2 x 25 % = 0.50",
        ),
        ({"profile": "nb-gpu-l4"}, "Effective GPUs: 1 x 100 % = 1.00"),
        ({"profile": "nb-gpu-l4", "sm_percent": 7}, "Effective GPUs: 1 x 7 % = 0.07"),
        ({"profile": "nb-gpu-l4", "gpu_count": 0}, "No GPU"),
        (
            {"profile": "gpu-t4-mps", "sm_percent": 50},
            "Effective GPUs: 1 x 50 % = 0.50, charged 1.00",
        ),
        (
            {"gpu_model": "T4-MPS", "gpu_count": 1, "sm_percent": 50},
            "Effective GPUs: 1 x 50 % = 0.50, charged 1.00",
        ),
        ({"profile": "gpu-t4-mps"}, "Effective GPUs: 1 x 100 % = 1.00"),
        ({}, "No GPU"),
        ({"gpu_count": "two"}, ""),
        ({"profile": "gone"}, "No GPU"),
    ],
)
def test_effective_gpus_are_count_times_share(words: dict[str, object], figure: str) -> None:
    """F42."""
    assert page(options=words).by_id("eugo-effective").text == figure


def test_sm_percentage_says_that_100_is_a_full_gpu_and_offers_exclusive() -> None:
    """F42, F54."""
    root = page()
    assert "100% is a full GPU" in root.by_id("eugo-sm_percent-help").text
    assert root.by_id("eugo-sm_percent")["type"] == "number"
    assert root.one("label", **{"for": "eugo-exclusive"}).text == "Exclusive (100 %)"


def test_exclusive_counts_where_no_percentage_is_written() -> None:
    root = page(options={"sm_percent": 25})
    root.by_id("eugo-exclusive").attributes["checked"] = ""
    assert options.from_form(sent(root))["sm_percent"] == 25
    root = page()
    root.by_id("eugo-exclusive").attributes["checked"] = ""
    assert options.from_form(sent(root))["sm_percent"] == 100


def test_a_model_that_the_cluster_lacks_is_greyed_with_the_reason_in_view() -> None:
    devices = {"H100": (Device(node="n", free_percent=75), Device(node="n", free_percent=0))}
    root = page(cluster=ClusterView(devices=devices))
    absent = root.one("input", name="gpu_model", value="T4")
    assert "disabled" in absent
    assert "Not in the cluster at present." in root.by_id(absent["aria-describedby"]).text
    present = root.one("input", name="gpu_model", value="H100")
    assert "disabled" not in present
    assert "2 in the cluster" in root.by_id(present["aria-describedby"]).text
    profile = root.one("input", name="profile", value="nb-gpu-l4")
    assert "The cluster has no NVIDIA L4" in root.by_id(profile["aria-describedby"]).text


def test_a_model_whose_devices_are_all_taken_says_that_it_waits() -> None:
    view = ClusterView(devices={"L4": (Device(node="n", free_percent=0),)})
    root = page(cluster=view)
    model = root.one("input", name="gpu_model", value="L4")
    assert "All taken now" in root.by_id(model["aria-describedby"]).text


def test_an_absent_model_that_was_asked_for_is_still_sent() -> None:
    view = ClusterView(devices={})
    root = page(cluster=view, options={"gpu_model": "T4"})
    assert options.from_form(sent(root))["gpu_model"] == "T4"


def test_the_persistent_paths_are_named_with_what_is_lost() -> None:
    """F45."""
    text = page().by_id("eugo-form").text
    assert "/home/user" in text
    assert "Files written outside a PVC path are lost when the pod is deleted." in text


def test_without_javascript_there_are_three_empty_rows_and_never_too_many() -> None:
    assert len(sent(page())["volume_path"]) == 3
    seven = [{"claim": f"v{n}", "mount_path": f"/v{n}"} for n in range(7)]
    assert len(sent(page(options={"volumes": seven}))["volume_path"]) == 8


def test_volumes_of_the_owner_are_suggested() -> None:
    volume = Volume(key="datasets", claim_name="claim-1", size_bytes=10 * 2**30)
    root = page(volumes=Volumes(by_key={"datasets": volume}))
    assert root.by_id("eugo-volumes-owned").one("option", value="datasets").text == "10 GiB"
    assert "claim-1" not in root.text


def test_volumes_of_the_owner_stand_in_a_table_or_the_page_says_that_there_are_none() -> None:
    volume = Volume(key="datasets", claim_name="claim-1", size_bytes=10 * 2**30)
    table = page(volumes=Volumes(by_key={"datasets": volume})).one("table")
    assert table.one("caption").text == "Volumes you can mount"
    assert [cell.text for cell in table.all("td") + table.all("th", scope="row")] == [
        "10 GiB",
        "datasets",
    ]
    assert "You have no volumes yet" in page().text


def test_root_is_greyed_with_whom_to_ask_unless_a_project_allows_it() -> None:
    """F38."""
    root = page()
    assert "disabled" in root.by_id("eugo-root_shell")
    assert "Ask an admin to enable root containers" in root.by_id("eugo-root_shell-help").text
    rooted = replace(VISION, allows_root=True)
    both = replace(ALICE, projects=(*ALICE.projects, rooted))
    root = page(accounts=both, options={"project": "vision"})
    assert "disabled" not in root.by_id("eugo-root_shell")
    assert "disabled" in page(accounts=both).by_id("eugo-root_shell")


def test_what_is_outside_the_plan_stands_behind_a_disclosure_with_whom_to_ask() -> None:
    """F41."""
    root = page(accounts=NO_PLAN)
    outside = root.all("details")
    assert [each.one("summary").text for each in outside[:2]] == [
        "8 profiles outside the plan",
        "6 models outside the plan",
    ]
    h100 = next(each for each in outside[1].all("input") if each["value"] == "H100")
    assert "disabled" in h100
    assert "Ask a project manager to bind a plan" in root.by_id(h100["aria-describedby"]).text
    assert not page().all("details", **{"class": "eugo-details eugo-outside"})


def test_what_was_asked_for_outside_the_plan_stays_chosen_and_is_sent() -> None:
    root = page(accounts=NO_PLAN, options={"profile": "nb-gpu-h100", "gpu_model": "H100"})
    assert sent(root)["profile"] == ["nb-gpu-h100"]
    assert sent(root)["gpu_model"] == ["H100"]


def test_queues_are_those_of_the_plan_and_the_default_one() -> None:
    """F39, F55, F59."""
    assert [each["value"] for each in page().by_id("eugo-queue").all("option")] == [""]
    plan = replace(OPEN, key="research", queues=("research-high", "research-batch"))
    vision = replace(ALICE, projects=(replace(VISION, plan=plan),))
    labels = [each.text for each in page(accounts=vision).by_id("eugo-queue").all("option")]
    assert labels == [
        "Default queue – Always available, no priority guarantees (priority 0, not preemptible)",
        (
            "Research, first – For what cannot wait; starts before the other queues "
            "(priority 1000, deserves 2.00 GPUs, not preemptible)"
        ),
        (
            "Research, batch – Waits behind the other queues, and may be stopped for them "
            "(priority -10, preemptible)"
        ),
    ]


def test_a_queue_whose_window_is_closed_says_when_it_opens() -> None:
    """F60."""
    window = WeeklyWindow(
        zone="Europe/Berlin", start=WeekTime(day=0, minute=480), end=WeekTime(day=0, minute=600)
    )
    plan = replace(OPEN, key="research", queues=("research-high",), windows=(window,))
    vision = replace(ALICE, projects=(replace(VISION, plan=plan),))
    option = page(accounts=vision).by_id("eugo-queue").one("option", value="research-high")
    assert option.text.startswith("Closed, opens Mon 2026-11-30 08:00 Europe/Berlin: Research")


def test_other_projects_are_links_that_start_nothing() -> None:
    both = replace(ALICE, projects=(*ALICE.projects, VISION))
    links = page(accounts=both).by_id("eugo-projects").all("a")
    assert [link["href"] for link in links] == ["?project=vision"]


def test_limits_stand_above_the_fields_with_what_is_left_and_when_more_comes() -> None:
    """L6, F98, F101."""
    limit = Limit(
        key="gpu-each-month",
        subject=Subject(SubjectKind.USER, "alice"),
        resource=Resource.GPU,
        span=Span.MONTH,
        gpu_model=None,
        amount=100 * UNIT_HOUR[Resource.GPU],
    )
    period = period_at(Span.MONTH, "Europe/Berlin", NOW)
    standing = Standing(
        limit=limit,
        used=85 * UNIT_HOUR[Resource.GPU],
        period=period,
        warned_at=None,
        spent_at=datetime(2026, 11, 30, 20, 0, tzinfo=UTC),
    )
    root = page(standings=(standing,))
    row = root.one("table").one("tbody").one("tr")
    assert [" ".join(each.text.split()) for each in row.all("th") + row.all("td")] == [
        "This month, you",
        "85.00 of 100.00 GPU hours",
        "15.00 GPU hours",
        (
            "Tue 2026-12-01 00:00 Europe/Berlin; "
            "at this rate all used up Mon 2026-11-30 21:00 Europe/Berlin"
        ),
        "85 % used",
    ]
    assert row.all("span", **{"data-tone": "warn"})


def test_room_for_volumes_stands_among_the_limits() -> None:
    """L6, F99: what the project's volumes have beside what they may have."""
    limit = StorageLimit(
        quota="volumes-each-project",
        subject=Subject(SubjectKind.PROJECT, "vision"),
        size_bytes=100 * GIB,
    )
    root = page(storage_standings=(StorageStanding(limit=limit, used=80 * GIB),))
    row = root.one("table").one("tbody").one("tr")
    assert [" ".join(each.text.split()) for each in row.all("th") + row.all("td")] == [
        "Extra volumes, the project",
        "80 GiB of 100 GiB",
        "20 GiB",
        "whenever a volume is deleted",
        "80 % used",
    ]
    assert row.all("span", **{"data-tone": "warn"})


def test_the_name_says_how_to_name_and_is_sent() -> None:
    root = page(options={"name": "data-analytics-staging"})
    assert sent(root)["name"] == ["data-analytics-staging"]
    typed = root.by_id("eugo-name")
    assert typed["maxlength"] == "64"
    assert "{team}-{project}-{env}" in root.by_id("eugo-name-help").text


def test_settings_can_be_copied_from_every_other_workspace_by_a_link() -> None:
    """Links that only prefill; the copy has a name of its own (F3)."""
    options = {"profile": "gpu", "volumes": [{"claim": "data", "mount_path": "/mnt/data"}]}
    others = [a_workspace("two", name="<svg onload>", options=options), a_workspace("three")]
    root = page(workspaces=others, workspace="three")
    (link,) = root.by_id("eugo-copies").all("a")
    assert link.text == "<svg onload>"
    query = parse_qs(link["href"].removeprefix("?"))
    assert query == {
        "profile": ["gpu"], "volume_claim": ["data"], "volume_path": ["/mnt/data"],
    }  # fmt: skip
    assert not page(workspaces=[a_workspace("three")], workspace="three").all(id="eugo-copies")


def test_what_is_missing_stands_before_the_first_field() -> None:
    lacking = refusal(
        "options", reason=Reason.MEMBERSHIP_MISSING, sentence="You need a membership."
    )
    other = refusal("cpu", sentence="Too much.")
    preflight = Preflight(outcome=Outcome.REFUSED, sentence="No.", refusals=(lacking, other))
    missing = page(preflight=preflight).by_id("eugo-missing")
    assert "You need a membership." in missing.text
    assert "an owner of the organization" in missing.text
    assert "Too much." not in missing.text
    fine = Preflight(outcome=Outcome.REFUSED, sentence="No.", refusals=(other,))
    assert not page(preflight=fine).all(id="eugo-missing")


def test_a_single_project_is_a_fact_and_several_are_a_choice() -> None:
    assert "project" not in sent(page())
    root = page(
        accounts=replace(ALICE, projects=(*ALICE.projects, VISION)), options={"project": "vision"}
    )
    assert sent(root)["project"] == ["vision"]


# What was wrong


@pytest.mark.parametrize("word", [word for word in form.LABELS if word != "project"])
def test_a_refusal_stands_beside_its_field_and_leads_there_from_the_summary(word: str) -> None:
    root = page(
        options={"volumes": [{"claim": "a", "mount_path": "/etc"}]},
        refusals=(refusal(word, sentence=f"About {word}."),),
    )
    assert root.by_id(f"eugo-{word}-error").text.startswith(f"About {word}.")
    summary = root.one(role="alert")
    assert summary["tabindex"] == "-1"
    assert "autofocus" in summary
    (link,) = summary.all("a")
    target = root.by_id(link["href"].removeprefix("#"))
    assert target.tag in {"input", "select"}
    told = [
        node
        for node in root.walk()
        if node.attributes.get("aria-invalid") == "true"
        and f"eugo-{word}-error" in node["aria-describedby"].split()
    ]
    assert told


def test_a_refusal_of_the_project_leads_to_it_where_there_is_no_choice() -> None:
    root = page(refusals=(refusal("project"),), options={"project": "gone"})
    (link,) = root.one(role="alert").all("a")
    assert root.by_id(link["href"].removeprefix("#")).tag == "select"


def test_fields_without_a_refusal_are_not_marked() -> None:
    root = page(refusals=(refusal("cpu"),))
    assert [node["id"] for node in root.walk() if node.attributes.get("aria-invalid")] == [
        "eugo-cpu"
    ]


def test_a_form_without_refusals_has_no_summary() -> None:
    assert page().all(role="alert") == []


def test_a_refusal_that_belongs_to_no_field_is_told_in_the_summary() -> None:
    root = page(refusals=(refusal("options", sentence="There is no option 'x'."),))
    summary = root.one(role="alert")
    assert summary.all("a") == []
    assert "There is no option 'x'." in summary.text


def test_the_machine_reason_and_who_can_change_it_are_told() -> None:
    root = page(refusals=(refusal("cpu", Reason.CPU_OUT_OF_BOUNDS),))
    assert "cpu-out-of-bounds" in root.one(role="alert").text
    assert root.by_id("eugo-cpu-error").text.endswith("This can be changed by an admin.")


def test_only_the_row_at_fault_is_marked() -> None:
    rows = [{"claim": "a", "mount_path": "/a"}, {"claim": "b", "mount_path": "/etc"}]
    root = page(options={"volumes": rows}, refusals=(refusal("volumes"),))
    assert [node["id"] for node in root.walk() if node.attributes.get("aria-invalid")] == [
        "eugo-volume_path-2"
    ]


def test_a_folded_group_opens_for_a_refusal_in_it() -> None:
    assert "open" not in page().one("details")
    assert "open" in page(refusals=(refusal("queue"),)).one("details")


def test_the_nearest_request_is_one_button_that_enter_never_presses() -> None:
    nearest = {"profile": "nb-cpu-2", "cpu": "16"}
    root = page(
        options={"profile": "nb-cpu-2", "cpu": "99"}, refusals=(refusal("cpu"),), nearest=nearest
    )
    button = root.one("button", name="nearest")
    assert json.loads(button["value"]) == nearest
    assert button["form"] == "eugo-nearest"  # not the form of the fields
    assert "CPU 16 instead of 99" in root.one(role="alert").text


def test_only_what_differs_in_meaning_counts_as_a_change() -> None:
    root = page(
        options={"cpu": "0.5", "memory": "8192Mi", "sm_percent": 0},
        refusals=(refusal("sm_percent"),),
        nearest={"cpu": "500m", "memory": "8Gi", "sm_percent": 1},
    )
    assert [node.text for node in root.all("dt")] == ["SM Percentage"]


# The panel beside the form


def a_preflight(**changes: Any) -> form.Preflight:
    said = form.Preflight(
        outcome=form.Outcome.STARTS,
        sentence="It starts now.",
        facts=(form.Fact(label="Effective GPUs", value="0.25"),),
    )
    return replace(said, **changes)


def test_the_panel_says_the_outcome_in_words_and_what_one_would_get() -> None:
    root = page(preflight=a_preflight(), preflight_url="/hub/eugo/preflight/alice/")
    panel = root.by_id("eugo-preflight")
    assert panel["data-outcome"] == "starts"
    assert root.by_id("eugo-preflight-title").text == "It can start"
    assert root.by_id("eugo-preflight-facts").text == "Effective GPUs 0.25"
    assert root.by_id("eugo-form")["data-preflight"] == "/hub/eugo/preflight/alice/"
    assert root.one("aside")["aria-labelledby"] == "eugo-preflight-heading"


def test_the_panel_leads_from_each_refusal_to_its_field() -> None:
    refused = (refusal("sm_percent", sentence="It is 0."), refusal("nothing", sentence="Else."))
    said = a_preflight(outcome=form.Outcome.REFUSED, facts=(), refusals=refused)
    items = page(preflight=said).by_id("eugo-preflight-refusals").all("li")
    assert [item.text for item in items] == ["SM Percentage : It is 0.", "Else."]
    assert items[0].one("a")["href"] == "#eugo-sm_percent"


def test_start_stands_in_the_panel_and_is_the_form_s_first_button() -> None:
    submits = [each for each in page().all("button") if each["type"] == "submit"]
    assert [each["id"] for each in submits] == ["eugo-start"]


def test_the_slider_is_no_field_of_its_own() -> None:
    slider = page(options={"sm_percent": 30}).by_id("eugo-sm_slider")
    assert "name" not in slider
    assert slider["value"] == "30"


# What must never be


HOSTILE = "\"><script>alert(1)</script><svg onload=alert(2)>{{7*7}}'"


def test_nothing_that_people_write_becomes_markup() -> None:
    words: dict[str, object] = dict.fromkeys(
        (word for word in form.LABELS if word not in {"volumes", "root_shell"}), HOSTILE
    )
    words["volumes"] = [{"claim": HOSTILE, "mount_path": HOSTILE}]
    root = page(
        options=words,
        refusals=tuple(refusal(word, sentence=HOSTILE) for word in form.LABELS),
        nearest={"cpu": HOSTILE},
        accounts=replace(ALICE, projects=(replace(VISION, key=HOSTILE, display_name=HOSTILE),)),
        preflight=a_preflight(
            sentence=HOSTILE,
            facts=(form.Fact(label=HOSTILE, value=HOSTILE),),
            refusals=tuple(refusal(word, sentence=HOSTILE) for word in (*form.LABELS, HOSTILE)),
        ),
        preflight_url=HOSTILE,
    )
    assert [node["type"] for node in root.all("script")] == ["module"]
    assert root.all("svg") == []
    assert root.by_id("eugo-cpu")["value"] == HOSTILE


def test_no_script_and_no_style_is_inline() -> None:
    root = page(refusals=(refusal("cpu"),), nearest={"cpu": "1"}, options={"cpu": "99"})
    assert root.all("style") == []
    for node in root.walk():
        assert not any(name.startswith("on") or name == "style" for name in node.attributes)
        if node.tag == "script":
            assert node["src"].startswith("/hub/eugo/static/form.js?v=")
            assert node.text == ""


def test_the_module_follows_the_prefix_of_the_hub() -> None:
    (script,) = page(base_url="/prefix/hub/").all("script")
    assert script["src"].startswith("/prefix/hub/eugo/static/form.js?v=")


# Editors, images and frameworks


def test_an_editor_that_is_not_here_is_greyed_with_the_reason_in_view() -> None:
    catalog = settings.mark_unavailable(CATALOG, kinds={"vscode": "Not installed."}, images={})
    root = page(catalog=catalog)
    vscode = root.one("input", name="kind", value="vscode")
    assert "disabled" in vscode
    assert "Not installed." in root.by_id(vscode["aria-describedby"]).text
    assert "disabled" not in root.one("input", name="kind", value="jupyterlab")


def test_a_profile_whose_editor_is_not_here_says_why() -> None:
    catalog = settings.mark_unavailable(CATALOG, kinds={"vscode": "Not installed."}, images={})
    root = page(catalog=catalog)
    code, notebook = (
        root.by_id(root.one("input", name="profile", value=key)["aria-describedby"]).text
        for key in ("code", "notebook-cpu-small")
    )
    assert "Not installed." in code
    assert "Not installed." not in notebook  # its own editor is JupyterLab


def test_a_profile_whose_images_are_not_here_says_why() -> None:
    catalog = settings.mark_unavailable(CATALOG, kinds={}, images={"dashboard": "Being built."})
    root = page(catalog=catalog)
    card = root.one("input", name="profile", value="dashboard")
    assert "Being built." in root.by_id(card["aria-describedby"]).text
    option = root.one("option", value=CATALOG.images["dashboard"].reference)
    assert option.text.startswith("Being built: ")


def test_images_stand_under_their_framework() -> None:
    root = page()
    heading = root.one("optgroup", label="PyTorch")
    assert [option["value"] for option in heading.all("option")] == [
        CATALOG.images["pytorch"].reference
    ]
    plain = root.one("option", value=CATALOG.images["base-notebook"].reference)
    assert plain.parent is not None
    assert plain.parent.tag == "select"
