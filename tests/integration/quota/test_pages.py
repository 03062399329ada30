"""The pages of the quota service as a browser without JavaScript sends and reads them."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import pytest
from tornado.web import create_signed_value

from hub_services.common.web import cookie_secret


@pytest.fixture
def browse(service):
    """Open a page, or send a form; a token stands for the session."""

    def run(path, form=None, token="t-ada"):  # noqa: S107 - a test's
        body = None if form is None else urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return service.ask(
            "GET" if form is None else "POST", path, body, token=token, headers=headers, api=False
        )

    return run


def words_of(answer):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def a_form(browse, path, **changes):
    """Return the fields of the entry's form as the page has them."""
    page = browse(path).text
    revision = re.search(r'name="revision" value="(\d+)"', page)[1]
    document = html.unescape(re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[1])
    return {"revision": revision, "document": document, "reason": "a test"} | changes


def test_whoever_is_not_signed_in_is_sent_to_sign_in(service):
    answer = service.ask("GET", "", token=None, api=False)
    assert answer.status == 302
    assert "/hub/api/oauth2/authorize?client_id=service-quota" in answer.headers["Location"]


@pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin", "websocket"])
def test_what_a_page_fetches_is_not_sent_to_sign_in(service, mode):
    """It would sign in unseen, and the form on the page would hold a token of the session before."""
    for path in ("", "admin", "usage.csv", "nowhere"):
        answer = service.ask("GET", path, token=None, headers={"Sec-Fetch-Mode": mode}, api=False)
        assert answer.status == 401, path
    looked_at = service.ask(
        "GET", "", token=None, headers={"Sec-Fetch-Mode": "navigate"}, api=False
    )
    assert looked_at.status == 302


def test_whoever_is_signed_in_stays_so_when_the_service_is_started_anew(service):
    signed = create_signed_value(cookie_secret("service"), "service-quota", "t-bob").decode()
    page = service.ask(
        "GET", "", token=None, headers={"Cookie": f"service-quota={signed}"}, api=False
    )
    assert (page.status, "Usage of you" in page.text or "bob" in page.text) == (200, True)
    other = create_signed_value(cookie_secret("another"), "service-quota", "t-bob").decode()
    page = service.ask(
        "GET", "", token=None, headers={"Cookie": f"service-quota={other}"}, api=False
    )
    assert page.status == 302


def test_a_form_without_its_token_changes_nothing(service):
    """XSRF: a cookie alone is not enough to write."""
    answer = service.ask(
        "POST", "admin/quotas/gpu-each-month", b"action=remove&reason=x", token=None,
        headers={"Cookie": "service-quota=forged"}, api=False,
    )  # fmt: skip
    assert answer.status == 401
    assert service.ask("GET", "/settings/quotas/gpu-each-month").status == 200


def test_everybody_sees_their_projects_to_choose_from(browse):
    page = browse("", token="t-bob")
    assert page.status == 200
    assert "Show: you, Personal project, Vision" in words_of(page).replace(" ,", ",")
    assert "Plans and quotas" not in page.text
    project = browse("?project=vision", token="t-bob")
    assert "Usage of the project Vision" in words_of(project)


def test_a_refusal_is_a_page_that_says_what_to_do(browse):
    page = browse("?user=alice", token="t-bob")
    assert page.status == 403
    assert "You may not see the usage of alice. Ask a notebook admin" in words_of(page)
    assert browse("?nobody=x").status == 200  # a stranger's word in an address is not ours
    assert browse("nowhere").status == 404


@pytest.mark.parametrize(
    "path", ["admin", "admin/plans", "admin/quotas/gpu-each-month", "admin/audit"]
)
def test_only_who_steers_comes_in(browse, path):
    assert browse(path).status == 200
    assert browse(path, token="t-alice").status == 403
    assert browse(path, token="t-ada-small").status == 403


def test_all_kinds_of_entries_have_a_page(browse):
    page = browse("admin")
    kinds = re.findall(r'href="/services/quota/admin/(\w+)"', page.text)
    assert len(kinds) == 9  # eight kinds, and the audit
    for kind in kinds:
        answer = browse(f"admin/{kind}")
        assert answer.status == 200
        if kind != "audit":
            for key in re.findall(rf'href="/services/quota/admin/{kind}/([^"]+)"', answer.text):
                assert browse(f"admin/{kind}/{key}").status == 200
    assert browse("admin/defaults").status == 404


