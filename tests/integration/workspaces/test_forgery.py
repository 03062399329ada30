"""
Forged requests at the workspaces service: what another site has somebody's browser send changes nothing.

As tests/integration/quota/test_forgery.py, for every operation that writes. The service has no page, but a browser that is
signed in to it has its cookie. Promise 8.
"""

import pytest

from hub_services.common.api import Route
from tests.integration.quota.forging import (
    WRITES,
    Deed,
    refused_whoever_forges,
    send,
    signed_in,
    tidy,  # noqa: F401 - a fixture
)

_PLACE = "api/v1/workspaces/alice/thesis"
DEEDS = {
    "create_workspace": Deed(method="POST", path="api/v1/workspaces", body={"server": "new"}),
    "create_ide": Deed(method="POST", path="api/v1/ide", body={"server": "new"}),
    "bulk_delete": Deed(
        method="POST", path="api/v1/bulk-delete",
        body={"workspaces": [{"owner": "alice", "server": "thesis"}]},
    ),
    "delete_workspace": Deed(method="DELETE", path=_PLACE),
    "put_options": Deed(method="PUT", path=f"{_PLACE}/options", body={"options": {}}),
    "start_workspace": Deed(method="POST", path=f"{_PLACE}/start", body={}),
    "stop_workspace": Deed(method="POST", path=f"{_PLACE}/stop", body={}),
    "keep_workspace": Deed(method="POST", path=f"{_PLACE}/keep", body={}),
    "extend_workspace": Deed(method="POST", path=f"{_PLACE}/extend", body={}),
    "switch_queue": Deed(method="POST", path=f"{_PLACE}/switch-queue", body={}),
    "reset_workspace": Deed(method="POST", path=f"{_PLACE}/reset", body={}),
    "suspend_workspace": Deed(method="POST", path=f"{_PLACE}/suspend", body={"reason": "x"}),
    "resume_workspace": Deed(method="POST", path=f"{_PLACE}/resume", body={}),
    "terminate_workspace": Deed(
        method="POST", path=f"{_PLACE}/terminate", body={"confirmation": "DELETE"}
    ),
}  # fmt: skip


def is_there(service):
    """Return all that a deed could change."""
    workspaces = service.run(service.store.workspaces.every(None))
    lines = service.run(service.store.audit.lines(limit=500))
    return workspaces, lines, list(service.hub_state.asked), service.woken


@pytest.mark.parametrize("name", DEEDS)
def test_nothing_is_done_that_was_forged_and_what_is_honest_is_judged(service, name):
    service.run(service.started("alice", "thesis", {}))
    victim, deed = signed_in(service, "t-alice"), DEEDS[name]
    before = is_there(service)
    refused_whoever_forges(service, victim, deed)
    assert is_there(service) == before
    around = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    answer = send(service, deed, victim.cookies, victim.token, around)
    # That it cannot be done in this state is a judgement, too; and the hub asks for a token of its own.
    assert answer.status in {200, 409}, answer.text


def test_every_operation_that_writes_has_a_row(service):
    found = {
        (operation.name, method)
        for rule in service.server.request_callback.wildcard_router.rules
        if rule.target is Route
        for method in WRITES
        if (operation := rule.target_kwargs["operations"].get(method))
    }
    assert found == {(name, deed.method) for name, deed in DEEDS.items()}
