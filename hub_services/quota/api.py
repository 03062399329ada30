"""The API of the quota service: `/services/quota/api/v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hub_services.common.api import Operation
from hub_services.common.auditing import AuditLines, AuditQuery
from hub_services.common.problems import DoorReason
from hub_services.quota import models

if TYPE_CHECKING:
    from eugospawner.policy.accounts import Actor
    from hub_services.quota.asking import Asking
    from hub_services.quota.inviting import Inviting
    from hub_services.quota.office import Office
    from hub_services.quota.steering import Steering

TITLE: Final = "Eugo workspaces: quotas"
SUMMARY: Final = "What is used, what is left, and who steers it."
VERSION: Final = "1"

_WRITES: Final = (DoorReason.SETTINGS_WRONG, DoorReason.SETTINGS_CHANGED)
_INVITES: Final = (DoorReason.ALREADY_THERE, DoorReason.NOT_SET_UP)
_FINDS: Final = (DoorReason.NOT_FOUND,)


def operations(
    office: Office, steering: Steering, asking: Asking, inviting: Inviting
) -> tuple[Operation, ...]:
    """Return all operations, in the order of the reference."""

    async def preview(
        actor: Actor, path: models.EntryPath, change: models.Preview
    ) -> models.Changed:
        return await steering.preview(actor, path, change.document)

    return (
        Operation(
            method="GET",
            path="/usage",
            name="get_usage",
            summary="How it stands with a user, project, group or organization; absent: with you.",
            takes=models.UsageQuery,
            answer=models.UsageReport,
            refuses=_FINDS,
            run=office.usage,
        ),
        Operation(
            method="GET",
            path="/settings/{section}",
            name="list_entries",
            summary="The entries of a section of the settings, as they are.",
            takes=models.SectionPath,
            answer=models.Entries,
            run=steering.entries,
        ),
        Operation(
            method="GET",
            path="/settings/{section}/{key}",
            name="get_entry",
            summary="One entry of the settings.",
            takes=models.EntryPath,
            answer=models.EntryAt,
            refuses=_FINDS,
            run=steering.entry,
        ),
        Operation(
            method="PUT",
            path="/settings/{section}/{key}",
            name="put_entry",
            summary="Make or change an entry; holds for the next start and the next sweep, and is audited.",
            takes=models.EntryPath,
            body=models.Change,
            answer=models.Changed,
            refuses=_WRITES,
            run=steering.change,
        ),
        Operation(
            method="DELETE",
            path="/settings/{section}/{key}",
            name="delete_entry",
            summary="Remove an entry.",
            takes=models.EntryRemoval,
            answer=models.Changed,
            refuses=(*_FINDS, *_WRITES),
            run=steering.remove,
        ),
        Operation(
            method="POST",
            path="/settings/{section}/{key}/preview",
            name="preview_entry",
            summary="What a change would mean; nothing is changed.",
            takes=models.EntryPath,
            body=models.Preview,
            answer=models.Changed,
            refuses=(DoorReason.SETTINGS_WRONG,),
            run=preview,
        ),
        Operation(
            method="PUT",
            path="/quotas/{key}/override",
            name="put_override",
            summary="Another amount for a quota until a moment, for a reason.",
            takes=models.OverridePath,
            body=models.NewOverride,
            answer=models.Changed,
            refuses=(*_FINDS, *_WRITES),
            run=steering.override,
        ),
        Operation(
            method="DELETE",
            path="/quotas/{key}/override",
            name="delete_override",
            summary="Have the quota's own amount hold again.",
            takes=models.OverrideRemoval,
            answer=models.Changed,
            refuses=(*_FINDS, *_WRITES),
            run=steering.end_override,
        ),
        Operation(
            method="GET",
            path="/invitations",
            name="list_invitations",
            summary="Who is invited to an organization, and how it stands.",
            takes=models.InvitationQuery,
            answer=models.Invitations,
            refuses=_FINDS,
            run=inviting.listed,
        ),
        Operation(
            method="POST",
            path="/invitations",
            name="create_invitation",
            summary="Invite somebody by e-mail; the link is sent, or told where there is no mail server.",
            body=models.NewInvitation,
            answer=models.Invited,
            refuses=(*_FINDS, DoorReason.SETTINGS_WRONG, *_INVITES),
            run=inviting.invite,
        ),
        Operation(
            method="POST",
            path="/invitations/{id}/send",
            name="send_invitation",
            summary="Send another link; the one before is of no use then.",
            takes=models.InvitationPath,
            answer=models.Invited,
            refuses=(*_FINDS, *_INVITES),
            run=inviting.send,
        ),
        Operation(
            method="DELETE",
            path="/invitations/{id}",
            name="revoke_invitation",
            summary="Take an invitation back; if it was redeemed, what it gave goes with it.",
            takes=models.InvitationPath,
            answer=models.InvitationLine,
            refuses=(*_FINDS, DoorReason.ALREADY_THERE),
            run=inviting.revoke,
        ),
        Operation(
            method="GET",
            path="/plans/{key}/openings",
            name="list_openings",
            summary="When the queues of a plan are open next.",
            takes=models.OpeningsQuery,
            answer=models.Openings,
            refuses=_FINDS,
            run=asking.openings,
        ),
        Operation(
            method="POST",
            path="/explain",
            name="explain",
            summary="What admission would say to a request now, rule by rule.",
            body=models.Question,
            answer=models.Explanation,
            run=asking.explain,
        ),
        Operation(
            method="POST",
            path="/what-if",
            name="try_out",
            summary="What changes would have done to what people asked for in the last days.",
            body=models.Trial,
            answer=models.TrialReport,
            refuses=(DoorReason.SETTINGS_WRONG,),
            run=asking.try_out,
        ),
        Operation(
            method="GET",
            path="/catalog",
            name="export_catalog",
            summary="All settings as they are, as a file.",
            answer=models.Catalog,
            run=steering.export,
        ),
        Operation(
            method="GET",
            path="/catalog/diff",
            name="diff_catalog",
            summary="Where the settings are not what the file says.",
            answer=models.Drifts,
            run=steering.drift,
        ),
        Operation(
            method="GET",
            path="/audit",
            name="list_audit",
            summary="Who did what, when and why, newest first; reading it is on record.",
            takes=AuditQuery,
            answer=AuditLines,
            run=steering.audit,
        ),
    )