def test_plans_have_a_calendar_that_says_what_it_shows(browse):
    page = browse("admin/plans")
    assert page.text.count("<svg") == 2
    assert "Open now until" in page.text
    assert "Closed, opens" in page.text


def test_a_change_is_looked_at_tried_and_made(service, browse):
    where = "admin/quotas/gpu-each-month"
    document = "user: '*'\ngpu_hours: 80\nper: month\n"
    form = a_form(browse, where, document=document)
    preview = browse(where, form | {"action": "preview"})
    assert "gpu_hours: 160 becomes 80." in words_of(preview)
    assert "Nothing is changed yet." in words_of(preview)
    assert "gpu_hours: 80" in preview.text
    tried = browse(where, form | {"action": "try"})
    assert re.search(r"It would have denied \d+ starts of 1 user\.", words_of(tried))
    assert service.ask("GET", "/settings/quotas/gpu-each-month").body["entry"]["origin"] == "file"
    saved = browse(where, form | {"action": "save"})
    assert (saved.status, saved.headers["Location"]) == (302, f"/services/quota/{where}?done=saved")
    after = browse(where)
    assert "gpu_hours: 80" in after.text
    assert "a test" in words_of(after)


def test_an_entry_is_made_from_nothing_and_removed(service, browse):
    new = browse("admin/quotas?new=vision%20volumes")
    assert (new.status, new.headers["Location"]) == (
        302, "/services/quota/admin/quotas/vision%20volumes",
    )  # fmt: skip
    where = "admin/quotas/vision-volumes"
    form = a_form(browse, where, document="project: vision\nstorage: 500Gi\n", action="save")
    assert browse(where, form).status == 302
    assert "0 bytes of 500 GiB" in words_of(browse(where))
    gone = browse(where, {"action": "remove", "reason": "over", "revision": ""})
    assert gone.headers["Location"] == "/services/quota/admin/quotas?done=removed"
    assert "The entry is removed." in words_of(browse("admin/quotas?done=removed"))
    assert service.ask("GET", "/settings/quotas/vision-volumes").status == 404


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"document": "user: '*'\ngpu_hours: many\nper: month\n"}, 422, "quotas.gpu-each-month.gpu_hours: 'many' is no amount"),
        ({"document": "user: '*'\nuser: bob\n"}, 422, "user: the key stands here twice"),
        ({"document": "user: ["}, 422, "not YAML"),
        ({"document": "just text"}, 422, "expected keys and values"),
        ({"reason": " "}, 400, "Why: say why"),
        ({"revision": "1"}, 409, "Somebody changed the settings since you read them"),
        ({"action": "explode"}, 400, "There is no button 'explode' here."),
    ],
    ids=["an amount", "twice", "no YAML", "no mapping", "no reason", "overtaken", "no button"],
)  # fmt: skip
def test_what_is_wrong_is_said_and_what_was_typed_stays(service, browse, changes, status, told):
    where = "admin/quotas/gpu-each-month"
    form = a_form(browse, where, action="save") | changes
    answer = browse(where, form)
    assert answer.status == status
    assert told in words_of(answer)
    assert "Nothing was changed" in words_of(answer)
    assert (
        html.escape(form["document"].splitlines()[0], quote=True).replace("&#x27;", "&#39;")
        in answer.text
    )
    assert service.ask("GET", "/settings/quotas/gpu-each-month").body["entry"]["origin"] == "file"


def test_an_override_is_given_and_ended_on_the_page(browse):
    where = "admin/quotas/gpu-each-month"
    given = browse(
        where,
        {
            "action": "override",
            "amount": "240",
            "until": "2026-12-03T00:00+01:00",
            "reason": "Thesis",
        },
    )
    assert given.status == 302
    page = words_of(browse(where))
    assert "240 hours. Thesis" in page
    assert "End it now" in page
    wrong = browse(where, {"action": "override", "amount": "1", "until": "soon", "reason": "x"})
    assert (wrong.status, "is no point in time" in words_of(wrong)) == (422, True)
    ended = browse(where, {"action": "end-override", "reason": "over"})
    assert ended.status == 302
    assert "Give it" in words_of(browse(where))


