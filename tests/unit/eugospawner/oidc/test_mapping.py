"""Claims of every kind: whatever is not to the letter gives nothing, and is told (F107, F108)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.oidc.mapping import (
    LONGEST_VALUE,
    MOST_VALUES,
    Gift,
    Known,
    Membership,
    Overage,
    Rule,
    membership_of,
)

KNOWN = Known(
    organizations={"acme", "umbrella"},
    groups={"vision-lab", "course-2026"},
    projects={"vision"},
    roles={"acme": {"launcher"}},
)
RULES = (
    Rule(claim=("org",), gives=Gift.ORGANIZATION),
    Rule(claim=("groups",), gives=Gift.GROUP, prefix="/eugo/"),
    Rule(
        claim=("realm_access", "roles"),
        gives=Gift.ROLE,
        values={"eugo-owner": "owner", "eugo-admin": "admin", "eugo-user": "member"},
    ),
    Rule(
        claim=("realm_access", "roles"),
        gives=Gift.PLATFORM_ADMIN,
        values={"eugo-platform": "platform-admin"},
    ),
)
NOBODY = Membership(
    organization="",
    roles=("viewer",),
    groups=frozenset(),
    manages=frozenset(),
    is_platform_admin=False,
    says=frozenset({"organization", "groups", "role"}),
    doubts=(),
)


def of(claims, rules=RULES):
    return membership_of(claims, rules, KNOWN)


def roles(*names):
    return {"realm_access": {"roles": list(names)}}


def test_claims_make_somebody_of_somebody():
    found = of({"org": "acme", "groups": ["/eugo/vision-lab", "/other/x"], **roles("eugo-user")})
    assert found == Membership(
        organization="acme",
        roles=("member",),
        groups=frozenset({"vision-lab"}),
        manages=frozenset(),
        is_platform_admin=False,
        says=NOBODY.says,
        doubts=(),
    )


def test_who_has_no_claims_is_nobody():
    assert of({}) == NOBODY
    assert of({"org": None, "groups": None, "realm_access": None}) == NOBODY


def test_without_a_rule_on_roles_everybody_is_a_member():
    assert of({}, RULES[:2]).roles == ("member",)


def test_who_has_several_roles_has_them_all():
    assert of(roles("eugo-user", "eugo-owner")).roles == ("member", "owner")


ROLE_RULES = (RULES[0], Rule(claim=("role",), gives=Gift.ROLE))


@pytest.mark.parametrize("name", ["notebook.user", "notebook.admin", "IDE_MANAGE"])
def test_roles_that_everybody_knows_need_no_table(name):
    assert of({"role": name}, ROLE_RULES).roles == (name,)


def test_an_organization_s_own_roles_are_its_members_alone():
    assert of({"org": "acme", "role": "launcher"}, ROLE_RULES).roles == ("launcher",)
    for org in ("umbrella", None, "initech", ["acme", "umbrella"]):
        found = of({"org": org, "role": "launcher"}, ROLE_RULES)
        assert found.roles == ("viewer",)
        assert "The claim role names a role that there is not: it gives nothing" in found.doubts


def test_a_project_s_manager_comes_from_a_claim():
    rule = (Rule(claim=("leads",), gives=Gift.PROJECT_MANAGER),)
    found = of({"leads": ["vision", "mars"]}, rule)
    assert (found.manages, found.says) == ({"vision"}, {"manages"})
    assert found.doubts == ("The claim leads names a project that is not here: it gives nothing",)


def test_who_may_do_everything_is_named_to_the_letter():
    assert of(roles("eugo-platform")).is_platform_admin
    for name in (
        "eugo-Platform",
        "eugo-platform ",
        "eugo-plаtform",
        "xeugo-platform",
        "platform-admin",
    ):
        assert not of(roles(name)).is_platform_admin
    plain = (Rule(claim=("role",), gives=Gift.PLATFORM_ADMIN),)
    assert not of({"role": "true"}, plain).is_platform_admin
    assert of({"role": "platform-admin"}, plain).is_platform_admin


def test_a_text_is_one_group_and_not_its_letters():
    known = Known(organizations=(), groups=set("abc"))
    rule = Rule(claim=("groups",), gives=Gift.GROUP)
    assert membership_of({"groups": "abc"}, [rule], known).groups == frozenset()
    assert membership_of({"groups": "a"}, [rule], known).groups == {"a"}


def test_groups_that_begin_otherwise_are_nobody_s_business():
    found = of(
        {"groups": ["vision-lab", "/eugo2/vision-lab", "/EUGO/vision-lab", "eugo/vision-lab"]}
    )
    assert (found.groups, found.doubts) == (frozenset(), ())


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"groups": ["/eugo/unknown"]}, "names a group that is not here"),
        ({"groups": ["/eugo/"]}, "names a group that is not here"),
        ({"org": "initech"}, "names an organization that is not here"),
        ({"org": ["acme", "umbrella"]}, "several organizations"),
        ({"org": 7}, "neither a text nor a list of texts"),
        ({"org": True}, "neither a text nor a list of texts"),
        ({"org": {}}, "neither a text nor a list of texts"),
        ({"groups": [["/eugo/vision-lab"]]}, "neither a text nor a list of texts"),
        ({"groups": ["/eugo/vision-lab", None]}, "neither a text nor a list of texts"),
        ({"groups": {"/eugo/vision-lab": True}}, "neither a text nor a list of texts"),
        ({"realm_access": "eugo-owner"}, "not where it is looked for"),
        ({"realm_access": ["roles"]}, "not where it is looked for"),
        ({"groups": ["/eugo/vision-lab"] * (MOST_VALUES + 1)}, "more or longer values"),
        ({"groups": "/eugo/" + "x" * LONGEST_VALUE}, "more or longer values"),
    ],
)
def test_what_is_not_as_it_should_be_gives_nothing_and_is_told(claims, told):
    found = of(claims)
    assert (found.organization, found.groups, found.roles) == ("", frozenset(), ("viewer",))
    (doubt,) = found.doubts
    assert told in doubt


def test_an_unknown_role_is_the_least():
    direct = (Rule(claim=("role",), gives=Gift.ROLE),)
    found = of({"role": ["root", "Owner", "owner "]}, direct)
    assert found.roles == ("viewer",)
    assert found.doubts == ("The claim role names a role that there is not: it gives nothing",)


def test_a_doubt_quotes_nobody_s_token():
    found = of({"org": "canary-7391", "groups": ["/eugo/canary-7391"], **roles("canary-7391")})
    assert found.doubts
    assert not any("canary" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    "claims",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}},
        {"hasgroups": True},
        {"hasgroups": "true"},
    ],
)
def test_groups_that_were_left_out_are_no_empty_list(claims):
    with pytest.raises(Overage, match="too many"):
        of(claims)
    assert of(claims, RULES[:1]) == of({}, RULES[:1])  # nobody asked for them


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12)
    | st.sampled_from(["acme", "/eugo/vision-lab", "eugo-owner", "eugo-platform", "roles"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["roles", "org", "x"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["org", "groups", "realm_access", "roles", "hasgroups", "_claim_names"]),
        json_values,
        max_size=6,
    )
)
def test_no_json_at_all_gives_more_than_it_says_to_the_letter(claims):
    try:
        found = of(claims)
    except Overage:
        return
    text = repr(claims)
    assert not found.organization or found.organization in KNOWN.organizations
    assert found.groups <= KNOWN.groups
    if found.is_platform_admin:
        assert "eugo-platform" in text
    if "owner" in found.roles:
        assert "eugo-owner" in text
    assert found.roles in {("viewer",), ("owner",)}
