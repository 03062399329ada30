"""Every refusal that the served description has of an operation really occurs at that operation."""

import pytest

from hub_services.common.problems import RULES, DoorReason
from hub_services.common.web import LARGEST_BODY
from tests.integration.quota.conftest import CATALOG
from tests.integration.quota.servers import NOW, serving

QUOTA = {"user": "bob", "gpu_hours": 40, "per": "month"}
WRONG = {"user": "bob", "gpu_hours": "many", "per": "month"}
INVITATION = {"email": "jane@example.org", "organization": "acme"}
OVERRIDE = {"hours": 200, "until": "2026-12-01T00:00+01:00", "reason": "x"}

#: Each operation as it is right: path with query, and body.
RIGHT = {
    "get_usage": ("/usage", None),
    "list_entries": ("/settings/quotas", None),
    "get_entry": ("/settings/quotas/gpu-each-month", None),
    "put_entry": ("/settings/quotas/mine", {"document": QUOTA, "reason": "x"}),
    "delete_entry": ("/settings/quotas/gpu-each-month?reason=x", None),
    "preview_entry": ("/settings/quotas/mine/preview", {"document": QUOTA}),
    "put_override": ("/quotas/gpu-each-month/override", OVERRIDE),
    "delete_override": ("/quotas/gpu-each-month/override?reason=x", None),
    "list_openings": ("/plans/research/openings", None),
    "explain": ("/explain", {"options": {}}),
    "try_out": (
        "/what-if",
        {"changes": [{"section": "quotas", "key": "x", "document": QUOTA}]},
    ),
    "list_invitations": ("/invitations", None),
    "create_invitation": ("/invitations", INVITATION),
    "send_invitation": ("/invitations/known/send", None),
    "revoke_invitation": ("/invitations/known", None),
    "export_catalog": ("/catalog", None),
    "diff_catalog": ("/catalog/diff", None),
    "list_audit": ("/audit", None),
}

#: Where the thing is not there, where settings would be wrong, and where somebody was faster.
NOT_FOUND = {
    "get_usage": ("/usage?project=nothing", None),
    "get_entry": ("/settings/quotas/nothing", None),
    "delete_entry": ("/settings/quotas/nothing?reason=x", None),
    "put_override": ("/quotas/nothing/override", OVERRIDE),
    "delete_override": ("/quotas/nothing/override?reason=x", None),
    "list_openings": ("/plans/nothing/openings", None),
    "list_invitations": ("/invitations?organization=nothing", None),
    "create_invitation": ("/invitations", INVITATION | {"organization": "nothing"}),
    "send_invitation": ("/invitations/nothing/send", None),
    "revoke_invitation": ("/invitations/nothing", None),
}
ALREADY_THERE = {
    "create_invitation": ("/invitations", INVITATION | {"email": "known@example.org"}),
    "send_invitation": ("/invitations/known/send", None),
    "revoke_invitation": ("/invitations/known", None),
}
SETTINGS_WRONG = {
    "put_entry": ("/settings/quotas/mine", {"document": WRONG, "reason": "x"}),
    "delete_entry": ("/settings/plans/research?reason=x", None),  # a project is bound to it
    "preview_entry": ("/settings/quotas/mine/preview", {"document": WRONG}),
    "put_override": ("/quotas/gpu-each-month/override", OVERRIDE | {"until": "soon"}),
    "create_invitation": ("/invitations", INVITATION | {"roles": ["nothing"]}),
    "delete_override": ("/quotas/unfit/override?reason=x", None),  # without it, it fits no more
    "try_out": (
        "/what-if",
        {"changes": [{"section": "quotas", "key": "x", "document": WRONG}]},
    ),
}
SETTINGS_CHANGED = {
    "put_entry": ("/settings/quotas/mine", {"document": QUOTA, "reason": "x", "revision": 1}),
    "delete_entry": ("/settings/quotas/gpu-each-month?reason=x&revision=1", None),
    "put_override": ("/quotas/gpu-each-month/override", OVERRIDE | {"revision": 1}),
    "delete_override": ("/quotas/gpu-each-month/override?reason=x&revision=1", None),
}


def described(service):
    """Yield operation, method and statuses as served."""
    paths = service.ask("GET", "/openapi.json", token=None).body["paths"]
    for methods in paths.values():
        for method, operation in methods.items():
            yield operation["operationId"], method.upper(), operation["responses"]


