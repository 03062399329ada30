"""
Office: who uses how much, for whoever may know, whichever door they came through.

Pages and API call the same methods, each of which asks `permissions.may` first; the store is read in
one go, and what comes out are the reports of `views`. `steering` and `asking` stand beside it.
Source: features L6, F98 to F102; promise 7.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from eugospawner.policy.accounts import Person
from eugospawner.policy.permissions import Platform, may, who_may
from eugospawner.policy.quota import Span, Subject, SubjectKind, period_at
from eugospawner.policy.roles import Action
from hub_services.common.newest import Newest
from hub_services.common.problems import DoorReason, Fault, existing, permit
from hub_services.quota import models, views

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eugospawner.policy.accounts import Accounts, Actor, Organization, Project
    from eugospawner.policy.permissions import Object
    from eugospawner.settings import Settings
    from eugospawner.source import Source
    from eugospawner.store import Store
    from hub_services.common.clock import Clock

_PERSONAL: Final = "personal-"
#: What can be asked about.
_KINDS: Final = (
    SubjectKind.USER,
    SubjectKind.PROJECT,
    SubjectKind.GROUP,
    SubjectKind.ORGANIZATION,
)


class Office:
    """
    The desk behind pages and API.

    Args:
        source: The settings of this process.
        open_store: Returns the open store.
        slug: Makes a user's name fit for a label.
    """

    def __init__(
        self,
        *,
        source: Source,
        open_store: Callable[[], Awaitable[Store]],
        clock: Clock,
        slug: Callable[[str], str],
    ) -> None:
        self.source = source
        self.open_store = open_store
        self.clock = clock
        self.slug = slug
        self._newest = Newest(source, open_store)

    async def settings(self) -> Settings:
        """Return the newest settings; raises as `Newest.settings`."""
        return await self._newest.settings()

    async def last_good_settings(self) -> Settings:
        """Return the newest settings that make sense; raises as `Newest.last_good`."""
        return await self._newest.last_good()

    async def usage(self, actor: Actor, query: models.UsageQuery) -> models.UsageReport:
        """
        Return how it stands with whom *query* names, else with who asks.

        Raises:
            Fault: It names several, or who asks may not see it.
        """
        settings = await self.settings()
        subject = _subject_of(query, actor)
        people = settings.directory.people
        target, title, project = await self._resolve(settings, subject, actor)
        allowed = may(actor, Action.SEE_USAGE, target, people)
        if not isinstance(target, Person):  # who may not see it need not know that it exists
            existing(target if allowed else None, subject.kind.value, subject.key)
        permit(
            f"see the usage of {title}",
            allowed=allowed,
            # Not who leads their organization: that would tell a stranger that they have one.
            ask=who_may(Action.SEE_USAGE, Platform()),
        )
        accounts = self.accounts(settings, subject.key) if isinstance(target, Person) else None
        sees = self._seeing(settings, subject, actor, accounts)
        now = self.clock.now()
        month = views.month_at(settings, now)
        store = await self.open_store()
        brief = await store.brief(
            revision=self.source.revision,
            subjects=views.subjects_of_report(subject, accounts),
            since=month.start,
            volumes_of=subject.key,
        )
        consumed = await store.consumption.of(
            subject,
            first_day=f"{month.key}-01",
            last_day=period_at(Span.DAY, settings.catalog.zone, month.end - timedelta(hours=1)).key,
            limit=views.MOST_CONSUMERS + 1,
        )
        consumed = tuple(
            each for each in consumed if sees(Subject(SubjectKind.PROJECT, each.workspace.project))
        )
        return views.report_on(
            subject,
            sees=sees,
            title=title,
            settings=settings,
            accounts=accounts,
            project=project,
            usage=brief.usage,
            held=brief.held,
            consumed=consumed,
            names=await _names(store, {each.workspace.owner for each in consumed}),
            viewer=actor.name,
            now=now,
        )

    async def _resolve(
        self, settings: Settings, subject: Subject, actor: Actor
    ) -> tuple[Object, str, Project | None]:
        """Return what *subject* is, what people call it, and the project if it is one."""
        directory = settings.directory
        match subject.kind:
            case SubjectKind.USER:
                person = directory.person(subject.key)
                return person, "you" if subject.key == actor.name else subject.key, None
            case SubjectKind.PROJECT:
                found = self.project(settings, subject.key)
                if found is None and subject.key.startswith(_PERSONAL):
                    found = await self._personal(settings, subject.key, actor)
                project = existing(found, "project", subject.key)
                return project, f"the project {project.display_name}", project
            case SubjectKind.GROUP:
                group = existing(directory.groups.get(subject.key), "group", subject.key)
                return group, f"the group {group.display_name}", None
            case _:
                organization = existing(
                    directory.organizations.get(subject.key), "organization", subject.key
                )
                return organization, organization.display_name, None

    def project(self, settings: Settings, key: str) -> Project | None:
        """Return the project *key*, which may be the personal one of somebody who is known."""
        found = settings.directory.projects.get(key)
        if found is not None or not key.startswith(_PERSONAL):
            return found
        for name in settings.directory.people:
            if f"{_PERSONAL}{self.slug(name)}" == key:
                return self.accounts(settings, name).personal
        return None

    def _seeing(
        self, settings: Settings, subject: Subject, actor: Actor, accounts: Accounts | None
    ) -> Callable[[Subject], bool]:
        """Return whose limits *actor* sees on a report on *subject*: others' projects stay theirs."""
        everything = actor.is_admin or subject == Subject(SubjectKind.USER, actor.name)
        if everything or accounts is None:
            return lambda _: True
        directory = settings.directory
        known: dict[Subject, Object] = {
            Subject(SubjectKind.PROJECT, each.key): each for each in accounts.projects
        }
        known |= {Subject(SubjectKind.GROUP, key): each for key, each in directory.groups.items()}
        known |= {
            Subject(SubjectKind.ORGANIZATION, key): each
            for key, each in directory.organizations.items()
        }

        def sees(other: Subject) -> bool:
            target = known.get(other)
            return other == subject or (
                target is not None and may(actor, Action.SEE_USAGE, target, directory.people)
            )

        return sees

    async def _personal(self, settings: Settings, key: str, actor: Actor) -> Project | None:
        """Return the personal project *key* of somebody who stands in no list."""
        store = await self.open_store()
        for name in (actor.name, await store.workspaces.owner_in(key)):
            if name and f"{_PERSONAL}{self.slug(name)}" == key:
                return self.accounts(settings, name).personal
        return None

    def accounts(self, settings: Settings, name: str) -> Accounts:
        """Return what the person *name* has."""
        return settings.directory.accounts_of(name, self.slug(name))

    async def projects(self, actor: Actor) -> list[tuple[str, str]]:
        """Return key and name of the projects whose usage *actor* may see."""
        settings = await self.settings()
        people = settings.directory.people
        own = self.accounts(settings, actor.name).projects
        found = {project.key: project for project in own}
        for project in settings.directory.projects.values():
            if may(actor, Action.SEE_USAGE, project, people):
                found[project.key] = project
        return [(project.key, project.display_name) for project in found.values()]

    def organization(self, settings: Settings, actor: Actor, key: str) -> Organization:
        """
        Return the organization *key*, to whoever is in it or assigns roles there.

        Raises:
            Fault: There is none, or who asks need not know of it.
        """
        directory = settings.directory
        person = directory.people.get(actor.name)
        found = directory.organizations.get(key)
        is_in_it = person is not None and person.organization == key
        knows = found is not None and (
            is_in_it or may(actor, Action.ASSIGN_ROLE, found, directory.people)
        )
        return existing(found if knows else None, "organization", key)

    async def organizations(self, actor: Actor) -> list[tuple[str, str]]:
        """Return key and name of the organizations whose usage *actor* may see."""
        settings = await self.settings()
        return [
            (each.key, each.display_name)
            for each in settings.directory.organizations.values()
            if may(actor, Action.SEE_USAGE, each, settings.directory.people)
        ]


def _subject_of(query: models.UsageQuery, actor: Actor) -> Subject:
    named = {kind: key for kind in _KINDS if (key := getattr(query, kind.value)) is not None}
    if len(named) > 1:
        message = f"Ask about one of {', '.join(named)} at a time."
        raise Fault(DoorReason.MALFORMED, message)
    for kind, key in named.items():
        return Subject(kind, key)
    return Subject(SubjectKind.USER, actor.name)


async def _names(store: Store, owners: set[str]) -> dict[tuple[str, str], str]:
    found = {}
    for owner in sorted(owners):
        for each in await store.workspaces.of_owner(owner):
            found[owner, each.server] = each.name
    return found
