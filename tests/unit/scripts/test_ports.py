import socket

import pytest

from scripts.local import ports
from scripts.local.trouble import Trouble


@pytest.fixture
def busy():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_busy_port_is_named_with_the_option_that_changes_it(busy):
    with pytest.raises(Trouble, match=rf"Port {busy} .*busy.*--port N"):
        ports.claim(busy)


def test_zero_takes_any_free_port():
    assert ports.is_free(ports.claim(0))


def test_chosen_ports_are_not_lent_to_outgoing_connections(monkeypatch, tmp_path):
    """A port of those was taken by a client while a killed demo came up again, once in some runs."""
    lent = tmp_path / "range"
    lent.write_text("10000\t29000\n")
    monkeypatch.setattr(ports, "_EPHEMERAL", lent)
    assert all(29_000 < port < 30_000 for port in ports.choose(20))


@pytest.mark.parametrize("said", ["1\t65535", "nonsense"])
def test_where_all_are_lent_or_nobody_knows_any_free_port_is_chosen(monkeypatch, tmp_path, said):
    lent = tmp_path / "range"
    lent.write_text(said)
    monkeypatch.setattr(ports, "_EPHEMERAL", lent)
    assert len(set(ports.choose(3))) == 3


def test_chosen_ports_differ():
    assert len(set(ports.choose(5))) == 5


def test_remembered_ports_are_taken_again_while_they_are_free():
    free = ports.choose(2)
    assert ports.choose(2, remembered=free) == free


def test_remembered_ports_are_given_up_when_one_is_busy(busy):
    (free,) = ports.choose(1)
    assert busy not in ports.choose(2, remembered=(free, busy))


@pytest.mark.parametrize("remembered", [(), (1,), (1, 2, 3)])
def test_another_number_of_remembered_ports_is_ignored(remembered):
    assert len(ports.choose(2, remembered=remembered)) == 2
