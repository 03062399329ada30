"""
Admin pages: plans, queues, windows, quotas and the rest, looked at, tried and changed.

An entry is edited in the words of catalog.yaml, which are those of the reference, the file, the API and
the command line; what a change would mean, also on what people asked for, is said before it is made.
Forms carry the revision they were made from, so nobody overwrites what they have not seen. Source:
features, screen "Admin pages"; F55, F60, F65, F98 to F101, L11.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import yaml
from markupsafe import Markup
from pydantic import ValidationError

from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.errors import ConfigError
from eugospawner.settings import CHANGEABLE, yamlfile
from eugospawner.store.changes import LARGEST_DOCUMENT
from hub_services.common import sheets
from hub_services.common.auditing import ACTIONS, MOST, AuditQuery
from hub_services.common.problems import DoorReason, Fault, existing, settings_wrong
from hub_services.common.web import Page, environment
from hub_services.quota import models
from hub_services.quota.calendar import calendar_of
from hub_services.quota.views import standings_of_quota

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hub_services.common.auditing import AuditLine
    from hub_services.quota.asking import Asking
    from hub_services.quota.office import Office
    from hub_services.quota.steering import Steering

#: How far back a change is tried.
TRIAL_DAYS: Final = 14
_LINES: Final = 30
_FILTERS: Final = ("actor", "action", "about", "from", "to")
_SHORT: Final = 90


class Section(NamedTuple):
    """A kind of entries, as people read of it."""

    key: str
    title: str
    about: str
    help: str


_SECTIONS: Final = {
    each.key: each
    for each in (
        Section(
            "plans",
            "Plans and windows",
            "What projects are entitled to, and when.",
            "For example: display_name, profiles, gpu_models, images, queues, at_once, windows.",
        ),
        Section(
            "quotas",
            "Quotas and overrides",
            "How much may be used per day or month, and how much storage there may be.",
            'For example: user: "*", gpu_hours: 160, per: month. Or: project: vision, storage: 500Gi.',
        ),
        Section(
            "queues",
            "Queues",
            "Where workspaces stand when GPUs are scarce.",
            "For example: display_name, description, priority, priority_class, preemptible.",
        ),
        Section(
            "profiles",
            "Profiles",
            "What people pick.",
            "For example: display_name, flavors, images, kinds, idle_stop: 15min, max_session: 6h.",
        ),
        Section(
            "projects",
            "Projects",
            "Projects that groups own, and the plans bound to them.",
            "For example: display_name, group, organization, plan, managers.",
        ),
        Section(
            "organizations",
            "Organizations",
            "Who pays.",
            "For example: display_name, contact, suspended: a payment is overdue.",
        ),
        Section(
            "groups",
            "Groups",
            "People who own projects together.",
            "For example: display_name, may_run_as_root.",
        ),
        Section(
            "people",
            "People",
            "Who is member of what; who is not here has a personal project and nothing else.",
            "For example: organization, role, groups, personal: {plan: research}.",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An entry in a list."""

    key: str
    name: str
    summary: str
    origin: str


class _AdminPage(Page):
    def initialize(self, office: Office, steering: Steering, asking: Asking) -> None:
        """Take over who answers."""
        self._office = office
        self._steering = steering
        self._asking = asking

    async def prepare(self) -> None:
        """
        Let in who steers, before anything that was sent is looked at.

        Raises:
            Fault: It is somebody else.
        """
        await super().prepare()
        if not self._finished:
            await self._steering.require(self.actor, "steer plans and quotas")

    async def _words(self) -> dict[str, object]:
        """Return what templates say times and entries with."""
        zone = (await self._office.settings()).catalog.zone
        return {"when": lambda at: local(at, zone), "yaml": _yaml, "known": frozenset(_SECTIONS)}

    def _section(self, key: str) -> Section:
        return existing(_SECTIONS.get(key), "kind of entry", key)


