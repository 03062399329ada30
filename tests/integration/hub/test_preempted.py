"""
What Kueue marks and deletes is stopped with the reason, and by whom it was displaced (F58).

Kueue's mark is set by hand here; that Kueue sets it so is shown with Kueue itself (tests/deploy/test_kueue.py, nightly).
"""

import json

import pytest

pytestmark = pytest.mark.cluster


def test_a_marked_workspace_ends_as_preempted_and_says_for_whom(hub, user):
    other = hub.new_user()
    try:
        for each in (user, other):
            assert hub.start_light(each, profile="nb-cpu-2").status in {201, 202}
        for each in (user, other):
            hub.until_ready(each)
        (winner,) = hub.objects("pods", other)
        mark = {
            "type": "TerminationTarget",
            "status": "True",
            "reason": "WorkloadEvictedDueToPreempted",
            "message": "Preempted to accommodate a workload (UID: 8a0f61c4-6d0e-4f9e-a0f0-2f4c9a5d1c11, "
            f"JobUID: {winner['metadata']['uid']}) due to reclamation within the cohort",
        }
        (pod,) = hub.objects("pods", user)
        name = pod["metadata"]["name"]
        hub.kubectl(
            "patch", "pod", name, "-n", "eugo", "--subresource=status", "--type=strategic",
            "-p", json.dumps({"status": {"conditions": [mark]}}),
        )  # fmt: skip
        hub.until(lambda: hub.workspace(user).state == "stopping", "the mark is not seen")
        hub.kubectl("delete", "pod", name, "-n", "eugo", "--wait=false")
        hub.until(lambda: hub.workspace(user).state == "stopped", "it does not end")
        ended = hub.workspace(user)
        assert (ended.because, ended.actor) == ("preemption", "kueue")
        assert ended.said == (
            "Displaced by a workspace of the queue Default queue (priority 0). "
            "Files are kept; start it again."
        )
        assert hub.workspace(other).state == "running"
        assert hub.objects("pvc", user)  # files are kept
    finally:
        hub.stop(other)