def those_with(service, reason):
    """Return the operations that are described to refuse for *reason*; never none."""
    status = str(RULES[reason][0])
    found = [
        (name, method)
        for name, method, answers in described(service)
        if f"`{reason}`" in answers.get(status, {}).get("description", "")
    ]
    assert found, f"no operation says that it refuses for {reason}"
    return found


def refused(answer, reason, name):
    assert answer.status == RULES[reason][0], (name, answer.text)
    assert answer.body["reason"] == reason, name


def test_each_operation_is_right_as_it_stands_here(service):
    service.ask("PUT", "/quotas/gpu-each-month/override", OVERRIDE)  # there is one to end
    methods = {name: method for name, method, _ in described(service)}
    assert methods.keys() == RIGHT.keys()
    for name in sorted(RIGHT, key=lambda name: name == "delete_entry"):  # others need the quota
        path, body = RIGHT[name]
        answer = service.ask(methods[name], path, body)
        assert answer.status == 200, (name, answer.text)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (DoorReason.NOT_SIGNED_IN, {"token": None}),
        (DoorReason.NOT_PERMITTED, {"token": "t-nowhere"}),
        (DoorReason.NOT_JSON, {"headers": {"Content-Type": "text/plain"}}),
        (DoorReason.TOO_LARGE, {"body": b" " * (LARGEST_BODY + 1)}),
        (DoorReason.MALFORMED, {}),
        (DoorReason.HUB_UNAVAILABLE, {}),
        (DoorReason.STORE_UNAVAILABLE, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_any_operation_may_refuse_each_does(service, reason, changes):
    operations = those_with(service, reason)
    if reason is DoorReason.HUB_UNAVAILABLE:
        service.is_down = True
    if reason is DoorReason.STORE_UNAVAILABLE:
        service.run(service.opened.aclose())
    for name, method in operations:
        path, body = RIGHT[name]
        sent = {"body": body, **changes}
        if reason is DoorReason.MALFORMED:
            surplus = f"{path}{'&' if '?' in path else '?'}surplus=1"
            path, sent["body"] = (surplus, None) if body is None else (path, [])
        refused(service.ask(method, path, **sent), reason, name)


@pytest.mark.parametrize(
    ("reason", "requests"),
    [
        (DoorReason.NOT_FOUND, NOT_FOUND),
        (DoorReason.SETTINGS_WRONG, SETTINGS_WRONG),
        (DoorReason.SETTINGS_CHANGED, SETTINGS_CHANGED),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_described_of_one_operation_it_does(service, reason, requests):
    service.ask("PUT", "/quotas/gpu-each-month/override", OVERRIDE)
    operations = those_with(service, reason)
    assert {name for name, _ in operations} == requests.keys()
    for name, method in sorted(operations, key=lambda each: each[0] == "delete_override"):
        path, body = requests[name]
        if "/unfit/" in path:  # the file lost the model that a change refers to
            unfit = QUOTA | {"gpu_model": "GONE", "override": OVERRIDE}
            put = service.store.changes.put("quotas", "unfit", unfit, actor="x", reason="x", at=NOW)
            service.run(put)
        refused(service.ask(method, path, body), reason, name)


def test_what_exists_or_happened_is_not_done_again(service):
    operations = those_with(service, DoorReason.ALREADY_THERE)
    assert {name for name, _ in operations} == ALREADY_THERE.keys()
    for name, method in sorted(operations):  # create, revoke, send
        path, body = ALREADY_THERE[name]
        if name == "revoke_invitation":
            assert service.ask(method, path).status == 200
        refused(service.ask(method, path, body), DoorReason.ALREADY_THERE, name)


def test_without_an_address_of_the_hub_no_link_is_made(sown, tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(sown.read_bytes())
    with serving(tmp_path, CATALOG, f"sqlite:///{path}", public_url="") as service:
        for name, method in those_with(service, DoorReason.NOT_SET_UP):
            where, body = RIGHT[name]
            refused(service.ask(method, where, body), DoorReason.NOT_SET_UP, name)
        assert "EUGO_PUBLIC_URL" in service.ask("POST", "/invitations", INVITATION).body["detail"]
