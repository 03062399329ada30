"""
Members: the people of an organization, their roles, roles of its own, invitations and requests.

For whoever assigns roles there. Everything goes through `steering` and `inviting`, which say who may; a form that
was made from settings that are not the newest changes nothing. Without JavaScript. Source: F105 to F107, F111;
screen "Users" of the features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from eugospawner.policy import roles
from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.permissions import giving, may, who_may
from eugospawner.policy.roles import MEANINGS, PERMISSIONS, Action
from hub_services.common.problems import DoorReason, Fault, existing, permit
from hub_services.common.web import Page
from hub_services.quota import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.policy.accounts import Actor, Organization, Person
    from eugospawner.policy.roles import Role
    from eugospawner.settings import Settings
    from hub_services.quota.inviting import Inviting
    from hub_services.quota.office import Office
    from hub_services.quota.steering import Steering

_TONES: Final[Mapping[str, str]] = {
    "open": "accent",
    "redeemed": "good",
    "revoked": "neutral",
    "expired": "warn",
}
#: What is said after something was done; nothing else comes from the address.
_DONE: Final[Mapping[str, str]] = {
    "saved": "It is saved, and holds from the next request on.",
    "invited": "The invitation is made, and the link is sent.",
    "revoked": "The invitation is taken back.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLine:
    """
    A role as the pages show it: what it gives, and whether the person has it.

    Attributes:
        ask: Who gives and takes it, if who looks may not; empty: they may.
    """

    key: str
    name: str
    gives: str
    is_had: bool
    ask: str


class _MembersPage(Page):
    def initialize(self, office: Office, steering: Steering, inviting: Inviting) -> None:
        """Take over who answers."""
        self._office = office
        self._steering = steering
        self._inviting = inviting

    async def _organization(self, key: str) -> tuple[Settings, Organization]:
        """
        Return the settings and the organization *key*, to whoever assigns roles in it.

        Raises:
            Fault: It is somebody else.
        """
        settings = await self._office.settings()
        organization = self._office.organization(settings, self.actor, key)
        people = settings.directory.people
        permit(
            f"manage the people of {organization.display_name}",
            allowed=may(self.actor, Action.ASSIGN_ROLE, organization, people),
            ask=who_may(Action.ASSIGN_ROLE, organization),
        )
        return settings, organization

    def _here(self, organization: str, done: str = "") -> str:
        words = {"organization": organization} | ({"done": done} if done else {})
        return f"{self.settings['prefix']}members?{urlencode(words)}"

    def _roles(self) -> list[str]:
        return list(dict.fromkeys(self.get_body_arguments("role")))

    def _revision(self) -> int:
        try:
            return int(self.get_body_argument("revision", ""))
        except ValueError as error:
            message = "revision: expected a number. Load the page again."
            raise Fault(DoorReason.MALFORMED, message) from error


class MembersPage(_MembersPage):
    """The people of an organization."""

    async def get(self) -> None:
        """Show them."""
        await self._show(await self._asked())

    async def post(self) -> None:
        """Do what the pressed button says."""
        key = await self._asked()
        _, organization = await self._organization(key)
        try:
            where = await self._act(organization, self.get_body_argument("action", ""))
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(each) for each in problem["loc"])
            fault = Fault(DoorReason.MALFORMED, f"{field}: {problem['msg']}.")
            await self._show(key, fault=fault)
        except Fault as fault:
            if fault.reason is DoorReason.NOT_PERMITTED:
                raise
            await self._show(key, fault=fault)
        else:
            if where:
                self.redirect(where)

    async def _asked(self) -> str:
        """Return the organization that is asked for; absent: one's own, or the first that one may see."""
        named = self.get_query_argument("organization", "")
        if named:
            return named
        directory = (await self._office.settings()).directory
        person = directory.people.get(self.actor.name)
        if person is not None and person.organization:
            return person.organization
        return next(
            (
                each.key
                for each in directory.organizations.values()
                if may(self.actor, Action.ASSIGN_ROLE, each, directory.people)
            ),
            "",
        )

    async def _act(self, organization: Organization, action: str) -> str:
        """Do what the button *action* says; return where to go then, empty: the page is there."""
        key = organization.key
        match action:
            case "invite":
                new = models.NewInvitation.model_validate(
                    {
                        "email": self.get_body_argument("email", ""),
                        "organization": key,
                        "roles": self._roles() or [roles.MEMBER.key],
                        "expires_days": self.get_body_argument("expires_days", ""),
                    }
                )
                return await self._told(key, await self._inviting.invite(self.actor, new))
            case "send":
                path = models.InvitationPath(id=self.get_body_argument("id", ""))
                return await self._told(key, await self._inviting.send(self.actor, path))
            case "revoke":
                path = models.InvitationPath(id=self.get_body_argument("id", ""))
                await self._inviting.revoke(self.actor, path)
                return self._here(key, "revoked")
            case "role":
                await self._make_role(key)
                return self._here(key, "saved")
            case _:
                message = f"There is no button {action!r} here."
                raise Fault(DoorReason.MALFORMED, message)

    async def _told(self, key: str, answer: models.Invited) -> str:
        if answer.link is None and not answer.invitation.problem:
            return self._here(key, "invited")
        await self._show(key, answer=answer)
        return ""

    async def _make_role(self, key: str) -> None:
        """Make or change a role of the organization's own; without permissions it goes."""
        path = models.EntryPath(section="organizations", key=key)
        entry = (await self._steering.entry(self.actor, path)).entry.document
        document: dict[str, Any] = dict(entry)  # type: ignore[arg-type]  # an entry is a mapping
        name = self.get_body_argument("key", "")
        made = {**(document.get("roles") or {})}
        permissions = self.get_body_arguments("permission")
        if permissions:
            title = self.get_body_argument("display_name", "") or name
            made[name] = {"display_name": title, "permissions": permissions}
        else:
            made.pop(name, None)
        document["roles"] = made
        change = models.Change(
            document=document,
            reason=self.get_body_argument("reason", ""),
            revision=self._revision(),
        )
        await self._steering.change(self.actor, path, change)

    async def _show(
        self, key: str, *, fault: Fault | None = None, answer: models.Invited | None = None
    ) -> None:
        settings, organization = await self._organization(key)
        directory, actor = settings.directory, self.actor
        query = models.InvitationQuery(organization=key)
        found = await self._inviting.listed(actor, query)
        people = [each for each in directory.people.values() if each.organization == key]
        store = await self._office.open_store()
        requests = await store.audit.requests([f"people.{each.name}" for each in people])
        zone = settings.catalog.zone
        if fault is not None:
            self.set_status(fault.status)
        self.render_page(
            "members.html",
            organization=organization,
            others=[
                (each.display_name, self._here(each.key))
                for each in directory.organizations.values()
                if each.key != key and may(actor, Action.ASSIGN_ROLE, each, directory.people)
            ],
            people=[_member(each) for each in people],
            permissions=[(each, MEANINGS[each]) for each in PERMISSIONS],
            own_roles=organization.roles.values(),
            given=_lines(settings, actor, organization, ()),
            invitations=[
                {**each.model_dump(), "tone": _TONES[each.status]} for each in found.invitations
            ],
            requests=requests,
            when=lambda at: local(at, zone),
            revision=self._office.source.newest,
            form_url=self._here(key),
            done=_DONE.get(self.get_query_argument("done", ""), ""),
            problem=None if fault is None else fault.to_problem(),
            answer=answer,
            typed={
                name: self.get_body_argument(name, "") if fault is not None else ""
                for name in ("email", "key", "display_name", "reason")
            },
        )


