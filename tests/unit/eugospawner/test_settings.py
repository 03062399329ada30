"""
The catalog file: each line that is wrong stops the hub, with its line and a remedy (promise 7).

The sample catalog is mutated line by line, as an operator's slip would; the sample itself is
checked for the flavors and profiles that features and issue name (F48). What may be changed at run
time (plans, quotas, accounts) is judged alike in the file and as a change (F60, F65, F98 to F100).
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from devcluster import mig
from eugospawner import settings as catalogs
from eugospawner.policy import roles
from eugospawner.policy.accounts import Prerequisite
from eugospawner.policy.catalog import AtOnce, Catalog, Engine, FlavorGpu, Kind, Strategy
from eugospawner.policy.decisions import Admitted
from eugospawner.policy.errors import ConfigError
from eugospawner.policy.limits import Override, Quota
from eugospawner.policy.plans import Plan
from eugospawner.policy.quota import Resource, Span, Subject, SubjectKind
from eugospawner.policy.storage import StorageQuota
from eugospawner.policy.windows import OneOffWindow, WeeklyWindow, WeekTime, Window
from eugospawner.settings import yamlfile
from tests.factories import GIB, a_plan, a_project, decide_about, some_accounts

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "helm-values" / "catalog.yaml"
TEXT = SAMPLE.read_text(encoding="utf-8")
PAGE = ROOT / "docs" / "reference" / "catalog.md"

#: The smallest catalog there is.
SMALL = """\
gpu_models: {}
flavors:
  small:
    display_name: Small
    when_to_use: Trying out
    cpu: 1
    memory: 1Gi
images:
  base:
    reference: registry.example/base:1
    display_name: Base
    description: Python
    kinds: [jupyterlab]
profiles:
  plain:
    display_name: Plain
    when_to_use: Trying out
    flavors: [small]
    images: [base]
queues:
  default:
    display_name: Default
    description: Always available
    priority: 0
    priority_class: eugo-default
defaults:
  profile: plain
  max_session: 24h
  plan: {profiles: all, gpu_models: all, images: all, at_once: {}}
  limits: {min_cpu: 100m, max_cpu: 2, min_memory: 1Gi, max_memory: 2Gi, max_gpu_count: 0, max_volumes: 0}
  storage: {home_path: /home/user, home_size: 1Gi, volume_size: 1Gi}
"""


def read(text: str) -> Catalog:
    return catalogs.parse(text, name="catalog.yaml").catalog


def problems(text: str, changes: catalogs.Changes | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        catalogs.parse(text, name="catalog.yaml", changes=changes)
    return str(error.value).splitlines()


def content(text: str) -> dict[str, Any]:
    """What the file holds, as it is read there: times of day are text."""
    read_content = yamlfile.read(text)[2]
    assert isinstance(read_content, dict)
    return read_content


def changed(old: str, new: str, text: str = SMALL) -> str:
    assert old in text
    return text.replace(old, new, 1)


# --- the sample (F48) ---


@pytest.fixture(scope="module")
def sample() -> Catalog:
    return catalogs.load(SAMPLE).catalog


@pytest.mark.parametrize(
    ("key", "cpu", "gib", "gpu", "when_to_use"),
    [
        ("nb-cpu-2", 2, 8, None, "Light EDA, no GPU"),
        ("nb-cpu-8", 8, 32, None, "Medium-CPU work"),
        ("nb-gpu-l4", 4, 16, "L4", "Single-GPU prototyping"),
        ("nb-gpu-l40s", 8, 48, "L40S", "Single-GPU fine-tune of small models"),
        ("nb-gpu-h100", 8, 64, "H100", "Larger fine-tunes, multi-modal"),
        ("std-2x8", 2, 8, None, "Exploration, small data"),
        ("mem-4x32", 4, 32, None, "Pandas on real data"),
        ("gpu-t4-1x", 4, 16, "T4", "Inference experiments"),
        ("gpu-a100-1x", 8, 64, "A100", "Real training"),
        (
            "gpu-a100-mig",
            8,
            64,
            "A100-MIG",
            "Training beside others, kept apart by the hardware",
        ),
        ("gpu-t4-mps", 4, 16, "T4-MPS", "Trying how fast a part of a GPU would be"),
    ],
)
def test_the_sample_has_the_flavor(
    sample: Catalog, key: str, cpu: int, gib: int, gpu: str | None, when_to_use: str
) -> None:
    flavor = sample.flavors[key]
    assert (flavor.cpu_millicores, flavor.memory_bytes) == (cpu * 1000, gib * GIB)
    assert flavor.gpu == (FlavorGpu(model=gpu, count=1) if gpu else None)
    assert flavor.when_to_use == when_to_use


@pytest.mark.parametrize(
    ("key", "flavor", "when_to_use"),
    [
        ("notebook-cpu-small", "std-2x8", "Exploration, small data"),
        ("notebook-cpu-large", "mem-4x32", "Pandas on real data"),
        ("notebook-gpu-t4", "gpu-t4-1x", "Inference experiments"),
        ("notebook-gpu-a100", "gpu-a100-1x", "Real training"),
        ("notebook-pii", "std-2x8", "Personal data that must stay in its network"),
    ],
)
def test_the_sample_has_the_profile(
    sample: Catalog, key: str, flavor: str, when_to_use: str
) -> None:
    profile = sample.profiles[key]
    assert profile.flavors[0] == flavor
    assert profile.when_to_use == when_to_use
    assert profile.idle_stop == timedelta(minutes=30)
    assert profile.max_session == timedelta(hours=8)


def test_each_flavor_of_the_sample_is_also_a_plain_profile(sample: Catalog) -> None:
    assert len(sample.flavors) == 11
    for key, flavor in sample.flavors.items():
        profile = sample.profiles[key]
        assert profile.flavors == (key,)
        assert profile.when_to_use == flavor.when_to_use


def test_the_gpu_models_of_the_sample_are_those_of_the_development_cluster(
    sample: Catalog,
) -> None:
    models = sample.gpu_models
    assert {key: model.products for key, model in models.items()} == {
        "H100": ("NVIDIA H100 80GB HBM3",),
        "L40S": ("NVIDIA L40S",),
        "L4": ("NVIDIA L4",),
        "A100": ("NVIDIA A100-SXM4-40GB",),
        "T4": ("Tesla T4",),
        "A100-MIG": ("NVIDIA A100-SXM4-40GB",),
        "T4-MPS": ("Tesla T4",),
    }
    assert {key: model.strategy for key, model in models.items()} == {
        "H100": Strategy.CONSUMABLE_CAPACITY,
        "L40S": Strategy.CONSUMABLE_CAPACITY,
        "L4": Strategy.CONSUMABLE_CAPACITY,
        "A100": Strategy.EXCLUSIVE,
        "T4": Strategy.EXCLUSIVE,
        "A100-MIG": Strategy.MIG,
        "T4-MPS": Strategy.MPS,
    }
    assert models["L4"].memory_bytes == 24 * GIB
    assert models["L4"].sm_capacity == "cores"


def test_the_slices_of_the_sample_are_those_of_an_a100_with_40_gb(sample: Catalog) -> None:
    known = {mig.name(each, memory="40448Mi"): each.compute for each in mig.PROFILES}
    sizes = sample.gpu_models["A100-MIG"].mig_sizes
    assert [size.sm_percent for size in sizes] == [15, 29, 43, 58, 100]
    for size in sizes:
        assert known[size.profile] == size.slices
    assert all(
        model.mig_sizes == () for key, model in sample.gpu_models.items() if key[-3:] != "MIG"
    )


def test_every_profile_of_the_sample_starts_under_a_plan_that_has_everything(
    sample: Catalog,
) -> None:
    plan = a_plan(
        profiles=frozenset(sample.profiles),
        gpu_models=frozenset(sample.gpu_models),
        images=frozenset(sample.images),
    )
    accounts = some_accounts(personal=a_project(plan=plan))
    for key in sample.profiles:
        decision = decide_about(catalog=sample, profile=key, accounts=accounts)
        assert isinstance(decision, Admitted)


def test_a_project_without_a_plan_may_use_an_l4_in_the_sample(sample: Catalog) -> None:
    plan = catalogs.load(SAMPLE).directory.default_plan
    accounts = some_accounts(personal=a_project(plan=plan))
    started = {
        key
        for key in sample.profiles
        if isinstance(decide_about(catalog=sample, profile=key, accounts=accounts), Admitted)
    }
    assert set(sample.profiles) - started == {
        "notebook-gpu-t4",
        "notebook-gpu-a100",
        "nb-gpu-l40s",
        "nb-gpu-h100",
        "gpu-t4-1x",
        "gpu-a100-1x",
        "gpu-a100-mig",
        "gpu-t4-mps",
    }
    assert (plan.key, plan.queues, plan.at_once) == ("", (), AtOnce(gpu_percent=100))


def test_the_sample_has_the_plans_of_the_demo() -> None:
    settings = catalogs.load(SAMPLE)
    research, teaching = (settings.directory.plans[key] for key in ("research", "teaching"))
    assert research.gpu_models == {"H100", "L40S", "L4"}
    assert research.queues == ("research-high", "research-batch")
    assert research.at_once == AtOnce(gpu_percent=200)
    assert settings.catalog.queues["research-batch"].preemptible
    assert settings.catalog.queues["research-high"].deserved_percent == 200
    assert teaching.gpu_models == {"L4"}
    assert teaching.queues == ("teaching",)
    assert all(isinstance(window, WeeklyWindow) for window in teaching.windows)


def test_the_accounts_that_the_sample_shows_in_a_comment_fit_into_it() -> None:
    comment = r"^# ((?:organizations|groups|projects|people): )"
    text, count = re.subn(comment, r"\1", TEXT, flags=re.MULTILINE)
    directory = catalogs.parse(text, name="catalog.yaml").directory
    assert count == 4
    assert directory.projects["vision"].plan.key == directory.people["alice"].plan == "research"


def test_the_order_of_the_file_is_kept(sample: Catalog) -> None:
    assert next(iter(sample.profiles)) == "notebook-cpu-small"
    assert list(sample.gpu_models) == [
        "H100",
        "L40S",
        "L4",
        "A100",
        "T4",
        "A100-MIG",
        "T4-MPS",
    ]


# --- the smallest ---


def test_what_is_left_out_has_the_documented_default() -> None:
    catalog = read(SMALL)
    profile, queue = catalog.profiles["plain"], catalog.queues["default"]
    assert profile.kinds == (Kind.JUPYTERLAB,)
    assert (profile.idle_stop, profile.max_session) == (None, None)
    assert (profile.environment, profile.startup_script) == ({}, "")
    assert queue.preemptible is False
    assert (queue.deserved_percent, queue.at_once) == (None, AtOnce())
    assert catalog.default_profile == "plain"
    assert (catalog.zone, catalog.max_session) == ("UTC", timedelta(hours=24))
    assert catalog.quotas == ()
    assert catalog.storage.home_path == "/home/user"


def test_a_profile_carries_editors_times_environment_and_script() -> None:
    more = """images: [base]
    kinds: [jupyterlab]
    idle_stop: 90s
    max_session: 2d
    environment: {OMP_NUM_THREADS: "2", EMPTY: ""}
    startup_script: |
      pip list
