"""The API through a socket: who may see and change what, and every refusal that is described."""

from datetime import timedelta

import pytest

from eugospawner.policy.quota import Fits
from eugospawner.store import Wish
from hub_services.common.problems import RULES, DoorReason
from hub_services.common.web import LARGEST_BODY
from tests.contract.store.values import a_session
from tests.factories.sessions import a_demand
from tests.integration.quota.servers import NOW

GPU_HOUR = 360_000_000


def reason_of(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.body
    assert body["status"] == answer.status
    assert body["type"] == f"urn:eugo:reason:{body['reason']}"
    assert RULES[DoorReason(body["reason"])][0] == answer.status
    return body["reason"]


def a_quota(hours=40, **changes):
    return {"user": "bob", "gpu_hours": hours, "per": "month", **changes}


# Usage


def test_everybody_sees_their_own_usage_as_admission_counts_it(service):
    report = service.ask("GET", "/usage", token="t-bob").body
    assert (report["subject"], report["title"]) == ("user:bob", "you")
    (month,) = [line for line in report["limits"] if line["key"] == "gpu-each-month"]
    assert month["settled"] + month["reserved"] == 136 * GPU_HOUR
    assert (month["percent"], month["tone"]) == (85, "warn")
    assert month["used"] == "136.00 of 160.00 GPU hours"
    assert report["warnings"] == [
        f"This month, you: 136.00 of 160.00 GPU hours (85 % used). Again from: {month['resets']}."
    ]
    consumers = report["consumers"]
    assert [(each["owner"], each["workspace"]) for each in consumers] == [
        ("bob", "training"), ("bob", "evaluation"),
    ]  # fmt: skip
    assert sum(each["gpu_settled"] for each in consumers) == 136 * GPU_HOUR
    assert sum(day["gpu"] for day in report["days"]) == 136 * GPU_HOUR
    assert report["days"][-1]["total_hours"] == "136.00"


@pytest.mark.parametrize(
    ("token", "query", "status"),
    [
        ("t-bob", "", 200),
        ("t-bob", "?user=bob", 200),
        ("t-bob", "?user=alice", 403),
        ("t-bob", "?project=vision", 200),
        ("t-bob", "?project=personal-bob", 200),
        ("t-bob", "?project=personal-alice", 404),
        ("t-bob", "?group=vision-lab", 200),
        ("t-bob", "?organization=acme", 404),
        ("t-alice", "?user=bob", 200),  # she owns Acme
        ("t-alice", "?organization=acme", 200),
        ("t-alice", "?organization=umbrella", 404),
        ("t-alice", "?project=course", 404),
        ("t-carol", "?user=bob", 403),
        ("t-new", "", 200),
        ("t-ada", "?user=anybody", 200),
        ("t-ada", "?organization=umbrella", 200),
        ("t-ada-small", "?user=bob", 403),  # a token that was made for less
        ("t-script", "?user=bob", 200),
        ("t-ada", "?project=nothing", 404),
        ("t-ada", "?group=nothing", 404),
        ("t-ada", "?organization=nothing", 404),
        ("t-ada", "?user=bob&project=vision", 400),
        ("t-ada", "?nobody=bob", 400),
        ("t-ada", "?user=bob&user=alice", 400),
        ("t-ada", "?user=%ff", 400),
        ("t-ada", "?user=", 400),
        ("t-ada", "?user=a%00b", 400),
    ],
)
def test_usage_is_seen_by_whom_it_concerns(service, token, query, status):
    answer = service.ask("GET", f"/usage{query}", token=token)
    assert answer.status == status
    if status != 200:
        reason_of(answer)


# Who asks


def test_without_a_token_nothing_is_said(service):
    answer = service.ask("GET", "/usage", token=None)
    assert (answer.status, reason_of(answer)) == (401, "not-signed-in")
    assert service.ask("GET", "/usage", token="t-unknown").status == 401
    assert service.ask("GET", "/usage", token="t-nowhere").status == 403


def test_a_token_that_is_taken_away_is_of_no_use_at_the_next_request(service):
    assert service.ask("GET", "/usage", token="t-bob").status == 200
    service.revoked.add("t-bob")
    assert service.ask("GET", "/usage", token="t-bob").status == 401


def test_while_the_hub_cannot_be_asked_nobody_comes_in(service):
    service.is_down = True
    answer = service.ask("GET", "/usage")
    assert (answer.status, reason_of(answer)) == (502, "hub-unavailable")


def test_while_the_store_is_away_the_answer_says_so(service):
    service.run(service.opened.aclose())
    answer = service.ask("GET", "/usage")
    assert (answer.status, reason_of(answer)) == (503, "store-unavailable")
    health = service.ask("GET", "health", token=None, api=False)
    assert (health.status, health.body["status"]) == (503, "failing")


# Settings


def test_a_quota_is_made_changed_and_removed_with_its_audit(service):
    made = service.ask("PUT", "/settings/quotas/mine", {"document": a_quota(), "reason": "new"})
    assert made.status == 200
    assert (made.body["before"], made.body["after"]) == (None, a_quota())
    assert made.body["effects"][0] == "quotas.mine is new."
    found = service.ask("GET", "/settings/quotas/mine").body
    assert found["entry"] == {
        "section": "quotas", "key": "mine", "document": a_quota(), "origin": "changed",
    }  # fmt: skip
    assert found["revision"] == made.body["revision"]
    service.ask("PUT", "/settings/quotas/mine", {"document": a_quota(50), "reason": "more"})
    gone = service.ask("DELETE", "/settings/quotas/mine?reason=enough")
    assert (gone.status, gone.body["after"]) == (200, None)
    assert service.ask("GET", "/settings/quotas/mine").status == 404
    lines = service.ask("GET", "/audit?about=quotas.mine").body["lines"]
    assert [(line["action"], line["actor"], line["reason"]) for line in lines] == [
        ("remove", "ada", "enough"), ("change", "ada", "more"), ("change", "ada", "new"),
    ]  # fmt: skip
    assert lines[1]["detail"] == {"before": a_quota(), "after": a_quota(50)}
    assert lines[0]["at"] == "2026-11-26T12:00:00Z"


def test_a_quota_counts_from_the_next_report_on(service):
    service.ask("PUT", "/settings/quotas/bobs", {"document": a_quota(200), "reason": "x"})
    limits = service.ask("GET", "/usage", token="t-bob").body["limits"]
    (line,) = [line for line in limits if line["key"] == "bobs"]
    assert line["used"] == "136.00 of 200.00 GPU hours"


def test_an_override_holds_until_it_ends(service):
    """F101: amount, expiry and reason; it ends by itself."""
    override = {"hours": 240, "until": "2026-11-28T00:00+01:00", "reason": "the conference"}
    given = service.ask("PUT", "/quotas/gpu-each-month/override", override)
    assert given.status == 200

    def bobs_month():
        limits = service.ask("GET", "/usage", token="t-bob").body["limits"]
        return next(line for line in limits if line["key"] == "gpu-each-month")

    month = bobs_month()
    assert month["used"] == "136.00 of 240.00 GPU hours"
    assert month["override"] == {
        "amount": "240.00 GPU hours",
        "until": "2026-11-27T23:00:00Z",
        "reason": "the conference",
    }
    service.clock.time = NOW + timedelta(days=2)
    assert (bobs_month()["used"], bobs_month()["override"]) == ("136.00 of 160.00 GPU hours", None)
    service.clock.time = NOW
    ended = service.ask("DELETE", "/quotas/gpu-each-month/override?reason=over")
    assert ended.status == 200
    assert bobs_month()["override"] is None
    again = service.ask("DELETE", "/quotas/gpu-each-month/override?reason=over")
    assert (again.status, reason_of(again)) == (404, "not-found")


@pytest.mark.parametrize(
    "body",
    [
        {"hours": 1, "until": "tomorrow", "reason": "x"},
        {"hours": 1, "until": "2026-11-28T00:00", "reason": "x"},
        {"storage": "1Gi", "until": "2026-11-28T00:00Z", "reason": "x"},
        {"until": "2026-11-28T00:00Z", "reason": "x"},
    ],
    ids=["no time", "no zone", "another resource", "no amount"],
)
def test_an_override_that_makes_no_sense_is_refused_with_the_field(service, body):
    answer = service.ask("PUT", "/quotas/gpu-each-month/override", body)
    assert (answer.status, reason_of(answer)) == (422, "settings-wrong")
    assert "quotas.gpu-each-month" in answer.body["detail"]


def test_of_two_admins_who_change_the_same_settings_the_second_is_told(service):
    seen = service.ask("GET", "/settings/quotas/gpu-each-month").body["revision"]
    change = {"document": a_quota(1), "reason": "x", "revision": seen}
    assert service.ask("PUT", "/settings/quotas/a", change).status == 200
    answer = service.ask("PUT", "/settings/quotas/b", change)
    assert (answer.status, reason_of(answer)) == (409, "settings-changed")
    assert service.ask("GET", "/settings/quotas/b").status == 404


def test_settings_that_fit_the_file_no_more_are_mended_entry_by_entry(service):
    """The file lost what two changes refer to; everything else stands still, and this goes on."""
    for key in ("one", "two"):
        put = service.store.changes.put(
            "quotas", key, {"user": "*", "gpu_hours": 1, "gpu_model": "GONE", "per": "day"},
            actor="x", reason="x", at=NOW,
        )  # fmt: skip
        service.run(put)
    answer = service.ask("GET", "/usage", token="t-bob")
    assert (answer.status, reason_of(answer)) == (503, "store-unavailable")
    assert "quotas.one.gpu_model: there is no 'GONE'" in answer.body["detail"]
    found = {each["key"] for each in service.ask("GET", "/settings/quotas").body["entries"]}
    assert {"one", "two"} <= found
    worse = a_quota(1, gpu_model="GONE")
    assert (
        service.ask("PUT", "/settings/quotas/three", {"document": worse, "reason": "x"}).status
        == 422
    )
    assert service.ask("DELETE", "/settings/quotas/one?reason=mend").status == 200
    assert service.ask("GET", "/usage", token="t-bob").status == 503
    mended = {"document": a_quota(1, gpu_model="L4"), "reason": "mend"}
    assert service.ask("PUT", "/settings/quotas/two", mended).status == 200
    assert service.ask("GET", "/usage", token="t-bob").status == 200


def test_an_entry_that_is_too_large_is_refused_as_that(service):
    document = {
        "display_name": "x",
        "flavors": ["std-2x8"],
        "images": ["base-notebook"],
        "when_to_use": "y",
    }
    document["environment"] = {f"V{number}": "ö" * 400 for number in range(170)}
    answer = service.ask("PUT", "/settings/profiles/large", {"document": document, "reason": "x"})
    assert (answer.status, reason_of(answer)) == (413, "too-large")


def test_who_may_change_an_entry_may_see_it(service):
    """Managers bind plans: they must see what they bind them to."""
    project = service.ask("GET", "/settings/projects/vision", token="t-alice")
    assert project.status == 200
    assert service.ask("GET", "/settings/projects/vision", token="t-bob").status == 403
    listed = service.ask("GET", "/settings/projects", token="t-alice").body["entries"]
    assert [each["key"] for each in listed] == ["vision"]
    quota = {"document": {"project": "vision", "gpu_hours": 9, "per": "day"}, "reason": "x"}
    assert service.ask("PUT", "/settings/quotas/v", quota, token="t-alice").status == 200
    listed = service.ask("GET", "/settings/quotas", token="t-alice").body["entries"]
    assert [each["key"] for each in listed] == ["v"]
    assert service.ask("GET", "/settings/plans", token="t-alice").status == 403


def test_a_preview_says_what_would_be_and_changes_nothing(service):
    plan = service.ask("GET", "/settings/plans/research").body
    narrower = {**plan["entry"]["document"], "gpu_models": ["L4"]}
    answer = service.ask("POST", "/settings/plans/research/preview", {"document": narrower})
    assert "It concerns the projects Vision." in answer.body["effects"]
    assert "It concerns the personal projects of alice." in answer.body["effects"]
    assert answer.body["effects"][0].startswith("gpu_models: ")
    assert service.ask("GET", "/settings/plans/research").body == plan


def put(service, path, by="t-ada", **changes):
    """Change some keys of the entry at *path*."""
    document = {**service.ask("GET", path).body["entry"]["document"], **changes}
    return service.ask("PUT", path, {"document": document, "reason": "x"}, token=by)


def test_an_admin_of_an_organization_makes_nobody_its_owner_and_unmakes_none(service):
    assert put(service, "/settings/people/bob", role="admin").status == 200
    for name, role in (("bob", "owner"), ("bob", ["admin", "owner"]), ("alice", "member")):
        answer = put(service, f"/settings/people/{name}", "t-bob", role=role)
        assert answer.status == 403
        assert "Ask an organization owner or a platform admin." in answer.body["detail"]
    assert put(service, "/settings/people/bob", "t-bob", role="viewer").status == 200
    # From the next request on, and without a new token.
    assert put(service, "/settings/people/bob", "t-bob", role="admin").status == 403


def test_what_the_identity_provider_says_is_changed_there(service):
    assert put(service, "/settings/people/bob", provided=["role"]).status == 200
    answer = put(service, "/settings/people/bob", "t-alice", role="viewer")
    assert (answer.status, reason_of(answer)) == (403, "not-permitted")
    assert "your identity provider, which says this one" in answer.body["detail"]


def test_a_notebook_admin_sets_quotas_and_profiles_and_no_plans(service):
    """F107; F106: plans and root containers are for platform admins."""
    assert put(service, "/settings/people/carol", role=["member", "notebook.admin"]).status == 200
    quota = {"document": {"user": "bob", "gpu_hours": 9, "per": "day"}, "reason": "x"}
    assert service.ask("PUT", "/settings/quotas/bobs", quota, token="t-carol").status == 200
    assert put(service, "/settings/profiles/std-2x8", "t-carol", idle_stop="15min").status == 200
    assert service.ask("GET", "/usage?user=alice", token="t-carol").status == 200
    for path, changes in (
        ("/settings/plans/research", {"at_once": {"gpus": 99}}),
        ("/settings/projects/vision", {"may_run_as_root": True}),
        ("/settings/people/carol", {"role": "owner"}),
    ):
        answer = put(service, path, "t-carol", **changes)
        assert (answer.status, reason_of(answer)) == (403, "not-permitted")
        assert "platform admin" in answer.body["detail"]


@pytest.mark.parametrize("path", ["/usage", "/usage?user=bob"])
def test_a_token_that_may_look_may_look_at_its_owner_s(service, path):
    assert service.ask("GET", path, token="t-bob-small").status == 200


@pytest.mark.parametrize("path", ["/usage?project=vision", "/usage?group=vision-lab"])
def test_a_token_that_was_made_for_one_person_sees_no_group(service, path):
    assert service.ask("GET", path, token="t-bob").status == 200
    assert service.ask("GET", path, token="t-bob-small").status == 404


def test_settings_that_would_make_no_sense_are_refused_in_the_words_of_the_file(service):
    answer = service.ask(
        "PUT", "/settings/projects/vision",
        {"document": {"display_name": "V", "group": "vision-lab", "plan": "serious"}, "reason": "x"},
    )  # fmt: skip
    assert (answer.status, reason_of(answer)) == (422, "settings-wrong")
    detail = answer.body["detail"]
    assert detail == "projects.vision.plan: there is no 'serious'; known are: research, teaching"
    for section, key in (("plans", "research"), ("organizations", "acme")):
        gone = service.ask("DELETE", f"/settings/{section}/{key}?reason=x")
        assert gone.status == 422, "others refer to it"


@pytest.mark.parametrize(
    ("token", "method", "path", "body", "status"),
    [
        # Leaders of the organization change quotas of its projects, and no others.
        ("t-alice", "PUT", "/settings/quotas/v", {"project": "vision", "gpu_hours": 9, "per": "day"}, 200),
        ("t-alice", "PUT", "/settings/quotas/v", {"project": "personal-bob", "gpu_hours": 9, "per": "day"}, 200),
        ("t-alice", "PUT", "/settings/quotas/v", {"project": "course", "gpu_hours": 9, "per": "day"}, 403),
        ("t-alice", "PUT", "/settings/quotas/v", {"project": "*", "gpu_hours": 9, "per": "day"}, 403),
        ("t-alice", "PUT", "/settings/quotas/v", {"user": "bob", "gpu_hours": 9, "per": "day"}, 403),
        ("t-alice", "PUT", "/settings/quotas/gpu-each-month", {"project": "vision", "gpu_hours": 9, "per": "day"}, 403),
        ("t-bob", "PUT", "/settings/quotas/v", {"project": "vision", "gpu_hours": 9, "per": "day"}, 403),
        ("t-bob", "PUT", "/settings/quotas/v", {"project": "personal-bob", "gpu_hours": 9, "per": "day"}, 403),
        # Managers bind plans, and change nothing else of their project.
        ("t-alice", "PUT", "/settings/projects/vision", {"plan": "teaching"}, 200),
        ("t-alice", "PUT", "/settings/projects/vision", {"plan": "teaching", "may_run_as_root": True}, 403),
        ("t-bob", "PUT", "/settings/projects/vision", {"plan": "teaching"}, 403),
        ("t-carol", "PUT", "/settings/projects/vision", {"plan": "teaching"}, 403),
        ("t-alice", "PUT", "/settings/plans/research", {"at_once": {"gpus": 99}}, 403),
        ("t-alice", "PUT", "/settings/people/alice", {"personal": {"plan": "research"}}, 403),
        # A token acts for what it was made for, and no more.
        ("t-alice-small", "PUT", "/settings/projects/vision", {"plan": "teaching"}, 403),
        ("t-alice-small", "PUT", "/settings/people/bob", {"role": "viewer"}, 403),
        # Leaders give roles to the people of their organization, and change nothing else of them.
        ("t-alice", "PUT", "/settings/people/bob", {"role": "viewer"}, 200),
        ("t-alice", "PUT", "/settings/people/bob", {"role": ["viewer", "IDE_MANAGE"]}, 200),
        ("t-alice", "PUT", "/settings/people/bob", {"role": "owner"}, 200),
        ("t-alice", "PUT", "/settings/people/bob", {"role": "notebook.admin"}, 403),
        ("t-alice", "PUT", "/settings/people/bob", {"role": "member", "groups": []}, 403),
        ("t-alice", "PUT", "/settings/people/bob", {"organization": "umbrella"}, 403),
        ("t-alice", "PUT", "/settings/people/bob", {"personal": {"plan": "research"}}, 403),
        ("t-alice", "PUT", "/settings/people/carol", {"role": "viewer"}, 403),
        ("t-alice", "PUT", "/settings/people/nobody", {"organization": "acme"}, 403),
        ("t-bob", "PUT", "/settings/people/bob", {"role": "owner"}, 403),
        ("t-bob", "PUT", "/settings/people/alice", {"role": "viewer"}, 403),
        # They make roles of the permissions that there are, and change nothing else of who pays.
        ("t-alice", "PUT", "/settings/organizations/acme", {"roles": {"launcher": {"display_name": "L", "permissions": ["deploy"]}}}, 200),
        ("t-alice", "PUT", "/settings/organizations/acme", {"payment_method": "none", "roles": {}}, 403),
        ("t-alice", "PUT", "/settings/organizations/umbrella", {"roles": {}}, 403),
        ("t-bob", "PUT", "/settings/organizations/acme", {"roles": {}}, 403),
        ("t-alice", "PUT", "/settings/profiles/std-2x8", {"idle_stop": "15min"}, 403),
        ("t-ada-small", "PUT", "/settings/plans/research", {"at_once": {"gpus": 99}}, 403),
        ("t-ada", "PUT", "/settings/plans/research", {"at_once": {"gpus": 99}}, 200),
        ("t-script", "PUT", "/settings/plans/research", {"at_once": {"gpus": 99}}, 200),
    ],
)  # fmt: skip
def test_settings_are_changed_by_those_who_may(service, token, method, path, body, status):
    before = service.ask("GET", path)
    document = {**(before.body["entry"]["document"] if before.status == 200 else {}), **body}
    if path.startswith("/settings/quotas"):
        document = body
    answer = service.ask(method, path, {"document": document, "reason": "x"}, token=token)
    assert answer.status == status
    after = service.ask("GET", path)
    if status == 403:
        assert reason_of(answer) == "not-permitted"
        assert after.body == before.body
    else:
        assert after.body["entry"]["document"] == document


@pytest.mark.parametrize(
    "path",
    ["/settings/plans", "/settings/plans/research", "/audit", "/catalog", "/catalog/diff"],
)
def test_only_who_steers_sees_the_settings_and_their_audit(service, path):
    for token, status in (("t-ada", 200), ("t-script", 200), ("t-alice", 403), ("t-new", 403)):
        assert service.ask("GET", path, token=token).status == status


def test_the_catalog_comes_out_as_a_file_that_the_hub_would_read(service, tmp_path):
    from eugospawner import settings  # noqa: PLC0415 - of this test alone

    service.ask("PUT", "/settings/quotas/mine", {"document": a_quota(), "reason": "new"})
    text = service.ask("GET", "/catalog").body["yaml"]
    path = tmp_path / "exported.yaml"
    path.write_text(text, "utf-8")
    exported = settings.load(path)
    assert "mine" in {quota.key for quota in exported.catalog.quotas}
    assert "vision" in exported.directory.projects


def test_the_difference_to_the_file_is_every_entry_that_is_not_as_there(service):
    quota = {"user": "*", "gpu_hours": 80, "per": "month"}
    service.ask("PUT", "/settings/quotas/gpu-each-month", {"document": quota, "reason": "less"})
    service.ask("DELETE", "/settings/quotas/l40s-each-month?reason=gone")
    found = {
        (each["section"], each["key"]): each
        for each in service.ask("GET", "/catalog/diff").body["drifts"]
    }
    changed = found["quotas", "gpu-each-month"]
    assert (changed["kind"], changed["file"]["gpu_hours"], changed["now"]) == (
        "changed",
        160,
        quota,
    )
    assert found["quotas", "l40s-each-month"]["kind"] == "removed"
    assert found["projects", "vision"]["kind"] == "added"
    assert ("quotas", "volumes-each-project") not in found


# Questions


def test_openings_are_the_next_ten_and_the_one_that_is_now(service):
    answer = service.ask("GET", "/plans/research/openings", token="t-bob").body
    assert (answer["is_open"], len(answer["openings"])) == (True, 10)
    assert answer["queues"] == ["research-high", "research-batch"]
    closed = service.ask("GET", "/plans/teaching/openings?count=3", token="t-carol").body
    assert (closed["is_open"], len(closed["openings"])) == (False, 3)
    ends = [each["closes_at"] for each in answer["openings"]]
    assert ends == sorted(ends)
    assert service.ask("GET", "/plans/teaching/openings", token="t-bob").status == 404
    assert service.ask("GET", "/plans/none/openings").status == 404


def test_what_is_explained_is_what_would_be_decided(service):
    options = {"profile": "nb-gpu-l40s"}
    answer = service.ask("POST", "/explain", {"options": options}, token="t-alice").body
    assert answer["outcome"] == "refused"
    assert answer["sentence"].startswith("alice has used or reserved 40.00 of 40.00 L40S hours")
    refused = [step for step in answer["steps"] if not step["passed"]]
    assert [step["rule"] for step in refused] == ["Is enough left of what may be used?"]
    assert refused[0]["refusals"][0]["reason"] == "quota-exhausted"
    starts = service.ask("POST", "/explain", {"options": answer["nearest"]}, token="t-alice").body
    assert starts["outcome"] == "starts"
    assert all(step["passed"] for step in starts["steps"])
    assert "Ends" in {fact["label"] for fact in starts["facts"]}


def test_words_that_are_none_are_explained_before_any_rule(service):
    answer = service.ask("POST", "/explain", {"options": {"colour": "red"}}, token="t-bob").body
    (step,) = answer["steps"]
    assert (step["passed"], step["refusals"][0]["reason"]) == (False, "unknown-option")


def test_only_who_may_see_somebody_may_ask_for_them(service):
    for token, status in (("t-ada", 200), ("t-alice", 200), ("t-carol", 403)):
        answer = service.ask("POST", "/explain", {"user": "bob"}, token=token)
        assert answer.status == status
        assert status == 403 or answer.body["outcome"] == "starts"


def test_changes_are_tried_on_what_was_asked_and_nothing_is_changed(service):
    changes = [{"section": "quotas", "key": "x", "document": a_quota(0)}]
    before = service.ask("GET", "/catalog").body
    answer = service.ask("POST", "/what-if", {"changes": changes}).body
    denied = answer["lines"]
    assert answer["sentences"] == [
        f"It would have denied {len(denied)} starts of 1 user.",
        f"Reasons of the denials: quota-exhausted ({len(denied)}).",
    ]
    assert len(denied) > 20
    assert {(each["owner"], each["kind"]) for each in denied} == {("bob", "denied")}
    assert (answer["skipped"], answer["is_complete"]) == (0, True)
    changes = [{"section": "quotas", "key": "x", "document": a_quota(500)}]
    ample = service.ask("POST", "/what-if", {"changes": changes}).body
    assert ample["sentences"] == ["It would have changed nothing."]
    assert (ample["requests"], ample["lines"]) == (answer["requests"], [])
    assert service.ask("GET", "/catalog").body == before
    wrong = [{"section": "quotas", "key": "x", "document": {"user": "bob"}}]
    assert service.ask("POST", "/what-if", {"changes": wrong}).status == 422
    assert service.ask("POST", "/what-if", {"changes": changes}, token="t-alice").status == 403


# The doors themselves


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "reason"),
    [
        ("POST", "/usage", {}, {}, "method-not-allowed"),
        ("PATCH", "/settings/quotas/x", {}, {}, "method-not-allowed"),
        ("GET", "/nothing", None, {}, "not-found"),
        ("GET", "/settings/defaults", None, {}, "malformed"),
        ("PUT", "/settings/quotas/x", b"{", {}, "malformed"),
        ("PUT", "/settings/quotas/x", [], {}, "malformed"),
        ("PUT", "/settings/quotas/x", {"document": {}}, {}, "malformed"),
        ("PUT", "/settings/quotas/x", {"document": {}, "reason": " "}, {}, "malformed"),
        ("PUT", "/settings/quotas/x", {"document": {}, "reason": "x", "revision": True}, {}, "malformed"),
        ("PUT", "/settings/quotas/x", {"document": {}, "reason": "x", "more": 1}, {}, "malformed"),
        ("PUT", "/settings/quotas/x", b"document=1", {"Content-Type": "text/plain"}, "not-json"),
        ("PUT", "/settings/quotas/x", b" " * (LARGEST_BODY + 1), {}, "too-large"),
        ("DELETE", "/settings/quotas/gpu-each-month", None, {}, "malformed"),
        ("GET", "/settings/quotas/x?key=y", None, {}, "malformed"),
        ("GET", "/audit?limit=0", None, {}, "malformed"),
        ("GET", "/audit?about=a%00", None, {}, "malformed"),
        ("PUT", "/settings/quotas/a%00", {"document": {}, "reason": "x"}, {}, "malformed"),
        ("PUT", "/settings/quotas/a", {"document": {}, "reason": "a\0b"}, {}, "malformed"),
        ("GET", "/audit?limit=9999", None, {}, "malformed"),
        ("POST", "/what-if", {"changes": []}, {}, "malformed"),
    ],
)  # fmt: skip
def test_what_is_not_as_described_is_refused_with_the_field(
    service, method, path, body, headers, reason
):
    answer = service.ask(method, path, body, headers=headers)
    assert reason_of(answer) == reason
    if reason == "malformed":
        assert answer.body["errors"]
        assert all(each["field"] and each["detail"] for each in answer.body["errors"])


