"""
Asking: what would happen, without anything happening.

When a plan opens next, what admission would say to a request and on which path, and what changed
settings would have done to what people asked for. Nothing is written. Source: features L2, L11, F60.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, assert_never

from eugospawner import judge, options, preflight
from eugospawner.policy import admission, names, windows
from eugospawner.policy.accounts import Actor
from eugospawner.policy.capacity import UNKNOWN_CLUSTER
from eugospawner.policy.decisions import Admitted, Denied, Queued
from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.errors import ConfigError
from eugospawner.policy.permissions import Platform, may, who_may
from eugospawner.policy.quota import Span, Subject, SubjectKind, period_at
from eugospawner.policy.roles import Action
from eugospawner.policy.volumes import Volumes
from hub_services.common.problems import existing, permit, settings_wrong
from hub_services.quota import models, trial, views

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from eugospawner.policy.decisions import Decision, Refusal
    from eugospawner.policy.quota import Cell, Used
    from eugospawner.policy.windows import Window
    from eugospawner.settings import Settings
    from eugospawner.store import Session, Store
    from eugospawner.store.refusals import Refused
    from hub_services.quota.office import Office

#: Requests of one trial; more are said to be left out.
MOST_REQUESTS: Final = 20_000


class Asking:
    """Questions about what would be."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._trials = asyncio.Lock()

    async def openings(self, actor: Actor, query: models.OpeningsQuery) -> models.Openings:
        """Return when the queues of a plan are open next; for who may see a project of it."""
        settings, now = await self._office.settings(), self._office.clock.now()
        known = self._knows(actor, settings, query.key)
        plan = existing(
            settings.directory.plans.get(query.key) if known else None, "plan", query.key
        )
        zone = plan.windows[0].zone if plan.windows else settings.catalog.zone
        found = list(_openings_of(plan.windows, now, query.count))
        return models.Openings(
            plan=plan.key,
            queues=list(plan.queues),
            is_open=windows.open_now(plan.windows, now) is not None,
            windows=[windows.describe(each) for each in plan.windows],
            openings=[
                models.OpeningLine(
                    opens_at=opens_at,
                    closes_at=closes_at,
                    words=_opening_words(opens_at, closes_at, zone),
                )
                for opens_at, closes_at in found
            ],
        )

    def _knows(self, actor: Actor, settings: Settings, plan: str) -> bool:
        people = settings.directory.people
        if may(actor, Action.STEER, Platform(), people):
            return True
        own = self._office.accounts(settings, actor.name).projects
        return any(project.plan.key == plan for project in own) or any(
            project.plan.key == plan and may(actor, Action.SEE_USAGE, project, people)
            for project in settings.directory.projects.values()
        )

    async def explain(self, actor: Actor, question: models.Question) -> models.Explanation:
        """
        Return what admission would say to a request now, and every rule on the way.

        Whether GPUs are free is not asked here: that is the hub's to see.
        """
        settings = await self._office.settings()
        owner = question.user or actor.name
        person = settings.directory.person(owner)
        allowed = may(actor, Action.SEE_USAGE, person, settings.directory.people)
        permit(f"ask for {owner}", allowed=allowed, ask=who_may(Action.SEE_USAGE, Platform()))
        accounts, now = self._office.accounts(settings, owner), self._office.clock.now()
        words: dict[str, Any] = dict(question.options)
        store = await self._office.open_store()
        brief = await store.brief(
            revision=self._office.source.revision,
            subjects=views.subjects_of_report(Subject(SubjectKind.USER, owner), accounts),
            since=now,
            volumes_of=owner,
            name=names.name_in(words),
            projects=[project.key for project in accounts.projects],
        )
        accounts = replace(accounts, names=brief.holders)
        circumstances = judge.Circumstances(
            revision=self._office.source.revision,
            catalog=settings.catalog,
            accounts=accounts,
            usage=brief.usage,
            volumes=Volumes(by_key=brief.volumes, held=brief.held),
            cluster=UNKNOWN_CLUSTER,
            now=now,
        )
        asker = Actor(name=owner)  # as if they asked themselves, whoever wants to know
        verdict = judge.judge(
            words,
            circumstances,
            owner=owner,
            workspace=question.workspace,
            actor=asker,
        )
        told = preflight.describe(verdict.decision, words=words, nearest=verdict.nearest)
        request = options.parse(words, owner=owner, workspace=question.workspace)
        steps = [
            models.Step(
                rule="Are the words such as a request has?",
                passed=not isinstance(request, tuple),
                refusals=[_refused(each) for each in request] if isinstance(request, tuple) else [],
            )
        ]
        if not isinstance(request, tuple):
            steps += [
                models.Step(
                    rule=step.rule,
                    passed=not step.refusals,
                    refusals=[_refused(each) for each in step.refusals],
                )
                for step in admission.path(
                    request,
                    asker,
                    circumstances.catalog,
                    accounts,
                    circumstances.usage,
                    circumstances.volumes,
                    circumstances.cluster,
                    now,
                )
            ]
        return models.Explanation(
            outcome=str(told.outcome),
            sentence=told.refusals[0].sentence if told.refusals else told.sentence,
            facts=[models.Fact(label=each.label, value=each.value) for each in told.facts],
            steps=steps,
            nearest=dict(verdict.nearest) if verdict.nearest is not None else None,
        )

    async def try_out(self, actor: Actor, wanted: models.Trial) -> models.TrialReport:
        """Return what changes would have done to what people asked for (L11)."""
        settings, store = await self._office.settings(), await self._office.open_store()
        allowed = may(actor, Action.STEER, Platform(), settings.directory.people)
        permit(
            "try changes of the settings",
            allowed=allowed,
            ask=who_may(Action.STEER, Platform()),
        )
        changes: dict[tuple[str, str], Any] = {
            (each.section, each.key): each.document for each in wanted.changes
        }
        try:
            after = await asyncio.to_thread(self._office.source.with_changes, changes)
        except ConfigError as error:
            raise settings_wrong(error) from error
        now, zone = self._office.clock.now(), settings.catalog.zone
        since = period_at(Span.DAY, zone, now - timedelta(days=wanted.days)).start
        sessions = await store.sessions.admitted(since, limit=MOST_REQUESTS)
        refused = await store.refusals.since(since, limit=MOST_REQUESTS)
        owners = {each.owner for each in sessions} | {each.owner for each in refused}
        used = await self._used_before(store, settings, owners, since)

        def find() -> trial.Findings:
            requests = sorted(
                (*_of_sessions(sessions, now), *_of_refusals(refused)), key=lambda each: each.at
            )
            return trial.try_out(
                requests, before=settings, after=after, used=used, slug=self._office.slug
            )

        # Thousands of decisions: others need not wait for them, and two at once gain nothing.
        async with self._trials:
            findings = await asyncio.to_thread(find)
        return models.TrialReport(
            sentences=list(trial.sentences_of(findings)),
            requests=findings.tried,
            skipped=findings.skipped,
            is_complete=max(len(sessions), len(refused)) < MOST_REQUESTS,
            lines=[_trial_line(each, zone) for each in findings.differences],
        )

    async def _used_before(
        self,
        store: Store,
        settings: Settings,
        owners: set[str],
        since: datetime,
    ) -> Mapping[Cell, Used]:
        """Return what the month of *since* had seen before it, of all who asked for anything."""
        month = period_at(Span.MONTH, settings.catalog.zone, since)
        subjects = {
            subject
            for owner in owners
            for subject in views.subjects_of_report(
                Subject(SubjectKind.USER, owner), self._office.accounts(settings, owner)
            )
        }
        return await store.usage_of_days(
            subjects,
            first_day=f"{month.key}-01",
            before=period_at(Span.DAY, settings.catalog.zone, since).key,
        )