"""
    profile = read(changed("images: [base]\n", more)).profiles["plain"]
    assert profile.idle_stop == timedelta(seconds=90)
    assert profile.max_session == timedelta(days=2)
    assert profile.environment == {"OMP_NUM_THREADS": "2", "EMPTY": ""}
    assert profile.startup_script == "pip list\n"


def test_where_kueue_is_the_engine_each_queue_has_its_local_queue_by_name_or_by_key() -> None:
    """Design section 6: the optional engine."""
    engine = changed("  max_session: 24h\n", "  max_session: 24h\n  engine: kueue\n")
    assert read(engine).queues["default"].local_queue == "eugo-default"
    named = changed(
        "    priority_class: eugo-default\n",
        "    priority_class: eugo-default\n    local_queue: team-a\n",
        engine,
    )
    assert read(named).queues["default"].local_queue == "team-a"
    assert read(named).engine is Engine.KUEUE
    taken = changed("local_queue: team-a", "local_queue: default", named)
    assert "queues.default.local_queue: would take every Pod" in problems(taken)[0]
    assert read(SMALL).queues["default"].local_queue == ""
    assert read(SMALL).engine is Engine.SCHEDULER


def test_text_that_looks_like_a_date_stays_text() -> None:
    catalog = read(changed("description: Python", "description: 2026-11-24"))
    assert catalog.images["base"].description == "2026-11-24"


@pytest.mark.parametrize("quantity", ["1", "1.0", "1000m", '"1"', "+1", "1e0"])
def test_a_quantity_is_what_people_mean_by_it(quantity: str) -> None:
    catalog = read(changed("cpu: 1\n", f"cpu: {quantity}\n"))
    assert catalog.flavors["small"].cpu_millicores == 1000


# --- one slip, one line ---

SLIPS: dict[str, tuple[str, str, str]] = {
    "an unknown key": (
        "    cpu: 1\n",
        "    cpu: 1\n    gpus: 1\n",
        "7: flavors.small.gpus: there is no such key",
    ),
    "an unknown key at the top": (
        "defaults:\n",
        "plan: {}\ndefaults:\n",
        "26: plan: there is no such key",
    ),
    "a missing key": ("    cpu: 1\n", "", "3: flavors.small.cpu: the key is missing"),
    "a missing section": (
        "gpu_models: {}\n",
        "",
        "1: gpu_models: the key is missing",
    ),
    "a key twice": (
        "    cpu: 1\n",
        "    cpu: 1\n    cpu: 2\n",
        "7: flavors.small.cpu: the key stands here twice",
    ),
    "an empty section": (
        "  small:\n",
        "  small: {}\n  other:\n",
        "3: flavors.small.display_name: the key is missing",
    ),
    "a list for a section": (
        "gpu_models: {}",
        "gpu_models: []",
        "1: gpu_models: input should be a valid dictionary",
    ),
    "text for an entry": (
        "    kinds: [jupyterlab]\n",
        "    kinds: [jupyterlab]\n  other: text\n",
        "14: images.other: expected keys and values",
    ),
    "a number for text": (
        "description: Python",
        "description: 3",
        "12: images.base.description: input should be a valid string",
    ),
    "blank text": (
        "description: Python",
        "description: ' '",
        "12: images.base.description: string should have at least 1 character",
    ),
    "text for a number": (
        "priority: 0",
        "priority: high",
        "24: queues.default.priority: input should be a valid integer",
    ),
    "a truth for a number": (
        "priority: 0",
        "priority: true",
        "24: queues.default.priority: input should be a valid integer",
    ),
    "text for a truth": (
        "priority: 0",
        "priority: 0\n    preemptible: maybe",
        "25: queues.default.preemptible: input should be a valid boolean",
    ),
    "a truth for a quantity": (
        "cpu: 1\n",
        "cpu: yes\n",
        ("6: flavors.small.cpu: True is not a Kubernetes quantity; "
        "write for example 2, 500m or 8Gi"),
    ),
    "no quantity": (
        "memory: 1Gi\n",
        "memory: 1GB\n",
        ("7: flavors.small.memory: '1GB' is not a Kubernetes quantity; "
        "write for example 500m, 2 or 8Gi"),
    ),
    "no CPU at all": ("cpu: 1\n", "cpu: 0\n", "6: flavors.small.cpu: input should be greater than 0"),
    "a least of nothing, which KubeSpawner takes for no limit": (
        "min_cpu: 100m",
        "min_cpu: 0",
        "30: defaults.limits.min_cpu: input should be greater than 0",
    ),
    "a home of no size": (
        "home_size: 1Gi",
        "home_size: 0",
        "31: defaults.storage.home_size: input should be greater than 0",
    ),
    "no duration": (
        "    images: [base]\n",
        "    images: [base]\n    idle_stop: 30\n",
        "20: profiles.plain.idle_stop: 30 is not a duration; write for example 30min, 8h or 2d",
    ),
    "an endless duration": (
        "    images: [base]\n",
        "    images: [base]\n    max_session: 10000d\n",
        ("20: profiles.plain.max_session: '10000d' is not a duration; "
        "write for example 30min, 8h or 2d"),
    ),
    "a key with capitals": (
        "  plain:\n",
        "  Plain:\n",
        ("15: profiles.Plain: use up to 40 lower-case letters, digits and hyphens, "
        "with a letter or digit at both ends"),
    ),
    "an image with a blank": (
        "registry.example/base:1",
        "registry.example/base 1",
        ("10: images.base.reference: use an image reference such as "
        "registry.example/team/image:tag, without blanks"),
    ),
    "an unknown editor": (
        "kinds: [jupyterlab]",
        "kinds: [jupyterlab, emacs]",
        "13: images.base.kinds.1: input should be 'jupyterlab', 'vscode' or 'custom'",
    ),
    "no editor": (
        "kinds: [jupyterlab]",
        "kinds: []",
        "13: images.base.kinds: list should have at least 1 item after validation, not 0",
    ),
    "a PriorityClass that Kubernetes cannot have": (
        "eugo-default",
        "eugo..default",
        "25: queues.default.priority_class: use a DNS name such as gpu.example.com, in lower case",
    ),
    "an unknown flavor": (
        "flavors: [small]",
        "flavors: [small, large]",
        "18: profiles.plain.flavors.1: there is no 'large'; known are: small",
    ),
    "an unknown image": (
        "images: [base]",
        "images: [bas]",
        "19: profiles.plain.images.0: there is no 'bas'; known are: base",
    ),
    "an unknown default profile": (
        "profile: plain",
        "profile: plane",
        "27: defaults.profile: there is no 'plane'; known are: plain",
    ),
    "an unknown GPU model": (
        "    memory: 1Gi\n",
        "    memory: 1Gi\n    gpu: {model: H100}\n",
        "8: flavors.small.gpu.model: there is no 'H100'; known are: ",
    ),
    "an editor that no image runs": (
        "    images: [base]\n",
        "    images: [base]\n    kinds: [jupyterlab, vscode]\n",
        "20: profiles.plain.kinds.1: no image of the profile runs vscode",
    ),
    "a framework with a line break": (
        "kinds: [jupyterlab]",
        'kinds: [jupyterlab]\n    framework: "Py\\nTorch"',
        ("14: images.base.framework: use up to 40 letters, digits, blanks and . _ + -, "
        "for example PyTorch 2.5"),
    ),
    "a custom image without a web program": (
        "kinds: [jupyterlab]",
        "kinds: [jupyterlab, custom]",
        "9: images.base.web: custom needs the command of the image's web program",
    ),
    "a web program of an image that is not custom": (
        "kinds: [jupyterlab]",
        'kinds: [jupyterlab]\n    web: {command: ["app", "{port}"]}',
        "14: images.base.web: only an image of the kind custom has a web program",
    ),
    "a web program that listens where nobody looks": (
        "kinds: [jupyterlab]",
        "kinds: [jupyterlab, custom]\n    web: {command: [app, --port=8080]}",
        ("14: images.base.web.command: says nowhere {port} or {unix_socket}, "
        "where the program has to listen"),
    ),
    "a web program with braces of its own": (
        "kinds: [jupyterlab]",
        """kinds: [jupyterlab, custom]\n    web: {command: [app, '--set={"a": 1}', "{port}"]}""",
        (
            """14: images.base.web.command: '--set={"a": 1}' has braces that are none of {port}, """
            "{unix_socket} and {base_url}; write others twice: {{ and }}"
        ),
    ),
    "a web program without a command": (
        "kinds: [jupyterlab]",
        "kinds: [jupyterlab, custom]\n    web: {command: []}",
        "14: images.base.web.command: list should have at least 1 item after validation, not 0",
    ),
    "a path to another host": (
        "kinds: [jupyterlab]",
        'kinds: [jupyterlab, custom]\n    web: {command: ["{port}"], path: //evil.example/}',
        ("14: images.base.web.path: use a path such as / or /app/, "
        "with letters, digits and . _ ~ -"),
    ),
    "no default queue": (
        "  default:\n",
        "  other:\n",
        "20: queues: the queue 'default' always exists: add it",
    ),
    "a reference twice": (
        "profiles:\n",
        ("  twin: {reference: registry.example/base:1, display_name: T, description: T, "
        "kinds: [vscode]}\nprofiles:\n"),
        "14: images.twin.reference: is already the reference of 'base'",
    ),
    "CPU bounds the wrong way round": (
        "min_cpu: 100m",
        "min_cpu: 3",
        "30: defaults.limits.min_cpu: is larger than max_cpu",
    ),
    "memory bounds the wrong way round": (
        "min_memory: 1Gi",
        "min_memory: 3Gi",
        "30: defaults.limits.min_memory: is larger than max_memory",
    ),
    "a flavor beyond the limits": (
        "cpu: 1\n",
        "cpu: 3\n",
        "6: flavors.small.cpu: lies outside defaults.limits",
    ),
    "a flavor with more memory than the limits": (
        "memory: 1Gi\n",
        "memory: 3Gi\n",
        "7: flavors.small.memory: lies outside defaults.limits",
    ),
    "a home in the system": (
        "/home/user",
        "/etc/home",
        ("31: defaults.storage.home_path: the path '/etc/home' would hide a folder of the system: "
        "use for example /data"),
    ),
    "a variable of the hub": (
        "    images: [base]\n",
        "    images: [base]\n    environment: {JUPYTERHUB_API_TOKEN: x}\n",
        ("20: profiles.plain.environment.JUPYTERHUB_API_TOKEN: "
        "JUPYTERHUB_API_TOKEN is set by the hub itself"),
    ),
    "no variable's name": (
        "    images: [base]\n",
        "    images: [base]\n    environment: {1X: x}\n",
        ("20: profiles.plain.environment.1X: use letters, digits and underscores, "
        "not beginning with a digit"),
    ),
    "a number that YAML has changed already": (
        "    images: [base]\n",
        "    images: [base]\n    environment: {VERSION: 1.10}\n",
        "20: profiles.plain.environment.VERSION: 1.1 is no text: write the value in quotes",
    ),
    "a queue of Kueue where Kueue is not the engine": (
        "    priority_class: eugo-default\n",
        "    priority_class: eugo-default\n    local_queue: team-a\n",
        ("26: queues.default.local_queue: is Kueue's: set defaults.engine to kueue, "
        "or leave it out"),
    ),
    "an engine that does not exist": (
        "  max_session: 24h\n",
        "  max_session: 24h\n  engine: volcano\n",
        "29: defaults.engine: input should be 'scheduler' or 'kueue'",
    ),
    "more volumes than a Pod should have": (
        "max_volumes: 0",
        "max_volumes: 33",
        "30: defaults.limits.max_volumes: input should be less than or equal to 32",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "problem"), SLIPS.values(), ids=SLIPS.keys())
def test_a_slip_is_told_with_its_line(old: str, new: str, problem: str) -> None:
    told = problems(changed(old, new))
    assert f"catalog.yaml:{problem}" in told


GPU_SLIPS: dict[str, tuple[str, str, str]] = {
    "a strategy that does not exist": (
        "strategy: exclusive",
        "strategy: time-slicing",
        "strategy: input should be 'consumable-capacity', 'exclusive', 'mps' or 'mig'",
    ),
    "an attribute that breaks out of CEL": (
        "    device_type: gpu\n",
        "    device_type: gpu\n    product_attribute: 'x || true'\n",
        (
            "product_attribute: use up to 32 letters, digits and underscores, "
            "not beginning with a digit"
        ),
    ),
    "a driver that is no DNS name": (
        "    driver: gpu.nvidia.com",
        "    driver: 'gpu\"'",
        "driver: use a DNS name such as gpu.example.com, in lower case",
    ),
    "no product": (
        "[NVIDIA A100-SXM4-40GB]",
        "[]",
        "products: list should have at least 1 item after validation, not 0",
    ),
    "a share without its capacity": (
        "strategy: exclusive",
        "strategy: consumable-capacity",
        "sm_capacity: consumable-capacity needs the name of the driver's SM capacity",
    ),
    "shares that could be of one device": (
        "strategy: exclusive",
        "strategy: consumable-capacity",
        "distinct_attribute: consumable-capacity needs an attribute that differs between devices",
    ),
    "no memory": ("memory: 40Gi", "memory: 0", "memory: input should be greater than 0"),
    "a scale of nothing": (
        "    device_type: gpu\n",
        "    device_type: gpu\n    sm_scale: 0\n",
        "sm_scale: input should be greater than or equal to 1",
    ),
}


@pytest.mark.parametrize(("old", "new", "problem"), GPU_SLIPS.values(), ids=GPU_SLIPS.keys())
def test_a_slip_in_a_gpu_model_is_told(old: str, new: str, problem: str) -> None:
    head, a100 = TEXT.split("  A100:\n")
    told = problems(f"{head}  A100:\n{changed(old, new, a100)}")
    assert any(line.endswith(f"gpu_models.A100.{problem}") for line in told), told


MIG_SLIPS: dict[str, tuple[str, str, str, str]] = {
    "a percent that the slices are not": (
        "15: {",
        "14: {",
        "14: {",
        "mig_sizes.14: 1 of 7 slices are 15 % SM: write 15",
    ),
    "a profile of other slices": (
        "profile: 2g.10gb, slices: 2",
        "profile: 3g.20gb, slices: 2",
        "slices: 2",
        "mig_sizes.29.slices: the profile 3g.20gb has 3 of them",
    ),
    "more slices than a GPU has": (
        "slices: 7",
        "slices: 8",
        "slices: 8",
        "mig_sizes.100.slices: input should be less than or equal to 7",
    ),
    "no slice": (
        "slices: 1",
        "slices: 0",
        "slices: 0",
        "mig_sizes.15.slices: input should be greater than or equal to 1",
    ),
    "half a slice": (
        "slices: 1",
        "slices: 0.5",
        "slices: 0.5",
        "mig_sizes.15.slices: input should be a valid integer",
    ),
    "more than the whole of a GPU": (
        "100: {",
        "101: {",
        "101: {",
        "mig_sizes.101: input should be less than or equal to 100",
    ),
    "nothing of a GPU": (
        "15: {",
        "0: {",
        " 0: {",
        "mig_sizes.0: input should be greater than or equal to 1",
    ),
    "a percent that is no number": (
        "15: {",
        "15%: {",
        "15%: {",
        "mig_sizes.15%: input should be a valid integer",
    ),
    "sizes from large to small": (
        "      15: {profile: 1g.5gb, slices: 1}\n      29: {profile: 2g.10gb, slices: 2}\n",
        "      29: {profile: 2g.10gb, slices: 2}\n      15: {profile: 1g.5gb, slices: 1}\n",
        "15: {",
        "mig_sizes.15: stands after 29: write sizes from small to large",
    ),
    "a size twice": (
        "29: {",
        "15: {",
        "15: {profile: 2g",
        "mig_sizes.15: the key stands here twice",
    ),
    "a profile that breaks out of CEL": (
        "profile: 1g.5gb",
        "profile: '1g.5gb\" || true'",
        '1g.5gb"',
        "mig_sizes.15.profile: use a profile's name such as 1g.5gb or 1g.5gb+me",
    ),
    "a part of a partition": (
        "profile: 1g.5gb",
        "profile: 1c.1g.5gb",
        "1c.1g",
        "mig_sizes.15.profile: use a profile's name such as 1g.5gb or 1g.5gb+me",
    ),
    "an unknown key of a size": (
        "1g.5gb, slices: 1",
        "1g.5gb, slices: 1, memory: 5Gi",
        "memory: 5Gi",
        "mig_sizes.15.memory: there is no such key",
    ),
    "a size without its slices": (
        "{profile: 1g.5gb, slices: 1}",
        "{profile: 1g.5gb}",
        "15: {",
        "mig_sizes.15.slices: the key is missing",
    ),
    "a size that is only a name": (
        "{profile: 1g.5gb, slices: 1}",
        "1g.5gb",
        "15: 1g",
        "mig_sizes.15: expected keys and values",
    ),
    "sizes of a model that is not cut": (
        "strategy: mig",
        "strategy: exclusive",
        "mig_sizes:",
        "mig_sizes: only mig has sizes, and the strategy is exclusive",
    ),
}


@pytest.mark.parametrize(
    ("old", "new", "where", "problem"), MIG_SLIPS.values(), ids=MIG_SLIPS.keys()
)
def test_a_slip_in_the_sizes_is_told_with_its_line(
    old: str, new: str, where: str, problem: str
) -> None:
    head, cut = TEXT.split("  A100-MIG:\n")
    cut = changed(old, new, cut)
    text = f"{head}  A100-MIG:\n{cut}"
    line = text[: len(head) + len("  A100-MIG:\n") + cut.index(where)].count("\n") + 1
    assert f"catalog.yaml:{line}: gpu_models.A100-MIG.{problem}" in problems(text)


def test_mig_without_sizes_is_told() -> None:
    head, cut = TEXT.split("  A100-MIG:\n")
    sizes = cut[cut.index("    mig_sizes:") : cut.index("  T4-MPS:")]
    line = head.count("\n") + 1
    (told,) = problems(f"{head}  A100-MIG:\n{changed(sizes, '', cut)}")
    assert told == (
        f"catalog.yaml:{line}: gpu_models.A100-MIG.mig_sizes: "
        "mig needs the sizes to which a GPU can be cut, by their SM percent"
    )


@pytest.mark.parametrize("profile", ["1g.5gb+me", "1g.24gb-me", "1g.24gb+me.all", "1g.1000gb"])
def test_names_of_profiles_are_those_of_the_vendor(profile: str) -> None:
    text = changed("profile: 1g.5gb,", f"profile: {profile},", TEXT)
    assert read(text).gpu_models["A100-MIG"].mig_sizes[0].profile == profile


def test_more_gpus_than_the_limit_in_a_flavor_are_told() -> None:
    told = problems(changed("gpu: {model: T4}", "gpu: {model: T4, count: 5}", TEXT))
    assert [line.partition(": ")[2] for line in told] == [
        "flavors.gpu-t4-1x.gpu.count: lies outside defaults.limits"
    ]


def test_all_problems_are_told_at_once() -> None:
    text = changed("cpu: 1\n", "cpu: x\n", changed("priority: 0", "priority: x"))
    assert len(problems(text)) == 2


# --- every line of the sample ---


def lines_with_keys() -> Iterator[tuple[int, str]]:
    for number, line in enumerate(TEXT.splitlines(), start=1):
        if re.match(r" *[A-Za-z0-9_-]+:", line):
            yield number, line


@pytest.mark.parametrize(
    ("number", "line"),
    [
        # By day every fifth.
        pytest.param(number, line, marks=() if number % 5 == 0 else pytest.mark.nightly)
        for number, line in lines_with_keys()
    ],
)
def test_a_mistyped_key_on_any_line_stops_the_hub_there(number: int, line: str) -> None:
    """Names of entries are free; the words of the format are not."""
    lines = TEXT.splitlines()
    indent, key, rest = re.match(r"( *)([A-Za-z0-9_-]+)(:.*)", line).groups()  # type: ignore[union-attr]
    lines[number - 1] = f"{indent}{key}x{rest}"
    try:
        read("\n".join(lines))
    except ConfigError as error:
        told = str(error).splitlines()
    else:
        assert len(indent) == 2  # an entry that nothing refers to, under another name
        return
    assert all(re.match(r"catalog\.yaml:\d+: ", each) for each in told)
    helpful = (f"catalog.yaml:{number}:", "there is no", "is missing", "always exists")
    assert any(word in each for each in told for word in helpful)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        # By day every fifth.
        pytest.param(number, line, marks=() if number % 5 == 0 else pytest.mark.nightly)
        for number, line in lines_with_keys()
    ],
)
def test_a_key_of_the_wrong_type_on_any_line_is_told_on_that_line(number: int, line: str) -> None:
    lines = TEXT.splitlines()
    key = line.partition(":")[0]
    lines[number - 1] = f"{key}: [[]]"
    rest = number
    while rest < len(lines) and lines[rest].startswith(f"{key[: len(key) - len(key.lstrip())]} "):
        lines[rest] = ""  # what stood below it
        rest += 1
    anchors = re.findall(r"&(\w+)", line)
    text = "\n".join(lines)
    if any(f"*{anchor}" in text for anchor in anchors):
        return  # an alias without its anchor is no YAML
    told = problems(text)
    assert any(each.startswith(f"catalog.yaml:{number}: ") for each in told), told


# --- lines of merged mappings ---


def test_a_problem_in_a_merged_mapping_points_at_where_it_was_written() -> None:
    text = changed("    sm_capacity: cores", "    sm_capacity: 'no name'", TEXT)
    line = text[: text.index("sm_capacity: 'no name'")].count("\n") + 1
    told = problems(text)
    assert [each.partition(": use")[0] for each in told] == [
        f"catalog.yaml:{line}: gpu_models.{key}.sm_capacity" for key in ("H100", "L40S", "L4")
    ]


def test_what_a_mapping_says_itself_wins_over_what_is_merged() -> None:
    text = changed("    memory: 48Gi", "    memory: 48GB", TEXT)
    line = text[: text.index("memory: 48GB")].count("\n") + 1
    (told,) = problems(text)
    assert told.startswith(f"catalog.yaml:{line}: gpu_models.L40S.memory: ")


def test_a_problem_merged_from_one_of_several_mappings_is_found() -> None:
    text = SMALL.replace("gpu_models: {}", "gpu_models: {}\n", 1)
    text = changed(
        "  small:\n    display_name: Small\n    when_to_use: Trying out\n    cpu: 1\n",
        "  one: &one\n    display_name: Small\n    when_to_use: Trying out\n    cpu: 1\n"
        "    memory: 1Gi\n"
        "  two: &two {display_name: Two, when_to_use: x, cpu: 1x, memory: 1Gi}\n"
        "  small:\n    <<: [*one, *two]\n",
        text,
    )
    told = problems(text)
    assert [each.split(":")[1] for each in told] == ["9"]


def test_a_missing_key_of_a_merged_mapping_points_at_the_mapping() -> None:
    text = changed("    driver: gpu.devcluster.test\n", "", TEXT)
    told = problems(text)
    line = text[: text.index("  L40S:\n")].count("\n") + 1
    assert f"catalog.yaml:{line}: gpu_models.L40S.driver: the key is missing" in told


# --- plans, quotas and accounts ---

#: `SMALL` with one of everything that may be changed at run time.
WHOLE = (
    changed(
        "gpu_models: {}\n",
        """\