class AdminPage(_AdminPage):
    """All kinds of entries, and the last changes."""

    async def get(self) -> None:
        """Show them."""
        counted = [
            {**section._asdict(), "count": len((await self._entries(section.key)).entries)}
            for section in _SECTIONS.values()
        ]
        self.render_page(
            "admin.html",
            sections=counted,
            **await self._words(),
            lines=await self._steering.changes(self.actor, limit=5),
        )

    async def _entries(self, key: str) -> models.Entries:
        path = models.SectionPath.model_validate({"section": key})
        return await self._steering.entries(self.actor, path)


class _OfAudit(_AdminPage):
    """What is asked of the audit: by whom, what, to what, from which day to which."""

    async def _asked(self) -> tuple[dict[str, str], AuditQuery]:
        """Return the words of the form, and what they mean; days are those of accounting."""
        words = {name: self.get_query_argument(name, "").strip() for name in _FILTERS}
        zone = ZoneInfo((await self._office.last_good_settings()).catalog.zone)
        asked: dict[str, object] = {
            name: words[name] or None for name in ("actor", "action", "about")
        }
        for name, key, days in (("from", "since", 0), ("to", "until", 1)):
            if words[name]:
                day = _day(name, words[name]) + timedelta(days=days)
                asked[key] = datetime.combine(day, time(), zone)
        try:
            query = AuditQuery.model_validate(
                {**asked, "before": self.get_query_argument("before", "") or None, "limit": _LINES}
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}."
            raise Fault(DoorReason.MALFORMED, message) from error
        return {name: word for name, word in words.items() if word}, query


class AuditPage(_OfAudit):
    """Who did what, when and why."""

    async def get(self) -> None:
        """Show some lines."""
        words, query = await self._asked()
        lines = (await self._steering.audit(self.actor, query)).lines
        older = None
        if len(lines) == _LINES:
            older = f"?{urlencode({**words, 'before': lines[-1].id})}"
        self.render_page(
            "audit.html", lines=lines, asked=words, older=older, is_older=query.before is not None,
            sheet=f"audit.csv?{urlencode(words)}", actions=ACTIONS, **await self._words(),
        )  # fmt: skip


class AuditSheet(_OfAudit):
    """The lines that the page would show, all of them, to be opened in a spreadsheet."""

    async def get(self) -> None:
        """Send them, page by page."""
        _, query = await self._asked()
        query = query.model_copy(update={"limit": MOST})
        self.set_header("Content-Type", sheets.CONTENT_TYPE)
        self.set_header("Content-Disposition", 'attachment; filename="audit.csv"')
        lines = (await self._steering.audit(self.actor, query)).lines
        self.write(sheets.to_csv(sheets.AUDIT, _rows(lines)))
        while len(lines) == MOST:
            await self.flush()
            query = query.model_copy(update={"before": lines[-1].id})
            lines = (await self._steering.audit(self.actor, query)).lines
            self.write(sheets.to_csv(None, _rows(lines)))


def _rows(lines: Iterable[AuditLine]) -> Iterator[list[object]]:
    return (sheets.audit_row(each.model_dump(mode="json")) for each in lines)


def _day(name: str, word: str) -> date:
    try:
        return date.fromisoformat(word)
    except ValueError as error:
        message = f"{name}: {word[:40]!r} is no day; write for example 2026-11-27."
        raise Fault(DoorReason.MALFORMED, message) from error


class SectionPage(_AdminPage):
    """The entries of one kind."""

    async def get(self, key: str) -> None:
        """Show them, or go to a new one."""
        section = self._section(key)
        new = self.get_query_argument("new", "")
        if new:
            self.redirect(f"{self.settings['prefix']}admin/{key}/{quote(new, safe='')}")
            return
        path = models.SectionPath.model_validate({"section": key})
        found = await self._steering.entries(self.actor, path)
        self.render_page(
            "section.html",
            section=section,
            entries=[_row(entry) for entry in found.entries],
            calendars=await self._calendars() if key == "plans" else (),
            done=_DONE.get(self.get_query_argument("done", ""), ""),
        )

    async def _calendars(self) -> list[dict[str, object]]:
        settings, now = await self._office.settings(), self._office.clock.now()
        template = environment().get_template("calendar.html")
        found: list[dict[str, object]] = []
        for plan in settings.directory.plans.values():
            calendar = calendar_of(plan, settings.catalog.zone, now)
            found.append(
                {
                    "name": plan.display_name,
                    "sentence": calendar.sentence,
                    "picture": Markup(template.render(calendar=calendar)),  # noqa: S704 - escapes
                }
            )
        return found