def test_a_fault_of_ours_shows_nothing_of_itself(service, monkeypatch):
    from hub_services.quota.office import Office  # noqa: PLC0415 - of this test alone

    async def broken(*_arguments):
        message = "secret"
        raise RuntimeError(message)

    monkeypatch.setattr(Office, "settings", broken)
    answer = service.ask("GET", "/usage")
    assert (answer.status, reason_of(answer)) == (500, "failed")
    assert "secret" not in answer.text


def test_metrics_are_for_who_may_read_them(service):
    service.run(service.sweeper.sweep_once())
    answer = service.ask("GET", "metrics", token="t-script", api=False)
    assert answer.status == 200
    assert "eugo_quota_running 3.0" in answer.text
    assert 'eugo_quota_sweeps_total{outcome="done"} 1.0' in answer.text
    assert service.ask("GET", "metrics", token="t-ada", api=False).status == 403
    assert service.ask("GET", "metrics", token=None, api=False).status == 401


def test_health_says_when_nobody_can_tell_who_acts(service):
    """The API server is away: this process may be the one, or not, and nothing is settled."""
    service.silence = timedelta(minutes=5)
    health = service.ask("GET", "health", token=None, api=False)
    assert (health.status, health.body["detail"]) == (503, "the lease could not be read for 300 s")


