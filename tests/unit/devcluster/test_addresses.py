"""Ports and Pod networks are kept while they are free, and never shared."""

from __future__ import annotations

import json
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from devcluster import addresses
from devcluster.errors import Trouble

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_chosen_is_chosen_again(tmp_path: Path) -> None:
    kept = tmp_path / "addresses.json"
    with addresses.held(kept) as first:
        pass
    with addresses.held(kept) as second:
        assert second == first
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_network_in_use_is_not_given_twice(tmp_path: Path) -> None:
    kept = tmp_path / "addresses.json"
    with addresses.held(kept) as first, addresses.held(kept) as second:
        assert first.network != second.network
        assert first.pod_network.startswith("127.")


def test_a_port_that_is_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    kept = tmp_path / "addresses.json"
    with addresses.held(kept) as first:
        pass
    with socket.socket() as other:
        other.bind((addresses.LOOPBACK, first.api_port))
        other.listen()
        with addresses.held(kept) as second:
            assert second.api_port != first.api_port


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"api_port": 1}'])
def test_a_file_of_another_version_is_chosen_anew(tmp_path: Path, content: str) -> None:
    kept = tmp_path / "addresses.json"
    kept.write_text(content)
    with addresses.held(kept) as chosen:
        assert json.loads(kept.read_text())["api_port"] == chosen.api_port


def test_when_all_networks_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_FIRST_NETWORK", 300)
    monkeypatch.setattr(addresses, "_LAST_NETWORK", 300)
    _, claim = addresses.hold_network(None)
    with claim, pytest.raises(Trouble, match="All 1 networks"):
        addresses.hold_network(300)
