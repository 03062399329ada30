"""Pages: how it stands with whom, for whoever may see it."""

from __future__ import annotations

import calendar
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup
from pydantic import ValidationError

from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.permissions import may
from eugospawner.policy.roles import Action
from hub_services.common import sheets
from hub_services.common.problems import DoorReason, Fault
from hub_services.common.web import Page, environment
from hub_services.quota import models
from hub_services.quota.chart import chart_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eugospawner.policy.accounts import Actor
    from hub_services.quota.office import Office


class Link(NamedTuple):
    """A place in the navigation."""

    text: str
    href: str


class Choice(NamedTuple):
    """Somebody whose usage can be shown."""

    text: str
    href: str
    chosen: bool


def navigation(
    hub: str, base: str, office: Office, *, has_exports: bool = False
) -> Callable[[Actor | None], Sequence[Link]]:
    """Return what the bar shows to whom, by the settings as last read."""

    def leads(actor: Actor) -> bool:
        directory = office.source.settings.directory
        return any(
            may(actor, Action.ASSIGN_ROLE, each, directory.people)
            for each in directory.organizations.values()
        )

    def shown(actor: Actor | None) -> Sequence[Link]:
        links = [Link("Home", f"{hub}home"), Link("Token", f"{hub}token"), Link("Usage", base)]
        if has_exports:
            exports = f"{base.removesuffix('quota/')}export/"
            links += [Link("Volumes", f"{exports}volumes"), Link("Exports", exports)]
        if actor is not None and actor.is_admin:
            links.insert(2, Link("Admin", f"{hub}admin"))
            links.append(Link("Plans and quotas", f"{base}admin"))
        if actor is not None and leads(actor):
            links.append(Link("People", f"{base}members"))
        return links

    return shown


class _OfUsage(Page):
    def initialize(self, office: Office) -> None:
        """Take over who answers."""
        self._office = office

    def _query(self) -> models.UsageQuery:
        found = {
            name: values[-1].decode("utf-8", "replace")
            for name, values in self.request.query_arguments.items()
            if name in models.UsageQuery.model_fields
        }
        try:
            return models.UsageQuery.model_validate(found)
        except ValidationError as error:
            message = "The address names nobody: use user, project, group or organization."
            raise Fault(DoorReason.MALFORMED, message) from error


class UsageSheet(_OfUsage):
    """What consumed it, to be opened in a spreadsheet."""

    async def get(self) -> None:
        """Send it."""
        report = await self._office.usage(self.actor, self._query())
        self.set_header("Content-Type", sheets.CONTENT_TYPE)
        self.set_header("Content-Disposition", f'attachment; filename="usage-{report.month}.csv"')
        self.finish(
            sheets.to_csv(
                ["Month", "Workspace", "Owner", "Project", "GPU model", "GPU hours", "CPU hours"],
                [
                    [
                        report.month,
                        line.workspace,
                        line.owner,
                        line.project,
                        line.gpu_model,
                        line.gpu.partition(" ")[0],
                        line.cpu.partition(" ")[0],
                    ]
                    for line in report.consumers
                ],
            )
        )


class UsagePage(_OfUsage):
    """What somebody uses, has left and will reach."""

    async def get(self) -> None:
        """Show it."""
        query = self._query()
        report = await self._office.usage(self.actor, query)
        year, month = (int(part) for part in report.month.split("-"))
        last = date(year, month, calendar.monthrange(year, month)[1])
        drawn = (
            environment()
            .get_template("chart.html")
            .render(chart=chart_of(report.days, report.limits, last, subject=report.subject))
        )
        self.render_page(
            "usage.html",
            report=report,
            month_words=f"{calendar.month_name[month]} {year}",
            choices=await self._choices(report.subject),
            sheet=f"{self.settings['prefix']}usage.csv"
            + (f"?{self.request.query}" if self.request.query else ""),
            chart=Markup(drawn),  # noqa: S704 - a template of ours, which escapes
            when=lambda at: local(at, report.zone),
        )

    async def _choices(self, chosen: str) -> list[Choice]:
        base = self.settings["prefix"]
        offered = [("you", f"user:{self.actor.name}", base)]
        for kind, found in (
            ("project", await self._office.projects(self.actor)),
            ("organization", await self._office.organizations(self.actor)),
        ):
            offered += [
                (name, f"{kind}:{key}", f"{base}?{urlencode({kind: key})}") for key, name in found
            ]
        return [Choice(text, href, subject == chosen) for text, subject, href in offered]