gpu_models:
  L4:
    display_name: NVIDIA L4
    strategy: exclusive
    device_class: gpu.nvidia.com
    driver: gpu.nvidia.com
    products: [NVIDIA L4]
    memory: 24Gi
""",
    )
    + """\
organizations:
  acme:
    display_name: Acme
groups:
  lab:
    display_name: Lab
    may_run_as_root: true
projects:
  vision:
    display_name: Vision
    organization: acme
    group: lab
    plan: research
    managers: [alice]
    may_run_as_root: true
people:
  alice:
    organization: acme
    role: owner
    groups: [lab]
    personal: {plan: research, may_run_as_root: true}
plans:
  research:
    display_name: Research
    profiles: [plain]
    gpu_models: [L4]
    images: [base]
    queues: [default]
    at_once: {gpus: 2, cpu: 500m, memory: 1Gi}
    person_at_once: {gpus: 0.29}
    volumes: 20Gi
    windows:
      - {zone: Europe/Berlin, days: [mon], from: 08:00, to: 18:00}
quotas:
  month:
    user: "*"
    gpu_model: L4
    gpu_hours: 40
    per: month
"""
)

NO_AMOUNT = "is no amount; write a number such as 2 or 0.5"
NO_ZONE = "is no IANA time zone; write for example Europe/Berlin or UTC"
NO_KEY = "use up to 40 lower-case letters, digits and hyphens, with a letter or digit at both ends"
NO_NAME = "use a name of up to 255 characters, without blanks at its ends"

#: Old, new, on which line it is told, and what.
ENTITLEMENT_SLIPS: dict[str, tuple[str, str, str, str]] = {
    "an unknown profile in a plan": (
        "profiles: [plain]\n    gpu",
        "profiles: [plain, fancy]\n    gpu",
        "    profiles: [plain, fancy]",
        "plans.research.profiles.1: there is no 'fancy'; known are: plain",
    ),
    "an unknown GPU model in a plan": (
        "gpu_models: [L4]",
        "gpu_models: [l4]",
        "gpu_models: [l4]",
        "plans.research.gpu_models.0: there is no 'l4'; known are: L4",
    ),
    "an unknown image in a plan": (
        "images: [base]\n    queues",
        "images: [bass]\n    queues",
        "images: [bass]",
        "plans.research.images.0: there is no 'bass'; known are: base",
    ),
    "an unknown queue in a plan": (
        "queues: [default]",
        "queues: [default, fast]",
        "queues: [default, fast]",
        "plans.research.queues.1: there is no 'fast'; known are: default",
    ),
    "all queues": (
        "queues: [default]",
        "queues: all",
        "queues: all",
        "plans.research.queues: input should be a valid list",
    ),
    "nothing for a list that is an allowlist": (
        "gpu_models: [L4]",
        "gpu_models:",
        "gpu_models:\n    images",
        "plans.research.gpu_models: None is no list; write a list of keys, or the word all",
    ),
    "another word than all": (
        "gpu_models: [L4]",
        "gpu_models: any",
        "gpu_models: any",
        "plans.research.gpu_models: 'any' is no list; write a list of keys, or the word all",
    ),
    "all in a list": (
        "gpu_models: [L4]",
        "gpu_models: [all]",
        "gpu_models: [all]",
        "plans.research.gpu_models.0: there is no 'all'; known are: L4",
    ),
    "no list of images": (
        "    images: [base]\n    queues",
        "    queues",
        "  research:",
        "plans.research.images: the key is missing",
    ),
    "a plan that says nothing of amounts": (
        "    at_once: {gpus: 2, cpu: 500m, memory: 1Gi}\n",
        "",
        "  research:",
        "plans.research.at_once: the key is missing",
    ),
    "an unknown key at once": (
        "at_once: {gpus: 2,",
        "at_once: {gpu: 2,",
        "at_once: {gpu: 2,",
        "plans.research.at_once.gpu: there is no such key",
    ),
    "an unknown image in the defaults": (
        "images: all, at_once",
        "images: [bass], at_once",
        "images: [bass]",
        "defaults.plan.images.0: there is no 'bass'; known are: base",
    ),
    "windows of the defaults": (
        "images: all, at_once",
        "images: all, windows: [], at_once",
        "windows: []",
        "defaults.plan.windows: there is no such key",
    ),
    "a demand that there is not": (
        "  max_session: 24h\n",
        "  max_session: 24h\n  required: [membership, money]\n",
        "required: [membership, money]",
        "defaults.required.1: input should be 'membership', 'subscription' or 'payment-method'",
    ),
    "no longest session": (
        "  max_session: 24h\n",
        "",
        "defaults:",
        "defaults.max_session: the key is missing",
    ),
    "no plan in the defaults": (
        "  plan: {profiles: all, gpu_models: all, images: all, at_once: {}}\n",
        "",
        "defaults:",
        "defaults.plan: the key is missing",
    ),
    "an unknown zone of accounting": (
        "  max_session: 24h\n",
        "  max_session: 24h\n  zone: Europe/Bern\n",
        "zone: Europe/Bern\n",
        f"defaults.zone: 'Europe/Bern' {NO_ZONE}",
    ),
    "no window in the list": (
        "    windows:\n      - {zone: Europe/Berlin, days: [mon], from: 08:00, to: 18:00}\n",
        "    windows: []\n",
        "windows: []",
        "plans.research.windows: list should have at least 1 item after validation, not 0",
    ),
    "negative GPUs": (
        "gpus: 2,",
        "gpus: -1,",
        "gpus: -1,",
        f"plans.research.at_once.gpus: -1 {NO_AMOUNT}",
    ),
    "GPUs that are no number": (
        "gpus: 2,",
        "gpus: .nan,",
        "gpus: .nan,",
        f"plans.research.at_once.gpus: nan {NO_AMOUNT}",
    ),
    "endless GPUs": (
        "gpus: 2,",
        "gpus: .inf,",
        "gpus: .inf,",
        f"plans.research.at_once.gpus: inf {NO_AMOUNT}",
    ),
    "more GPUs than there are anywhere": (
        "gpus: 2,",
        "gpus: 10000000.01,",
        "gpus: 10000000.01,",
        f"plans.research.at_once.gpus: 10000000.01 {NO_AMOUNT}",
    ),
    "GPUs in words": (
        "gpus: 2,",
        "gpus: two,",
        "gpus: two,",
        f"plans.research.at_once.gpus: 'two' {NO_AMOUNT}",
    ),
    "a truth for GPUs": (
        "gpus: 2,",
        "gpus: true,",
        "gpus: true,",
        f"plans.research.at_once.gpus: True {NO_AMOUNT}",
    ),
    "less than a percent of a GPU": (
        "gpus: 0.29",
        "gpus: 0.295",
        "gpus: 0.295",
        (
            "plans.research.person_at_once.gpus: 0.295 is finer than one percent of a GPU; "
            "write at most two decimals"
        ),
    ),
    "deserved GPUs that are negative": (
        "    priority: 0\n",
        "    priority: 0\n    deserved_gpus: -0.5\n",
        "deserved_gpus",
        f"queues.default.deserved_gpus: -0.5 {NO_AMOUNT}",
    ),
    "no CPU of a queue": (
        "    priority: 0\n",
        "    priority: 0\n    at_once: {cpu: 0}\n",
        "at_once: {cpu: 0}",
        "queues.default.at_once.cpu: input should be greater than 0",
    ),
    "a truth for volumes": (
        "volumes: 20Gi",
        "volumes: yes",
        "volumes: yes",
        (
            "plans.research.volumes: True is not a Kubernetes quantity; "
            "write for example 2, 500m or 8Gi"
        ),
    ),
    "a plan's key with capitals": ("  research:", "  Research:", "  Research:", f"plans.Research: {NO_KEY}"),
    "a quota for nobody": (
        '    user: "*"\n',
        "",
        "  month:",
        (
            "quotas.month: says nothing about whom it is for: "
            "write one of user, project, group, organization"
        ),
    ),
    "a quota for two": (
        '    user: "*"\n',
        '    user: "*"\n    group: lab\n',
        "  month:",
        (
            "quotas.month: says twice about whom it is for: "
            "write one of user, project, group, organization"
        ),
    ),
    "a quota of nothing": (
        "    gpu_model: L4\n    gpu_hours: 40\n",
        "",
        "  month:",
        (
            "quotas.month: says nothing about what it counts: "
            "write one of gpu_hours, cpu_hours, memory_gib_hours, storage"
        ),
    ),
    "a quota of two": (
        "    gpu_hours: 40\n",
        "    gpu_hours: 40\n    cpu_hours: 40\n",
        "  month:",
        (
            "quotas.month: says twice about what it counts: "
            "write one of gpu_hours, cpu_hours, memory_gib_hours, storage"
        ),
    ),
    "a GPU model of CPU hours": (
        "gpu_hours: 40",
        "cpu_hours: 40",
        "  month:",
        "quotas.month: gpu_model belongs to gpu_hours",
    ),
    "an override without an end": (
        "gpu_hours: 40",
        "gpu_hours: 40\n    override: {hours: 60, reason: thesis}",
        "    override:",
        "quotas.month.override.until: the key is missing",
    ),
    "an override until a time of no zone": (
        "gpu_hours: 40",
        "gpu_hours: 40\n    override: {hours: 60, reason: thesis, until: 2026-12-01T00:00}",
        "    override:",
        (
            "quotas.month.override.until: '2026-12-01T00:00' is no point in time; "
            "write for example 2026-12-01T00:00+01:00"
        ),
    ),
    "an override without a reason": (
        "gpu_hours: 40",
        'gpu_hours: 40\n    override: {hours: 60, until: "2026-12-01T00:00Z"}',
        "    override:",
        "quotas.month.override.reason: the key is missing",
    ),
    "an unknown GPU model of a quota": (
        "gpu_model: L4",
        "gpu_model: L40",
        "gpu_model: L40",
        "quotas.month.gpu_model: there is no 'L40'; known are: L4",
    ),
    "negative hours": (
        "gpu_hours: 40",
        "gpu_hours: -40",
        "gpu_hours: -40",
        f"quotas.month.gpu_hours: -40 {NO_AMOUNT}",
    ),
    "more hours than any month has": (
        "gpu_hours: 40",
        "gpu_hours: 10000001",
        "gpu_hours: 1",
        f"quotas.month.gpu_hours: 10000001 {NO_AMOUNT}",
    ),
    "a truth for hours": (
        "gpu_hours: 40",
        "gpu_hours: on",
        "gpu_hours: on",
        f"quotas.month.gpu_hours: True {NO_AMOUNT}",
    ),
    "hours with their unit": (
        "gpu_hours: 40",
        "gpu_hours: 40h",
        "gpu_hours: 40h",
        f"quotas.month.gpu_hours: '40h' {NO_AMOUNT}",
    ),
    "hours that look like a time of day": (
        "gpu_hours: 40",
        "gpu_hours: 40:00",
        "gpu_hours: 40:00",
        f"quotas.month.gpu_hours: '40:00' {NO_AMOUNT}",
    ),
    "a quota of all time": (
        "    per: month\n",
        "",
        "  month:",
        "quotas.month: per is missing: write day or month",
    ),
    "storage per month": (
        "    gpu_model: L4\n    gpu_hours: 40\n",
        "    storage: 40Gi\n",
        "  month:",
        "quotas.month: storage is held, not used up: remove per",
    ),
    "storage without a unit that exists": (
        "    gpu_model: L4\n    gpu_hours: 40\n    per: month\n",
        "    storage: 40GB\n",
        "    storage:",
        (
            "quotas.month.storage: '40GB' is not a Kubernetes quantity; "
            "write for example 500m, 2 or 8Gi"
        ),
    ),
    "less storage than nothing": (
        "    gpu_model: L4\n    gpu_hours: 40\n    per: month\n",
        "    storage: -1Gi\n",
        "    storage:",
        (
            "quotas.month.storage: '-1Gi' is not a Kubernetes quantity; "
            "write for example 500m, 2 or 8Gi"
        ),
    ),
    "hours in an override of storage": (
        "    gpu_model: L4\n    gpu_hours: 40\n    per: month\n",
        ("    storage: 40Gi\n"
        "    override: {hours: 60, reason: thesis, until: 2026-12-01T00:00+01:00}\n"),
        "  month:",
        "quotas.month: the override of this quota is one of storage: write storage in it",
    ),
    "storage in an override of hours": (
        "gpu_hours: 40",
        ("gpu_hours: 40\n"
        "    override: {storage: 1Gi, reason: thesis, until: 2026-12-01T00:00+01:00}"),
        "  month:",
        "quotas.month: the override of this quota is one of hours: write hours in it",
    ),
    "an override of nothing": (
        "gpu_hours: 40",
        "gpu_hours: 40\n    override: {reason: thesis, until: 2026-12-01T00:00+01:00}",
        "  month:",
        "quotas.month: the override of this quota is one of hours: write hours in it",
    ),
    "a quota per week": (
        "per: month",
        "per: week",
        "per: week",
        "quotas.month.per: input should be 'day' or 'month'",
    ),
    "a quota of an unknown project": (
        'user: "*"',
        "project: visoin",
        "project: visoin",
        "quotas.month.project: there is no 'visoin'; known are: vision",
    ),
    "a quota of an unknown group": (
        'user: "*"',
        "group: personal-lab",
        "group: personal-lab",
        "quotas.month.group: there is no 'personal-lab'; known are: lab",
    ),
    "a quota of an unknown organization": (
        'user: "*"',
        "organization: umbrella",
        "organization: umbrella",
        "quotas.month.organization: there is no 'umbrella'; known are: acme",
    ),
    "a project with a personal name": (
        "  vision:",
        "  personal-vision:",
        "  personal-vision:",
        (
            "projects.personal-vision: the names of personal projects begin with 'personal-': "
            "choose another"
        ),
    ),
    "an unknown organization of a project": (
        "    organization: acme\n    group",
        "    organization: acne\n    group",
        "organization: acne",
        "projects.vision.organization: there is no 'acne'; known are: acme",
    ),
    "an unknown group of a project": (
        "    group: lab\n",
        "    group: lob\n",
        "group: lob",
        "projects.vision.group: there is no 'lob'; known are: lab",
    ),
    "a project that no group owns": (
        "    group: lab\n",
        "",
        "  vision:",
        "projects.vision.group: the key is missing",
    ),
    "an unknown plan of a project": (
        "    plan: research\n",
        "    plan: search\n",
        "plan: search",
        "projects.vision.plan: there is no 'search'; known are: research",
    ),
    "an unknown organization of somebody": (
        "    organization: acme\n    role",
        "    organization: acne\n    role",
        "organization: acne",
        "people.alice.organization: there is no 'acne'; known are: acme",
    ),
    "an unknown group of somebody": (
        "groups: [lab]",
        "groups: [lab, lob]",
        "groups: [lab, lob]",
        "people.alice.groups.1: there is no 'lob'; known are: lab",
    ),
    "an unknown plan of somebody": (
        "personal: {plan: research",
        "personal: {plan: search",
        "personal: {plan: search",
        "people.alice.personal.plan: there is no 'search'; known are: research",
    ),
    "an unknown role": (
        "role: owner",
        "role: boss",
        "role: boss",
        (
            "people.alice.role: there is no 'boss'; known are: "
            "viewer, IDE_MANAGE, notebook.user, member, admin, owner, notebook.admin"
        ),
    ),
    "a number for a person": (
        "  alice:",
        "  2026:",
        "  2026:",
        "people.2026: input should be a valid string",
    ),
    "a person who seems to be another": (
        "  alice:",
        '  "alice ": {}\n  alice:',
        '  "alice "',
        f"people.alice : {NO_NAME}",
    ),
    "a person without a name": ("  alice:", '  "":', '  "":', f"people.: {NO_NAME}"),
    "a manager without a name": (
        "managers: [alice]",
        'managers: [""]',
        "managers:",
        f"projects.vision.managers.0: {NO_NAME}",
    ),
    "a suspension without a reason": (
        "    display_name: Acme\n",
        '    display_name: Acme\n    suspended: ""\n',
        "suspended:",
        "organizations.acme.suspended: string should have at least 1 character",
    ),
    "text for a truth about root": (
        "may_run_as_root: true\nprojects",
        "may_run_as_root: maybe\nprojects",
        "may_run_as_root: maybe",
        "groups.lab.may_run_as_root: input should be a valid boolean",
    ),
    "an account twice": (
        "groups:\n  lab:",
        "groups:\n  lab: {display_name: Lab}\n  lab:",
        "  lab:\n",
        "groups.lab: the key stands here twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "where", "problem"), ENTITLEMENT_SLIPS.values(), ids=ENTITLEMENT_SLIPS.keys()
)
def test_a_slip_in_an_entitlement_is_told_with_its_line(
    old: str, new: str, where: str, problem: str
) -> None:
    text = changed(old, new, WHOLE)
    assert f"catalog.yaml:{line_of(where, text)}: {problem}" in problems(text)


def line_of(where: str, text: str) -> int:
    return text[: text.index(where)].count("\n") + 1


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Bern",
        "europe/berlin",
        "localtime",
        "posixrules",
        "right/Europe/Berlin",
        "posix/Europe/Berlin",
        "CEST",
        "+01:00",
        "Europe",
        "../UTC",
        "/etc/localtime",
        "",
        "zone1970.tab",
        "Europe/Berlin\0",
        "x" * 5000,
    ],
)
def test_a_zone_that_is_none_or_another_on_each_machine_is_told(zone: str) -> None:
    window = {"zone": zone, "days": ["mon"], "from": "08:00", "to": "18:00"}
    assert told_of(window) == f".zone: {zone!r} {NO_ZONE}"


def told_of(window: object) -> str:
    """What is told of *window*, behind its own place."""
    plan = content(WHOLE)["plans"]["research"] | {"windows": [window]}
    (told,) = problems(WHOLE, {("plans", "research"): plan})
    place = "changed at run time: plans.research.windows.0"
    assert told.startswith(place)
    return told.removeprefix(place)


NO_CLOCK = "is no time of day; write for example 08:00, and 24:00 for midnight"
NO_MOMENT = (
    "is no beginning or end of a window; write fri 18:00 for every week, "
    "2026-12-01 08:00 for once, or 08:00 with days"
)
NO_DAY = "is on no day of the calendar; write for example 2026-12-01 08:00"
MIXED = "write both with a day, such as fri 18:00, or both with a date, such as 2026-12-01 08:00"

WINDOW_SLIPS: dict[str, tuple[str, str]] = {
    "one digit of an hour": ("days: [mon], from: 8:00, to: 18:00", f": '8:00' {NO_CLOCK}"),
    "an hour that no day has": ("days: [mon], from: 08:00, to: 25:00", f": '25:00' {NO_CLOCK}"),
    "past the last midnight": ("days: [mon], from: 08:00, to: 24:01", f": '24:01' {NO_CLOCK}"),
    "a minute that no hour has": ("days: [mon], from: 08:60, to: 18:00", f": '08:60' {NO_CLOCK}"),
    "seconds": ("days: [mon], from: 08:00:00, to: 18:00", f": '08:00:00' {NO_CLOCK}"),
    "a time in words": ("days: [mon], from: noon, to: 18:00", f": 'noon' {NO_CLOCK}"),
    "digits of another script": ("days: [mon], from: ٠٨:٠٠, to: 18:00", f": '٠٨:٠٠' {NO_CLOCK}"),
    "days and dates": (
        "days: [mon], from: 2026-12-01 08:00, to: 2026-12-01 18:00",
        f": '2026-12-01 08:00' {NO_CLOCK}",
    ),
    "days and weekdays": (
        "days: [fri], from: fri 18:00, to: mon 06:00",
        f": 'fri 18:00' {NO_CLOCK}",
    ),
    "a time without a day": ("from: 08:00, to: 18:00", f": '08:00' {NO_MOMENT}"),
    "a weekday to a date": (
        "from: fri 18:00, to: 2026-12-01 08:00",
        f": from 'fri 18:00' to '2026-12-01 08:00': {MIXED}",
    ),
    "a date to a weekday": (
        "from: 2026-12-01 08:00, to: fri 18:00",
        f": from '2026-12-01 08:00' to 'fri 18:00': {MIXED}",
    ),
    "a weekday to a time": (
        "from: fri 18:00, to: 06:00",
        f": from 'fri 18:00' to '06:00': {MIXED}",
    ),
    "weekdays in full": ("from: friday 18:00, to: monday 06:00", f": 'friday 18:00' {NO_MOMENT}"),
    "weekdays with capitals": ("from: Fri 18:00, to: Mon 06:00", f": 'Fri 18:00' {NO_MOMENT}"),
    "an hour that no weekday has": ("from: fri 18:00, to: mon 6:00", f": '6:00' {NO_CLOCK}"),
    "an hour that no date has": (
        "from: 2026-12-01 08:00, to: 2026-12-01 24:30",
        f": '24:30' {NO_CLOCK}",
    ),
    "a date without a time": ("from: 2026-12-01, to: 2026-12-02", f": '2026-12-01' {NO_MOMENT}"),
    "a day that no month has": (
        "from: 2026-02-28 08:00, to: 2026-02-30 08:00",
        f": '2026-02-30 08:00' {NO_DAY}",
    ),
    "a midnight after the last day": (
        "from: 2026-02-28 08:00, to: 9999-12-31 24:00",
        f": '9999-12-31 24:00' {NO_DAY}",
    ),
    "a date with seconds": (
        "from: 2026-12-01 08:00:00, to: 2026-12-01 18:00",
        f": '08:00:00' {NO_CLOCK}",
    ),
    "a date with a zone of its own": (
        "from: 2026-12-01T08:00Z, to: 2026-12-01 18:00",
        f": '08:00Z' {NO_CLOCK}",
    ),
    "a year that nobody means": (
        "from: 0026-12-01 08:00, to: 2026-12-01 18:00",
        ": 0026-12-01 08:00:00 is not in the years 1970 to 2999",
    ),
    "an end before the start": (
        "from: 2026-12-02 08:00, to: 2026-12-01 18:00",
        (
            ": from '2026-12-02 08:00' to '2026-12-01 18:00' is no time at all: "
            "write a to that is later than from"
        ),
    ),
    "an end at the start": (
        "from: 2026-12-01 24:00, to: 2026-12-02 00:00",
        (
            ": from '2026-12-01 24:00' to '2026-12-02 00:00' is no time at all: "
            "write a to that is later than from"
        ),
    ),
    "no day": (
        "days: [], from: 08:00, to: 18:00",
        ".days: list should have at least 1 item after validation, not 0",
    ),
    "an unknown day": (
        "days: [mon, tues], from: 08:00, to: 18:00",
        (
            ".days.1: input should be 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'"
        ),
    ),
    "a number for a time": (
        "days: [mon], from: 800, to: 18:00",
        ".from: input should be a valid string",
    ),
    "a truth for a time": (
        "days: [mon], from: 08:00, to: off",
        ".to: input should be a valid string",
    ),
    "no beginning": ("days: [mon], to: 18:00", ".from: the key is missing"),
    "another key": (
        "days: [mon], from: 08:00, from_: 08:00, to: 18:00",
        ".from_: there is no such key",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("window", "problem"), WINDOW_SLIPS.values(), ids=WINDOW_SLIPS.keys())
def test_a_slip_in_a_window_is_told_with_its_line(window: str, problem: str) -> None:
    text = changed(
        "{zone: Europe/Berlin, days: [mon], from: 08:00, to: 18:00}",
        f"{{zone: Europe/Berlin, {window}}}",
        WHOLE,
    )
    line = line_of("{zone: ", text)
    assert f"catalog.yaml:{line}: plans.research.windows.0{problem}" in problems(text)


def test_the_line_of_a_window_is_that_of_its_key_where_a_key_is_wrong() -> None:
    text = changed(
        "{zone: Europe/Berlin, days: [mon], from: 08:00, to: 18:00}",
        "zone: Europe/Berlin\n        from: 18\n        to: mon 06:00",
        WHOLE,
    )
    line = line_of("from: 18", text)
    problem = "plans.research.windows.0.from: input should be a valid string"
    assert problems(text) == [f"catalog.yaml:{line}: {problem}"]


def test_a_window_without_a_mapping_is_told() -> None:
    assert told_of("mon 08:00 to 18:00") == ": expected keys and values"


# --- the values they become ---

MONDAY, FRIDAY, SUNDAY = 0, 4, 6


def windows_in(*windows: str) -> tuple[Window, ...]:
    """The windows of a plan with these lines, all in Berlin."""
    lines = "\n".join(f"      - {{zone: Europe/Berlin, {window}}}" for window in windows)
    old = "      - {zone: Europe/Berlin, days: [mon], from: 08:00, to: 18:00}"
    text = changed(old, lines, WHOLE)
    return catalogs.parse(text, name="catalog.yaml").directory.plans["research"].windows


def weekly(start: tuple[int, int], end: tuple[int, int]) -> WeeklyWindow:
    """A window in Berlin between two days and hours."""
    return WeeklyWindow(
        zone="Europe/Berlin",
        start=WeekTime(day=start[0], minute=start[1] * 60),
        end=WeekTime(day=end[0], minute=end[1] * 60),
    )


WEEKLY = {
    "one day": ("days: [mon], from: 08:00, to: 18:00", [weekly((0, 8), (0, 18))]),
    "in quotes": ('days: ["mon"], from: "08:00", to: "18:00"', [weekly((0, 8), (0, 18))]),
    "several days in their order": (
        "days: [fri, mon], from: 08:00, to: 18:00",
        [weekly((4, 8), (4, 18)), weekly((0, 8), (0, 18))],
    ),
    "a night": ("days: [fri], from: 22:00, to: 06:00", [weekly((4, 22), (5, 6))]),
    "the last night of the week": (
        "days: [sun], from: 22:00, to: 06:00",
        [weekly((6, 22), (0, 6))],
    ),
    "24 hours": ("days: [sun], from: 08:00, to: 08:00", [weekly((6, 8), (0, 8))]),
    "to midnight": ("days: [mon], from: 08:00, to: 24:00", [weekly((0, 8), (1, 0))]),
    "to the midnight of zero": ("days: [mon], from: 08:00, to: 00:00", [weekly((0, 8), (1, 0))]),
    "a whole day": ("days: [sun], from: 00:00, to: 24:00", [weekly((6, 0), (0, 0))]),
    "from midnight to midnight": (
        "days: [sun], from: 24:00, to: 00:00",
        [weekly((0, 0), (1, 0))],
    ),
    "from midnight": ("days: [sun], from: 24:00, to: 08:00", [weekly((0, 0), (0, 8))]),
    "a weekend": ("from: fri 18:00, to: mon 06:00", [weekly((4, 18), (0, 6))]),
    "a working week": ("from: mon 00:00, to: fri 24:00", [weekly((0, 0), (5, 0))]),
    "the week": ("from: mon 00:00, to: sun 24:00", [weekly((0, 0), (0, 0))]),
    "nearly the week": ("from: mon 09:00, to: mon 08:00", [weekly((0, 9), (0, 8))]),
}


@pytest.mark.parametrize(("window", "expected"), WEEKLY.values(), ids=WEEKLY.keys())
def test_a_weekly_window_is_what_is_written(window: str, expected: list[WeeklyWindow]) -> None:
    assert windows_in(window) == tuple(expected)


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("from: 2026-12-01 08:00, to: 2026-12-01 18:00", "2026-12-01 08:00", "2026-12-01 18:00"),
        ("from: 2026-12-01T08:00, to: 2026-12-02T00:01", "2026-12-01 08:00", "2026-12-02 00:01"),
        ("from: 2026-12-30 00:00, to: 2026-12-31 24:00", "2026-12-30 00:00", "2027-01-01 00:00"),
        ("from: 2028-02-28 24:00, to: 2028-03-01 00:00", "2028-02-29 00:00", "2028-03-01 00:00"),
    ],
    ids=["some hours", "with a T", "to the year's last midnight", "a leap day"],
)
def test_a_window_of_once_is_what_is_written(window: str, start: str, end: str) -> None:
    assert windows_in(window) == (
        OneOffWindow(
            zone="Europe/Berlin",
            start=datetime.fromisoformat(start),
            end=datetime.fromisoformat(end),
        ),
    )


def test_windows_of_all_forms_stand_together_in_their_order() -> None:
    kinds = [
        type(each)
        for each in windows_in(
            "from: 2026-12-01 08:00, to: 2026-12-01 18:00",
            "days: [mon, tue], from: 08:00, to: 18:00",
            "from: fri 18:00, to: mon 06:00",
        )
    ]
    assert kinds == [OneOffWindow, WeeklyWindow, WeeklyWindow, WeeklyWindow]


@pytest.mark.parametrize(
    ("written", "subject", "resource", "amount"),
    [
        ('user: "*", gpu_hours: 1', Subject(SubjectKind.USER, "*"), Resource.GPU, 360_000_000),
        ("user: a@b, gpu_hours: 40", Subject(SubjectKind.USER, "a@b"), Resource.GPU, 14_400_000_000),
        ("project: vision, gpu_hours: 0.29", Subject(SubjectKind.PROJECT, "vision"), Resource.GPU, 104_400_000),
        ("project: personal-x, gpu_hours: 0", Subject(SubjectKind.PROJECT, "personal-x"), Resource.GPU, 0),
        ("group: lab, cpu_hours: 1.5", Subject(SubjectKind.GROUP, "lab"), Resource.CPU, 5_400_000_000),
        ('group: "*", cpu_hours: "8"', Subject(SubjectKind.GROUP, "*"), Resource.CPU, 28_800_000_000),
        ("organization: acme, memory_gib_hours: 0.1", Subject(SubjectKind.ORGANIZATION, "acme"), Resource.MEMORY, 368_640_000),
        ("organization: acme, memory_gib_hours: 10000000", Subject(SubjectKind.ORGANIZATION, "acme"), Resource.MEMORY, 36_864_000_000_000_000),
    ],
    ids=["each user", "an address", "hundredths", "nothing", "a group", "in quotes", "memory", "most"],
)  # fmt: skip
def test_a_quota_is_exact_in_whole_units(
    written: str, subject: Subject, resource: Resource, amount: int
) -> None:
    quotas = f"quotas:\n  a: {{{written}, per: day}}\n"
    (quota,) = read(WHOLE.partition("quotas:")[0] + quotas).quotas
    assert quota == Quota(
        key="a", subject=subject, resource=resource, span=Span.DAY, gpu_model=None, amount=amount
    )


@pytest.mark.parametrize(("written", "size"), [("40Gi", 40 * GIB), ("0", 0), ("1.5Ti", 1536 * GIB)])
def test_a_quota_of_storage_is_a_size(written: str, size: int) -> None:
    quotas = f"""quotas:
  a:
    group: lab
    storage: {written}
    override: {{storage: 50Gi, reason: a move, until: "2026-12-01T00:00+01:00"}}
