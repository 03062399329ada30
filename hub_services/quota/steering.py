"""
Steering: changing plans, queues, windows, quotas and the rest at run time.

A change is judged by the whole settings with the change in them, and written only if nobody changed
anything since, so two admins never make a mess together that neither made; it is on record with who
made it and why, in the same transaction. Admins change everything, leaders of an organization the
quotas of its projects, and managers the plan of theirs. Source: design §4; F65, F69, F99 to F101, F106;
promises 4, 7 and 8.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from eugospawner.policy import roles
from eugospawner.policy.errors import ConfigError
from eugospawner.policy.permissions import Platform, giving, may, who_may
from eugospawner.policy.roles import Action
from eugospawner.settings import CHANGEABLE
from eugospawner.store.changes import LARGEST_DOCUMENT
from hub_services.common.auditing import line_of, read
from hub_services.common.problems import (
    DoorReason,
    Fault,
    existing,
    permit,
    settings_changed,
    settings_wrong,
)
from hub_services.quota import models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eugospawner.policy.accounts import Actor
    from eugospawner.settings import Settings
    from hub_services.common.auditing import AuditLine, AuditLines, AuditQuery
    from hub_services.quota.office import Office

_STEERS: Final = who_may(Action.STEER, Platform())
#: A longer value is shortened in a sentence.
_LONGEST_SHOWN: Final = 120


class Steering:
    """The settings at run time."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._source = office.source

    async def require(self, actor: Actor, what: str) -> None:
        """Raise a `Fault` unless *actor* steers; *what* ends "You may not …"."""
        self._require_steering(actor, await self._office.last_good_settings(), what)

    async def entries(self, actor: Actor, path: models.SectionPath) -> models.Entries:
        """Return the entries of a section: all for who steers, else those that one may change."""
        settings = await self._office.last_good_settings()
        found = [
            self._entry(path.section, key)
            for key in self._source.documents.get(path.section, {})
            if self._sees(actor, settings, path.section, key)
        ]
        steers = may(actor, Action.STEER, Platform(), settings.directory.people)
        permit("see the settings", allowed=steers or bool(found), ask=_STEERS)
        return models.Entries(revision=self._source.newest, entries=found)

    async def entry(self, actor: Actor, path: models.EntryPath) -> models.EntryAt:
        """Return one entry, to who steers or may change it."""
        settings = await self._office.last_good_settings()
        sees = self._sees(actor, settings, path.section, path.key)
        permit("see the settings", allowed=sees, ask=_STEERS)
        entries = self._source.documents.get(path.section, {})
        existing(entries.get(path.key), "entry", f"{path.section}.{path.key}")
        return models.EntryAt(
            revision=self._source.newest, entry=self._entry(path.section, path.key)
        )

    def _sees(self, actor: Actor, settings: Settings, section: str, key: str) -> bool:
        """Whether *actor* steers, or may change the entry that there is."""
        people = settings.directory.people
        if may(actor, Action.STEER, Platform(), people):
            return True
        document = self._source.documents.get(section, {}).get(key)
        return document is not None and self._may_change(actor, settings, section, key, document)

    def _entry(self, section: str, key: str) -> models.Entry:
        document = self._source.documents[section][key]
        in_file = self._source.documents_of_file.get(section, {})
        return models.Entry(
            section=section,
            key=key,
            document=document,
            origin="file" if in_file.get(key) == document else "changed",
        )

    async def preview(self, actor: Actor, path: models.EntryPath, document: Any) -> models.Changed:
        """Return what a change would mean, without making it; `None` removes the entry."""
        settings = await self._office.last_good_settings()
        self._require_change(actor, settings, path, document)
        return await self._judge(settings, path, document)

    async def change(
        self, actor: Actor, path: models.EntryPath, change: models.Change
    ) -> models.Changed:
        """
        Make a change, with its audit.

        Raises:
            Fault: It makes no sense, who asks may not, or others were quicker.
        """
        return await self._put(actor, path, change.document, change.reason, change.revision)

    async def remove(self, actor: Actor, path: models.EntryRemoval) -> models.Changed:
        """Remove an entry, with the audit; raises as `change`."""
        settings = await self._office.last_good_settings()
        self._require_change(actor, settings, path, None)
        entries = self._source.documents.get(path.section, {})
        existing(entries.get(path.key), "entry", f"{path.section}.{path.key}")
        return await self._put(actor, path, None, path.reason, path.revision)

    async def override(
        self, actor: Actor, path: models.OverridePath, new: models.NewOverride
    ) -> models.Changed:
        """Give a quota another amount for a time (F101); raises as `change`."""
        entry, document = await self._quota(actor, path)
        wanted = {"until": new.until, "reason": new.reason}
        if new.hours is not None:
            wanted["hours"] = int(new.hours) if new.hours == int(new.hours) else new.hours  # type: ignore[assignment]
        if new.storage is not None:
            wanted["storage"] = new.storage
        return await self._put(
            actor, entry, {**document, "override": wanted}, new.reason, new.revision
        )

    async def end_override(self, actor: Actor, path: models.OverrideRemoval) -> models.Changed:
        """Have a quota's own amount hold again at once; raises as `change`."""
        entry, document = await self._quota(actor, path)
        existing(document.get("override"), "override of the quota", path.key)
        kept = {key: value for key, value in document.items() if key != "override"}
        return await self._put(actor, entry, kept, path.reason, path.revision)

    async def _quota(
        self, actor: Actor, path: models.OverridePath
    ) -> tuple[models.EntryPath, dict[str, Any]]:
        settings = await self._office.last_good_settings()
        entry = models.EntryPath(section="quotas", key=path.key)
        document = self._source.documents.get("quotas", {}).get(path.key)
        self._require_change(actor, settings, entry, document)
        return entry, dict(existing(document, "quota", path.key))

    async def _put(
        self,
        actor: Actor,
        path: models.EntryPath,
        document: dict[str, Any] | None,
        reason: str,
        expected: int | None,
    ) -> models.Changed:
        settings, store = await self._office.last_good_settings(), await self._office.open_store()
        self._require_change(actor, settings, path, document)
        judged_at = self._source.newest
        if expected is not None and expected != judged_at:
            raise settings_changed()
        changed = await self._judge(settings, path, document)
        revision = await store.changes.put(
            path.section,
            path.key,
            document,
            actor=actor.name,
            reason=reason.strip(),
            at=self._office.clock.now(),
            expected=judged_at,
            in_file=self._source.documents_of_file.get(path.section, {}).get(path.key),
        )
        if revision is None:
            raise settings_changed()
        await self._office.last_good_settings()
        return changed.model_copy(update={"revision": revision})

    async def _judge(
        self, settings: Settings, path: models.EntryPath, document: Any
    ) -> models.Changed:
        change: dict[tuple[str, str], Any] = {(path.section, path.key): document}
        if (
            document is not None
            and len(json.dumps(document, ensure_ascii=False)) > LARGEST_DOCUMENT
        ):
            message = (
                f"{path.section}.{path.key} is larger than {LARGEST_DOCUMENT} characters: say less."
            )
            raise Fault(DoorReason.TOO_LARGE, message)
        try:
            # Reading the whole file anew takes a tenth of a second, which others need not wait for.
            await asyncio.to_thread(self._source.with_changes, change)
        except ConfigError as error:
            # Settings that make no sense already are mended one entry after the other.
            if not set(str(error).splitlines()) < set(self._source.unfit.splitlines()):
                raise settings_wrong(error) from error
        before = self._source.documents.get(path.section, {}).get(path.key)
        return models.Changed(
            revision=self._source.newest,
            before=before,
            after=document,
            effects=list(_effects(path, before, document, settings)),
        )

    def _require_steering(self, actor: Actor, settings: Settings, what: str) -> None:
        allowed = may(actor, Action.STEER, Platform(), settings.directory.people)
        permit(what, allowed=allowed, ask=_STEERS)

    def _require_change(
        self, actor: Actor, settings: Settings, path: models.EntryPath, document: Any
    ) -> None:
        """Raise a `Fault` unless *actor* may change the entry so (F106)."""
        allowed = self._may_change(actor, settings, path.section, path.key, document)
        permit(
            f"change {path.section}.{path.key} so",
            allowed=allowed,
            ask=self._who_may_change(settings, path.section, path.key, document),
        )

    def _may_change(
        self, actor: Actor, settings: Settings, section: str, key: str, document: Any
    ) -> bool:
        people = settings.directory.people
        if may(actor, Action.STEER, Platform(), people):
            return True
        before = self._source.documents.get(section, {}).get(key)
        if section == "quotas":
            if may(actor, Action.CHANGE_QUOTA, Platform(), people):
                return True
            projects = [
                self._office.project(settings, str(each.get("project")))
                for each in (before, document)
                if each is not None
            ]
            return bool(projects) and all(
                each is not None and may(actor, Action.CHANGE_QUOTA, each, people)
                for each in projects
            )
        if section == "profiles":
            return may(actor, Action.MANAGE_PROFILES, Platform(), people)
        if section == "people":
            return self._may_change_person(actor, settings, key, before, document)
        if section == "organizations":
            return self._may_change_roles(actor, settings, key, before, document)
        if section == "projects" and before is not None and document is not None:
            project = settings.directory.projects.get(key)
            return (
                project is not None
                and _changes_only("plan", before, document)
                and may(actor, Action.BIND_PLAN, project, people)
            )
        return False

    def _may_change_person(
        self, actor: Actor, settings: Settings, name: str, before: Any, document: Any
    ) -> bool:
        """Whether *actor* leads the organization that *name* is and stays in, and changes roles alone."""
        people = settings.directory.people
        person = people.get(name)
        if person is None or not person.organization or not _changes_only("role", before, document):
            return False
        if "role" in person.provided and before != document:
            return False
        return may(actor, Action.ASSIGN_ROLE, person, people) and may(
            actor, *giving(_given(before, document), person), people
        )

    def _may_change_roles(
        self, actor: Actor, settings: Settings, key: str, before: Any, document: Any
    ) -> bool:
        """Whether *actor* leads the organization, and changes its own roles alone."""
        organization = settings.directory.organizations.get(key)
        return (
            organization is not None
            and _changes_only("roles", before, document)
            and may(actor, Action.ASSIGN_ROLE, organization, settings.directory.people)
        )

    def _who_may_change(self, settings: Settings, section: str, key: str, document: Any) -> str:
        """Return whom to ask about a change that one may not make (F106)."""
        directory = settings.directory
        before = self._source.documents.get(section, {}).get(key)
        match section:
            case "profiles":
                return who_may(Action.MANAGE_PROFILES, Platform())
            case "quotas":
                named = str((document or before or {}).get("project"))
                project = self._office.project(settings, named)
                return who_may(Action.CHANGE_QUOTA, project or Platform())
            case "projects" if key in directory.projects and _changes_only(
                "plan", before, document
            ):
                return who_may(Action.BIND_PLAN, directory.projects[key])
            case "people" if (person := directory.people.get(key)) and _changes_only(
                "role", before, document
            ):
                if "role" in person.provided:
                    return "whoever manages roles at your identity provider, which says this one"
                return who_may(*giving(_given(before, document), person))
            case "organizations" if key in directory.organizations and _changes_only(
                "roles", before, document
            ):
                return who_may(Action.ASSIGN_ROLE, directory.organizations[key])
            case _:
                return _STEERS

    async def audit(self, actor: Actor, query: AuditQuery) -> AuditLines:
        """Return lines of the audit, newest first; the first page of a reading is on record."""
        settings, store = await self._office.last_good_settings(), await self._office.open_store()
        self._require_steering(actor, settings, "read the audit")
        return await read(store, query, actor=actor.name, at=self._office.clock.now())

    async def changes(
        self, actor: Actor, *, about: str | None = None, limit: int
    ) -> tuple[AuditLine, ...]:
        """Return the last changes of the settings, or of one entry, newest first."""
        settings, store = await self._office.last_good_settings(), await self._office.open_store()
        self._require_steering(actor, settings, "see the settings")
        actions = ("change", "remove") if about is None else (None,)
        found = [
            line
            for action in actions
            for line in await store.audit.lines(about=about, action=action, limit=limit)
        ]
        newest = sorted(found, key=lambda line: line.id, reverse=True)
        return tuple(line_of(each) for each in newest[:limit])

    async def drift(self, actor: Actor) -> models.Drifts:
        """Return where the settings are not what the file says."""
        settings = await self._office.last_good_settings()
        self._require_steering(actor, settings, "see the settings")
        return models.Drifts(
            revision=self._source.newest,
            drifts=list(_drifts(self._source.documents_of_file, self._source.documents)),
        )

    async def export(self, actor: Actor) -> models.Catalog:
        """Return all settings as a file."""
        settings = await self._office.last_good_settings()
        self._require_steering(actor, settings, "see the settings")
        text = yaml.safe_dump(
            {section: dict(entries) for section, entries in self._source.documents.items()},
            sort_keys=False,
            allow_unicode=True,
            width=100,
        )
        return models.Catalog(revision=self._source.newest, yaml=text)


