"""The API of the export service: `/services/export/api/v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eugospawner.policy.reasons import Reason
from hub_services.common.api import Operation
from hub_services.common.problems import DoorReason
from hub_services.export import models

if TYPE_CHECKING:
    from hub_services.export.lounge import Lounge
    from hub_services.export.office import Office
    from hub_services.export.restoring import Restorer
    from hub_services.export.storeroom import Storeroom

TITLE: Final = "Eugo exports"
SUMMARY: Final = "Take files of a workspace away, whether it runs or not; see how full volumes are."
VERSION: Final = "1"

_EXPORT: Final = "/exports/{id}"
_VOLUME: Final = "/volumes/{owner}/{volume}"


def operations(
    office: Office, lounge: Lounge, storeroom: Storeroom, restorer: Restorer
) -> tuple[Operation, ...]:
    """Return all operations, in the order of the reference."""
    return (
        Operation(
            method="GET",
            path="/exports",
            name="list_exports",
            summary="What you took, newest first.",
            answer=models.Exports,
            run=office.listed,
        ),
        Operation(
            method="POST",
            path="/exports",
            name="create_export",
            summary="Have files of a workspace prepared for download; it is not started for that.",
            body=models.NewExport,
            answer=models.Export,
            refuses=(Reason.WORKSPACE_UNKNOWN, Reason.WRONG_STATE, DoorReason.TOO_MANY),
            run=office.create,
        ),
        Operation(
            method="GET",
            path=_EXPORT,
            name="get_export",
            summary="One export, with how far it is and its link.",
            takes=models.ExportPath,
            answer=models.Export,
            refuses=(DoorReason.NOT_FOUND,),
            run=office.one,
        ),
        Operation(
            method="DELETE",
            path=_EXPORT,
            name="revoke_export",
            summary="Take an export back: its link is good for nothing from now on.",
            takes=models.ExportPath,
            answer=models.Export,
            refuses=(DoorReason.NOT_FOUND,),
            run=office.revoke,
        ),
        Operation(
            method="GET",
            path="/shares",
            name="list_shares",
            summary="What you share, and what others share with you.",
            answer=models.Shares,
            run=lounge.listed,
        ),
        Operation(
            method="POST",
            path="/shares",
            name="create_share",
            summary="Let others read the document of an export, as it is now.",
            body=models.NewShare,
            answer=models.Share,
            refuses=(
                DoorReason.NOT_FOUND,
                Reason.WORKSPACE_UNKNOWN,
                DoorReason.SHARE_REFUSED,
                DoorReason.EXPORT_FAILED,
            ),
            run=lounge.create,
        ),
        Operation(
            method="DELETE",
            path="/shares/{id}",
            name="revoke_share",
            summary="Take a share back: nobody reads it any more.",
            takes=models.SharePath,
            answer=models.Share,
            refuses=(DoorReason.NOT_FOUND,),
            run=lounge.revoke,
        ),
        Operation(
            method="POST",
            path="/restores",
            name="restore_archive",
            summary="Unpack a ZIP into a new folder of a volume, whether the workspace runs or not.",
            takes=models.NewRestore,
            streams="application/zip",
            answer=models.Restored,
            refuses=(
                Reason.WORKSPACE_UNKNOWN,
                Reason.WRONG_STATE,
                DoorReason.NOT_ZIP,
                DoorReason.NOT_RESTORED,
                DoorReason.TOO_MANY,
                DoorReason.CLUSTER_UNAVAILABLE,
            ),
            run=restorer.begin,
        ),
        Operation(
            method="GET",
            path="/volumes",
            name="list_volumes",
            summary="Volumes: how large and how full they are, and what mounts them.",
            takes=models.VolumesQuery,
            answer=models.Volumes,
            refuses=(DoorReason.CLUSTER_UNAVAILABLE,),
            run=storeroom.listed,
        ),
        Operation(
            method="POST",
            path="/volumes",
            name="create_volume",
            summary="Make a volume for a project; people make theirs by naming them at a start.",
            body=models.NewVolume,
            answer=models.Volume,
            refuses=(
                DoorReason.NOT_FOUND,
                DoorReason.ALREADY_THERE,
                DoorReason.CLUSTER_UNAVAILABLE,
                Reason.STORAGE_EXHAUSTED,
            ),
            run=storeroom.create,
        ),
        Operation(
            method="GET",
            path=_VOLUME,
            name="get_volume",
            summary="One volume; to its owner with what its folders take and what could go.",
            takes=models.VolumePath,
            answer=models.Volume,
            refuses=(DoorReason.NOT_FOUND, DoorReason.CLUSTER_UNAVAILABLE),
            run=storeroom.one,
        ),
        Operation(
            method="POST",
            path=f"{_VOLUME}/measure",
            name="measure_volume",
            summary="Have a volume measured now.",
            takes=models.VolumePath,
            answer=models.Volume,
            refuses=(DoorReason.NOT_FOUND, DoorReason.CLUSTER_UNAVAILABLE),
            run=storeroom.measure,
        ),
        Operation(
            method="PUT",
            path=f"{_VOLUME}/size",
            name="resize_volume",
            summary="Make a volume larger, as far as plan and quotas leave room.",
            takes=models.VolumePath,
            body=models.NewSize,
            answer=models.Volume,
            refuses=(
                DoorReason.NOT_FOUND,
                DoorReason.CLUSTER_UNAVAILABLE,
                DoorReason.SETTINGS_CHANGED,
                DoorReason.VOLUME_SHRINKS,
                DoorReason.VOLUME_FIXED,
                Reason.VOLUMES_MORE_THAN_PLAN,
                Reason.STORAGE_EXHAUSTED,
            ),
            run=storeroom.resize,
        ),
    )
