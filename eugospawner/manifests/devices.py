"""
Devices: the cluster's GPUs and what is free of them, read from slices and claims.

The scheduler alone knows for sure; this is the advisory view that pages and admission show
(`policy.capacity`). A device counts with the slices of its pool's newest generation; its free
share is what no allocated claim consumes. Devices cut from one physical GPU (MIG) draw on shared
counters: while a part is in use, neither the whole nor a part that overlaps can be had. A device
is shown under every model that would claim it. Devices of a Node that takes no workspace do not
count, and those of one that takes none now are not free. Source: KEP-4381, KEP-4815, KEP-5075.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from eugospawner.manifests import allocation
from eugospawner.manifests.claims import mig
from eugospawner.manifests.placement import Reach
from eugospawner.policy import units
from eugospawner.policy.capacity import ClusterView, Device, Size
from eugospawner.policy.catalog import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eugospawner.policy.catalog import GpuModel

#: A Kubernetes object as JSON gives it.
Json = Any
#: Driver, pool and name: what identifies a device in the cluster.
_Identity: TypeAlias = tuple[str, str, str]
#: Driver, pool, counter set and name: what identifies a counter.
_CounterId: TypeAlias = tuple[str, str, str, str]
#: Amounts of counters in thousandths, as `units` counts.
_Amounts: TypeAlias = "Mapping[_CounterId, int]"

_WHOLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """
    A device as its driver publishes it.

    Attributes:
        needs: What it takes from the GPU that it is a part of.
    """

    identity: _Identity
    node: str
    device: Json
    needs: Mapping[_CounterId, int]

    @property
    def is_shareable(self) -> bool:
        return bool(self.device.get("allowMultipleAllocations"))

    def text(self, attribute: str) -> str | None:
        attributes = self.device.get("attributes") or {}
        value: str | None = (attributes.get(attribute) or {}).get("string")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """
    What drivers publish, sorted by model once: slices change seldom, claims at every start.

    Attributes:
        specs: Those of slices that are of their pool's newest generation.
        by_model: The devices that claims for a model would take, by the model's key.
    """

    models: Mapping[str, GpuModel]
    specs: Sequence[Json]
    published: tuple[_Published, ...]
    by_model: Mapping[str, tuple[_Published, ...]]

    @classmethod
    def of(cls, slices: Iterable[Json], models: Mapping[str, GpuModel]) -> Inventory:
        """Return what *slices* publish of *models*, in the order of the slices."""
        specs = _newest(slices)
        published = tuple(_devices(specs))
        return cls(
            models=models,
            specs=specs,
            published=published,
            by_model={
                key: tuple(each for each in published if _is(model, each))
                for key, model in models.items()
            },
        )

    def view(self, claims: Iterable[Json], reach: Mapping[str, Reach]) -> ClusterView:
        """
        Return the devices of each model with the share that *claims* leave free.

        Args:
            reach: Whether a Node takes workspaces, by its name; one that is not named does.
        """
        books = _books(self.specs, self.published, _used(claims, self.models))
        found: dict[str, tuple[Device, ...]] = {}
        for key, devices in self.by_model.items():
            model = self.models[key]
            within = [each for each in devices if reach.get(each.node) is not Reach.NEVER]
            make = _cut if model.strategy is Strategy.MIG else _uncut
            if made := tuple(make(model, within, books, reach)):
                found[key] = made
        return ClusterView(devices=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """What is used of devices and counters, and the counters' amounts with and without that."""

    used: Mapping[_Identity, int]
    total: _Amounts
    left: _Amounts


def _uncut(
    _model: GpuModel,
    devices: Iterable[_Published],
    books: _Books,
    reach: Mapping[str, Reach],
) -> Iterator[Device]:
    """Yield each device with the share of it that is free."""
    for each in devices:
        free = _WHOLE - books.used.get(each.identity, 0)
        if not each.is_shareable and (free < _WHOLE or not _together([each], books.left)):
            free = 0
        if reach.get(each.node) is Reach.LATER:
            free = 0
        yield Device(node=each.node, free_percent=max(free, 0))