def _refused(refusal: Refusal) -> models.Refused:
    return models.Refused(
        reason=str(refusal.reason),
        word=refusal.word,
        sentence=refusal.sentence,
        who=str(refusal.who),
    )


def _openings_of(
    plan_windows: tuple[Window, ...], now: datetime, count: int
) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield the opening that is now, if one is, and those that follow."""
    is_open = windows.open_now(plan_windows, now)
    at = now
    if is_open is not None:
        yield now, is_open.closes_at
        if is_open.closes_at is None:
            return
        count, at = count - 1, is_open.closes_at - timedelta(microseconds=1)
    for _ in range(count):
        opening = windows.next_opening(plan_windows, at)
        if opening is None:
            return
        yield opening.opens_at, opening.closes_at
        if opening.closes_at is None:
            return
        at = opening.opens_at


def _opening_words(opens_at: datetime, closes_at: datetime | None, zone: str) -> str:
    ends = "and stays open" if closes_at is None else f"to {local(closes_at, zone)}"
    return f"{local(opens_at, zone)} {ends}"


def _of_sessions(sessions: tuple[Session, ...], now: datetime) -> Iterator[trial.Asked]:
    for each in sessions:
        ran = None
        if each.bound_at is not None:
            ran = max((each.ended_at or now) - each.admitted_at, timedelta())
        yield trial.Asked(
            at=each.admitted_at,
            owner=each.owner,
            workspace=each.workspace,
            actor=each.actor,
            options=None if each.options is None else options_of(each.options),
            ran=ran,
        )


def options_of(text: str) -> Mapping[str, object] | None:
    """Return the words that `refusals.text_of` made a text of."""
    found = json.loads(text)
    return found if isinstance(found, dict) else None


def _of_refusals(refused: tuple[Refused, ...]) -> Iterator[trial.Asked]:
    for each in refused:
        yield trial.Asked(
            at=each.at,
            owner=each.owner,
            workspace=each.workspace,
            actor=each.actor,
            options=each.options,
            ran=None,
        )


def _trial_line(each: trial.Difference, zone: str) -> models.TrialLine:
    return models.TrialLine(
        at=each.asked.at,
        owner=each.asked.owner,
        workspace=each.asked.workspace or "default workspace",
        before=_answer_words(each.before, zone),
        after=_answer_words(each.after, zone),
        kind=each.kind.value,
    )


def _answer_words(decision: Decision, zone: str) -> str:
    match decision:
        case Denied() as denied:
            return denied.first.sentence
        case Queued(admitted=admitted) | (Admitted() as admitted):
            return f"Admitted, to end at the latest {local(admitted.ends_at, zone)}"
        case _:
            assert_never(decision)
