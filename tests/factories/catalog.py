"""
A small catalog.

`H100` and `L4` are shareable, `A100` is handed out whole or as `A100-MIG` in sizes of 15, 29, 43
and 100 %, `T4` whole and throttled. The profile `notebook` (the default) has
CPU flavors and one image; `code` has two editors and three images; `gpu` has GPU flavors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from eugospawner.policy.catalog import (
    DEFAULT_QUEUE,
    Catalog,
    Flavor,
    FlavorGpu,
    GpuModel,
    Image,
    Kind,
    Limits,
    MigSize,
    Profile,
    Queue,
    Storage,
    Strategy,
)
from eugospawner.policy.limits import EACH, Quota
from eugospawner.policy.quota import HOUR_MS, Resource, Span, Subject, SubjectKind
from eugospawner.settings import mark_unavailable

GIB = 2**30


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


_Value = TypeVar("_Value", bound=_Keyed)


def a_gpu_model(key: str = "H100", **changes: Any) -> GpuModel:
    """A shareable model with 80 GiB, published as HAMi and devcluster do."""
    return replace(
        GpuModel(
            key=key,
            display_name=f"NVIDIA {key}",
            strategy=Strategy.CONSUMABLE_CAPACITY,
            device_class="gpu.example.test",
            driver="gpu.example.test",
            products=(f"NVIDIA {key} 80GB HBM3",),
            product_attribute="productName",
            memory_bytes=80 * GIB,
            sm_capacity="cores",
            sm_scale=100,
            memory_capacity="memory",
            distinct_attribute="uuid",
            device_type=None,
            mig_sizes=(),
        ),
        **changes,
    )


def a_mig_model(key: str = "A100-MIG", **changes: Any) -> GpuModel:
    """The A100 in slices, as NVIDIA's driver publishes them; those of one claim may be of one GPU."""
    return replace(
        a_gpu_model(
            key,
            strategy=Strategy.MIG,
            device_class="mig.nvidia.com",
            driver="gpu.nvidia.com",
            products=("NVIDIA A100 80GB HBM3",),
            sm_capacity=None,
            memory_capacity=None,
            distinct_attribute=None,
            mig_sizes=(
                MigSize(profile="1g.10gb", slices=1),
                MigSize(profile="2g.20gb", slices=2),
                MigSize(profile="3g.40gb", slices=3),
                MigSize(profile="7g.80gb", slices=7),
            ),
        ),
        **changes,
    )


def a_flavor(key: str = "cpu-2", **changes: Any) -> Flavor:
    """2 CPU and 8 GiB, no GPU."""
    return replace(
        Flavor(
            key=key,
            display_name=f"Flavor {key}",
            when_to_use="Exploration, small data",
            cpu_millicores=2000,
            memory_bytes=8 * GIB,
            gpu=None,
        ),
        **changes,
    )


def an_image(key: str = "base", **changes: Any) -> Image:
    """An image that runs JupyterLab."""
    return replace(
        Image(
            key=key,
            reference=f"registry.example/eugo/{key}:1.0",
            display_name=f"Image {key}",
            description="Python",
            kinds=frozenset({Kind.JUPYTERLAB}),
            framework="",
            web=None,
            unavailable="",
        ),
        **changes,
    )


def a_profile(key: str = "notebook", **changes: Any) -> Profile:
    """JupyterLab on a CPU flavor, eight hours at most."""
    return replace(
        Profile(
            key=key,
            display_name=f"Profile {key}",
            when_to_use="Exploration, small data",
            flavors=("cpu-2", "cpu-8"),
            images=("base",),
            kinds=(Kind.JUPYTERLAB,),
            idle_stop=timedelta(minutes=30),
            max_session=timedelta(hours=8),
            environment={},
            startup_script="",
        ),
        **changes,
    )


