"""The quota service beside the real hub: killed, started again, and what it charges."""

import asyncio
import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest

from eugospawner.store import open_store
from tests.contract.store.consistency import check_ledger_consistency
from tests.integration.hub.hub_process import hub_pid

pytestmark = pytest.mark.cluster


def service_pid(hub):
    """Return the service's process, a child of the hub; `None`: there is none at present."""
    parent = hub_pid(hub.demo)
    for task in Path(f"/proc/{parent}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"hub_services.quota" in words:
                return int(child)
    return None


def usage(hub, user):
    """Return the user's report; `None`: the service does not answer at present."""
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{hub.demo.ready['url']}/services/quota/api/v1/usage?user={user}",
        headers={"Authorization": f"token {hub.demo.ready['admin_token']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read())
    except OSError:
        return None


def settled(hub, user):
    report = usage(hub, user)
    return report and sum(line["gpu_settled"] for line in report["consumers"])


def check(hub, user):
    async def look():
        store = await open_store(f"sqlite:///{hub.demo.data / 'store.sqlite'}")
        try:
            await check_ledger_consistency(store, user)
        finally:
            await store.close()

    asyncio.run(look())


@pytest.mark.usefixtures("free_gpus")
def test_killed_it_is_started_again_and_charges_what_runs_once(hub):
    user = hub.new_user()
    hub.start_light(user, profile="nb-gpu-l4", sm_percent=25)
    hub.until_ready(user)
    (consumer,) = usage(hub, user)["consumers"]
    assert consumer["gpu_reserved"] > 0
    before = service_pid(hub)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    hub.until(lambda: service_pid(hub) not in {None, before}, "the service stays away")
    hub.until(lambda: settled(hub, user), "nothing is settled")
    check(hub, user)
    hub.stop(user)
    hub.until(lambda: not hub.objects("pods", user), "the Pod stays")
    check(hub, user)
    (consumer,) = usage(hub, user)["consumers"]
    assert consumer["gpu_reserved"] == 0
    (after,) = [line for line in usage(hub, user)["limits"] if line["key"] == "gpu-each-month"]
    assert (after["settled"], after["reserved"]) == (consumer["gpu_settled"], 0)