@pytest.mark.parametrize(
    "name", ["<svg onload=alert(1)>", "\u202eevil", "=HYPERLINK(1)", "a" * 255]
)
def test_hostile_names_are_text_on_every_page(service, browse, name):
    person = {"document": {"groups": ["vision-lab"]}, "reason": f"for {name}"[:500]}
    made = service.ask("PUT", f"/settings/people/{quote(name, safe='')}", person)
    assert made.status == 200
    for path in ("admin", "admin/people", f"admin/people/{quote(name, safe='')}", "admin/audit"):
        page = browse(path)
        assert page.status == 200, path
        assert "<svg onload" not in page.text
    assert "<svg" not in browse("admin/people?done=%3Csvg%20onload%3E").text


@pytest.mark.parametrize("key", ["a" * 256, "%00", "%0a", "a%2f..%2fb"])
def test_a_key_that_can_be_none_is_no_fault_of_ours(browse, key):
    assert browse(f"admin/quotas/{key}").status in {200, 400, 404}
    form = {"action": "save", "document": "user: bob", "reason": "x", "revision": "0"}
    assert browse(f"admin/quotas/{key}", form).status in {400, 404, 409, 422}


def test_a_few_lines_cannot_stand_for_millions(browse):
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    where = "admin/quotas/gpu-each-month"
    answer = browse(where, a_form(browse, where, document="\n".join(lines), action="preview"))
    assert answer.status == 422
    assert "line 1: anchors (& and *) are for the file: write it out" in words_of(answer)
    long = browse(where, a_form(browse, where, document="#" * 70_000, action="preview"))
    assert (long.status, "is larger than" in words_of(long)) == (413, True)


def test_what_was_looked_at_and_overtaken_is_not_saved(service, browse):
    """Whoever looks at a change again does not so agree to what somebody else did meanwhile."""
    where = "admin/quotas/gpu-each-month"
    form = a_form(browse, where, document="user: '*'\ngpu_hours: 80\nper: month\n")
    other = {"document": {"user": "*", "gpu_hours": 120, "per": "month"}, "reason": "meanwhile"}
    assert service.ask("PUT", "/settings/quotas/gpu-each-month", other).status == 200
    looked = browse(where, form | {"action": "preview"})
    assert looked.status == 200
    assert "Somebody changed the settings" in words_of(looked)
    again = re.search(r'name="revision" value="(\d+)"', looked.text)[1]
    assert again == form["revision"]
    assert browse(where, form | {"action": "save", "revision": again}).status == 409
    kept = service.ask("GET", "/settings/quotas/gpu-each-month").body["entry"]["document"]
    assert kept["gpu_hours"] == 120


def test_who_may_not_steer_is_told_so_before_what_they_sent_is_read(browse):
    for token in ("t-alice", "t-new"):
        for path in ("admin/quotas/x", "admin/nothing", "admin/quotas/x?done=1"):
            answer = browse(path, {"action": "explode", "document": "{"}, token=token)
            assert answer.status == 403


def test_the_chart_is_of_whose_page_it_is(service, browse):
    """A project's page with a limit of its organization draws no line that is not the project's."""
    quota = {"document": {"organization": "acme", "gpu_hours": 5, "per": "month"}, "reason": "x"}
    assert service.ask("PUT", "/settings/quotas/acme", quota).status == 200
    page = words_of(browse("?project=vision", token="t-bob"))
    assert "Quota: 5" not in page


@pytest.fixture
def audited(service):
    """Alice started and stopped on two days, in Berlin; Bob was stopped by the culler."""
    record = service.store.audit.record
    for actor, action, what, at in (
        ("alice", "start", "workspace.alice/thesis", "2026-10-01T21:59:59Z"),
        ("alice", "stop", "workspace.alice/thesis", "2026-10-01T22:00:00Z"),
        ("culler", "stop", "workspace.bob/=HYPERLINK", "2026-10-02T21:59:59Z"),
        ("alice", "start", "workspace.alice/<b>", "2026-10-02T22:00:00Z"),
    ):
        service.run(record(action, what, actor=actor, at=datetime.fromisoformat(at)))


