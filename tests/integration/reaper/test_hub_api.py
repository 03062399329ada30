"""The hub's API as services ask it: whole answers or none (promise 7)."""

import aiohttp
import pytest

from hub_services.common.hub import Hub, HubError, Server
from tests.integration.reaper.fake_hub import TOKEN, FakeHub


@pytest.fixture
async def fake():
    async for running in FakeHub().run():
        yield running


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def hub(fake, session):
    return Hub(session, url=fake.url, token=TOKEN)


async def test_servers_that_run_or_are_busy_are_listed(hub, fake):
    fake.add("alice")
    fake.add("alice", "gpu", pending="spawn")
    fake.add("bob", pending="check")
    fake.add("carol", ready=False)
    assert await hub.servers() == (
        Server(owner="alice", name="", pending=None),
        Server(owner="alice", name="gpu", pending="spawn"),
        Server(owner="bob", name="", pending="check"),
    )


async def test_all_pages_are_read_however_short_the_hub_makes_them(hub, fake):
    fake.page_limit = 3
    for number in range(10):
        fake.add(f"user-{number}")
    assert [server.owner for server in await hub.servers()] == [f"user-{n}" for n in range(10)]


async def test_a_hub_without_servers_is_an_answer(hub):
    assert await hub.servers() == ()


@pytest.mark.parametrize("owner", ["alice", "Alice@acme.org", "ünï/code ?#%41"])
async def test_one_user_can_be_asked_about_by_any_name(hub, fake, owner):
    fake.add(owner, "gpu")
    fake.add("other")
    assert await hub.servers_of(owner) == (Server(owner=owner, name="gpu", pending=None),)


@pytest.mark.parametrize("owner", ["", ".", ".."])
async def test_a_name_that_no_url_can_carry_is_not_taken_for_an_unknown_user(hub, fake, owner):
    fake.add(owner)
    with pytest.raises(HubError, match="cannot be asked about"):
        await hub.servers_of(owner)


async def test_an_answer_about_somebody_else_is_no_answer(hub, fake):
    fake.add("alice")
    fake.add("Alice")
    fake.answers_about = "alice"
    with pytest.raises(HubError, match="not what JupyterHub"):
        await hub.servers_of("Alice")


async def test_a_user_who_is_unknown_has_no_servers(hub):
    assert await hub.servers_of("nobody") == ()


@pytest.mark.parametrize(
    ("scopes", "missing"),
    [
        pytest.param((), "list:users, read:servers", id="none"),
        pytest.param(("list:users",), "read:servers", id="names only"),
        pytest.param(("read:servers",), "list:users", id="no list"),
        pytest.param(
            ("list:users!group=a", "read:servers!group=a"),
            "list:users, read:servers",
            id="of one group only",
        ),
    ],
)
async def test_a_token_that_may_not_see_everybody_gets_no_answer_at_all(hub, fake, scopes, missing):
    """JupyterHub would leave servers out, or say 404, and their Pods would look like orphans."""
    fake.scopes = scopes
    fake.add("alice")
    for answer in (hub.servers(), hub.servers_of("alice")):
        with pytest.raises(HubError, match=f"scopes {missing}, without a filter"):
            await answer


async def test_users_without_the_word_servers_are_no_answer(hub, fake):
    fake.add("alice")
    fake.hides_servers = True
    for answer in (hub.servers(), hub.servers_of("alice")):
        with pytest.raises(HubError, match="not what JupyterHub"):
            await answer


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
async def test_a_hub_that_refuses_is_quoted(hub, fake, status):
    fake.status = status
    with pytest.raises(HubError, match=f"answers {status} to /user: No"):
        await hub.servers()


async def test_a_proxy_that_answers_for_the_hub_is_no_answer(hub, fake):
    fake.talks_nonsense = True
    with pytest.raises(HubError, match="not what JupyterHub"):
        await hub.servers()


async def test_a_hub_that_is_not_there_is_said_to_be_so(session, unused_tcp_port):
    hub = Hub(session, url=f"http://127.0.0.1:{unused_tcp_port}/hub/api", token=TOKEN)
    with pytest.raises(HubError, match="does not answer"):
        await hub.servers()


async def test_the_token_stands_in_no_error(hub, fake):
    fake.status = 500
    with pytest.raises(HubError) as caught:
        await hub.servers()
    assert TOKEN not in str(caught.value)
