"""Pods, sessions, servers and the rest with defaults: alice's workspace, an hour old, all in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from eugospawner.manifests import names
from eugospawner.policy.catalog import Kind
from eugospawner.store import NewSession, Session
from hub_services.common.hub import Server
from hub_services.reaper.observed import GpuClaim, Pod, Shape, Template, VolumeClaim

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
L4 = Shape(gpu_model="L4", gpu_count="1", sm_percent="50")


def a_new_session(**changes: Any) -> NewSession:
    values: dict[str, Any] = {
        "id": "s1",
        "owner": "alice",
        "workspace": "",
        "actor": "alice",
        "project": "alice",
        "profile": "nb-cpu-2",
        "flavor": "nb-cpu-2",
        "kind": Kind.JUPYTERLAB,
        "queue": "default",
        "image": "eugo/notebook",
        "gpu_model": None,
        "gpu_count": 0,
        "sm_percent": 0,
        "requested_percent": 0,
        "cpu_millicores": 2000,
        "memory_bytes": 2**31,
        "pod_name": "jupyter-alice",
        "admitted_at": NOW - HOUR,
    }
    return NewSession(**values | changes)


def a_session(**changes: Any) -> Session:
    known: dict[str, Any] = {
        "ends_at": NOW + 7 * HOUR,
        "ends_because": "max-session",
        "zone": "UTC",
        "reserved_from": NOW - HOUR,
        "bound_at": None,
        "granted_percent": None,
        "ended_at": None,
        "end_reason": None,
    }
    mine = {key: changes.pop(key) for key in list(changes) if key in known}
    new = a_new_session(**changes)
    return Session(**{name: getattr(new, name) for name in new.__slots__}, **known | mine)


def an_ended_session(**changes: Any) -> Session:
    return a_session(**{"ended_at": NOW - HOUR / 2, "end_reason": "stopped"} | changes)


def a_pod(**changes: Any) -> Pod:
    values: dict[str, Any] = {
        "name": "jupyter-alice",
        "uid": "uid-1",
        "session": "s1",
        "created_at": NOW - HOUR,
        "is_going": False,
    }
    return Pod(**values | changes)


def a_server(**changes: Any) -> Server:
    return Server(**{"owner": "alice", "name": "", "pending": None} | changes)


def a_template(**changes: Any) -> Template:
    values = {"name": "gpu-1", "uid": "uid-t", "shape": L4, "created_at": NOW - HOUR}
    return Template(**values | changes)


def a_volume_claim(**changes: Any) -> VolumeClaim:
    values: dict[str, Any] = {
        "uid": "uid-v",
        "owner": "alice",
        "key": "data",
        "size_bytes": 10 * 2**30,
        "is_going": False,
    } | changes
    values.setdefault("name", names.volume_claim_name(values["owner"], values["key"]))
    return VolumeClaim(**values)


def a_gpu_claim(**changes: Any) -> GpuClaim:
    values: dict[str, Any] = {
        "name": "jupyter-alice-gpu-x7k2f",
        "uid": "uid-c",
        "pod_uids": frozenset({"uid-1"}),
        "created_at": NOW - HOUR,
    }
    return GpuClaim(**values | changes)
