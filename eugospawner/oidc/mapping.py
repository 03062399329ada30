"""
Mapping: what the provider's claims make of somebody here, by declared rules and nothing else.

A rule takes the texts of one claim, compares them to the letter and gives what it names. Whatever is
not as it should be gives nothing and is told: an unknown value, a claim of the wrong kind, two
organizations. With a rule on roles who has none of them is a viewer, who may start nothing; who has
several may what any of them gives. Groups that
the provider left out for being too many are no empty list. Source: F107, F108; OpenID Connect Core 1.0
§5.6.2 (distributed claims); facts on security.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from eugospawner.policy import roles
from eugospawner.policy.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

#: More than any directory puts into a token; beyond, somebody plays with us.
MOST_VALUES: Final = 5_000
LONGEST_VALUE: Final = 512


class Gift(StrEnum):
    """What a rule gives."""

    ORGANIZATION = "organization"
    GROUP = "group"
    ROLE = "role"
    PROJECT_MANAGER = "project-manager"
    PLATFORM_ADMIN = "platform-admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    What the values of one claim give.

    Attributes:
        claim: Its name, then those of the objects within, outermost first.
        prefix: Only values that begin so count, without it.
        values: What is given for which value, to the letter; `None`: what the value says.
    """

    claim: tuple[str, ...]
    gives: Gift
    prefix: str = ""
    values: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """How people call the claim: ``realm_access.roles``."""
        return ".".join(self.claim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """
    Keys that there are; whatever else a rule would give is not given.

    Attributes:
        roles: Those that organizations have of their own, by organization.
    """

    organizations: Container[str]
    groups: Container[str]
    projects: Container[str] = ()
    roles: Mapping[str, Container[str]] = field(default_factory=dict[str, "Container[str]"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """
    What somebody is here.

    Attributes:
        organization: Key; empty: none.
        roles: Keys, in order.
        manages: Keys of projects.
        says: What the rules are about: organization, role, groups, manages. The rest is not the
            provider's to say.
        doubts: What was not as it should be, in sentences without values of anybody's token.
    """

    organization: str
    roles: tuple[str, ...]
    groups: frozenset[str]
    manages: frozenset[str]
    is_platform_admin: bool
    says: frozenset[str]
    doubts: tuple[str, ...]


class Overage(SignInError):
    """The provider left a claim out because it has too many values."""


class _Odd(Exception):
    """A claim is of the wrong kind; the text says how."""


def membership_of(claims: Mapping[str, Any], rules: Sequence[Rule], known: Known) -> Membership:
    """
    Return what *claims* make of somebody.

    Raises:
        Overage: A claim that a rule asks for was left out for having too many values.
    """
    given: dict[Gift, set[str]] = {gift: set() for gift in Gift}
    doubts: list[str] = []
    asked: dict[str, str] = {}
    for rule in rules:
        if is_left_out(claims, rule.claim):
            message = (
                f"Your identity provider left out {rule.name} because there are too many of them: "
                "ask an admin to have it send only those that this hub needs"
            )
            raise Overage(message)
        try:
            values = texts_at(claims, rule.claim)
        except _Odd as odd:
            doubts.append(f"The claim {rule.name} {odd}: it gives nothing")
            continue
        for value in _wanted(values, rule):
            if rule.gives is Gift.ROLE:
                asked[value] = rule.name
            elif (problem := _problem_of(rule.gives, value, known)) is None:
                given[rule.gives].add(value)
            else:
                doubts.append(f"The claim {rule.name} {problem}: it gives nothing")
    organizations = given[Gift.ORGANIZATION]
    if len(organizations) > 1:
        doubts.append("The claims name several organizations, and nobody is in two: none is given")
    organization = next(iter(organizations)) if len(organizations) == 1 else ""
    # Which roles an organization has of its own is known when it is known which it is.
    offered = known.roles.get(organization, ())
    for key, name in asked.items():
        if key in roles.BUILTIN or key in offered:
            given[Gift.ROLE].add(key)
        else:
            doubts.append(f"The claim {name} names a role that there is not: it gives nothing")
    about = {rule.gives for rule in rules}
    least = roles.VIEWER if Gift.ROLE in about else roles.MEMBER
    return Membership(
        organization=organization,
        roles=tuple(sorted(given[Gift.ROLE])) or (least.key,),
        groups=frozenset(given[Gift.GROUP]),
        manages=frozenset(given[Gift.PROJECT_MANAGER]),
        is_platform_admin=bool(given[Gift.PLATFORM_ADMIN]),
        says=frozenset(_FIELDS[gift] for gift in about if gift in _FIELDS),
        doubts=tuple(dict.fromkeys(doubts)),
    )


#: What of somebody's entry a gift is.
_FIELDS: Final[Mapping[Gift, str]] = {
    Gift.ORGANIZATION: "organization",
    Gift.GROUP: "groups",
    Gift.ROLE: "role",
    Gift.PROJECT_MANAGER: "manages",
}


def texts_at(claims: Mapping[str, Any], path: Sequence[str]) -> tuple[str, ...]:
    """
    Return the texts at *path* of *claims*; one text is a list of one, and none is there: no text.

    Raises:
        _Odd: There is something else, or too much.
    """
    value: object = claims
    for name in path:
        if not isinstance(value, dict):
            message = "is not where it is looked for"
            raise _Odd(message)
        value = value.get(name)
        if value is None:
            return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        message = "is neither a text nor a list of texts"
        raise _Odd(message)
    if len(values) > MOST_VALUES or any(len(each) > LONGEST_VALUE for each in values):
        message = "has more or longer values than anybody needs"
        raise _Odd(message)
    return tuple(values)


def is_left_out(claims: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Whether the provider says that it left the claim at *path* out: it is elsewhere."""
    name = path[0]
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict) and name in elsewhere:
        return True
    said = claims.get("hasgroups")
    return name == "groups" and "groups" not in claims and (said is True or said == "true")


def _wanted(values: Sequence[str], rule: Rule) -> Iterator[str]:
    for value in dict.fromkeys(values):
        if not value.startswith(rule.prefix):
            continue
        stripped = value.removeprefix(rule.prefix)
        if rule.values is None:
            yield stripped
        elif stripped in rule.values:
            yield rule.values[stripped]


def _problem_of(gift: Gift, value: str, known: Known) -> str | None:
    match gift:
        case Gift.ORGANIZATION if value not in known.organizations:
            return "names an organization that is not here"
        case Gift.GROUP if value not in known.groups:
            return "names a group that is not here"
        case Gift.PROJECT_MANAGER if value not in known.projects:
            return "names a project that is not here"
        case Gift.PLATFORM_ADMIN if value != Gift.PLATFORM_ADMIN:
            return "names a role that there is not"
        case _:
            return None