def rows_of(page):
    """Return the cells of the page's last table."""
    body = page.text.rpartition("<table")[2].partition("<tbody")[2].partition("</tbody>")[0]
    return [
        [html.unescape(re.sub(r"<[^>]*>", " ", cell)).strip() for cell in re.findall(CELL, row)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    ]


CELL = re.compile(r"<t[dh][^>]*>(.*?)</t[dh]>", re.DOTALL)
START, STOP = ["alice", "start"], ["alice", "stop"]


@pytest.mark.usefixtures("audited")
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"actor": "alice", "from": "2026-10-01", "to": "2026-10-03"}, [START, STOP, START]),
        ({"action": "stop", "to": "2026-10-02"}, [["culler", "stop"], STOP]),
        ({"about": "workspace.alice/thesis"}, [STOP, START]),
        # Days are those of accounting, in Berlin, and the last is whole.
        ({"actor": "alice", "to": "2026-10-01"}, [START]),
        ({"actor": "alice", "from": "2026-10-02", "to": "2026-10-02"}, [STOP]),
        ({"actor": "alice", "from": "2026-10-03", "to": "2026-10-03"}, [START]),
        ({"actor": "nobody"}, []),
    ],
)
def test_the_audit_is_filtered_by_person_kind_object_and_days(browse, filters, found):
    """F115."""
    page = browse(f"admin/audit?{urlencode(filters)}")
    assert [row[1:3] for row in rows_of(page)] == found
    assert ("Nothing found" in page.text) == (not found)
    for name, value in filters.items():
        assert re.search(rf'name="{name}"[^>]*value="{re.escape(value)}"', page.text)
    sheet = browse(f"admin/audit.csv?{urlencode(filters)}")
    assert sheet.text.startswith("\ufeffId,Time,Who,What,To what,Why,Detail")
    lines = list(csv.DictReader(io.StringIO(sheet.text.removeprefix("\ufeff"))))
    assert [[each["Who"], each["What"]] for each in lines] == found


def test_reading_the_audit_is_on_record_whichever_door_it_comes_through(service, browse):
    """L12."""
    browse("admin/audit?actor=alice&from=2026-10-01")
    service.ask("GET", "/audit?action=stop")
    browse("admin/audit.csv?about=plans.research")
    browse("admin/audit?before=3")  # goes on
    lines = service.run(service.store.audit.lines(action="read-audit"))
    told = [each.detail for each in reversed(lines)]
    assert told == [
        {"actor": "alice", "since": "2026-10-01T00:00:00+02:00"},
        {"action": "stop"},
        {"about": "plans.research"},
    ]
    assert {each.actor for each in lines} == {"ada"}


def test_a_sheet_has_more_than_a_page(service, browse):
    async def many():
        for number in range(1201):
            await service.store.audit.record(
                "start",
                f"workspace.many/{number}",
                actor="many",
                at=datetime(2026, 10, 1, tzinfo=UTC),
            )

    service.run(many())
    sheet = browse("admin/audit.csv?actor=many").text
    assert sheet.count("\ufeff") == 1
    lines = list(csv.DictReader(io.StringIO(sheet.removeprefix("\ufeff"))))
    assert [each["To what"] for each in lines] == [
        f"workspace.many/{n}" for n in range(1200, -1, -1)
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "from: 'yesterday' is no day; write for example 2026-11-27."),
        ("to=2026-13-01", "to: '2026-13-01' is no day"),
        ("before=x", "before: "),
        ("actor=" + "x" * 300, "actor: "),
    ],
)
@pytest.mark.parametrize("page", ["audit", "audit.csv"])
def test_what_is_no_filter_is_refused_by_its_name(browse, page, query, said):
    answer = browse(f"admin/{page}?{query}")
    assert answer.status == 400
    assert said in words_of(answer)


def test_the_last_changes_have_removals_too(service, browse):
    assert service.ask("PUT", "/settings/quotas/brief", BRIEF).status == 200
    revision = service.ask("GET", "/settings/quotas/brief").body["revision"]
    gone = service.ask("DELETE", f"/settings/quotas/brief?reason=over&revision={revision}")
    assert gone.status == 200, gone.text
    rows = [row[2:4] for row in rows_of(browse("admin"))]
    assert rows[:2] == [["remove", "quotas.brief"], ["change", "quotas.brief"]]


BRIEF = {"document": {"user": "alice", "gpu_hours": 1, "per": "day"}, "reason": "a test"}
