"""Whatever Tornado says of a failed request, no secret of its address is in it."""

import logging

import pytest

from eugospawner import scrubbing


@pytest.fixture
def said(caplog):
    """Return what a logger of Tornado's would have written."""
    before = {name: list(logging.getLogger(name).filters) for name in scrubbing._LOGGERS}
    scrubbing.install()
    scrubbing.install()

    def say(name, text, *arguments):
        caplog.clear()
        logging.getLogger(name).warning(text, *arguments)
        return caplog.messages[-1]

    yield say
    for name, filters in before.items():
        logging.getLogger(name).filters[:] = filters


@pytest.mark.parametrize("name", scrubbing._LOGGERS)
@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("/hub/eugo/invitation?token=canary", "/hub/eugo/invitation?token=[secret]"),
        ("/cb?code=canary&state=canary&x=1", "/cb?code=[secret]&state=[secret]&x=1"),
        ("/a?id_token_hint=canary&next=/b", "/a?id_token_hint=[secret]&next=/b"),
        ("/a?token=[secret]&x=1", "/a?token=[secret]&x=1"),
        ("/a?x=1&y=2", "/a?x=1&y=2"),
    ],
)
def test_values_of_secrets_are_left_out(said, name, address, kept):
    assert said(name, "403 GET %s (127.0.0.1) %.2fms", address, 1.5) == (
        f"403 GET {kept} (127.0.0.1) 1.50ms"
    )
    assert said(name, f"Uncaught exception GET {address}\nHTTPServerRequest(uri='{address}')") == (
        f"Uncaught exception GET {kept}\nHTTPServerRequest(uri='{kept}')"
    )


def test_it_is_installed_once(said):
    del said
    for name in scrubbing._LOGGERS:
        found = [
            each for each in logging.getLogger(name).filters if isinstance(each, scrubbing.Scrub)
        ]
        assert len(found) == 1
