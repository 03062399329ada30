"""Values with defaults, and the checker of what must hold after every step."""

from datetime import UTC, datetime, timedelta

from eugospawner.policy.catalog import Kind
from eugospawner.store import NewSession, Session, Store
from tests.contract.store.consistency import check_ledger_consistency

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_session(session_id: str = "s1", **changes: object) -> NewSession:
    values: dict[str, object] = {
        "id": session_id,
        "owner": "alice",
        "workspace": "",
        "actor": "alice",
        "project": "alice",
        "profile": "nb-gpu-h100",
        "flavor": "nb-gpu-h100",
        "kind": Kind.JUPYTERLAB,
        "queue": "default",
        "image": "registry.example/notebook:1",
        "gpu_model": "H100",
        "gpu_count": 1,
        "sm_percent": 25,
        "requested_percent": 25,
        "cpu_millicores": 8000,
        "memory_bytes": 64 * 2**30,
        "pod_name": "jupyter-alice",
        "admitted_at": NOON,
    }
    return NewSession(**(values | changes))


async def check_sessions(store: Store, *owners: str) -> tuple[Session, ...]:
    """Check what holds for the sessions of *owners* whatever was done, and return them all."""
    every = [
        session for owner in owners for session in await store.sessions.history(owner, limit=10**6)
    ]
    open_ones = [session for session in every if session.ended_at is None]
    workspaces = [(session.owner, session.workspace) for session in open_ones]
    assert len(workspaces) == len(set(workspaces)), "two open sessions of a workspace"
    listed = {s.id for s in await store.sessions.open_sessions() if s.owner in owners}
    assert listed == {session.id for session in open_ones}
    for session in every:
        assert (session.ended_at is None) == (session.end_reason is None)
        assert (session.bound_at is None) == (session.granted_percent is None)
        for at in (session.bound_at, session.ended_at):
            assert at is None or at >= session.admitted_at
    await check_ledger_consistency(store)
    return tuple(every)
