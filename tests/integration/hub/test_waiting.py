"""Who waits for a GPU gets it in the order of the queues, and within one in the order of asking (F57)."""

import time

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("free_gpus")]

#: The cluster has two that people may have.
EXCLUSIVE = {"profile": "nb-gpu-h100", "sm_percent": 100}
#: The scheduler lets a Pod that it could not place rest for so long, and no longer (upstream).
LONGEST_BACKOFF = 10


@pytest.mark.nightly
def test_who_waits_in_a_higher_queue_starts_first_and_within_a_queue_who_came_first(hub):
    holder, somebody = hub.new_user(), hub.new_user()
    waiting = {
        ("alice", "batch"): {"project": "vision", "queue": "research-batch"},
        (somebody, "early"): {},
        (somebody, "late"): {},
        ("alice", "high"): {"project": "vision", "queue": "research-high"},
    }
    everybody = [(holder, "one"), (holder, "two"), *waiting]

    def of(kind, user, server):
        return [
            each for each in hub.objects(kind, user) if f"--{server}" in each["metadata"]["name"]
        ]

    def lucky():
        return [
            each
            for each in waiting
            if any("allocation" in claim.get("status", {}) for claim in of("resourceclaims", *each))
        ]

    try:
        for each in everybody[:2]:
            assert hub.start_light(*each, **EXCLUSIVE).status in {201, 202}
            hub.until_ready(*each)
        for each, words in waiting.items():
            assert hub.start_light(*each, **EXCLUSIVE, **words).status in {201, 202}
            hub.until(lambda each=each: of("pods", *each), f"no Pod of {each}")
            time.sleep(1)  # who came first is told by whole seconds
        last = everybody[0]
        for expected in ("high", "early", "late", "batch"):
            time.sleep(LONGEST_BACKOFF)
            hub.stop(*last)
            hub.until(lucky, "nobody gets the GPU")
            (last,) = lucky()
            assert last[1] == expected
            del waiting[last]
            hub.until_ready(*last)
    finally:
        for each in everybody:
            hub.stop(*each)
