"""
Forged requests at the export service: what another site has somebody's browser send takes nothing away.

As tests/integration/quota/test_forgery.py, for every route that writes. Promise 8.
"""

import pytest
from tornado.web import RequestHandler

from hub_services.common.api import Route
from hub_services.export import pages
from tests.integration.export.test_api import NOTEBOOK
from tests.integration.quota.forging import (
    WRITES,
    Deed,
    refused_whoever_forges,
    send,
    signed_in,
    tidy,  # noqa: F401 - a fixture
)
from tests.integration.quota.servers import NOW

KNOWN = "0" * 31 + "1"
#: An archive with nothing in it.
ARCHIVE = b"PK\x05\x06" + bytes(18)
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="workspace"\r\n\r\nalice/lab\r\n'
    b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.zip"\r\n\r\n'
    + ARCHIVE + b"\r\n--x--\r\n"
)  # fmt: skip
DEEDS = {
    "create_export": Deed(method="POST", path="api/v1/exports", body={"server": "lab"}),
    "revoke_export": Deed(method="DELETE", path=f"api/v1/exports/{KNOWN}"),
    "ExportsPage": Deed(method="POST", path="", form={"workspace": "alice/lab"}),
    "ExportPage": Deed(method="POST", path=f"exports/{KNOWN}", form={"x": "y"}),
    "create_share": Deed(
        method="POST", path="api/v1/shares", body={"export": KNOWN, "people": ["bob"]}
    ),
    "revoke_share": Deed(method="DELETE", path=f"api/v1/shares/{KNOWN}"),
    "RestoreRoute": Deed(
        method="POST",
        path="api/v1/restores?server=lab&folder=new",
        content=("application/zip", ARCHIVE),
    ),
    "RestorePage": Deed(
        method="POST", path="restore", content=("multipart/form-data; boundary=x", FORM)
    ),
    "measure_volume": Deed(method="POST", path="api/v1/volumes/alice/home/measure"),
    "resize_volume": Deed(
        method="PUT", path="api/v1/volumes/alice/home/size", body={"size": "20Gi"}
    ),
    "create_volume": Deed(
        method="POST", path="api/v1/volumes", body={"project": "vision", "key": "data"}
    ),
    "VolumesPage": Deed(method="POST", path="volumes", form={"project": "vision", "key": "data"}),
    "VolumePage": Deed(method="POST", path="volumes/alice/home", form={"action": "measure"}),
    "VolumePage resize": Deed(method="POST", path="volumes/alice/home", form={"size": "20Gi"}),
    "SharesPage": Deed(method="POST", path="shares", form={"export": KNOWN, "people": "bob"}),
    "SharesPage revoke": Deed(method="POST", path="shares", form={"action": "revoke", "id": KNOWN}),
}


def of_alice(service):
    found = [
        *service.run(service.store.exports.of_creator("alice")),
        *service.run(service.store.shares.of_creator("alice")),
    ]
    measures = service.run(service.store.measures.of_owner("alice"))
    return [
        *sorted(each.name for each in service.cluster.volume("alice").iterdir()),
        *((each.id, each.revoked_at) for each in found),
        *((each.volume, each.wanted_at) for each in measures.values()),
        service.cluster.claim("alice").size_bytes,
        *service.run(service.store.volumes.of_owner("project/vision")),
    ]


@pytest.mark.parametrize("name", DEEDS)
def test_nothing_is_done_that_was_forged_and_what_is_honest_is(service, name, monkeypatch):
    service.has_workspace("alice")
    monkeypatch.setattr(
        "hub_services.export.office.uuid.uuid4", lambda: type("U", (), {"hex": KNOWN})
    )
    if "resize" in name:
        document = {"organization": "acme", "role": "owner"}
        put = service.store.changes.put("people", "alice", document, actor="a", reason="x", at=NOW)
        service.run(put)
    if "share" in name.lower():
        put = service.store.changes.put
        for each in ("alice", "bob"):
            document = {"organization": "acme"}
            service.run(put("people", each, document, actor="ada", reason="x", at=NOW))
        (service.cluster.volume("alice") / "a.ipynb").write_bytes(NOTEBOOK)
        body = {"server": "lab", "folder": "a.ipynb", "format": "html"}
        service.ask("POST", "/exports", body, token="t-alice")
        service.sweep()
    if name in {"revoke_share", "SharesPage revoke"}:
        body = {"export": KNOWN, "people": ["bob"]}
        service.ask("POST", "/shares", body, token="t-alice")
    if name in {"revoke_export", "ExportPage"}:
        service.ask("POST", "/exports", {"server": "lab"}, token="t-alice")
    before = of_alice(service)
    victim = signed_in(service, "t-alice")
    deed = DEEDS[name]
    refused_whoever_forges(service, victim, deed)
    assert of_alice(service) == before
    mode = "navigate" if deed.form or name.endswith("Page") else "cors"
    around = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": mode}
    answer = send(service, deed, victim.cookies, victim.token, around)
    is_redirected = deed.form is not None
    assert answer.status == (303 if is_redirected else 200), answer.text
    assert of_alice(service) != before


def test_every_route_that_writes_has_a_row(service):
    found = set()
    for rule in service.server.request_callback.wildcard_router.rules:
        for method in WRITES:
            if rule.target is Route:
                operation = rule.target_kwargs["operations"].get(method)
                found |= {operation.name} if operation else set()
            elif getattr(rule.target, method.lower()) is not getattr(
                RequestHandler, method.lower()
            ):
                found.add(rule.target.__name__)
    assert found == {each.partition(" ")[0] for each in DEEDS}
    assert {pages.ExportsPage.__name__, pages.ExportPage.__name__} < found
