"""
Nothing gets through the manifest gate by chance: hostile Pods by the thousand, judged twice.

Random options that admission grants become Pods of the real spawner; hooks, overrides and random
injections spoil them; what the gate lets pass, an oracle that shares nothing with it must let
pass, too. Zero of n escapes means: with 95 % confidence less than 3/n. Design §§5 and 9; facts
on security, §§4 and 5.
"""

from __future__ import annotations

import asyncio
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from jupyterhub.spawner import SpawnException

from eugospawner import options
from eugospawner.manifests import configured
from eugospawner.manifests.gate import Gate
from tests.factories.chance import a_random_request, chance
from tests.unit.eugospawner import gate_oracle
from tests.unit.eugospawner.gate_pods import (
    ADMIN,
    OPTIONS,
    Good,
    a_spawner,
    good_pods,
    make,
    to_json,
)
from tests.unit.eugospawner.manifests.gate_cases import CASES, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

Json = Any

#: Fields of Kubernetes, right and wrong places alike, and values that they might carry.
WORDS = """
hostNetwork hostPID hostIPC hostUsers hostPort hostIP hostPath hostAliases
privileged allowPrivilegeEscalation capabilities procMount runAsUser runAsGroup
runAsNonRoot seccompProfile appArmorProfile seLinuxOptions sysctls fsGroup
serviceAccountName automountServiceAccountToken projected secret csi nfs image
nodeName nodeSelector tolerations affinity schedulerName priorityClassName
resourceClaims claims limits requests env envFrom valueFrom command args host
mountPath subPath subPathExpr mountPropagation readOnly claimName name add drop
restartPolicy terminationGracePeriodSeconds ephemeralContainers volumeDevices
labels annotations finalizers ownerReferences namespace stdin lifecycle
readOnlyRootFilesystem workingDir imagePullPolicy value cpu memory futureField
"""
FIELDS = WORDS.split()
VALUES: list[Json] = [
    True, False, None, 0, 1, -1, 1000, 2.0, "", "x", "..", "/", "/etc", "hub", "home-bob", "all",
    "Unconfined", "RuntimeDefault", "Always", "Never", "OnFailure", "2", "8Gi", "64", "1m", "ALL",
    "default-scheduler", "NVIDIA_VISIBLE_DEVICES", [], {}, ["ALL"], ["NET_ADMIN"], [0],
    {"type": "Unconfined"}, {"type": "RuntimeDefault"}, {"path": "/"}, {"name": "hub"},
    {"secretRef": {"name": "hub"}}, {"nvidia.com/gpu": 1}, {"cpu": "2"}, {"name": "gpu"},
    {"claimName": "home-bob"}, {"exec": {"command": ["true"]}}, {"httpGet": {"host": "h", "port": 1}},
    {"sources": [{"serviceAccountToken": {"path": "t"}}]}, {"name": "X", "value": "y"},
    {"name": "home", "mountPath": "/home/user"}, {"name": "home", "mountPath": "/root"},
]  # fmt: skip


def places(value: Json) -> Iterator[Json]:
    """Every object and list of a Pod."""
    if isinstance(value, dict | list):
        yield value
        for each in list(value.values()) if isinstance(value, dict) else value:
            yield from places(each)


def inject(random: Random, manifest: Json) -> None:
    """Put any value anywhere."""
    at, value = random.choice(list(places(manifest))), copy.deepcopy(random.choice(VALUES))
    if isinstance(at, list):
        if at and random.random() < 0.5:
            at[random.randrange(len(at))] = value
        else:
            at.append(value)
        return
    known = random.random() < 0.6 and list(at)
    at[random.choice(known or FIELDS)] = value


def remove(random: Random, manifest: Json) -> None:
    """Take anything away."""
    at = random.choice([each for each in places(manifest) if each] or [manifest])
    if isinstance(at, list):
        at.pop(random.randrange(len(at)))
    elif at:
        del at[random.choice(list(at))]


def move(random: Random, manifest: Json) -> None:
    """Put a part of the Pod in the place of another, or beside it."""
    found = list(places(manifest))
    part, at = copy.deepcopy(random.choice(found)), random.choice(found)
    if isinstance(at, list):
        at.append(part)
    elif at:
        at[random.choice(list(at))] = part


def follow(random: Random, manifest: Json) -> None:
    """Do what a case of the table does, where the Pod has that place."""
    for place, value in random.choice(CASES).changes.items():
        try:
            put(manifest, place, copy.deepcopy(value))
        except (AttributeError, IndexError, KeyError, TypeError):
            return


def soothe(random: Random, manifest: Json) -> None:
    """Change what is nobody's business, so that not everything is refused."""
    place, value = random.choice(
        [
            ("spec.containers[0].args", ["x", "y"]),
            ("spec.containers[0].command", ["sh"]),
            ("spec.containers[0].env[+]", {"name": "COLOUR", "value": "blue"}),
            ("spec.containers[0].workingDir", "/"),
            ("spec.containers[0].resources.requests.cpu", "100m"),
            ("spec.containers[0].securityContext.readOnlyRootFilesystem", True),
            ("spec.terminationGracePeriodSeconds", 10),
            ("spec.hostNetwork", False),
            ("spec.restartPolicy", "Never"),
            ("spec.containers[0].livenessProbe", {"tcpSocket": {"port": 1}}),
        ]
    )
    try:
        put(manifest, place, copy.deepcopy(value))
    except (AttributeError, IndexError, KeyError, TypeError):
        return


