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
from typing import TYPE_CHECKING, Any, Final

from . import mig
from .quantities import amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .inventory import Driver, Gpu, Inventory, NodeGroup

    Identify = Callable[[int], str]

SHARING_DRIVER: Final = "gpu.devcluster.test"
NVIDIA_DRIVER: Final = "gpu.nvidia.com"
MIG_CLASS: Final = "mig.nvidia.com"

_MIB = 2**20
_BRAND = "Nvidia"
_VERSIONS = {"driverVersion": {"version": "570.172.8"}, "cudaDriverVersion": {"version": "12.8.0"}}


_MULTIPROCESSORS = 14
"""Of one compute slice of an A100."""


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
    yield {
        "name": f"gpu-{index}",
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": name},
            **_nvidia_attributes(gpu, index=index),
        },
        **_consumption(gpu, mig.WHOLE, index=index, start=0),
    }
    for words in gpu.mig:
        size = mig.profile(words, memory=gpu.memory)
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
    counters = _counters(gpu, mig.WHOLE, start=0)
    return {
        "name": f"gpu-{index}-counter-set",
        "counters": {name: {"value": value} for name, value in counters.items()},
    }


def _consumption(gpu: Gpu, size: mig.Profile, *, index: int, start: int) -> dict[str, Any]:
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


def _counters(gpu: Gpu, size: mig.Profile, *, start: int) -> dict[str, str]:
    total = int(amount(gpu.memory)) // _MIB
    return {
        "memory": f"{size.memory_mib * total // mig.MEMORY_MIB}Mi",
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
