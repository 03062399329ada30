"""
Make of an inventory's GPUs what DRA drivers publish: devices, and counters that partitions share.

Two kinds, as in a real fleet. GPUs that may be shared belong to `gpu.devcluster.test`: each has 100
cores (percent of its SMs) and its memory as consumable capacity, the way HAMi's driver publishes
them, so that the scheduler itself keeps the books of shares. The others belong to `gpu.nvidia.com`
and look as NVIDIA's driver publishes them: whole, or with every MIG partition at every place where
it may lie, drawing on one set of counters so that those that overlap exclude each other.

Pure: the result is the file of `kube gpu-driver --devices` and of `kube nodes` (their README; a
test compares with their example). KEP-5075 (consumable capacity), KEP-4815 (partitionable devices).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .inventory import amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .inventory import Driver, Gpu, Inventory, NodeGroup

    Identify = Callable[[int], str]

SHARING_DRIVER: Final = "gpu.devcluster.test"
NVIDIA_DRIVER: Final = "gpu.nvidia.com"
MIG_CLASS: Final = "mig.nvidia.com"

_MIB = 2**20
_SLICES = 8
"""Memory slices of a GPU with MIG; it has 7 compute slices."""

_BRAND = "Nvidia"
_VERSIONS = {"driverVersion": {"version": "570.172.8"}, "cudaDriverVersion": {"version": "12.8.0"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A size of MIG partition, and where on the GPU it may lie."""

    number: int
    """NVIDIA's id of the profile."""

    compute: int
    """Compute slices, of 7."""

    memory: int
    """Memory slices, of 8."""

    media: bool = False
    """Whether it takes the GPU's one JPEG and optical-flow engine (`+me`)."""

    starts: tuple[int, ...]
    """Memory slices at which it may begin."""

    memory_mib: int
    """Of a GPU with `_MEMORY_MIB`; others in proportion."""

    decoders: int = 0


_MEMORY_MIB = 40448
_MULTIPROCESSORS = 14
"""Of one compute slice of an A100."""

_PROFILES: Final = (
    # `nvidia-smi mig -lgip` and -lgipp on an A100 40 GB.
    Profile(number=19, compute=1, memory=1, starts=(0, 1, 2, 3, 4, 5, 6), memory_mib=4864),
    Profile(
        number=20, compute=1, memory=1, media=True, starts=(0, 1, 2, 3, 4, 5, 6), memory_mib=4864,
        decoders=1,
    ),
    Profile(number=15, compute=1, memory=2, starts=(0, 2, 4, 6), memory_mib=9856, decoders=1),
    Profile(number=14, compute=2, memory=2, starts=(0, 2, 4), memory_mib=9984, decoders=1),
    Profile(number=9, compute=3, memory=4, starts=(0, 4), memory_mib=20096, decoders=2),
    Profile(number=5, compute=4, memory=4, starts=(0,), memory_mib=20096, decoders=2),
    Profile(
        number=0, compute=7, memory=8, media=True, starts=(0,), memory_mib=_MEMORY_MIB, decoders=5
    ),
)  # fmt: skip


def drivers(inventory: Inventory) -> list[dict[str, Any]]:
    """Return what the drivers of the Node that runs processes publish."""
    node = inventory.node.name

    def identify(index: int) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{index}.{node}.devcluster.test"))

    own = published(inventory.gpus, identify=identify)
    return [*own, *map(_verbatim, inventory.drivers)]


def node_group(group: NodeGroup) -> dict[str, Any]:
    """Return a group of the file of `kube nodes`."""
    entry: dict[str, Any] = {
        "prefix": group.prefix,
        "count": group.count,
        "labels": group.labels,
        "taints": list(group.taints),
        "capacity": {"cpu": group.cpu, "memory": group.memory, "pods": str(group.pods)},
        # $(NODE) becomes the Node's name, so that no two GPUs of the cluster are called the same.
        "drivers": published(group.gpus, identify="$(NODE)-{}".format),
    }
    if group.ready_after is not None:
        entry["readyAfter"] = group.ready_after
    return entry


def published(gpus: Iterable[Gpu], *, identify: Identify) -> list[dict[str, Any]]:
    """Return drivers with their devices; GPUs are numbered through, as on one machine."""
    shared: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    counters: list[dict[str, Any]] = []
    each = (gpu for gpu in gpus for _ in range(gpu.count))
    for index, gpu in enumerate(each):
        name = f"GPU-{identify(index)}"
        if gpu.shares:
            shared.append(_sharing(gpu, index=index, name=name))
        elif gpu.mig:
            counters.append(_counter_set(gpu, index=index))
            whole += _partitionable(gpu, index=index, name=name)
        else:
            whole.append(_exclusive(gpu, index=index, name=name))
    found = []
    if shared:
        found.append({"name": SHARING_DRIVER, "devices": shared})
    if whole:
        found.append({"name": NVIDIA_DRIVER, "sharedCounters": counters, "devices": whole})
    return found


