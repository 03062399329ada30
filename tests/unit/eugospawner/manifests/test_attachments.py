"""Where volumes are in use is what the Pods that have them say (F44)."""

from eugospawner.manifests.attachments import of_pods, pinned
from eugospawner.policy.volumes import HOME, Attachment

KEYS = {"volume-of-data": "data"}


def a_pod(
    owner="alice", server="lab", node="n1", phase="Running", claims=("home", "volume-of-data")
):
    names = ["home", *(f"extra-{index}" for index in range(len(claims) - 1))]
    return {
        "metadata": {
            "annotations": {"hub.jupyter.org/username": owner}
            | ({"hub.jupyter.org/servername": server} if server else {})
        },
        "spec": {
            "nodeName": node,
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                *(
                    {"name": name, "persistentVolumeClaim": {"claimName": claim}}
                    for name, claim in zip(names, claims, strict=True)
                ),
            ],
        },
        "status": {"phase": phase},
    }


def found(*pods, owner="alice"):
    return list(of_pods(pods, owner, KEYS))


def test_the_home_and_known_volumes_are_named_with_node_and_workspace():
    assert found(a_pod(), a_pod(server="", node="n2", claims=("home",))) == [
        ("home", Attachment(key=HOME, node="n1", server="lab")),
        ("volume-of-data", Attachment(key="data", node="n1", server="lab")),
        ("home", Attachment(key=HOME, node="n2", server="")),
    ]


def test_pods_of_others_and_such_as_have_ended_or_no_node_have_nothing():
    others = (a_pod(owner="bob"), a_pod(phase="Succeeded"), a_pod(phase="Failed"), a_pod(node=None))
    assert found(*others) == []
    assert found({"metadata": {}, "spec": {}}) == []


def test_a_volume_of_nobodys_knowledge_is_passed_over():
    assert [claim for claim, _ in found(a_pod(claims=("home", "x")))] == ["home"]


def test_terms_are_narrowed_to_the_node_and_stay_what_they_were():
    here = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    assert pinned([], "n1") == [{"matchFields": [here]}]
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    declared = [{"matchExpressions": [zone]}, {"matchFields": [zone]}]
    assert pinned(declared, "n1") == [
        {"matchExpressions": [zone], "matchFields": [here]},
        {"matchFields": [zone, here]},
    ]
    assert declared == [{"matchExpressions": [zone]}, {"matchFields": [zone]}]
