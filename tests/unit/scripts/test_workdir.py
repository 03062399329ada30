import json
import stat
import subprocess
import sys

import pytest

from scripts.local import workdir
from scripts.local.trouble import Trouble


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_nobody_else_may_read_them(tmp_path):
    with workdir.opened(tmp_path / "demo") as first:
        secrets = first.secrets()
    with workdir.opened(tmp_path / "demo") as second:
        assert second.secrets() == secrets
        assert mode(second.folder / "secrets.json") == 0o600
        assert mode(second.folder) == 0o700


def test_passwords_are_long_enough_for_the_authenticator_and_differ(tmp_path):
    with workdir.opened(tmp_path) as opened:
        secrets = opened.secrets()
    assert len(secrets.user_password) >= 8
    assert len(secrets.admin_password) >= 32
    assert len(set(map(str, (secrets.user_password, secrets.admin_password)))) == 2
    assert len(bytes.fromhex(secrets.cookie_secret)) == 32


def test_a_secret_that_a_later_version_adds_leaves_the_others_as_they_are(tmp_path):
    (tmp_path / "secrets.json").write_text(json.dumps({"user_password": "known to people"}))
    with workdir.opened(tmp_path) as opened:
        assert opened.secrets().user_password == "known to people"


def test_a_folder_serves_one_demo_at_a_time_and_the_second_is_told_who(tmp_path):
    script = (
        "import sys, pathlib; from scripts.local import workdir\n"
        "with workdir.opened(pathlib.Path(sys.argv[1])): print('mine', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "mine\n"
        said = rf"Another demo \(process {other.pid}\) uses .*--data DIR"
        with pytest.raises(Trouble, match=said), workdir.opened(tmp_path):
            pass
        other.communicate("\n")
    with workdir.opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named_with_the_option_that_changes_it(tmp_path):
    (tmp_path / "file").touch()
    told = pytest.raises(Trouble, match=r"Cannot write to the data folder .*--data DIR")
    with told, workdir.opened(tmp_path / "file" / "demo"):
        pass


def test_the_ready_file_of_a_killed_demo_is_removed_and_ours_goes_with_us(tmp_path):
    (tmp_path / "ready.json").touch()
    with workdir.opened(tmp_path) as opened:
        assert not opened.ready.exists()
        opened.write("ready.json", "{}")
        assert mode(opened.ready) == 0o600
    assert not opened.ready.exists()


def test_writing_replaces_a_file_in_one_step_and_leaves_no_scratch(tmp_path):
    with workdir.opened(tmp_path) as opened:
        opened.write("hub.json", "old")
        before = (tmp_path / "hub.json").open()
        opened.write("hub.json", "new")
        with before:
            assert before.read() == "old"
    assert (tmp_path / "hub.json").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"hub.json", "lock"}


def test_ports_are_remembered(tmp_path):
    with workdir.opened(tmp_path) as opened:
        assert opened.remembered_ports() == ()
        opened.remember_ports(hub=1, proxy_api=2)
        assert opened.remembered_ports() == (1, 2)