#: What is said after something was done; nothing else comes from the address.
_DONE: Final = {"saved": "The entry is saved.", "removed": "The entry is removed."}


class EntryPage(_AdminPage):
    """One entry."""

    async def get(self, section_key: str, key: str) -> None:
        """Show it, or an empty form for a new one."""
        await self._show(section_key, key)

    async def post(self, section_key: str, key: str) -> None:
        """Do what the pressed button says."""
        section = self._section(section_key)
        try:
            path = models.EntryPath.model_validate({"section": section_key, "key": key})
            where = await self._act(path, self.get_body_argument("action", "preview"))
        except ValidationError as error:
            await self._refused(section, key, Fault(DoorReason.MALFORMED, _told(error)))
        except Fault as fault:
            if fault.reason in {DoorReason.NOT_PERMITTED, DoorReason.NOT_FOUND}:
                raise
            await self._refused(section, key, fault)
        else:
            if where:
                self.redirect(where)

    async def _act(self, path: models.EntryPath, action: str) -> str:
        """Do what the button *action* says; return where to go then, empty: the page is there."""
        reason = {"reason": self._why(), "revision": self._revision()}
        match action:
            case "preview" | "try":
                await self._preview(path, with_trial=action == "try")
                return ""
            case "save":
                change = models.Change(document=await self._document(), **reason)
                await self._steering.change(self.actor, path, change)
            case "remove":
                removal = models.EntryRemoval(section=path.section, key=path.key, **reason)
                await self._steering.remove(self.actor, removal)
                return f"{self.settings['prefix']}admin/{path.section}?done=removed"
            case "override":
                where = models.OverridePath(key=path.key)
                await self._steering.override(self.actor, where, self._override())
            case "end-override":
                ending = models.OverrideRemoval(key=path.key, **reason)
                await self._steering.end_override(self.actor, ending)
            case _:
                message = f"There is no button {action!r} here."
                raise Fault(DoorReason.MALFORMED, message)
        return f"{self.request.path}?done=saved"

    async def _refused(self, section: Section, key: str, fault: Fault) -> None:
        self.set_status(fault.status)
        await self._show(
            section.key,
            key,
            text=self.get_body_argument("document", None, strip=False),
            problem=fault.to_problem(),
        )

    async def _preview(self, path: models.EntryPath, *, with_trial: bool) -> None:
        document = await self._document()
        preview = await self._steering.preview(self.actor, path, document)
        trial = None
        if with_trial:
            change = models.TrialChange(section=path.section, key=path.key, document=document)
            wanted = models.Trial(changes=[change], days=TRIAL_DAYS)
            trial = await self._asking.try_out(self.actor, wanted)
        await self._show(
            path.section,
            path.key,
            text=self.get_body_argument("document", "", strip=False),
            preview=preview,
            trial=trial,
        )

    async def _show(
        self,
        section_key: str,
        key: str,
        *,
        text: str | None = None,
        problem: object = None,
        preview: object = None,
        trial: object = None,
    ) -> None:
        section = self._section(section_key)
        path = models.SectionPath.model_validate({"section": section_key})
        found = await self._steering.entries(self.actor, path)
        entry = next((each for each in found.entries if each.key == key), None)
        document: Any = None if entry is None else entry.document
        override = document.get("override") if isinstance(document, dict) else None
        typed_at = self._revision() if text is not None else None
        self.render_page(
            "entry.html",
            section=section,
            key=key,
            text=_yaml(document) if text is None else text,
            # What was typed is judged by the settings that it was typed for.
            revision=found.revision if typed_at is None else typed_at,
            is_stale=typed_at is not None and typed_at < found.revision,
            reason=self.get_body_argument("reason", ""),
            exists=entry is not None,
            problem=problem,
            preview=preview,
            trial=trial,
            days=TRIAL_DAYS,
            stands=await self._stands(key) if section_key == "quotas" else (),
            override=None if override is None else {"hours": None, "storage": None, **override},
            is_storage=isinstance(document, dict) and "storage" in document,
            example_until=f"{self._office.clock.now() + timedelta(days=7):%Y-%m-%dT00:00}+01:00",
            lines=()
            if entry is None
            else await self._steering.changes(
                self.actor, about=f"{section_key}.{key}", limit=_LINES
            ),
            **await self._words(),
        )

    async def _stands(self, key: str) -> Sequence[models.LimitLine]:
        """Return how it stands with a quota that is for one."""
        settings, now = await self._office.settings(), self._office.clock.now()
        subjects = {each.key: each.subject for each in settings.catalog.quotas}
        subjects |= {each.key: each.subject for each in settings.catalog.storage_quotas}
        subject = subjects.get(key)
        if subject is None:
            return ()
        store = await self._office.open_store()
        brief = await store.brief(
            revision=self._office.source.revision,
            subjects=[subject],
            since=now,
            volumes_of=subject.key,
        )
        return standings_of_quota(key, subject, settings, brief.usage, brief.held, now)

    async def _document(self) -> dict[str, Any]:
        text = self.get_body_argument("document", "", strip=False)
        if len(text) > LARGEST_DOCUMENT:
            message = f"The entry is larger than {LARGEST_DOCUMENT} characters: say less."
            raise Fault(DoorReason.TOO_LARGE, message)
        try:
            _, problems, content = await asyncio.to_thread(yamlfile.read_entry, text)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f"line {mark.line + 1}: " if mark else ""
            raise settings_wrong(
                ConfigError(f"{line}not YAML: {getattr(error, 'problem', None) or error}")
            ) from error
        if problems:
            location, problem = problems[0]
            told = f"{'.'.join(str(part) for part in location)}: {problem}"
            raise settings_wrong(ConfigError(told))
        if not isinstance(content, dict):
            raise settings_wrong(ConfigError("expected keys and values"))
        return content

    def _why(self) -> str:
        return self.get_body_argument("reason", "")

    def _revision(self) -> int | None:
        text = self.get_body_argument("revision", "")
        return int(text) if text.isdecimal() and len(text) < len(str(2**63)) else None

    def _override(self) -> models.NewOverride:
        amount = self.get_body_argument("amount", "").strip()
        hours: float | None
        try:
            hours, storage = float(amount), None
        except ValueError:
            hours, storage = None, amount
        return models.NewOverride(
            hours=hours,
            storage=storage,
            until=self.get_body_argument("until", ""),
            reason=self._why(),
            revision=self._revision(),
        )


def _told(error: ValidationError) -> str:
    """Return what is wrong with a form."""
    first = error.errors()[0]
    field = str(first["loc"][0])
    if field == "reason":
        return "Why: say why, in up to 500 characters; people read it in the audit."
    return f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _row(entry: models.Entry) -> Row:
    document = entry.document if isinstance(entry.document, dict) else {}
    return Row(
        key=entry.key,
        name=str(document.get("display_name", "")),
        summary=_summary(document),
        origin=entry.origin,
    )


def _summary(document: Mapping[str, Any]) -> str:
    text = ", ".join(_summarized(document))
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _summarized(document: Mapping[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if key in {"display_name", "when_to_use", "description", "startup_script", "environment"}:
            continue
        shown = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
        yield f"{key}: {shown.removesuffix(chr(10)).removesuffix('...').strip()}"


def _yaml(document: object) -> str:
    if document is None:
        return ""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=88)


assert set(_SECTIONS) == set(CHANGEABLE)  # noqa: S101 - every kind of entry has a page