"""
    catalog = read(WHOLE.partition("quotas:")[0] + quotas)
    assert catalog.quotas == ()
    assert catalog.storage_quotas == (
        StorageQuota(
            key="a",
            subject=Subject(SubjectKind.GROUP, "lab"),
            size_bytes=size,
            override=Override(
                amount=50 * GIB,
                expires_at=datetime(2026, 11, 30, 23, tzinfo=UTC),
                reason="a move",
            ),
        ),
    )


def test_a_plan_is_what_is_written() -> None:
    settings = catalogs.parse(WHOLE, name="catalog.yaml")
    assert settings.directory.plans["research"] == Plan(
        key="research",
        display_name="Research",
        profiles=frozenset({"plain"}),
        gpu_models=frozenset({"L4"}),
        images=frozenset({"base"}),
        queues=("default",),
        windows=(weekly((0, 8), (0, 18)),),
        at_once=AtOnce(gpu_percent=200, cpu_millicores=500, memory_bytes=GIB),
        person_at_once=AtOnce(gpu_percent=29),
        volumes_bytes=20 * GIB,
    )
    (quota,) = settings.catalog.quotas
    assert (quota.span, quota.gpu_model) == (Span.MONTH, "L4")


def test_all_is_all_of_the_catalog_and_an_empty_list_is_nothing() -> None:
    text = changed("gpu_models: [L4]", "gpu_models: []", WHOLE)
    directory = catalogs.parse(text, name="catalog.yaml").directory
    assert directory.plans["research"].gpu_models == frozenset()
    assert directory.default_plan == Plan(
        key="",
        display_name="no plan",
        profiles=frozenset({"plain"}),
        gpu_models=frozenset({"L4"}),
        images=frozenset({"base"}),
        queues=(),
        windows=(),
        at_once=AtOnce(),
        person_at_once=AtOnce(),
        volumes_bytes=None,
    )


def test_accounts_are_what_is_written() -> None:
    directory = catalogs.parse(WHOLE, name="catalog.yaml").directory
    vision, alice = directory.projects["vision"], directory.people["alice"]
    assert vision.organization == directory.organizations["acme"]
    assert vision.group == directory.groups["lab"]
    assert vision.plan == directory.plans["research"]
    assert vision.managers == {"alice"}
    assert vision.may_run_as_root
    assert (alice.organization, alice.roles) == ("acme", (roles.OWNER,))
    assert alice.groups == {"lab"}
    assert (alice.plan, alice.allows_root) == ("research", True)


def test_what_is_demanded_reaches_whoever_starts() -> None:
    text = changed(
        "  max_session: 24h\n", "  max_session: 24h\n  required: [membership, subscription]\n"
    )
    accounts = catalogs.parse(text, name="catalog.yaml").directory.accounts_of("eve", "eve")
    assert accounts.required == {Prerequisite.MEMBERSHIP, Prerequisite.SUBSCRIPTION}
    nothing = catalogs.parse(SMALL, name="catalog.yaml").directory.accounts_of("eve", "eve")
    assert nothing.required == frozenset()


def test_what_accounts_leave_out_is_less_not_more() -> None:
    text = changed(
        "    plan: research\n    managers: [alice]\n    may_run_as_root: true\n", "", WHOLE
    )
    text = changed("people:\n  alice:\n", "people:\n  bob: {}\n  alice:\n", text)
    directory = catalogs.parse(text, name="catalog.yaml").directory
    vision, bob = directory.projects["vision"], directory.people["bob"]
    assert vision.plan == directory.default_plan
    assert vision.managers == frozenset()
    assert not vision.may_run_as_root
    assert (bob.organization, bob.roles, bob.groups) == ("", (roles.MEMBER,), frozenset())
    assert (bob.plan, bob.allows_root, bob.suspended_because) == ("", False, "")


def test_a_suspension_carries_its_reason() -> None:
    text = changed(
        "    display_name: Acme\n", "    display_name: Acme\n    suspended: a bill is open\n", WHOLE
    )
    text = changed("    role: owner\n", "    role: owner\n    suspended: she left\n", text)
    directory = catalogs.parse(text, name="catalog.yaml").directory
    assert directory.organizations["acme"].suspended_because == "a bill is open"
    assert directory.people["alice"].suspended_because == "she left"


# --- what was changed at run time ---


def with_changes(changes: catalogs.Changes, text: str = WHOLE) -> catalogs.Settings:
    return catalogs.parse(text, name="catalog.yaml", changes=changes)


GROUP = {"display_name": "Other"}


def test_a_change_replaces_the_entry_of_the_file_where_it_stands() -> None:
    text = changed("  lab:\n", "  first: {display_name: First}\n  lab:\n", WHOLE)
    text = changed("projects:\n", "  last: {display_name: Last}\nprojects:\n", text)
    groups = with_changes({("groups", "lab"): GROUP}, text).directory.groups
    assert list(groups) == ["first", "lab", "last"]
    assert groups["lab"].display_name == "Other"
    assert not groups["lab"].may_run_as_root  # nothing of the file's entry is left


def test_a_change_adds_an_entry_behind_those_of_the_file() -> None:
    changes = {("groups", "b"): GROUP, ("groups", "a"): GROUP}
    assert list(with_changes(changes).directory.groups) == ["lab", "b", "a"]


def test_a_change_adds_to_a_section_that_the_file_has_not() -> None:
    changes = {("groups", "a"): GROUP, ("people", "bob"): {"groups": ["a"]}}
    directory = with_changes(changes, SMALL).directory
    assert directory.people["bob"].groups == {"a"}


def test_a_change_adds_to_a_section_that_is_empty_in_the_file() -> None:
    directory = with_changes({("groups", "a"): GROUP}, f"{SMALL}groups:\n").directory
    assert list(directory.groups) == ["a"]


def test_a_change_removes_an_entry() -> None:
    settings = with_changes({("quotas", "month"): None, ("people", "alice"): None})
    assert settings.catalog.quotas == ()
    assert settings.directory.people == {}


def test_what_was_removed_already_is_no_problem() -> None:
    assert with_changes({("groups", "gone"): None}) == with_changes({})
    assert with_changes({("groups", "gone"): None}, SMALL) == with_changes({}, SMALL)


def test_changes_leave_what_they_were_made_of_as_it_was() -> None:
    changes = {("groups", "lab"): {"display_name": "Other"}, ("people", "alice"): None}
    before = {key: dict(document) if document else None for key, document in changes.items()}
    with_changes(changes)
    assert changes == before


CHANGE_SLIPS: dict[str, tuple[tuple[str, str], object, str]] = {
    "no mapping": (("groups", "a"), "text", "groups.a: expected keys and values"),
    "an empty one": (("groups", "a"), {}, "groups.a.display_name: the key is missing"),
    "an unknown key": (
        ("groups", "lab"),
        {"display_name": "Lab", "color": "red"},
        "groups.lab.color: there is no such key",
    ),
    "a key of the wrong form": (("groups", "A"), GROUP, f"groups.A: {NO_KEY}"),
    "a reference to nothing": (
        ("projects", "p"),
        {"display_name": "P", "group": "lob"},
        "projects.p.group: there is no 'lob'; known are: lab",
    ),
    "a wrong window": (
        ("plans", "p"),
        {
            "display_name": "P",
            "profiles": "all",
            "gpu_models": "all",
            "images": "all",
            "at_once": {},
            "windows": [{"zone": "UTC", "from": "mon 08:00", "to": "tue 8:00"}],
        },
        f"plans.p.windows.0: '8:00' {NO_CLOCK}",
    ),
}


@pytest.mark.parametrize(
    ("key", "document", "problem"), CHANGE_SLIPS.values(), ids=CHANGE_SLIPS.keys()
)
def test_a_problem_of_a_change_has_no_line(
    key: tuple[str, str], document: object, problem: str
) -> None:
    assert problems(WHOLE, {key: document}) == [f"changed at run time: {problem}"]


REMOVED: dict[str, tuple[tuple[str, str], list[tuple[str, str]]]] = {
    "a group": (
        ("groups", "lab"),
        [
            ("    group: lab", "projects.vision.group: there is no 'lab'; known are: "),
            ("    groups: [lab]", "people.alice.groups.0: there is no 'lab'; known are: "),
        ],
    ),
    "an organization": (
        ("organizations", "acme"),
        [
            ("    organization: acme\n    group", "projects.vision.organization: there is no 'acme'; known are: "),
            ("    organization: acme\n    role", "people.alice.organization: there is no 'acme'; known are: "),
        ],
    ),
    "a plan": (
        ("plans", "research"),
        [
            ("    plan: research", "projects.vision.plan: there is no 'research'; known are: "),
            ("    personal: {plan", "people.alice.personal.plan: there is no 'research'; known are: "),
        ],
    ),
    "the default queue": (
        ("queues", "default"),
        [
            ("queues:", "queues: dictionary should have at least 1 item after validation, not 0"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("key", "told"), REMOVED.values(), ids=REMOVED.keys())
def test_what_a_removal_leaves_dangling_in_the_file_is_told_with_its_line(
    key: tuple[str, str], told: list[tuple[str, str]]
) -> None:
    assert problems(WHOLE, {key: None}) == [
        f"catalog.yaml:{line_of(where, WHOLE)}: {problem}" for where, problem in told
    ]


def test_what_a_removal_leaves_dangling_in_a_change_is_told_as_a_change() -> None:
    changes = {("groups", "lab"): None, ("projects", "vision"): None, ("people", "alice"): None}
    bob = {("people", "bob"): {"groups": ["lab"]}}
    assert problems(WHOLE, changes | bob) == [
        "changed at run time: people.bob.groups.0: there is no 'lab'; known are: "
    ]


def test_problems_of_file_and_changes_are_told_together() -> None:
    text = changed("plan: research\n", "plan: search\n", WHOLE)
    line = line_of("plan: search", text)
    problem = "projects.vision.plan: there is no 'search'; known are: research"
    assert problems(text, {("people", "bob"): {"groups": ["lob"]}}) == [
        f"catalog.yaml:{line}: {problem}",
        "changed at run time: people.bob.groups.0: there is no 'lob'; known are: lab",
    ]


def test_a_change_mends_what_is_wrong_in_the_file() -> None:
    text = changed("    group: lab\n", "    group: lob\n", WHOLE)
    vision = {"display_name": "Vision", "group": "lab"}
    directory = with_changes({("projects", "vision"): vision}, text).directory
    assert directory.projects["vision"].group == directory.groups["lab"]


@pytest.mark.parametrize("text", ["[]", "", "groups: []", "groups: text"])
def test_changes_do_not_hide_that_the_file_is_no_catalog(text: str) -> None:
    told = problems(text, {("groups", "a"): GROUP})
    assert told
    assert all(line.startswith("catalog.yaml:1: ") for line in told)


# --- by chance ---


def keys_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each key of *model* and below as the reference writes it, and whether it is required."""
    for name, each in model.model_fields.items():
        key = f"{path}{each.alias or name}"
        yield key, each.is_required()
        for inner, below in models_in(each.annotation):
            yield from keys_of(inner, f"{key}.{below}")


