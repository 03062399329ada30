"""Extra volumes, and requests for them."""

from collections.abc import Iterable, Mapping

from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.requests import VolumeRequest
from eugospawner.policy.volumes import Attachment, Volume, Volumes
from tests.factories.catalog import GIB


def a_volume_request(claim: str = "data", mount_path: str | None = None) -> VolumeRequest:
    """Mount the volume *claim* below `/mnt`, or at *mount_path*."""
    return VolumeRequest(
        claim=claim, mount_path=f"/mnt/{claim}" if mount_path is None else mount_path
    )


def some_volumes(
    *keys: str,
    size_bytes: int = 20 * GIB,
    held: Mapping[Subject, int] | None = None,
    attached: Iterable[tuple[str, str, str]] = (),
) -> Volumes:
    """
    The volumes that Alice already has.

    Args:
        held: What the volumes of others who pay have, in bytes.
        attached: Those in use where no second Node can have them: key, Node, server.
    """
    return Volumes(
        held={Subject(SubjectKind.USER, "alice"): len(keys) * size_bytes, **(held or {})},
        by_key={
            key: Volume(key=key, claim_name=f"volume-of-{key}", size_bytes=size_bytes)
            for key in keys
        },
        attached=tuple(
            Attachment(key=key, node=node, server=server) for key, node, server in attached
        ),
    )