def test_health_says_when_no_sweep_comes_through(service):
    assert service.ask("GET", "health", token=None, api=False).body["status"] == "ok"
    service.clock.time = NOW + timedelta(minutes=4)
    late = service.ask("GET", "health", token=None, api=False)
    assert (late.status, late.body["detail"]) == (503, "no sweep has come through for 240 s")


def test_answers_carry_what_keeps_browsers_safe(service):
    for answer in (service.ask("GET", "/usage"), service.ask("GET", "/nothing")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers


def test_a_method_that_is_none_is_answered_with_those_that_are(service):
    """RFC 9110, 15.5.6."""
    answer = service.ask("POST", "/usage", {})
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    answer = service.ask("PATCH", "/settings/quotas/x", {})
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "PUT", "DELETE"}


def a_workspace(service, owner, server, name):
    """Have *owner* own a workspace of their personal project."""
    session = a_session(
        f"{owner}-{server}", owner=owner, workspace=server, project=f"personal-{owner}",
        admitted_at=NOW,
    )  # fmt: skip
    wish = Wish(name=name, options={})
    opened = service.run(service.store.sessions.open(session, a_demand(session), wish=wish))
    assert isinstance(opened, Fits)


def test_the_personal_project_of_who_stands_in_no_list_is_theirs(service):
    key = "personal-new"  # new has signed in, and nobody declared them
    assert service.ask("GET", f"/usage?project={key}", token="t-new").status == 200
    assert service.ask("GET", f"/usage?project={key}", token="t-bob").status == 404
    assert service.ask("GET", f"/usage?project={key}").status == 404  # nothing of it is known yet
    a_workspace(service, "new", "", "Mine")
    assert service.ask("GET", f"/usage?project={key}").status == 200


