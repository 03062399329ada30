"""
What a Pod holds beyond KubeSpawner's: *restricted*, and root changes exactly four fields.

Design §9; facts on security, §6; F38, F44, F49, F56.
"""

import subprocess
from typing import Any

import pytest

from eugospawner.manifests import names, pod, storage
from tests.factories import a_grant, a_mount, a_profile, an_image, some_gpus


def test_every_container_gives_up_privilege_and_capabilities() -> None:
    assert pod.make_container_security() == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_pod_runs_as_an_ordinary_user_with_seccomp() -> None:
    assert pod.make_pod_security(root_shell=False, fs_group=None) == {
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_volumes_are_given_to_a_group_where_they_are_not_open() -> None:
    assert pod.make_pod_security(root_shell=False, fs_group=1000)["fsGroup"] == 1000


def whole(*, root_shell: bool) -> dict[str, object]:
    grant = a_grant(root_shell=root_shell)
    return pod.make_pod_fields(grant) | pod.make_pod_security(root_shell=root_shell, fs_group=1000)


def test_a_root_shell_changes_exactly_four_fields() -> None:
    plain, root = whole(root_shell=False), whole(root_shell=True)
    assert {key: value for key, value in root.items() if plain.get(key) != value} == {
        "hostUsers": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
    }
    assert set(root) - set(plain) == {"hostUsers"}


def test_no_token_no_service_links_and_the_default_scheduler() -> None:
    assert pod.make_pod_fields(a_grant()) == {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "schedulerName": "default-scheduler",
    }


def test_home_and_extra_volumes_are_mounted_by_name() -> None:
    grant = a_grant(mounts=(a_mount("data"), a_mount("old", claim_name="old-claim")))
    volumes: list[dict[str, Any]] = pod.make_volumes(grant, "home-of-alice")
    mounts = pod.make_volume_mounts(grant, "/home/user")

    assert [volume["persistentVolumeClaim"]["claimName"] for volume in volumes] == [
        "home-of-alice",
        names.volume_claim_name("alice", "data"),
        "old-claim",
    ]
    assert [mount["name"] for mount in mounts] == [volume["name"] for volume in volumes]
    assert [mount["mountPath"] for mount in mounts] == ["/home/user", "/mnt/data", "/mnt/old"]


def test_a_volume_is_remembered_by_the_claim_that_it_is_mounted_from() -> None:
    for mount in (a_mount("data"), a_mount("old", claim_name="old-claim")):
        made: dict[str, Any] = storage.make_volume(0, mount, owner="alice")
        volume = storage.to_volume(mount, owner="alice")
        assert volume.claim_name == made["persistentVolumeClaim"]["claimName"]
        assert (volume.key, volume.size_bytes) == (mount.key, mount.size_bytes)


def test_a_manifest_is_known_by_its_name() -> None:
    claim = storage.make_volume_claim(
        a_mount(), owner="alice", owner_slug="alice", storage_class=None
    )
    assert names.of(claim) == names.volume_claim_name("alice", "data")


def test_the_home_of_the_platform_wins_over_the_profiles() -> None:
    grant = a_grant(profile=a_profile(environment={"HOME": "/", "A": "{b}"}))
    assert pod.make_environment(grant, "/home/user") == {"HOME": "/home/user", "A": "{b}"}


def test_what_root_writes_for_itself_is_in_the_container_and_what_people_have_is_found() -> None:
    """F38: a folder that only its maker may enter would keep the other from starting."""
    told = pod.make_environment(a_grant(root_shell=True), "/home/user")
    own = {
        key: value
        for key, value in told.items()
        if key not in {"HOME", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH"}
    }
    assert all(value.startswith(pod.ROOTS_OWN) for value in own.values())
    assert set(own) >= {"JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "XDG_DATA_HOME"}
    assert told["JUPYTER_PATH"] == "/home/user/.local/share/jupyter"


def test_a_pod_is_ready_once_its_server_listens() -> None:
    assert pod.make_readiness_probe()["tcpSocket"] == {"port": "notebook-port"}


# --- the startup script (F49) ---


def startup(script: str, **grant: Any) -> dict[str, Any] | None:
    return pod.make_startup_container(
        a_grant(profile=a_profile(startup_script=script), **grant), "/home/user"
    )


def test_without_a_script_there_is_no_container_for_it() -> None:
    assert startup("") is None


def test_the_script_runs_in_the_image_with_the_users_files_and_no_privilege() -> None:
    made = startup("pip list", mounts=(a_mount(),))
    assert made is not None
    assert made["image"] == "registry.example/eugo/base:1.0"
    assert made["workingDir"] == "/home/user"
    assert [mount["mountPath"] for mount in made["volumeMounts"]] == ["/home/user", "/mnt/data"]
    assert made["securityContext"] == pod.make_container_security()
    assert {"name": "EUGO_STARTUP_SCRIPT", "value": "pip list"} in made["env"]
    assert "resources" not in made


def test_the_script_shares_the_claim_of_the_pod() -> None:
    made = startup("nvidia-smi", gpus=some_gpus(1, 25))
    assert made is not None
    assert made["resources"] == {"claims": [{"name": "gpu"}]}


@pytest.mark.parametrize(("workspace", "name"), [("", "_default"), ("train", "train")])
def test_the_framework_of_the_image_is_recorded_in_the_home(
    workspace: str, name: str, tmp_path: Any
) -> None:
    """F10; the command itself, run by the shell it is written for, with no script to run."""
    image = an_image("torch", framework="PyTorch $(id) 'x'")
    made = pod.make_startup_container(a_grant(image=image, workspace=workspace), str(tmp_path))
    assert made is not None
    done = subprocess.run(
        made["command"],
        env={"PATH": "/usr/bin:/bin"} | {each["name"]: each["value"] for each in made["env"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    record = tmp_path / ".eugo" / "frameworks" / name
    assert record.read_text() == "PyTorch $(id) 'x'\n"


def test_a_home_that_takes_no_record_does_not_block_the_start(tmp_path: Any) -> None:
    (tmp_path / ".eugo").touch()  # no folder can be made there
    made = pod.make_startup_container(a_grant(image=an_image(framework="PyTorch")), str(tmp_path))
    assert made is not None
    environment = {each["name"]: each["value"] for each in made["env"]}
    done = subprocess.run(
        made["command"],
        env={"PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0


def test_a_script_is_a_variable_and_never_part_of_the_command() -> None:
    one, other = startup("echo a"), startup("'; rm -rf / #")
    assert one is not None
    assert other is not None
    assert one["command"] == other["command"]


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("echo hello", 0, "hello"),
        ("echo broken >&2; exit 7", 7, "broken"),
        ("kill -9 $$", 137, ""),
        ("echo 'quo\"ted'; printf '%s' '%d'", 0, 'quo"ted\n%d'),
        ("if then", 2, ""),
        ("yes | head -c 9000", 0, "y\n" * 1750),
    ],
    ids=["a good one", "a failing one", "a killed one", "a quoting one", "no script", "a long one"],
)
def test_a_script_never_blocks_the_start_and_is_reported(
    script: str, code: int, said: str, tmp_path: Any
) -> None:
    """The command itself, run by the shell it is written for."""
    made = startup(script)
    assert made is not None
    report = tmp_path / "termination-log"
    *shell, command = made["command"]
    done = subprocess.run(
        [*shell, command.replace("/dev/termination-log", str(report))],
        env={"PATH": "/usr/bin:/bin", "EUGO_STARTUP_SCRIPT": script},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert f"exit code {code}\n" in done.stdout
    first, _, rest = report.read_text().partition("\n")
    assert first == f"exit code {code}"
    assert said.strip() in rest
    assert len(report.read_bytes()) <= 4096