def _keys(role: Any) -> frozenset[str]:
    """Return the keys of roles as an entry has them: one, a list, or as for everybody."""
    if role is None:
        return frozenset({roles.MEMBER.key})
    return frozenset([role] if isinstance(role, str) else map(str, role))


def _given(before: Any, document: Any) -> frozenset[str]:
    """Return the keys of the roles that a change of somebody's entry gives, takes or leaves."""
    return _keys(before.get("role")) | _keys(document.get("role"))


def _changes_only(name: str, before: Any, document: Any) -> bool:
    if before is None or document is None:
        return False
    return {**before, name: None} == {**document, name: None}


def _drifts(
    file: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> Iterator[models.Drift]:
    for section in CHANGEABLE:
        before, after = file.get(section, {}), now.get(section, {})
        for key in dict.fromkeys((*before, *after)):
            if before.get(key) == after.get(key):
                continue
            kind = "added" if key not in before else "removed" if key not in after else "changed"
            yield models.Drift(
                section=section,
                key=key,
                kind=kind,
                file=before.get(key),
                now=after.get(key),
            )


#: Sections by which starts and deadlines are decided.
_DECIDING: Final = frozenset({"plans", "queues", "quotas", "profiles", "projects", "people"})


def _effects(path: models.EntryPath, before: Any, after: Any, settings: Settings) -> Iterator[str]:
    """Yield in sentences what a change means for whom."""
    what = f"{path.section}.{path.key}"
    if before == after:
        yield f"{what} stays as it is."
        return
    if after is None:
        yield f"{what} is removed."
    elif before is None:
        yield f"{what} is new."
    else:
        for key in dict.fromkeys((*before, *after)):
            if before.get(key) != after.get(key):
                yield f"{key}: {_short(before.get(key))} becomes {_short(after.get(key))}."
    if path.section == "plans":
        bound = [
            each.display_name
            for each in settings.directory.projects.values()
            if each.plan.key == path.key
        ]
        personal = [
            name for name, each in settings.directory.people.items() if each.plan == path.key
        ]
        if bound:
            yield f"It concerns the projects {', '.join(bound)}."
        if personal:
            yield f"It concerns the personal projects of {', '.join(personal)}."
    if path.section == "people" and before is not None and after is not None:
        for name in before.get("provided", ()):
            if before.get(name) != after.get(name):
                yield (
                    f"Their identity provider says {name}, and will say it again when they sign in or "
                    "are asked about: change it there."
                )
    if path.section in _DECIDING:
        yield (
            "It holds from the next start on. Running workspaces keep what they were given; when "
            "they end is found anew within a minute."
        )


def _short(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    shown = text.removesuffix("\n...\n").strip()
    return (
        "nothing"
        if value is None
        else shown
        if len(shown) <= _LONGEST_SHOWN
        else f"{shown[:_LONGEST_SHOWN]}…"
    )
