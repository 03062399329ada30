"""PersistentVolumeClaims of extra volumes, and their mounts (F44)."""

from inline_snapshot import snapshot

from eugospawner.manifests import storage
from tests.factories import a_mount


def test_the_claim_of_a_new_volume_carries_owner_and_key() -> None:
    made = storage.make_volume_claim(
        a_mount(), owner="Alice Ø", owner_slug="alice---1a2b", storage_class="fast"
    )
    assert made == snapshot(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "volume-c13ccc3cb67982c9c18a",
                "labels": {"eugo.dev/user": "alice---1a2b", "eugo.dev/volume": "data"},
                "annotations": {"eugo.dev/user": "Alice Ø"},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "5Gi"}},
                "storageClassName": "fast",
            },
        }
    )


def test_without_a_storage_class_the_cluster_chooses() -> None:
    made = storage.make_volume_claim(
        a_mount(), owner="alice", owner_slug="alice", storage_class=None
    )
    assert "storageClassName" not in str(made)


def test_a_new_volume_is_mounted_from_the_claim_that_is_made_for_it() -> None:
    mount = a_mount()
    claim = storage.make_volume_claim(mount, owner="alice", owner_slug="a", storage_class=None)
    volume = storage.make_volume(0, mount, owner="alice")
    assert volume == {
        "name": "extra-0",
        "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]},  # type: ignore[index]
    }


def test_a_known_volume_is_mounted_from_its_own_claim() -> None:
    volume = storage.make_volume(1, a_mount(claim_name="old-claim"), owner="alice")
    assert volume == {"name": "extra-1", "persistentVolumeClaim": {"claimName": "old-claim"}}


def test_volume_and_mount_have_one_name() -> None:
    mount = a_mount()
    assert storage.make_volume_mount(3, mount) == {"name": "extra-3", "mountPath": "/mnt/data"}
    assert storage.make_volume(3, mount, owner="alice")["name"] == "extra-3"


def test_two_owners_never_share_the_claim_of_one_key() -> None:
    mount = a_mount()
    made = [storage.make_volume(0, mount, owner=owner) for owner in ("alice", "bob")]
    assert made[0] != made[1]
