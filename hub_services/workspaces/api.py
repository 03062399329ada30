"""The API of the workspaces service: `/services/workspaces/api/v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eugospawner.policy.reasons import Reason
from hub_services.common.api import Operation
from hub_services.common.auditing import AuditLines, AuditQuery
from hub_services.common.problems import DoorReason
from hub_services.workspaces import models

if TYPE_CHECKING:
    from hub_services.workspaces.auditing import Auditing
    from hub_services.workspaces.office import Office

TITLE: Final = "Eugo workspaces"
SUMMARY: Final = "Workspaces: how they stand, what they did, and what is done to them."
VERSION: Final = "1"

_ONE: Final = (Reason.WORKSPACE_UNKNOWN,)
_ACTS: Final = (*_ONE, Reason.WRONG_STATE)
_WORKSPACE: Final = "/workspaces/{owner}/{server}"


def operations(office: Office, auditing: Auditing) -> tuple[Operation, ...]:
    """Return all operations, in the order of the reference."""
    return (
        Operation(
            method="GET",
            path="/workspaces",
            name="list_workspaces",
            summary="Your workspaces, or those of others that you may see; a look at others' is on record.",
            takes=models.ListQuery,
            answer=models.Workspaces,
            run=office.listed,
        ),
        Operation(
            method="POST",
            path="/workspaces",
            name="create_workspace",
            summary="Create a workspace and start nothing.",
            body=models.NewWorkspace,
            answer=models.Workspace,
            refuses=(
                Reason.PROJECT_UNKNOWN,
                Reason.WORKSPACE_NAME,
                Reason.NAME_TAKEN,
                Reason.WRONG_STATE,
            ),
            run=office.create,
        ),
        Operation(
            method="POST",
            path="/ide",
            name="create_ide",
            summary="Create a workspace and start it, in the words of the launch form; admission judges it.",
            body=models.NewIde,
            answer=models.Started,
            refuses=_ONE,
            run=office.create_ide,
        ),
        Operation(
            method="POST",
            path="/bulk-delete",
            name="bulk_delete",
            summary="Delete several workspaces; data stays. Says of each what came of it.",
            body=models.BulkDelete,
            answer=models.BulkOutcomes,
            run=office.bulk_delete,
        ),
        Operation(
            method="GET",
            path="/former",
            name="list_former_workspaces",
            summary="Workspaces that were deleted or terminated, the last first.",
            takes=models.FormerQuery,
            answer=models.Formers,
            run=office.former,
        ),
        Operation(
            method="GET",
            path=_WORKSPACE,
            name="get_workspace",
            summary="One workspace.",
            takes=models.WorkspacePath,
            answer=models.Workspace,
            refuses=_ONE,
            run=office.one,
        ),
        Operation(
            method="DELETE",
            path=_WORKSPACE,
            name="delete_workspace",
            summary="Take a workspace off the list; what runs is stopped, and its data stays.",
            takes=models.WorkspacePath,
            answer=models.Nothing,
            refuses=_ACTS,
            run=office.delete,
        ),
        Operation(
            method="PUT",
            path=f"{_WORKSPACE}/options",
            name="put_options",
            summary="Change what a workspace is started with; not while it runs.",
            takes=models.WorkspacePath,
            body=models.Options,
            answer=models.Workspace,
            refuses=_ACTS,
            run=office.edit,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/start",
            name="start_workspace",
            summary="Start a workspace with what it was last started with; admission judges it.",
            takes=models.WorkspacePath,
            body=models.Nothing,
            answer=models.Started,
            refuses=_ACTS,
            run=office.start,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/stop",
            name="stop_workspace",
            summary="Stop a workspace, or give a start up; files are kept.",
            takes=models.WorkspacePath,
            body=models.Nothing,
            answer=models.Workspace,
            refuses=_ACTS,
            run=office.stop,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/keep",
            name="keep_workspace",
            summary="Have a running workspace go on though it is idle.",
            takes=models.WorkspacePath,
            body=models.Nothing,
            answer=models.Workspace,
            refuses=_ACTS,
            run=office.keep,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/extend",
            name="extend_workspace",
            summary="Give a running workspace more time, as far as profile, quota and window leave some.",
            takes=models.WorkspacePath,
            body=models.Nothing,
            answer=models.Workspace,
            refuses=(*_ACTS, Reason.NOT_EXTENDABLE),
            run=office.extend,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/switch-queue",
            name="switch_queue",
            summary="Move a workspace to another queue: at once if it runs, else from the next start on.",
            takes=models.WorkspacePath,
            body=models.QueueChoice,
            answer=models.Workspace,
            refuses=(*_ACTS, Reason.QUEUE_UNKNOWN, Reason.IN_USE),
            run=office.switch_queue,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/reset",
            name="reset_workspace",
            summary="Have a workspace whose start failed be a stopped one.",
            takes=models.WorkspacePath,
            body=models.Nothing,
            answer=models.Workspace,
            refuses=_ACTS,
            run=office.reset,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/suspend",
            name="suspend_workspace",
            summary="Have a workspace end and not start again until it is resumed; data is kept.",
            takes=models.WorkspacePath,
            body=models.Suspension,
            answer=models.Workspace,
            refuses=_ACTS,
            run=office.suspend,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/resume",
            name="resume_workspace",
            summary="Lift a suspension.",
            takes=models.WorkspacePath,
            body=models.Nothing,
            answer=models.Workspace,
            refuses=_ACTS,
            run=office.resume,
        ),
        Operation(
            method="GET",
            path=f"{_WORKSPACE}/termination",
            name="plan_termination",
            summary="What a termination would destroy, and what it keeps.",
            takes=models.WorkspacePath,
            answer=models.Plan,
            refuses=_ONE,
            run=office.plan,
        ),
        Operation(
            method="POST",
            path=f"{_WORKSPACE}/terminate",
            name="terminate_workspace",
            summary="Destroy a workspace with everything that belongs to it alone.",
            takes=models.WorkspacePath,
            body=models.Termination,
            answer=models.Workspace,
            refuses=_ACTS,
            run=office.terminate,
        ),
        Operation(
            method="GET",
            path=f"{_WORKSPACE}/deployments",
            name="list_deployments",
            summary="The starts of a workspace, the last first.",
            takes=models.DeploymentQuery,
            answer=models.Deployments,
            refuses=_ONE,
            run=office.deployments,
        ),
        Operation(
            method="GET",
            path=f"{_WORKSPACE}/deployments/{{session}}",
            name="get_deployment",
            summary="One start, with what was seen of it; kept when its Pod is gone.",
            takes=models.DeploymentPath,
            answer=models.DeploymentLog,
            refuses=(*_ONE, DoorReason.NOT_FOUND),
            run=office.deployment,
        ),
        Operation(
            method="GET",
            path=f"{_WORKSPACE}/activity",
            name="list_activity",
            summary="Who did what to a workspace, looks into it included; newest first.",
            takes=models.ActivityQuery,
            answer=AuditLines,
            refuses=_ONE,
            run=office.activity,
        ),
        Operation(
            method="GET",
            path="/audit",
            name="list_audit",
            summary="Who did what, newest first; reading it is on record.",
            takes=AuditQuery,
            answer=AuditLines,
            run=auditing.lines,
        ),
        Operation(
            method="GET",
            path="/audit/verification",
            name="verify_audit",
            summary="Whether the audit is whole: every seal, and the anchors that are kept outside.",
            answer=models.AuditVerdict,
            run=auditing.verify,
        ),
    )