def models_in(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
    for argument in get_args(annotation):
        for inner, _ in models_in(argument):
            yield inner, "KEY." if "dict" in str(annotation) else ""


WEEK_MINUTES = 7 * 24 * 60
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC"])
minutes = st.integers(0, 24 * 60)
days = st.integers(0, 6)


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def a_week_time(minute: int) -> WeekTime:
    day, rest = divmod(minute % WEEK_MINUTES, 24 * 60)
    return WeekTime(day=day, minute=rest)


@st.composite
def windows_of_days(draw: st.DrawFn) -> tuple[dict[str, Any], list[Window]]:
    zone, opens, closes = draw(zones), draw(minutes), draw(minutes)
    on = draw(st.lists(days, min_size=1, max_size=7, unique=True))
    written = {"zone": zone, "days": [DAY_NAMES[day] for day in on]}
    lasts = (closes - opens) % (24 * 60) or 24 * 60
    return written | {"from": clock(opens), "to": clock(closes)}, [
        WeeklyWindow(
            zone=zone,
            start=a_week_time(day * 24 * 60 + opens),
            end=a_week_time(day * 24 * 60 + opens + lasts),
        )
        for day in on
    ]


@st.composite
def windows_of_weeks(draw: st.DrawFn) -> tuple[dict[str, Any], list[Window]]:
    zone = draw(zones)
    start, end = ((draw(days), draw(minutes)) for _ in range(2))
    written = {
        "zone": zone,
        "from": f"{DAY_NAMES[start[0]]} {clock(start[1])}",
        "to": f"{DAY_NAMES[end[0]]} {clock(end[1])}",
    }
    first, last = (a_week_time(day * 24 * 60 + minute) for day, minute in (start, end))
    return written, [WeeklyWindow(zone=zone, start=first, end=last)]


@st.composite
def windows_of_once(draw: st.DrawFn) -> tuple[dict[str, Any], list[Window]]:
    zone = draw(zones)
    start = draw(st.datetimes(datetime(1970, 1, 1), datetime(2998, 1, 1)))  # noqa: DTZ001 - wall time
    start = start.replace(second=0, microsecond=0)
    end = start + timedelta(minutes=draw(st.integers(1, 500_000)))
    written = {"zone": zone, "from": f"{start:%Y-%m-%d %H:%M}", "to": f"{end:%Y-%m-%dT%H:%M}"}
    return written, [OneOffWindow(zone=zone, start=start, end=end)]


@given(
    st.lists(
        st.one_of(windows_of_days(), windows_of_weeks(), windows_of_once()), min_size=1, max_size=4
    )
)
@settings(max_examples=20, deadline=None)
def test_windows_by_chance_are_what_is_written(
    drawn: list[tuple[dict[str, Any], list[Window]]],
) -> None:
    document = content(WHOLE)["plans"]["research"] | {"windows": [written for written, _ in drawn]}
    plan = with_changes({("plans", "research"): document}).directory.plans["research"]
    assert plan.windows == tuple(window for _, windows in drawn for window in windows)


@given(
    st.sampled_from(["user", "project", "group", "organization"]),
    st.sampled_from(
        [
            ("gpu_hours", 360_000_000),
            ("cpu_hours", 3_600_000_000),
            ("memory_gib_hours", 3_686_400_000),
        ]
    ),
    st.decimals(min_value=0, max_value=10_000_000, places=4),
    st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_quotas_by_chance_are_exact(
    kind: str, resource: tuple[str, int], hours: Any, as_text: bool
) -> None:
    name, unit = resource
    amount = str(hours) if as_text else float(hours)
    document = {kind: "*", name: amount, "per": "day"}
    (quota,) = with_changes({("quotas", "month"): document}).catalog.quotas
    assert quota.amount == Fraction(str(hours)) * unit // 1
    assert quota.subject == Subject(SubjectKind(kind), "*")


@given(st.decimals(min_value=0, max_value=10_000_000, places=2), st.booleans())
@settings(max_examples=20, deadline=None)
def test_gpus_by_chance_are_whole_percents(gpus: Any, as_text: bool) -> None:
    amount = str(gpus) if as_text else float(gpus)
    document = content(WHOLE)["queues"]["default"] | {"deserved_gpus": amount}
    queue = with_changes({("queues", "default"): document}).catalog.queues["default"]
    assert queue.deserved_percent == Fraction(str(gpus)) * 100


words = st.sampled_from(
    sorted({part for key, _ in keys_of(catalogs._File) for part in key.split(".")})
)
odd_texts = [
    "*", "all", "mon", "08:00", "24:00", "fri 18:00", "2026-12-01 08:00", "9999-12-31 24:00",
    "1e999999999", "-1", "NaN", "sNaN", "1_0", "day", "owner", "UTC", "lab", "personal-x",
]  # fmt: skip
#: What people and programs write by mistake, and words of the format in the wrong place.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(odd_texts),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(words, st.text(max_size=8)), inner, max_size=4),
    ),
    max_leaves=8,
)
slips = st.one_of(st.sampled_from(odd_texts), scalars, junk)


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A section, a key, and an entry of `WHOLE` in which something is junk; or junk alone."""
    section = draw(st.sampled_from(catalogs.CHANGEABLE))
    (key, document), *_ = content(WHOLE)[section].items()
    at = document
    for _ in range(draw(st.integers(0, 3))):
        inner = [each for each in (at.values() if isinstance(at, dict) else at) if each]
        inner = [each for each in inner if isinstance(each, dict | list)]
        if not inner:
            break
        at = draw(st.sampled_from(inner))
    if isinstance(at, list):
        at[draw(st.integers(0, len(at) - 1))] = draw(slips)
    elif draw(st.booleans()):
        at[draw(st.sampled_from(sorted(at)))] = draw(slips)
    else:
        at[draw(words)] = draw(slips)
    return section, draw(st.sampled_from([key, "other"])), draw(st.sampled_from([document, None]))


def test_an_override_is_an_amount_until_a_point_in_time() -> None:
    """F101."""
    text = SMALL + (
        'quotas:\n  month: {user: "*", cpu_hours: 40, per: month, '
        'override: {hours: 60.5, until: "2026-12-01T00:00+01:00", reason: a thesis}}\n'
    )
    (quota,) = read(text).quotas
    assert quota.override == Override(
        amount=60_500 * 3_600_000,
        expires_at=datetime(2026, 11, 30, 23, 0, tzinfo=UTC),
        reason="a thesis",
    )


@given(spoiled(), junk)
@settings(max_examples=50, deadline=None)
def test_junk_is_refused_alike_in_the_file_and_as_a_change(
    drawn: tuple[str, str, Any], other: object
) -> None:
    section, key, document = drawn
    if document is None:
        document = other if other is not None else {}
    merged = content(WHOLE)
    merged[section][key] = document
    changed_file = yaml.safe_dump(merged, sort_keys=False)
    assert outcome(WHOLE, {(section, key): document}) == outcome(changed_file, None)


def outcome(text: str, changes: catalogs.Changes | None) -> catalogs.Settings | str:
    """The settings, or the problems without the places where they stand."""
    try:
        return catalogs.parse(text, name="catalog.yaml", changes=changes)
    except ConfigError as error:
        place = r"^(catalog\.yaml:[0-9]+|changed at run time): "
        return re.sub(place, "", str(error), flags=re.MULTILINE)


# --- what is no catalog at all ---


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: catalog: expected keys and values"),
        ("[]", "1: catalog: expected keys and values"),
        ("# nothing\n\n- 1\n", "3: catalog: expected keys and values"),
        ("a: [", "1: not YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\n\tb: 2", "2: not YAML: found character '\\t' that cannot start any token"),
        ("a: *b", "1: not YAML: found undefined alias 'b'"),
        ("a: !!python/object:os.system {}", "1: not YAML: could not determine a constructor"),
        ("? [a]\n: 1", "1: not YAML: found unhashable key"),
        ("a: 1\n---\nb: 2", "2: not YAML: but found another document"),
    ],
)
def test_no_catalog(text: str, told: str) -> None:
    (line, *_) = problems(text)
    assert line.startswith(f"catalog.yaml:{told}")


def test_a_value_that_yaml_itself_cannot_make_is_told() -> None:
    (line,) = problems("a: !!int x")
    assert line.startswith("catalog.yaml: not YAML: ")


def test_text_nested_beyond_reason_is_told() -> None:
    (line, *_) = problems("[" * 100_000)
    assert line.startswith("catalog.yaml: not YAML: ")


def test_a_mapping_that_holds_itself_is_told() -> None:
    assert problems("a: &a {b: *a}")
    assert problems(changed("[small]", "&a [*a]"))


def test_a_number_as_a_key_is_told_on_its_line() -> None:
    (told,) = problems(changed("  plain:\n", "  4090:\n"))[:1]
    assert told.startswith("catalog.yaml:15: profiles.4090: ")


@given(st.text(max_size=60))
@settings(max_examples=40)
def test_any_text_is_a_catalog_or_a_config_error(text: str) -> None:
    assert problems(text)


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: the catalog cannot be read"):
        catalogs.load(tmp_path / "nowhere.yaml")


def test_a_file_that_is_no_text_is_told_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"catalog\.yaml: the catalog cannot be read"):
        catalogs.load(file)


def test_the_name_of_the_file_stands_in_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("a: 1\nb: 2\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        catalogs.load(file)
    assert all(line.startswith(f"{file}:") for line in str(error.value).splitlines())


# --- the reference ---


def rows() -> dict[str, str]:
    """The reference's rows: key, and the column that says its default."""
    matches = re.findall(
        r"^\| `([A-Za-z_.]+)` \| [^|]+ \| ([^|]+) \|",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return dict(matches)


def test_the_reference_has_every_key_and_no_other() -> None:
    assert set(rows()) == {key for key, _ in keys_of(catalogs._File)}


@pytest.mark.parametrize(("key", "required"), list(keys_of(catalogs._File)))
def test_the_reference_says_what_is_required(key: str, required: bool) -> None:
    assert (rows()[key] == "required") is required


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_first_example_of_the_reference_is_a_catalog() -> None:
    (example, *_) = examples()
    assert read(example).default_profile in yaml.safe_load(example)["profiles"]


def test_every_other_example_of_the_reference_fits_into_the_first() -> None:
    catalog, *entries = (content(each) for each in examples())
    strategies: set[Strategy] = set()
    sections: set[str] = set()
    for entry in entries:
        merged = catalog | {key: catalog.get(key, {}) | entry[key] for key in entry}
        text = yaml.safe_dump(merged, sort_keys=False)
        strategies |= {model.strategy for model in read(text).gpu_models.values()}
        sections |= set(entry)
    assert strategies == {Strategy.EXCLUSIVE, Strategy.MPS, Strategy.MIG}
    assert sections >= set(catalogs.CHANGEABLE)


def test_every_example_of_the_how_to_fits_into_the_sample() -> None:
    page = ROOT / "docs" / "howto" / "entitlements.md"
    sample = yaml.safe_load(TEXT)
    found = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 5
    for example in found:
        entry = content(example)
        merged = sample | {key: sample.get(key, {}) | entry[key] for key in entry}
        read(yaml.safe_dump(merged, sort_keys=False))


# --- what a deployment does not have ---


def test_what_is_not_here_is_marked_with_why() -> None:
    catalog = catalogs.parse(SMALL, name="catalog.yaml").catalog
    marked = catalogs.mark_unavailable(
        catalog, kinds={"vscode": "Not installed."}, images={"base": "Being built."}
    )
    assert marked.unavailable_kinds == {Kind.VSCODE: "Not installed."}
    assert marked.images["base"].unavailable == "Being built."
    assert catalog.images["base"].unavailable == ""


@pytest.mark.parametrize(
    ("kinds", "images", "message"),
    [
        (
            {"emacs": "No."},
            {},
            (
                "EugoSpawner.unavailable_kinds: there is no 'emacs'; "
                "known are: jupyterlab, vscode, custom"
            ),
        ),
        (
            {},
            {"nope": "No."},
            "EugoSpawner.unavailable_images: there is no 'nope'; known are: base",
        ),
        (
            {},
            {"base": " "},
            "EugoSpawner.unavailable_images: say why 'base' cannot be had; people read it",
        ),
    ],
    ids=["kind", "image", "no sentence"],
)
def test_a_wrong_mark_is_refused_by_its_setting(
    kinds: dict[str, str], images: dict[str, str], message: str
) -> None:
    catalog = catalogs.parse(SMALL, name="catalog.yaml").catalog
    with pytest.raises(ConfigError) as refused:
        catalogs.mark_unavailable(catalog, kinds=kinds, images=images)
    assert str(refused.value) == message
