"""What a fresh cluster is given: classes for what is there, and no agent more than it needs."""

from __future__ import annotations

from devcluster import credentials, inventory, objects


def test_every_driver_has_a_class() -> None:
    own = inventory.Driver(name="net.example", devices=())
    classes = objects.device_classes(inventory.Inventory(drivers=(own,)))
    assert set(classes) == {
        "gpu.devcluster.test", "gpu.nvidia.com", "mig.nvidia.com", "net.example",
    }  # fmt: skip
    assert "type == 'mig'" in classes["mig.nvidia.com"]


def test_no_agent_may_read_secrets_or_do_everything() -> None:
    for rules in objects.ROLES.values():
        for _, resources, verbs in rules:
            assert "secrets" not in resources
            assert "*" not in (*resources, *verbs)


def test_the_driver_may_not_allocate() -> None:
    rules = objects.ROLES[credentials.GPU_DRIVER]
    (claims,) = [verbs for _, resources, verbs in rules if "resourceclaims" in resources]
    assert set(claims) == {"get", "list", "watch"}


def test_the_one_default_storage_class_may_grow() -> None:
    wanted = objects.wanted(inventory.load(inventory.DEFAULT))
    storage = wanted["/apis/storage.k8s.io/v1/storageclasses/devcluster"]
    assert storage["allowVolumeExpansion"] is True
    assert storage["provisioner"] == "devcluster.test/folders"
    assert storage["metadata"]["annotations"] == {
        "storageclass.kubernetes.io/is-default-class": "true"
    }


def test_only_the_clouds_taint_is_taken_away() -> None:
    kept = {"key": "mine", "effect": "NoSchedule"}
    cloud = {"key": objects.UNINITIALIZED_TAINT, "effect": "NoSchedule"}
    assert objects.without_taint({"spec": {"taints": [kept, cloud]}}) == {
        "spec": {"taints": [kept]}
    }
    assert objects.without_taint({"spec": {}}) == {"spec": {"taints": []}}
