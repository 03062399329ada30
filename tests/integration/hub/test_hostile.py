"""
Requests that no form would send: each is answered in words, and nothing reaches Kubernetes.

Every one goes through the REST door, where any JSON may come (design §5; promises 1, 4 and 7).
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.factories.chance import chance

pytestmark = pytest.mark.cluster

IMAGE = "registry.example/eugo/base-notebook:2026.11"
GPU = {"profile": "nb-gpu-h100"}


def mounted(*paths: str, claim: str = "data") -> dict[str, object]:
    volumes = [{"claim": f"{claim}-{n}", "mount_path": path} for n, path in enumerate(paths)]
    return {"volumes": volumes}


#: What is sent, the status, the reason, and what the answer must name.
HOSTILE: dict[str, tuple[object, int, str, str]] = {
    "an unknown word": ({"kubespawner_override": {"image": "evil"}}, 400, "unknown-option", "kubespawner_override"),
    "a word of KubeSpawner's": ({"profile": "nb-cpu-2", "profile-option-x--y": "z"}, 400, "unknown-option", "profile-option-x--y"),
    "a list for a profile": ({"profile": ["nb-cpu-2"]}, 400, "malformed", "profile"),
    "an object for an image": ({"image": {"$ne": ""}}, 400, "malformed", "image"),
    "true for a count": (GPU | {"gpu_count": True}, 400, "malformed", "gpu_count"),
    "a fraction of a GPU": (GPU | {"gpu_count": 0.5}, 400, "malformed", "gpu_count"),
    "NaN": (GPU | {"sm_percent": float("nan")}, 400, "malformed", "sm_percent"),
    "infinity": (GPU | {"sm_percent": float("inf")}, 400, "malformed", "sm_percent"),
    "a number beyond all": (b'{"user_options": {"sm_percent": 1e309}}', 400, "malformed", "sm_percent"),
    "a count beyond all": (GPU | {"gpu_count": 10**400}, 400, "malformed", "gpu_count"),
    "text for a percent": (GPU | {"sm_percent": "25"}, 400, "malformed", "sm_percent"),
    "0 percent": (GPU | {"sm_percent": 0}, 400, "sm-percent-out-of-bounds", "1 to 100"),
    "101 percent": (GPU | {"sm_percent": 101}, 400, "sm-percent-out-of-bounds", "1 to 100"),
    "less than nothing": (GPU | {"gpu_count": -1}, 400, "gpu-count-out-of-bounds", "-1"),
    "no such model": (GPU | {"gpu_model": "H200"}, 400, "gpu-model-unknown", "H200"),
    "CEL for a model": (GPU | {"gpu_model": 'H100" || true || "'}, 400, "gpu-model-unknown", "There is no GPU model"),
    "an image and a suffix": ({"image": f"{IMAGE}@evil.example/pwn:latest"}, 403, "image-not-allowed", "image not in allowlist"),
    "an image and a line": ({"image": f"{IMAGE}\nevil"}, 403, "image-not-allowed", "image not in allowlist"),
    "an image in capitals": ({"image": IMAGE.upper()}, 403, "image-not-allowed", "image not in allowlist"),
    "the root as mount": (mounted("/"), 400, "mount-path-unsafe", "'/'"),
    "a system folder": (mounted("/etc"), 400, "mount-path-unsafe", "/etc"),
    "a way out": (mounted("/data/../etc"), 400, "mount-path-unsafe", "/data/../etc"),
    "a relative path": (mounted("data"), 400, "mount-path-unsafe", "data"),
    "a path with NUL": (mounted("/mnt/a\0b"), 400, "mount-path-unsafe", "mount path"),
    "the home": (mounted("/home/user/x"), 400, "mount-path-unsafe", "/home/user/x"),
    "the same path twice": (mounted("/mnt/a", "/mnt/a"), 400, "mount-path-duplicate", "/mnt/a"),
    "a PVC's path": (mounted("/mnt/a", claim="../home"), 400, "volume-name", "../home"),
    "another's project": ({"project": "personal-alice"}, 403, "project-unknown", "personal-alice"),
    "root": ({"root_shell": True}, 403, "root-not-allowed", "root"),
    "CPU as a list": ({"cpu": [4]}, 400, "malformed", "cpu"),
    "CPU without end": ({"cpu": "9" * 40}, 400, "malformed", "cpu"),
    "memory below nothing": ({"memory": "-1Gi"}, 400, "malformed", "memory"),
    "options that are a list": (b'{"user_options": ["profile"]}', 400, "", ""),
    "a surrogate": (b'{"user_options": {"profile": "\\ud800"}}', 400, "malformed", "profile"),
    "a very long text": ({"profile": "x" * 100_000}, 400, "malformed", "profile"),
}  # fmt: skip


def post(hub, user: str, body: object, server: str = "first"):
    sent = body if isinstance(body, bytes) else {"user_options": body}
    return hub.ask("POST", f"/users/{user}/servers/{server}", sent)


@pytest.mark.parametrize(("body", "status", "reason", "named"), HOSTILE.values(), ids=HOSTILE)
def test_each_is_answered_by_its_reason_and_leaves_nothing(hub, body, status, reason, named):
    user = hub.new_user()
    answer = post(hub, user, body)
    assert answer.status == status
    if reason:
        assert answer.message.endswith(f"[{reason}]")
        assert named in answer.message
        assert len(answer.message) < 1_000
    assert "Traceback" not in json.dumps(answer.body)
    assert hub.server(user, "first") == {}, "a refused start leaves no server row"
    assert hub.objects("pods,pvc,resourceclaims", user) == []


def names_of_all(hub) -> set[str]:
    kinds = "pods,pvc,resourceclaims,resourceclaimtemplates,secrets,services"
    return set(hub.kubectl("get", kinds, "-n", "eugo", "-o", "name").stdout.split())


@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_many_of_them_leave_the_hub_as_it_was(hub, count):
    random, users = chance(4), [hub.new_user() for _ in range(8)]
    bodies = [random.choice(list(HOSTILE.values())) for _ in range(count)]
    before, started = names_of_all(hub), hub.ask("GET", "/info").body
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda case: post(hub, users[case[0] % 8], case[1][0], f"s{case[0]}").status,
                enumerate(bodies),
            )
        )
    assert answers == [status for _, status, _, _ in bodies]
    assert names_of_all(hub) <= before  # others' workspaces may have gone meanwhile
    assert hub.ask("GET", "/info").body == started
    user = hub.new_user()
    hub.start_light(user, profile="nb-cpu-2")
    hub.until_ready(user)
    hub.stop(user)


def test_options_saved_last_month_are_judged_anew(hub):
    user = hub.new_user()
    saved = {"user_options": {"profile": "a-profile-that-is-gone"}}
    assert hub.ask("PUT", f"/users/{user}/servers/old", saved).status == 201
    answer = hub.ask("POST", f"/users/{user}/servers/old")
    assert answer.status == 400
    assert answer.message.endswith("[profile-unknown]")
    assert hub.objects("pods,pvc,resourceclaims", user) == []


def test_the_same_key_of_two_people_is_two_volumes(hub):
    """A volume is found among its owner's; no key of anybody reaches another's."""
    people = [hub.new_user() for _ in range(2)]
    for user in people:
        hub.start_light(user, profile="nb-cpu-2", **mounted("/mnt/data", claim="shared"))
    for user in people:
        hub.until_ready(user)
    first, second = people
    hub.run_inside(first, "sh", "-c", "echo mine > /mnt/data/file")
    assert hub.run_inside(second, "ls", "/mnt/data") == ""
    for user in people:
        hub.stop(user)