def _cut(
    model: GpuModel,
    devices: Iterable[_Published],
    books: _Books,
    reach: Mapping[str, Reach],
) -> Iterator[Device]:
    """Yield each GPU that partitions of *model* are cut from, with its sizes."""
    gpus: defaultdict[tuple[str, str, str], list[_Published]] = defaultdict(list)
    for each in devices:
        driver, pool, name = each.identity
        gpus[driver, pool, each.text(mig.PARENT) or name].append(each)
    for parts in gpus.values():
        node = parts[0].node
        sizes = []
        for size in model.mig_sizes:
            these = [each for each in parts if each.text(mig.PROFILE) == size.profile]
            unused = [each for each in these if each.identity not in books.used]
            most, free = _together(these, books.total), _together(unused, books.left)
            if model.distinct_attribute is not None:
                most, free = min(most, 1), min(free, 1)  # the claim's others are of other GPUs
            if reach.get(node) is Reach.LATER:
                free = 0
            if most:
                sizes.append(Size(sm_percent=size.sm_percent, most=most, free=free))
        if sizes:
            largest = max((each.sm_percent for each in sizes if each.free), default=0)
            yield Device(node=node, free_percent=largest, sizes=tuple(sizes))


def _together(parts: Iterable[_Published], supply: _Amounts) -> int:
    """
    Return how many of *parts* can be had at once out of *supply*.

    Each that still fits is taken, which is the most where parts of one size do not overlap, as is
    the case with MIG; where they do, it is a cautious figure.
    """
    taken: Counter[_CounterId] = Counter()
    count = 0
    for part in parts:
        needs = part.needs
        if all(supply.get(each, 0) - taken[each] >= amount for each, amount in needs.items()):
            taken.update(needs)
            count += 1
    return count


def _newest(slices: Iterable[Json]) -> Sequence[Json]:
    """Return the specs of slices that are of their pool's newest generation."""
    listed = [each["spec"] for each in slices]
    newest: dict[tuple[str, str], int] = {}
    for spec in listed:
        pool = _pool(spec)
        newest[pool] = max(newest.get(pool, 0), spec["pool"].get("generation", 0))
    return [spec for spec in listed if spec["pool"].get("generation", 0) == newest[_pool(spec)]]


def _pool(spec: Json) -> tuple[str, str]:
    return spec["driver"], spec["pool"]["name"]


def _devices(specs: Iterable[Json]) -> Iterator[_Published]:
    for spec in specs:
        pool = _pool(spec)
        for device in spec.get("devices") or ():
            yield _Published(
                identity=(*pool, device["name"]),
                node=spec.get("nodeName") or device.get("nodeName") or spec["pool"]["name"],
                device=device,
                needs={
                    (*pool, each["counterSet"], name): _amount(counter["value"])
                    for each in device.get("consumesCounters") or ()
                    for name, counter in (each.get("counters") or {}).items()
                },
            )


def _books(
    specs: Iterable[Json], published: Sequence[_Published], used: Mapping[_Identity, int]
) -> _Books:
    declared = {
        (*_pool(spec), each["name"], name): _amount(counter["value"])
        for spec in specs
        for each in spec.get("sharedCounters") or ()
        for name, counter in (each.get("counters") or {}).items()
    }
    everything: Counter[_CounterId] = Counter()
    taken: Counter[_CounterId] = Counter()
    for each in published:
        everything.update(each.needs)
        if each.identity in used:
            taken.update(each.needs)
    return _Books(
        used=used,
        # While a driver publishes anew, devices may be seen before their counters: they are there
        # then, however many can be had at once, and none is free.
        total={**everything, **declared},
        left={counter: amount - taken[counter] for counter, amount in declared.items()},
    )


@lru_cache(maxsize=1024)
def _amount(quantity: str) -> int:
    # Partitions of all GPUs share a handful of amounts, and parsing is what takes the time.
    return units.parse_cpu(quantity)


def _is(model: GpuModel, published: _Published) -> bool:
    if published.identity[0] != model.driver:
        return False
    match model.strategy:
        case Strategy.CONSUMABLE_CAPACITY:
            fits = published.is_shareable
        case Strategy.EXCLUSIVE:
            fits = True
        case Strategy.MPS:
            fits = not published.is_shareable  # there the driver refuses MPS
        case Strategy.MIG:
            fits = published.text(mig.PROFILE) in {size.profile for size in model.mig_sizes}
        case _:
            assert_never(model.strategy)
    return (
        fits
        and published.text(model.product_attribute) in model.products
        and model.device_type in {None, published.text("type")}
    )


def _used(claims: Iterable[Json], models: Mapping[str, GpuModel]) -> dict[_Identity, int]:
    used: defaultdict[_Identity, int] = defaultdict(int)
    capacities = {model.driver: model for model in models.values() if model.sm_capacity}
    for claim in claims:
        if not allocation.is_allocated(claim):
            continue
        for result in claim["status"]["allocation"]["devices"]["results"]:
            if result.get("adminAccess"):
                continue  # looks at what others have, and takes nothing
            identity = (result["driver"], result["pool"], result["device"])
            model = capacities.get(result["driver"])
            used[identity] += (
                _WHOLE
                if model is None
                else allocation.percent_of(result.get("consumedCapacity"), model)
            )
    return used
