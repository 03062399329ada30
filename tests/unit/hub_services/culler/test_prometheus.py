"""What Prometheus is asked, what is believed of its answers, and what is not. L5."""

import json

import aiohttp
import pytest
from aiohttp import web

from hub_services.culler.prometheus import MetricsError, Prometheus


@pytest.fixture
async def prometheus():
    """A Prometheus that answers what it is told to; returns how to reach it, and what it was asked."""
    asked = []
    said = {"status": 200, "text": json.dumps({"data": {"result": []}})}

    async def query(request):
        asked.append((await request.post())["query"])
        return web.Response(status=said["status"], text=said["text"])

    application = web.Application()
    application.router.add_post("/api/v1/query", query)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield (
            Prometheus(session, url=f"http://127.0.0.1:{port}/", namespace="eugo"), asked, said,
        )  # fmt: skip
    await runner.cleanup()


def result(**values):
    series = [{"metric": {"pod": pod}, "value": [1, each]} for pod, each in values.items()]
    return json.dumps({"status": "success", "data": {"result": series}})


async def test_all_pods_are_asked_about_at_once_by_their_exact_names(prometheus):
    ours, asked, said = prometheus
    said["text"] = result(a="80.5", b="0")
    assert await ours.percent_of(["a", "b.c"]) == {"a": 80.5, "b": 0.0}
    (query,) = asked
    assert 'namespace="eugo",pod=~"a|b\\\\.c"' in query
    assert "DCGM_FI_DEV_GPU_UTIL" in query


async def test_more_pods_than_fit_are_asked_about_in_parts(prometheus):
    ours, asked, _ = prometheus
    assert await ours.percent_of([f"pod-{number}" for number in range(1001)]) == {}
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, "down"), (200, "<html>"), (200, "{}"), (200, '{"data": {"result": [1]}}'),
        (200, '{"data": {"result": [{"metric": {"pod": "a"}, "value": [1, "x"]}]}}'),
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_told_and_not_taken_for_idleness(prometheus, status, text):
    ours, _, said = prometheus
    said |= {"status": status, "text": text}
    with pytest.raises(MetricsError):
        await ours.percent_of(["a"])


async def test_one_that_does_not_answer_is_named():
    async with aiohttp.ClientSession() as session:
        away = Prometheus(session, url="http://127.0.0.1:9", namespace="eugo")
        with pytest.raises(MetricsError, match="9 does not answer"):
            await away.percent_of(["a"])
