"""
The manifest gate: a Pod with anything beyond the decision is refused, and the place is named.

Design §5, step 5, and §9; facts on security, §§4 and 6; F38, F44, F46, F51.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from kubernetes_asyncio import client

from eugospawner.manifests import gate, pod
from tests.factories import some_gpus
from tests.unit.eugospawner.gate_pods import ADMIN, OPTIONS, Good, good_pods, make
from tests.unit.eugospawner.manifests.gate_cases import CASES, Case, put

Json = Any


def problems(good: Good, manifest: Json) -> list[str]:
    return [each.path for each in gate.check(manifest, good.grant, good.configured)]


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_pod_as_the_spawner_makes_it_passes(kind: str) -> None:
    good = good_pods()[kind]
    assert gate.check(good.manifest, good.grant, good.configured) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
def test_one_change_is_refused_and_its_place_is_named(case: Case) -> None:
    assert case.path in problems(good_pods()[case.kind], case.manifest())


def test_there_is_a_case_for_each_thing_and_none_twice() -> None:
    assert len(CASES) >= 60
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    for case in CASES:
        # As text: to Python 0 is False.
        good = json.dumps(good_pods()[case.kind].manifest)
        assert json.dumps(case.manifest()) != good, case.name


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_pod_of_another_grant_is_refused(kind: str) -> None:
    for other, theirs in good_pods().items():
        if other != kind:
            mine = good_pods()[kind]
            assert problems(mine, theirs.manifest), f"{other} passes for {kind}"


def test_what_says_the_default_aloud_passes() -> None:
    good = good_pods()["cpu"]
    manifest = good.copy()
    for place, value in {
        "metadata.namespace": "eugo",
        "metadata.ownerReferences": None,
        "spec.hostNetwork": False,
        "spec.nodeName": None,
        "spec.terminationGracePeriodSeconds": 30,
        "spec.containers[0].ports[0].hostPort": 0,
        "spec.containers[0].securityContext.procMount": "Default",
        "spec.containers[0].securityContext.capabilities.add": [],
        "spec.containers[0].securityContext.readOnlyRootFilesystem": True,
        "spec.containers[0].resources.claims": [],
        "spec.containers[0].resources.requests": {"cpu": "500m", "memory": "1Gi"},
        "spec.containers[0].env[+]": {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"},
        "spec.containers[0].volumeMounts[0].readOnly": False,
        "spec.resourceClaims": [],
    }.items():
        put(manifest, place, value)
    assert problems(good, manifest) == []


@pytest.mark.parametrize(
    "manifest", [None, [], "Pod", {}, {"metadata": {}, "spec": []}, {"metadata": [], "spec": {}}]
)
def test_what_is_no_pod_is_refused_and_breaks_nothing(manifest: Json) -> None:
    good = good_pods()["cpu"]
    assert gate.check(manifest, good.grant, good.configured)


def test_the_limit_counts_whatever_way_it_is_written() -> None:
    good = good_pods()["cpu"]
    for cpu, memory in (("2", "8Gi"), ("2000m", "8589934592"), (2.0, 8 * 2**30), (2, "8192Mi")):
        manifest = good.copy()
        put(manifest, "spec.containers[0].resources.limits", {"cpu": cpu, "memory": memory})
        assert problems(good, manifest) == []


def test_a_share_of_another_size_is_another_claim() -> None:
    good = good_pods()["share"]
    other = replace(good.grant, gpus=some_gpus(2, 50))
    paths = [each.path for each in gate.check(good.manifest, other, good.configured)]
    assert "spec.resourceClaims" in paths
    assert "metadata.labels['eugo.dev/sm-percent']" in paths


#: What an admin declares and no configuration may have: the floor holds for it as well.
UNDER_THE_FLOOR: dict[str, tuple[str, dict[str, Any]]] = {
    "folder of the Node": (
        "spec.volumes[0].hostPath",
        {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
    ),
    "token": (
        "spec.volumes[0].projected.sources[0].serviceAccountToken",
        {
            "volumes": [
                {
                    "name": "x",
                    "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]},
                }
            ]
        },
    ),
    "storage of a driver": (
        "spec.volumes[0].csi",
        {"volumes": [{"name": "x", "csi": {"driver": "csi.example"}}]},
    ),
    **{
        f"mount at {path}": (
            "spec.containers[0].volumeMounts[0].mountPath",
            {
                "volumes": [{"name": "x", "emptyDir": {}}],
                "volume_mounts": [{"name": "x", "mountPath": path}],
            },
        )
        for path in ("/", "/etc", "/usr/", "//proc", "/proc/1", "/sys/./fs", "/run/secrets/x", "x")
    },
    "mount out of a volume": (
        "spec.containers[0].volumeMounts[0].subPath",
        {
            "volumes": [{"name": "x", "emptyDir": {}}],
            "volume_mounts": [{"name": "x", "mountPath": "/x", "subPath": "a/../../b"}],
        },
    ),
    "privileged sidecar": (
        "spec.containers[1].securityContext.privileged",
        {
            "extra_containers": [
                {"name": "x", "image": "x", "securityContext": {"privileged": True}}
            ]
        },
    ),
    "the chart's way to block cloud metadata": (
        "spec.initContainers[0].securityContext.capabilities.add",
        {
            "init_containers": [
                {
                    "name": "block-cloud-metadata",
                    "image": "x",
                    "securityContext": {
                        "privileged": True,
                        "runAsUser": 0,
                        "capabilities": {"add": ["NET_ADMIN"]},
                    },
                }
            ]
        },
    ),
    "sidecar with a GPU": (
        "spec.containers[1].resources.limits['nvidia.com/gpu']",
        {
            "extra_containers": [
                {
                    "name": "x",
                    "image": "x",
                    "resources": {"limits": {"nvidia.com/gpu": 1}},
                    "securityContext": {},
                }
            ]
        },
    ),
    "devices by a variable": (
        "spec.containers[0].env[",
        {"environment": {"NVIDIA_VISIBLE_DEVICES": "all"}},
    ),
    "devices by an annotation": (
        "metadata.annotations['cdi.k8s.io/x']",
        {"extra_annotations": {"cdi.k8s.io/x": "nvidia.com/gpu=all"}},
    ),
    "GPU for everybody": (
        "spec.containers[0].resources.limits['nvidia.com/gpu']",
        {"extra_resource_limits": {"nvidia.com/gpu": 1}},
    ),
    "more CPU for everybody": (
        "spec.containers[0].resources.limits.cpu",
        {"extra_resource_limits": {"cpu": 64}},
    ),
    "root for everybody": ("spec.containers[0].securityContext.runAsUser", {"uid": 0}),
    "free words for the container": (
        "spec.containers[0].envFrom",
        {"extra_container_config": {"envFrom": [{"secretRef": {"name": "hub"}}]}},
    ),
    "free words for its security": (
        "spec.containers[0].securityContext.privileged",
        {"extra_container_config": {"securityContext": {"privileged": True}}},
    ),
}


@pytest.mark.parametrize("name", UNDER_THE_FLOOR)
async def test_the_floor_holds_for_what_the_configuration_declares(name: str) -> None:
    path, traits = UNDER_THE_FLOOR[name]
    good = await make({}, traits)
    assert [each for each in problems(good, good.manifest) if each.startswith(path)]


async def test_templates_and_spellings_of_the_configuration_are_read_as_kubespawner_does() -> None:
    good = await make({}, ADMIN, name="second")
    volumes = {each["name"]: each for each in good.configured.volumes}
    assert volumes["settings"]["configMap"] == {"name": "settings-alice"}
    assert volumes["pod"] == {"name": "pod", "downwardAPI": {"items": []}}
    site = {"name": "settings", "mountPath": "/etc/jupyter/site.json", "subPath": "site.json"}
    assert site in good.configured.volume_mounts
    assert good.configured.name.startswith("jupyter-alice--second")
    assert problems(good, good.manifest) == []


async def test_groups_that_a_callable_would_name_are_not_declared() -> None:
    good = await make({}, {"supplemental_gids": lambda _spawner: [0]})
    assert problems(good, good.manifest) == ["spec.securityContext.supplementalGroups"]


async def test_models_of_the_client_are_read_like_plain_words() -> None:
    model = client.V1Volume(name="x", empty_dir=client.V1EmptyDirVolumeSource(size_limit="1Gi"))
    toleration = client.V1Toleration(key="pool", operator="Exists")
    good = await make({}, {"volumes": [model], "tolerations": [toleration]})
    assert good.configured.volumes == ({"name": "x", "emptyDir": {"sizeLimit": "1Gi"}},)
    assert problems(good, good.manifest) == []


def test_a_startup_container_is_held_to_the_grant_whatever_its_builder_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = good_pods()["startup"]
    manifest = good.copy()
    startup = manifest["spec"]["initContainers"][0]
    startup["image"] = "registry.example/evil:1"
    startup["volumeMounts"][0]["mountPath"] = "/elsewhere"
    monkeypatch.setattr(pod, "make_startup_container", lambda _grant, _home: startup)
    assert problems(good, manifest) == [
        "spec.initContainers[0].image",
        "spec.initContainers[0].volumeMounts[0].mountPath",
    ]


def test_nothing_granted_is_nothing_allowed() -> None:
    good = good_pods()["cpu"]
    with pytest.raises(gate.ManifestRefused, match="nothing was granted"):
        gate.hold(good.manifest, None, good.configured)


def test_a_refusal_tells_every_place_and_no_value() -> None:
    good = good_pods()["cpu"]
    manifest = good.copy()
    put(manifest, "spec.containers[0].env[+]", {"name": "X", "valueFrom": {"secret": "hunter2"}})
    put(manifest, "spec.hostNetwork", True)
    with pytest.raises(gate.ManifestRefused) as refused:
        gate.hold(manifest, good.grant, good.configured)
    assert "spec.hostNetwork is not false" in str(refused.value)
    assert "valueFrom is neither granted nor declared" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert len(refused.value.violations) == 2


def test_a_place_that_a_hook_made_up_is_cut_and_quoted() -> None:
    good = good_pods()["cpu"]
    manifest = good.copy()
    manifest["spec"]["x\n" * 500] = True
    (path,) = problems(good, manifest)
    assert "\n" not in path
    assert len(path) <= 200


def test_the_gate_changes_nothing() -> None:
    good = good_pods()["admin-root"]
    before = json.dumps(good.manifest)
    gate.check(good.manifest, good.grant, good.configured)
    assert json.dumps(good.manifest) == before