def test_what_one_may_not_see_cannot_be_told_from_what_is_not_there(service):
    for kind in ("project", "group", "organization"):
        foreign = {"project": "course", "group": "course-2026", "organization": "umbrella"}[kind]
        answers = [
            service.ask("GET", f"/usage?{kind}={key}", token="t-bob").body
            for key in (foreign, "nothing")
        ]
        seen, absent = (answer["detail"] for answer in answers)
        assert seen.replace(foreign, "X") == absent.replace("nothing", "X")


def test_a_leader_sees_of_a_member_only_what_is_theirs_to_see(service):
    """Alice leads Acme, Bob's organization; another project of Bob's is of another."""
    service.ask(
        "PUT", "/settings/groups/other", {"document": {"display_name": "Other"}, "reason": "x"}
    )
    service.ask(
        "PUT", "/settings/projects/elsewhere",
        {"document": {"display_name": "Elsewhere", "group": "other", "organization": "umbrella"}, "reason": "x"},
    )  # fmt: skip
    person = service.ask("GET", "/settings/people/bob").body["entry"]["document"]
    person["groups"] = [*person["groups"], "other"]
    service.ask("PUT", "/settings/people/bob", {"document": person, "reason": "x"})
    for key, subject in (("theirs", {"project": "elsewhere"}), ("ours", {"project": "vision"})):
        quota = {"document": {**subject, "gpu_hours": 7, "per": "day"}, "reason": "x"}
        assert service.ask("PUT", f"/settings/quotas/{key}", quota).status == 200

    def limits(token):
        lines = service.ask("GET", "/usage?user=bob", token=token).body["limits"]
        return {line["key"] for line in lines}

    assert {"ours", "theirs"} <= limits("t-bob")
    assert {"ours", "theirs"} <= limits("t-ada")
    assert "ours" in limits("t-alice")
    assert "theirs" not in limits("t-alice")


def test_what_is_explained_knows_names_that_are_taken(service):
    a_workspace(service, "alice", "other", "Mine")
    question = {"options": {"name": "mine"}, "workspace": "new"}
    answer = service.ask("POST", "/explain", question, token="t-alice").body
    assert answer["outcome"] == "refused"
    reasons = {each["reason"] for step in answer["steps"] for each in step["refusals"]}
    assert "name-taken" in reasons