SPOILERS: list[Callable[[Random, Json], None]] = [inject, inject, remove, move, follow, soothe]


async def some_goods(random: Random, count: int) -> list[Good]:
    """Return *count* Pods for random options that were granted, under random configurations."""
    goods = [
        await make(words, ADMIN if kind.startswith("admin") else None)
        for kind, words in OPTIONS.items()
    ]
    while len(goods) < count:
        words = options.serialize(a_random_request(random))
        try:
            goods.append(
                await make(
                    words,
                    random.choice([None, ADMIN]),
                    name=random.choice(["", "second", "Ümläut"]),
                )
            )
        except SpawnException:
            continue  # denied: no Pod
    return goods


def judge(good: Good, gate: Gate, manifest: Json) -> bool:
    """Return whether the gate passes *manifest*; fail if it should not."""
    if gate.check(manifest):
        return False
    said = gate_oracle.complaints(manifest, good.manifest, root=good.grant.root_shell)
    assert not said, f"escaped: {said}\n{json.dumps(manifest)}"
    return True


def fuzz(seed: int, cases: int) -> tuple[int, int]:
    """Judge *cases* spoiled Pods; return how many passed and how many were refused."""
    random = chance(seed)
    goods = asyncio.run(some_goods(random, 60))
    gates = [Gate(good.grant, good.configured) for good in goods]
    texts = [json.dumps(good.manifest) for good in goods]
    passed = 0
    for number in range(cases):
        which = number % len(goods)
        manifest = json.loads(texts[which])
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            random.choice(SPOILERS)(random, manifest)
        try:
            passed += judge(goods[which], gates[which], manifest)
        except AssertionError as error:
            error.add_note(f"seed {seed}, case {number}")
            raise
    return passed, cases - passed


@pytest.mark.parametrize("seed", range(2))
def test_no_spoiled_pod_of_thousands_escapes(seed: int) -> None:
    passed, refused = fuzz(seed, 2_000)
    # Both often, else it would prove little.
    assert passed > 100
    assert refused > 1000


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(100, 200))
def test_no_spoiled_pod_of_a_million_escapes(seed: int) -> None:
    fuzz(seed, 10_000)


def test_no_pod_that_nobody_touched_is_refused() -> None:
    for good in asyncio.run(some_goods(chance(1), 150)):
        assert Gate(good.grant, good.configured).check(good.manifest) == ()
        assert not gate_oracle.complaints(good.manifest, good.manifest, root=good.grant.root_shell)


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
def test_the_oracle_sees_what_the_table_calls_hostile(case: Any) -> None:
    good = good_pods()[case.kind]
    assert gate_oracle.complaints(case.manifest(), good.manifest, root=good.grant.root_shell)


#: Traits by which a profile, a hook before the start or an admin's slip overrides a Pod.
OVERRIDES: list[dict[str, Any]] = [
    {"extra_pod_config": {"hostNetwork": True}},
    {"extra_pod_config": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}},
    {"extra_pod_config": {"automountServiceAccountToken": True}},
    {"extra_pod_config": {"nodeName": "devnode"}},
    {"extra_pod_config": {}},  # no token switch, no default for links: absent is not off
    {"extra_container_config": {"securityContext": {"privileged": True}}},
    {"extra_container_config": {"envFrom": [{"secretRef": {"name": "hub"}}]}},
    {"extra_container_config": {"image": "registry.example/evil:1"}},
    {"extra_container_config": {"volumeDevices": [{"name": "home", "devicePath": "/dev/x"}]}},
    {"image": "registry.example/evil:1"},
    {"priority_class_name": "system-node-critical"},
    {"cpu_limit": 64.0},
    {"mem_limit": "1T"},
    {"privileged": True, "container_security_context": {}},
    {"allow_privilege_escalation": True, "container_security_context": {}},
    {"pod_security_context": {"runAsUser": 0}},
    {"container_security_context": {"capabilities": {"add": ["SYS_ADMIN"]}}},
    {"extra_resource_limits": {"nvidia.com/gpu": 8}},
    {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
]


@pytest.mark.parametrize("override", OVERRIDES, ids=str)
@pytest.mark.parametrize("kind", ["cpu", "share", "root", "startup"])
async def test_an_override_after_the_decision_is_refused(
    kind: str, override: dict[str, Any]
) -> None:
    spawner = a_spawner(OPTIONS[kind])
    await spawner.load_user_options()
    for trait, value in override.items():
        setattr(spawner, trait, value)
    admitted = spawner._admitted
    assert admitted is not None
    manifest = to_json(await spawner.get_pod_manifest())
    assert Gate(admitted.grant, configured.of(spawner)).check(manifest)
