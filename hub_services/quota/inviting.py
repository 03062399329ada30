"""
Inviting: asking somebody into an organization by mail.

Whoever assigns roles in an organization invites to it, with roles that they may assign; quotas come along from
who sets quotas. What an invitation would give is judged by the whole settings before it is sent. Without a mail
server the link is told to who invites, to be passed on. A link is sent anew by making another; the one before is
of no use then. Source: F111; promise 8.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from eugospawner import links
from eugospawner.enrolment import gifts
from eugospawner.policy.errors import ConfigError
from eugospawner.policy.permissions import Platform, giving, may, who_may
from eugospawner.policy.roles import Action
from eugospawner.store.invitations import Invitation
from hub_services.common.mail import MailError, address_of
from hub_services.common.problems import DoorReason, Fault, existing, permit, settings_wrong
from hub_services.quota import models

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eugospawner.policy.accounts import Actor, Organization
    from eugospawner.settings import Settings
    from hub_services.common.mail import Mail
    from hub_services.quota.office import Office

#: How a refusal says which roles it is about.
_AS: Final = {Action.ASSIGN_OWNER: " as owners", Action.STEER: " with roles beyond it"}
#: Whoever invites more people at once than this sends letters for somebody else.
MOST_OPEN: Final = 200


class Inviting:
    """
    Invitations as people make them.

    Args:
        mail: Sends the links; `None`: there is no mail server.
        public_url: The hub's, as people type it; empty: nobody said.
    """

    def __init__(self, office: Office, *, mail: Mail | None, public_url: str) -> None:
        self._office = office
        self._mail = mail
        self._public_url = public_url

    async def listed(self, actor: Actor, query: models.InvitationQuery) -> models.Invitations:
        """Return invitations to an organization, or to all that one invites to; newest first."""
        settings, store = await self._office.settings(), await self._office.open_store()
        if query.organization is not None:
            organization = self._office.organization(settings, actor, query.organization)
            found: Iterable[Invitation] = await store.invitations.of_organization(organization.key)
        else:
            found = await store.invitations.of_organization(None)
        return models.Invitations(
            invitations=[
                self._line(each)
                for each in found
                if self._may_invite(settings, actor, each.organization)
            ]
        )

    async def invite(self, actor: Actor, new: models.NewInvitation) -> models.Invited:
        """
        Invite somebody.

        Raises:
            Fault: Who asks may not, or it would make no sense.
        """
        settings, store = await self._office.settings(), await self._office.open_store()
        try:
            email = address_of(new.email)
        except ValueError as error:
            raise Fault(DoorReason.MALFORMED, f"body.email: {error}.") from error
        organization = self._office.organization(settings, actor, new.organization)
        self._require_gifts(settings, actor, organization, new)
        now = self._office.clock.now()
        invitation = Invitation(
            id=uuid.uuid4().hex,
            email=email,
            organization=organization.key,
            roles=tuple(dict.fromkeys(new.roles)),
            quotas=tuple(new.quotas),
            created_by=actor.name,
            created_at=now,
            expires_at=now + timedelta(days=new.expires_days),
        )
        await self._judge(invitation)
        known = [
            each
            for each in await store.invitations.of_organization(organization.key)
            if each.status(now) == "open"
        ]
        if any(each.email == email for each in known):
            message = f"{email} is invited already. Send the link again, or revoke it first."
            raise Fault(DoorReason.ALREADY_THERE, message)
        if len(known) >= MOST_OPEN:
            message = (
                f"{organization.display_name} has {MOST_OPEN} open invitations. Revoke some first."
            )
            raise Fault(DoorReason.ALREADY_THERE, message)
        token = links.new_token()
        self._require_address()
        await store.invitations.add(invitation, token_hash=links.hash_of(token))
        return await self._deliver(invitation, organization, token)

    async def send(self, actor: Actor, path: models.InvitationPath) -> models.Invited:
        """Send another link, which lasts as long as the first was meant to; raises as `invite`."""
        settings, store = await self._office.settings(), await self._office.open_store()
        invitation, organization = await self._found(settings, actor, path.id)
        self._require_address()
        now, token = self._office.clock.now(), links.new_token()
        lasts = invitation.expires_at - invitation.created_at
        if not await store.invitations.renew(
            invitation.id,
            token_hash=links.hash_of(token),
            expires_at=now + lasts,
            actor=actor.name,
            at=now,
        ):
            message = f"The invitation is {invitation.status(now)}: make a new one."
            raise Fault(DoorReason.ALREADY_THERE, message)
        renewed = existing(await store.invitations.find(invitation.id), "invitation", path.id)
        return await self._deliver(renewed, organization, token)

    async def revoke(self, actor: Actor, path: models.InvitationPath) -> models.InvitationLine:
        """
        Take an invitation back; if it was redeemed, also what it gave, as far as nobody changed it.

        Raises:
            Fault: Who asks may not, or it was taken back before.
        """
        settings, store = await self._office.settings(), await self._office.open_store()
        invitation, _ = await self._found(settings, actor, path.id)
        now = self._office.clock.now()
        revoked = await store.invitations.revoke(invitation.id, actor=actor.name, at=now)
        if revoked is None:
            raise Fault(DoorReason.ALREADY_THERE, "The invitation was taken back before.")
        if revoked.redeemed_by:
            await self._take_back(actor, revoked)
        return self._line(revoked)

    async def _take_back(self, actor: Actor, revoked: Invitation) -> None:
        """Undo what *revoked* gave: the entries that still say it."""
        await self._office.settings()
        documents = self._office.source.documents
        before = documents.get("people", {}).get(revoked.redeemed_by) or {}
        given = gifts(revoked.redeemed_by, before, revoked)
        store, now = await self._office.open_store(), self._office.clock.now()
        for (section, key), document in given.items():
            current = documents.get(section, {}).get(key)
            if current is None:
                continue
            after = None
            if section == "people":
                if current.get("organization") != revoked.organization:
                    continue
                kept = {"organization", "role"} - set(current.get("provided", ()))
                after = {name: value for name, value in current.items() if name not in kept}
            elif current != document:
                continue
            await store.changes.put(
                section, key, after, actor=actor.name, at=now,
                reason=f"the invitation of {revoked.email} was taken back",
            )  # fmt: skip

    async def _found(
        self, settings: Settings, actor: Actor, identifier: str
    ) -> tuple[Invitation, Organization]:
        store = await self._office.open_store()
        found = await store.invitations.find(identifier)
        if found is not None and not self._may_invite(settings, actor, found.organization):
            found = None
        invitation = existing(found, "invitation", identifier)
        return invitation, settings.directory.organizations[invitation.organization]

    def _may_invite(self, settings: Settings, actor: Actor, organization: str) -> bool:
        found = settings.directory.organizations.get(organization)
        return found is not None and may(
            actor, Action.ASSIGN_ROLE, found, settings.directory.people
        )

    def _require_gifts(
        self,
        settings: Settings,
        actor: Actor,
        organization: Organization,
        new: models.NewInvitation,
    ) -> None:
        """Raise a `Fault` unless *actor* may give what the invitation gives."""
        people = settings.directory.people
        what = f"invite people to {organization.display_name}"
        permit(
            what,
            allowed=may(actor, Action.ASSIGN_ROLE, organization, people),
            ask=who_may(Action.ASSIGN_ROLE, organization),
        )
        action, target = giving(new.roles, organization)
        permit(
            f"{what}{_AS.get(action, '')}",
            allowed=may(actor, action, target, people),
            ask=who_may(action, target),
        )
        if new.quotas:
            permit(
                "give quotas to people",
                allowed=may(actor, Action.CHANGE_QUOTA, Platform(), people),
                ask=who_may(Action.CHANGE_QUOTA, Platform()),
            )

    async def _judge(self, invitation: Invitation) -> None:
        """Raise a `Fault` if the settings would make no sense with what *invitation* gives."""
        if any("user" in each for each in invitation.quotas):
            message = "body.quotas: leave out whose it is: it is for whom you invite."
            raise Fault(DoorReason.MALFORMED, message)
        changes: dict[tuple[str, str], Any] = gifts(invitation.email, {}, invitation)
        try:
            await asyncio.to_thread(self._office.source.with_changes, changes)
        except ConfigError as error:
            if not set(str(error).splitlines()) <= set(self._office.source.unfit.splitlines()):
                raise settings_wrong(error) from error

    def _require_address(self) -> None:
        if not self._public_url:
            message = (
                "This hub does not know its own address, so no link can be made: an admin must set "
                "EUGO_PUBLIC_URL."
            )
            raise Fault(DoorReason.NOT_SET_UP, message)

    async def _deliver(
        self, invitation: Invitation, organization: Organization, token: str
    ) -> models.Invited:
        """Send the link, or return it where there is no mail server."""
        link = links.invitation_url(self._public_url, token)
        line = self._line(invitation)
        if self._mail is None:
            return models.Invited(invitation=line, link=link)
        store = await self._office.open_store()
        now, problem = self._office.clock.now(), ""
        try:
            await self._mail.send(
                invitation.email, *_letter(invitation, organization.display_name, link)
            )
        except MailError as error:
            problem = f"{error}."
        await store.invitations.sent(invitation.id, at=now, problem=problem)
        found = existing(await store.invitations.find(invitation.id), "invitation", invitation.id)
        return models.Invited(invitation=self._line(found), link=None)

    def _line(self, each: Invitation) -> models.InvitationLine:
        return models.InvitationLine(
            id=each.id,
            email=each.email,
            organization=each.organization,
            roles=list(each.roles),
            quotas=[dict(quota) for quota in each.quotas],
            status=each.status(self._office.clock.now()),
            created_by=each.created_by,
            created_at=each.created_at,
            expires_at=each.expires_at,
            sent_at=each.sent_at,
            problem=each.problem,
            redeemed_by=each.redeemed_by or None,
            redeemed_at=each.redeemed_at,
        )


def _letter(invitation: Invitation, organization: str, link: str) -> tuple[str, str]:
    """Return subject and text."""
    shown = " ".join(organization.split())
    text = (
        f"{invitation.created_by} invites you to work in {shown}.\n\n"
        f"Open this link, and sign in or sign up there:\n\n{link}\n\n"
        f"It can be used once, until {invitation.expires_at:%Y-%m-%d %H:%M} UTC. If you do not know "
        "what this is about, do nothing: without the link nobody gets in.\n"
    )
    return f"You are invited to {shown}", text
