"""
The catalog file: each line that is wrong stops the hub, with its line and a remedy (promise 7).

The sample catalog is mutated line by line, as an operator's slip would; the sample itself is
checked for the flavors and profiles that features and issue name (F48).
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from devcluster import mig
from eugospawner import settings as catalogs
from eugospawner.policy.admission import Admitted
from eugospawner.policy.catalog import Catalog, FlavorGpu, Kind, Strategy
from eugospawner.policy.errors import ConfigError
from tests.factories import GIB, decide_about

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
  limits: {min_cpu: 100m, max_cpu: 2, min_memory: 1Gi, max_memory: 2Gi, max_gpu_count: 0, max_volumes: 0}
  storage: {home_path: /home/user, home_size: 1Gi, volume_size: 1Gi}
"""


def read(text: str) -> Catalog:
    return catalogs.parse_catalog(text, name="catalog.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(text)
    return str(error.value).splitlines()


def changed(old: str, new: str, text: str = SMALL) -> str:
    assert old in text
    return text.replace(old, new, 1)


# --- the sample (F48) ---


@pytest.fixture(scope="module")
def sample() -> Catalog:
    return catalogs.load_catalog(SAMPLE)


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


def test_every_profile_of_the_sample_starts_as_it_stands(sample: Catalog) -> None:
    for key in sample.profiles:
        assert isinstance(decide_about(catalog=sample, profile=key), Admitted)


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
    assert catalog.default_profile == "plain"
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
        "28: defaults.limits.min_cpu: input should be greater than 0",
    ),
    "a home of no size": (
        "home_size: 1Gi",
        "home_size: 0",
        "29: defaults.storage.home_size: input should be greater than 0",
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
        "28: defaults.limits.min_cpu: is larger than max_cpu",
    ),
    "memory bounds the wrong way round": (
        "min_memory: 1Gi",
        "min_memory: 3Gi",
        "28: defaults.limits.min_memory: is larger than max_memory",
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
        ("29: defaults.storage.home_path: the path '/etc/home' would hide a folder of the system: "
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
    "more volumes than a Pod should have": (
        "max_volumes: 0",
        "max_volumes: 33",
        "28: defaults.limits.max_volumes: input should be less than or equal to 32",
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


@pytest.mark.parametrize(("number", "line"), list(lines_with_keys()))
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


@pytest.mark.parametrize(("number", "line"), list(lines_with_keys()))
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
@settings(max_examples=100)
def test_any_text_is_a_catalog_or_a_config_error(text: str) -> None:
    assert problems(text)


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: the catalog cannot be read"):
        catalogs.load_catalog(tmp_path / "nowhere.yaml")


def test_a_file_that_is_no_text_is_told_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"catalog\.yaml: the catalog cannot be read"):
        catalogs.load_catalog(file)


def test_the_name_of_the_file_stands_in_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("a: 1\nb: 2\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        catalogs.load_catalog(file)
    assert all(line.startswith(f"{file}:") for line in str(error.value).splitlines())


# --- the reference ---


def keys_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each key of *model* and below as the reference writes it, and whether it is required."""
    for name, each in model.model_fields.items():
        yield f"{path}{name}", each.is_required()
        for inner, below in models_in(each.annotation):
            yield from keys_of(inner, f"{path}{name}.{below}")


def models_in(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
    for argument in get_args(annotation):
        for inner, _ in models_in(argument):
            yield inner, "KEY." if "dict" in str(annotation) else ""


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


def test_every_other_example_of_the_reference_is_a_gpu_model() -> None:
    catalog, *entries = examples()
    strategies = set()
    for entry in entries:
        models = yaml.safe_load(catalog)["gpu_models"] | yaml.safe_load(entry)["gpu_models"]
        text = yaml.safe_dump(yaml.safe_load(catalog) | {"gpu_models": models}, sort_keys=False)
        strategies |= {model.strategy for model in read(text).gpu_models.values()}
    assert strategies == {Strategy.EXCLUSIVE, Strategy.MPS, Strategy.MIG}


# --- what a deployment does not have ---


def test_what_is_not_here_is_marked_with_why() -> None:
    catalog = catalogs.parse_catalog(SMALL, name="catalog.yaml")
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
    catalog = catalogs.parse_catalog(SMALL, name="catalog.yaml")
    with pytest.raises(ConfigError) as refused:
        catalogs.mark_unavailable(catalog, kinds=kinds, images=images)
    assert str(refused.value) == message