class MemberPage(_MembersPage):
    """The roles of one person."""

    async def get(self, key: str, name: str) -> None:
        """Show them."""
        await self._show(key, name)

    async def post(self, key: str, name: str) -> None:
        """Give them others."""
        await self._organization(key)
        path = models.EntryPath(section="people", key=name)
        try:
            entry = (await self._steering.entry(self.actor, path)).entry.document
            document: dict[str, Any] = dict(entry)  # type: ignore[arg-type]  # an entry is a mapping
            chosen = self._roles()
            document["role"] = chosen[0] if len(chosen) == 1 else chosen
            change = models.Change(
                document=document,
                reason=self.get_body_argument("reason", ""),
                revision=self._revision(),
            )
            await self._steering.change(self.actor, path, change)
        except ValidationError:
            message = "reason: say why; people read it in the audit."
            await self._show(key, name, fault=Fault(DoorReason.MALFORMED, message))
        except Fault as fault:
            await self._show(key, name, fault=fault)
        else:
            self.redirect(self._here(key, "saved"))

    async def _show(self, key: str, name: str, *, fault: Fault | None = None) -> None:
        settings, organization = await self._organization(key)
        person = settings.directory.people.get(name)
        if person is not None and person.organization != key:
            person = None
        member = existing(person, "person", name)
        if fault is not None:
            self.set_status(fault.status)
        self.render_page(
            "member.html",
            organization=organization,
            person=_member(member),
            roles=_lines(settings, self.actor, organization, member.roles),
            is_provided="role" in member.provided,
            revision=self._office.source.newest,
            form_url=f"{self.settings['prefix']}members/{quote(key, safe='')}/{quote(name, safe='')}",
            back=self._here(key),
            reason=self.get_body_argument("reason", "") if fault is not None else "",
            problem=None if fault is None else fault.to_problem(),
        )


def _member(person: Person) -> dict[str, object]:
    has = {grant.action for role in person.roles for grant in role.grants}
    return {
        "name": person.name,
        "roles": [role.display_name for role in person.roles],
        "may": [_word(each) for each in PERMISSIONS if each in has],
        "suspended": person.suspended_because,
        "is_provided": "role" in person.provided,
    }


def _lines(
    settings: Settings, actor: Actor, organization: Organization, had: tuple[Role, ...]
) -> list[RoleLine]:
    """Return the roles that somebody in *organization* can have, with what each gives."""
    people = settings.directory.people
    keys = {role.key for role in had}
    lines = []
    for role in settings.directory.roles_of(organization.key).values():
        action, target = giving((role.key,), organization)
        ask = "" if may(actor, action, target, people) else who_may(action, target)
        if not ask or role.key in keys:
            lines.append(
                RoleLine(
                    key=role.key,
                    name=role.display_name,
                    gives=_gives(role),
                    is_had=role.key in keys,
                    ask=ask,
                )
            )
    return lines


def _gives(role: Role) -> str:
    """Return in words what *role* gives."""
    parts = []
    for reach, whose in (
        (roles.Reach.OWN, "Own workspaces"),
        (roles.Reach.ORGANIZATION, "The organization’s"),
        (roles.Reach.EVERYWHERE, "Everybody’s"),
    ):
        found = [_word(grant.action) for grant in _ordered(role, reach)]
        if found:
            parts.append(f"{whose}: {', '.join(found)}.")
    return " ".join(parts) or "Nothing but stopping what runs."


def _word(action: Action) -> str:
    return str(action).replace("-", " ")


def _ordered(role: Role, reach: roles.Reach) -> list[roles.Grant]:
    order = list(Action)
    found = [grant for grant in role.grants if grant.reach is reach]
    return sorted(found, key=lambda grant: order.index(grant.action))
