"""Requests, what is granted for them, and `decide` with a world around it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from eugospawner.policy.accounts import Accounts, Actor
from eugospawner.policy.admission import decide
from eugospawner.policy.capacity import UNKNOWN_CLUSTER, ClusterView
from eugospawner.policy.catalog import Catalog, GpuModel, Kind
from eugospawner.policy.decisions import Decision, Gpus, Grant, Mount
from eugospawner.policy.quota import NOTHING_USED, Amounts, Cell, Span, Subject, Usage, Used
from eugospawner.policy.requests import WorkspaceRequest
from eugospawner.policy.volumes import Volumes
from tests.factories.accounts import a_project, an_actor, some_accounts
from tests.factories.catalog import (
    GIB,
    a_catalog,
    a_flavor,
    a_gpu_model,
    a_profile,
    a_queue,
    an_image,
)
from tests.factories.volumes import some_volumes

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def a_request(**changes: Any) -> WorkspaceRequest:
    """Alice's default server with every word absent."""
    return replace(WorkspaceRequest(owner="alice"), **changes)


def decide_about(
    request: WorkspaceRequest | None = None,
    *,
    actor: Actor | None = None,
    catalog: Catalog | None = None,
    accounts: Accounts | None = None,
    usage: Usage = NOTHING_USED,
    owned_volumes: Volumes | None = None,
    cluster: ClusterView = UNKNOWN_CLUSTER,
    now: datetime = NOW,
    **words: Any,
) -> Decision:
    """Decide about *request*, or about a request with these *words*, in the default world."""
    return decide(
        request or a_request(**words),
        actor or an_actor(),
        catalog or a_catalog(),
        accounts or some_accounts(),
        usage,
        owned_volumes or some_volumes(),
        cluster,
        now,
    )


def some_usage(
    subject: Subject,
    *,
    span: Span = Span.AT_ONCE,
    start: str = "",
    gpu_model: str = "H100",
    **of: int,
) -> Usage:
    """What *subject* has reserved: held at once, or in the period that begins at *start*."""
    return Usage({Cell(subject, span, start, gpu_model): Used(reserved=Amounts(**of))})


def some_gpus(
    count: int = 1, sm_percent: int = 100, model: GpuModel | None = None, **changes: Any
) -> Gpus:
    """*count* H100 at *sm_percent* each, or GPUs of *model*, whose fields *changes* replace."""
    return Gpus(
        model=replace(model or a_gpu_model(), **changes), count=count, sm_percent=sm_percent
    )


def a_mount(key: str = "data", **changes: Any) -> Mount:
    """A new volume of 5 GiB."""
    return replace(
        Mount(key=key, mount_path=f"/mnt/{key}", claim_name=None, size_bytes=5 * GIB), **changes
    )


def a_grant(**changes: Any) -> Grant:
    """A CPU notebook of Alice."""
    return replace(
        Grant(
            owner="alice",
            workspace="",
            project=a_project(),
            profile=a_profile(),
            flavor=a_flavor(),
            kind=Kind.JUPYTERLAB,
            image=an_image(),
            queue=a_queue(),
            gpus=None,
            cpu_millicores=2000,
            memory_bytes=8 * GIB,
            mounts=(),
            root_shell=False,
        ),
        **changes,
    )