def a_queue(key: str = DEFAULT_QUEUE, **changes: Any) -> Queue:
    """A queue of no priority."""
    return replace(
        Queue(
            key=key,
            display_name=f"Queue {key}",
            description="Always available",
            priority=0,
            priority_class=f"eugo-{key}",
            preemptible=False,
        ),
        **changes,
    )


def a_quota(key: str = "gpu-month", **changes: Any) -> Quota:
    """Each user has 40 GPU hours per month."""
    return replace(
        Quota(
            key=key,
            subject=Subject(SubjectKind.USER, EACH),
            resource=Resource.GPU,
            span=Span.MONTH,
            gpu_model=None,
            amount=40 * 100 * HOUR_MS,
        ),
        **changes,
    )


def _by_key(values: Iterable[_Value]) -> dict[str, _Value]:
    return {value.key: value for value in values}


def a_catalog(**changes: Any) -> Catalog:
    """The world of the unit tests; see the module."""
    return replace(
        Catalog(
            gpu_models=_by_key(
                [
                    a_gpu_model("H100"),
                    a_gpu_model("L4", memory_bytes=24 * GIB, products=("NVIDIA L4",)),
                    a_gpu_model(
                        "A100",
                        strategy=Strategy.EXCLUSIVE,
                        device_class="gpu.nvidia.com",
                        driver="gpu.nvidia.com",
                        device_type="gpu",
                        memory_bytes=40 * GIB,
                        sm_capacity=None,
                        memory_capacity=None,
                        distinct_attribute=None,
                    ),
                    a_mig_model(),
                    a_gpu_model(
                        "T4",
                        strategy=Strategy.MPS,
                        device_class="gpu.nvidia.com",
                        driver="gpu.nvidia.com",
                        device_type="gpu",
                        products=("Tesla T4",),
                        memory_bytes=15 * GIB,
                        sm_capacity=None,
                        memory_capacity=None,
                        distinct_attribute=None,
                    ),
                ]
            ),
            flavors=_by_key(
                [
                    a_flavor("cpu-2"),
                    a_flavor("cpu-8", cpu_millicores=8000, memory_bytes=32 * GIB),
                    a_flavor("gpu-h100", gpu=FlavorGpu(model="H100", count=1)),
                    a_flavor("gpu-a100", gpu=FlavorGpu(model="A100", count=2)),
                ]
            ),
            images=_by_key(
                [
                    an_image("base"),
                    an_image("code", kinds=frozenset({Kind.VSCODE})),
                    an_image(
                        "pinned",
                        reference=f"registry.example/eugo/pinned@sha256:{'0123abcd' * 8}",
                        kinds=frozenset({Kind.JUPYTERLAB, Kind.VSCODE}),
                    ),
                ]
            ),
            profiles=_by_key(
                [
                    a_profile("notebook"),
                    a_profile(
                        "code",
                        images=("code", "base", "pinned"),
                        kinds=(Kind.VSCODE, Kind.JUPYTERLAB),
                        max_session=None,
                    ),
                    a_profile("gpu", flavors=("gpu-h100", "gpu-a100")),
                ]
            ),
            queues=_by_key([a_queue(), a_queue("batch", preemptible=True)]),
            default_profile="notebook",
            limits=Limits(
                min_cpu_millicores=100,
                max_cpu_millicores=16_000,
                min_memory_bytes=GIB // 2,
                max_memory_bytes=128 * GIB,
                max_gpu_count=4,
                max_volumes=3,
            ),
            storage=Storage(home_path="/home/user", home_bytes=10 * GIB, volume_bytes=5 * GIB),
            unavailable_kinds={},
            quotas=(),
            storage_quotas=(),
            max_session=timedelta(hours=24),
            zone="Europe/Berlin",
        ),
        **changes,
    )


def a_catalog_without(
    *, kinds: Mapping[str, str] | None = None, images: Mapping[str, str] | None = None
) -> Catalog:
    """The world of the unit tests where some editors or images are not there, and why."""
    return mark_unavailable(a_catalog(), kinds=kinds or {}, images=images or {})
