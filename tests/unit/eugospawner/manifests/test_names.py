"""Names derived from what an object is: the same for the same, different for the different."""

import re
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from eugospawner.manifests import names

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def test_a_hundred_thousand_owners_and_keys_never_share_a_claim() -> None:
    """Compare CVE-2020-15110: a template of user and server name collided."""
    parts = [
        "",
        "a",
        "b",
        "-",
        "--",
        "a-b",
        "a--b",
        "1",
        "\u00e9",
        "e\u0301",
        "A",
        "volume",
        ".",
        '"',
        '","',
    ]
    owners = [f"{one}{two}{three}" for one, two, three in product(parts[:8], parts, ["", "-", "x"])]
    keys = [f"{one}{two}" for one, two in product(parts, [*parts, "z", "-z"])]
    pairs = {(owner, key) for owner in owners for key in keys}
    assert len(pairs) > 50_000
    pairs |= {(f"user-{number}", "data") for number in range(100_000)}

    assert len({names.volume_claim_name(owner, key) for owner, key in pairs}) == len(pairs)


@given(st.text(), st.text())
def test_a_name_fits_kubernetes_whatever_it_is_made_from(owner: str, key: str) -> None:
    assert DNS_LABEL.fullmatch(names.volume_claim_name(owner, key))
    assert DNS_LABEL.fullmatch(names.claim_template_name({owner: key}))


def test_the_same_spec_has_the_same_name_in_whatever_order_it_is_written() -> None:
    one = {"a": 1, "b": {"c": [1, 2], "d": None}}
    other = {"b": {"d": None, "c": [1, 2]}, "a": 1}
    assert names.claim_template_name(one) == names.claim_template_name(other)


def test_a_list_in_another_order_is_another_spec() -> None:
    assert names.claim_template_name({"a": [1, 2]}) != names.claim_template_name({"a": [2, 1]})


def test_a_name_never_changes_between_releases() -> None:
    """Volumes of last year are found again by these names."""
    assert names.volume_claim_name("alice", "data") == "volume-b56d3017b8dc5a535855"