def profile(gpu: Gpu, words: str) -> Profile:
    """
    Return what *words*, such as `2g.10gb`, mean on *gpu*.

    Raises:
        ValueError: Nothing; says what is known.
    """
    known = {_profile_name(gpu, candidate): candidate for candidate in _PROFILES}
    if words not in known:
        message = f"{gpu.product} has no MIG profile '{words}'; it has {', '.join(known)}"
        raise ValueError(message)
    return known[words]


def _profile_name(gpu: Gpu, profile: Profile) -> str:
    # Named after whole gigabytes: an eighth of 39.5 GiB is called 5gb.
    one = round(amount(gpu.memory) / 2**30 / _SLICES)
    extra = "+me" if profile.media and profile.compute < 7 else ""  # noqa: PLR2004  # a whole GPU has it anyway
    return f"{profile.compute}g.{one * profile.memory}gb{extra}"


def _verbatim(driver: Driver) -> dict[str, Any]:
    return {
        "name": driver.name,
        "devices": list(driver.devices),
        "sharedCounters": list(driver.shared_counters),
    }


def _sharing(gpu: Gpu, *, index: int, name: str) -> dict[str, Any]:
    def consumable(value: str, *, least: str) -> dict[str, Any]:
        return {
            "value": value,
            "requestPolicy": {
                # What a claim that says nothing gets: everything, as with HAMi.
                "default": value,
                "validRange": {"min": least, "max": value, "step": least},
            },
        }

    return {
        "name": f"gpu-{index}",
        "allowMultipleAllocations": True,
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": name},
            "minor": {"int": index},
            "productName": {"string": gpu.product},
            "brand": {"string": _BRAND},
            "architecture": {"string": gpu.architecture},
        },
        "capacity": {
            "cores": consumable("100", least="1"),
            "memory": consumable(gpu.memory, least="1Mi"),
        },
    }


def _exclusive(gpu: Gpu, *, index: int, name: str) -> dict[str, Any]:
    return {
        "name": f"gpu-{index}",
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": name},
            **_nvidia_attributes(gpu, index=index),
        },
        "capacity": {"memory": {"value": gpu.memory}},
    }


def _partitionable(gpu: Gpu, *, index: int, name: str) -> Iterator[dict[str, Any]]:
    """Yield the GPU as a whole, and each of its partitions at each place."""
    whole = profile_of_all()
    yield {
        "name": f"gpu-{index}",
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": name},
            **_nvidia_attributes(gpu, index=index),
        },
        **_consumption(gpu, whole, index=index, start=0),
    }
    for words in gpu.mig:
        size = profile(gpu, words)
        label = re.sub(r"[.]", "", words).replace("+", "-")
        for start in size.starts:
            yield {
                "name": f"gpu-{index}-mig-{label}-{size.number}-{start}",
                "attributes": {
                    "type": {"string": "mig"},
                    "parentUUID": {"string": name},
                    "profile": {"string": words},
                    **_nvidia_attributes(gpu, index=index),
                },
                **_consumption(gpu, size, index=index, start=start),
            }


def profile_of_all() -> Profile:
    """Return the profile that takes the whole GPU."""
    return _PROFILES[-1]


def _nvidia_attributes(gpu: Gpu, *, index: int) -> dict[str, Any]:
    return {
        "productName": {"string": gpu.product},
        "brand": {"string": _BRAND},
        "architecture": {"string": gpu.architecture},
        "cudaComputeCapability": {"version": gpu.compute_capability},
        **_VERSIONS,
        "addressingMode": {"string": "HMM"},
        "resource.kubernetes.io/pciBusID": {"string": f"0000:{0x10 + index:02x}:00.0"},
    }


def _counter_set(gpu: Gpu, *, index: int) -> dict[str, Any]:
    counters = _counters(gpu, profile_of_all(), start=0)
    return {
        "name": f"gpu-{index}-counter-set",
        "counters": {name: {"value": value} for name, value in counters.items()},
    }


def _consumption(gpu: Gpu, size: Profile, *, index: int, start: int) -> dict[str, Any]:
    """Return what a partition has, and what it takes from the GPU."""
    counters = _counters(gpu, size, start=start)
    return {
        "capacity": {
            _camel(name): {"value": value}
            for name, value in counters.items()
            if not name.startswith("memory-slice-")
        },
        "consumesCounters": [
            {
                "counterSet": f"gpu-{index}-counter-set",
                "counters": {name: {"value": value} for name, value in counters.items()},
            }
        ],
    }


def _counters(gpu: Gpu, size: Profile, *, start: int) -> dict[str, str]:
    total = int(amount(gpu.memory)) // _MIB
    return {
        "memory": f"{size.memory_mib * total // _MEMORY_MIB}Mi",
        "multiprocessors": str(_MULTIPROCESSORS * size.compute),
        "copy-engines": str(size.compute),
        "decoders": str(size.decoders),
        "encoders": "0",
        "jpeg-engines": str(int(size.media)),
        "ofa-engines": str(int(size.media)),
        **{f"memory-slice-{place}": "1" for place in range(start, start + size.memory)},
    }


def _camel(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(map(str.capitalize, others))
