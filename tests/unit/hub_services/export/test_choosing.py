"""People name folders as their workspace sees them (F44, F85)."""

import pytest

from eugospawner.policy.volumes import HOME, key_of, name_of
from hub_services.common.problems import DoorReason, Fault
from hub_services.export.choosing import choice_of, mounts_of

OPTIONS = {
    "volumes": [
        {"claim": "data", "mount_path": "/data"},
        {"claim": "home", "mount_path": "/data/home"},
        {"claim": "set", "mount_path": "/dataset"},
    ]
}
MOUNTS = mounts_of(OPTIONS, "/home/user")


def test_every_volume_of_the_workspace_has_a_name():
    assert MOUNTS == {
        "/home/user": "home", "/data": "data", "/data/home": "volume_home", "/dataset": "set"
    }  # fmt: skip
    assert mounts_of({}, "/home/user") == {"/home/user": "home"}
    assert mounts_of({"volumes": "?"}, "/home/user") == {"/home/user": "home"}


@pytest.mark.parametrize("key", [HOME, "data", "home", "volume-home", "a"])
def test_a_name_leads_back_to_its_key(key):
    assert key_of(name_of(key)) == key


def test_without_a_folder_it_is_all_of_them():
    found = choice_of("", notebooks=True, mounts=MOUNTS)
    assert set(found) == set(MOUNTS.values())
    assert all(each == {"folder": "", "notebooks": True} for each in found.values())


@pytest.mark.parametrize(
    ("folder", "volume", "inside"),
    [
        ("thesis", "home", "thesis"),
        ("/home/user", "home", ""),
        ("/home/user/thesis//figures/", "home", "thesis/figures"),
        ("./thesis", "home", "thesis"),
        ("/data/run-3", "data", "run-3"),
        ("/data/home/x", "volume_home", "x"),
        ("/dataset", "set", ""),
    ],
)
def test_a_folder_is_found_in_the_volume_that_is_mounted_nearest(folder, volume, inside):
    assert choice_of(folder, notebooks=False, mounts=MOUNTS) == {
        volume: {"folder": inside, "notebooks": False}
    }


@pytest.mark.parametrize(
    "folder", ["/etc", "/", "..", "/home/user/../bob", "/home/username", "/data/..", "/home", "a\0"]
)
def test_whatever_lies_elsewhere_is_refused_with_where_it_may_lie(folder):
    with pytest.raises(Fault, match="begin it with /home/user or /data") as refused:
        choice_of(folder, notebooks=True, mounts=MOUNTS)
    assert refused.value.reason is DoorReason.MALFORMED
    assert [each.field for each in refused.value.errors] == ["body.folder"]
