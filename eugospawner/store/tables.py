"""
The tables, as the newest migration leaves them.

Column comments name the unit and say what absence means; they are what a person sees who opens
the database. The CHECKs repeat what the domain modules promise, so that no other writer, and no
hand at a prompt, can break it. Rows never leave this package: the domain modules hand out values.
A change here needs a migration, and a test compares the two. Source: style §3.8.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from eugospawner.policy.catalog import Kind
from eugospawner.policy.lifecycle import State
from eugospawner.store.types import UtcTime

#: Alembic and error messages need names that do not depend on the database.
NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What all tables share: names of constraints, and the SQL types of Python's."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {
        str: Text(),
        int: BigInteger(),
        datetime: UtcTime(),
        Kind: Enum(
            Kind,
            name="kind",
            native_enum=False,
            create_constraint=True,
            length=32,
            values_callable=lambda kinds: [kind.value for kind in kinds],
        ),
        State: Enum(
            State,
            name="state",
            native_enum=False,
            create_constraint=True,
            length=32,
            values_callable=lambda states: [state.value for state in states],
        ),
    }


class VolumeRow(Base):
    """An extra volume of somebody, or of a project: its owner is `policy.volumes.holder_of` that."""

    __tablename__ = "volumes"
    __table_args__ = (
        CheckConstraint("size_bytes > 0", name="size_bytes"),
        Index("ix_volumes_project", "project"),
        Index("ix_volumes_group_key", "group_key"),
        Index("ix_volumes_organization", "organization"),
        {"comment": "Extra volumes of owners, beside the home that every owner has."},
    )

    owner: Mapped[str] = mapped_column(primary_key=True, comment="User name.")
    key: Mapped[str] = mapped_column(
        primary_key=True, comment="The owner's name for it; requests name it so."
    )
    claim_name: Mapped[str] = mapped_column(
        unique=True, comment="Name of its PersistentVolumeClaim."
    )
    size_bytes: Mapped[int] = mapped_column(comment="Size asked for, in bytes.")
    created_at: Mapped[datetime] = mapped_column(comment="UTC.")
    project: Mapped[str | None] = mapped_column(
        comment="Project it was made in. Absent: made before quotas of storage; its owner's alone."
    )
    group_key: Mapped[str | None] = mapped_column(comment="Group that owned the project.")
    organization: Mapped[str | None] = mapped_column(comment="Organization that paid.")


class WorkspaceRow(Base):
    """A workspace: a server of an owner, where it is in its life, and what it is started with."""

    __tablename__ = "workspaces"
    __table_args__ = (
        CheckConstraint("failures >= 0", name="failures"),
        Index("uq_workspaces_project_name_key", "project", "name_key", unique=True),
        Index("uq_workspaces_id", "id", unique=True),
        Index("ix_workspaces_state", "state"),
        {"comment": "Workspaces that were created or admitted and not removed since."},
    )

    owner: Mapped[str] = mapped_column(primary_key=True, comment="User name.")
    server: Mapped[str] = mapped_column(
        primary_key=True, comment="Server name; empty for the default server."
    )
    project: Mapped[str] = mapped_column(comment="Project key.")
    name: Mapped[str] = mapped_column(comment="As people read it.")
    name_key: Mapped[str] = mapped_column(comment="The name without case; unique in the project.")
    options: Mapped[str] = mapped_column(
        comment="JSON: the words of the last admitted start, without the name."
    )
    created_at: Mapped[datetime] = mapped_column(comment="UTC.")
    changed_at: Mapped[datetime] = mapped_column(comment="UTC; of the last start or edit.")
    id: Mapped[str | None] = mapped_column(
        comment="Random, for good. Absent: last written by a release that knew none."
    )
    state: Mapped[State] = mapped_column(
        server_default=State.STOPPED.value, comment="Where it is in its life."
    )
    since: Mapped[datetime | None] = mapped_column(
        comment="UTC; when it came into the state. Absent: before states were kept."
    )
    because: Mapped[str] = mapped_column(
        server_default=sql("''"), comment="Machine reason of the state; may be empty."
    )
    said: Mapped[str] = mapped_column(
        server_default=sql("''"), comment="What is said of it beside the reason; may be empty."
    )
    actor: Mapped[str] = mapped_column(
        server_default=sql("''"), comment="Who brought it there; empty: nobody knows."
    )
    session_id: Mapped[str | None] = mapped_column(comment="Its last session. Absent: none yet.")
    failures: Mapped[int] = mapped_column(
        server_default="0", comment="Starts in a row that have failed."
    )
    remaining: Mapped[str] = mapped_column(
        server_default=sql("''"),
        comment="JSON: what a termination has not destroyed yet; empty: none is at work.",
    )


class FormerWorkspaceRow(Base):
    """A workspace that was deleted or terminated."""

    __tablename__ = "former_workspaces"
    __table_args__ = (
        Index("ix_former_workspaces_owner_gone_at", "owner", "gone_at"),
        {"comment": "Workspaces that are no more."},
    )

    id: Mapped[str] = mapped_column(primary_key=True, comment="As it had while it existed.")
    owner: Mapped[str] = mapped_column(comment="User name.")
    server: Mapped[str] = mapped_column(comment="Server name; empty for the default server.")
    project: Mapped[str] = mapped_column(comment="Project key.")
    name: Mapped[str] = mapped_column(comment="As people read it.")
    options: Mapped[str] = mapped_column(comment="JSON: what it was last started with.")
    created_at: Mapped[datetime] = mapped_column(comment="UTC.")
    gone_at: Mapped[datetime] = mapped_column(comment="UTC.")
    is_terminated: Mapped[bool] = mapped_column(
        comment="Whether its data was destroyed, too; else it was deleted and data is kept."
    )
    actor: Mapped[str] = mapped_column(comment="Who wanted it so.")


class SessionRow(Base):
    """One run of a workspace, from admission to its end."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("gpu_count >= 0", name="gpu_count"),
        CheckConstraint("gpu_count = 0 OR gpu_model IS NOT NULL", name="gpu_model"),
        CheckConstraint(
            "sm_percent <= 100 AND sm_percent >= CASE WHEN gpu_count = 0 THEN 0 ELSE 1 END",
            name="sm_percent",
        ),
        CheckConstraint("requested_percent >= 0", name="requested_percent"),
        CheckConstraint("granted_percent >= 0", name="granted_percent"),
        CheckConstraint("cpu_millicores >= 0", name="cpu_millicores"),
        CheckConstraint("memory_bytes >= 0", name="memory_bytes"),
        CheckConstraint("(ends_at IS NULL) = (ends_because IS NULL)", name="deadline"),
        CheckConstraint("(bound_at IS NULL) = (granted_percent IS NULL)", name="bound"),
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended"),
        CheckConstraint("bound_at >= admitted_at", name="bound_after_admitted"),
        CheckConstraint("ended_at >= admitted_at", name="ended_after_admitted"),
        CheckConstraint("extended_ms >= 0", name="extended_ms"),
        CheckConstraint(
            "(stop_at IS NULL) = (stop_reason IS NULL) AND (stop_at IS NULL) = (stop_by IS NULL)",
            name="stop",
        ),
        Index(
            "uq_sessions_open",
            "owner",
            "workspace",
            unique=True,
            sqlite_where=sql("ended_at IS NULL"),
            postgresql_where=sql("ended_at IS NULL"),
        ),
        Index("ix_sessions_owner_admitted_at", "owner", "admitted_at"),
        Index("ix_sessions_admitted_at", "admitted_at"),
        {"comment": "Runs of workspaces; one that has not ended is open."},
    )

    id: Mapped[str] = mapped_column(
        primary_key=True, comment="Made by the spawner for each start; also a label of the Pod."
    )
    owner: Mapped[str] = mapped_column(comment="User whose workspace it is.")
    workspace: Mapped[str] = mapped_column(comment="Server name; empty for the default server.")
    actor: Mapped[str] = mapped_column(comment="Who asked: the owner, or an admin for them.")
    project: Mapped[str] = mapped_column(comment="Project key.")
    profile: Mapped[str] = mapped_column(comment="Profile key of the catalog.")
    flavor: Mapped[str] = mapped_column(comment="Flavor key of the catalog.")
    kind: Mapped[Kind] = mapped_column(comment="What runs in the workspace.")
    queue: Mapped[str] = mapped_column(comment="Queue key.")
    image: Mapped[str] = mapped_column(comment="Exact reference.")
    gpu_model: Mapped[str | None] = mapped_column(comment="Model key; absent: no GPU.")
    gpu_count: Mapped[int] = mapped_column(comment="Devices asked for.")
    sm_percent: Mapped[int] = mapped_column(
        comment="Share of each device, 1 to 100; 0 or 100 without one."
    )
    requested_percent: Mapped[int] = mapped_column(
        comment="GPU percent charged until the allocation is known."
    )
    cpu_millicores: Mapped[int] = mapped_column(comment="Limit, in millicores.")
    memory_bytes: Mapped[int] = mapped_column(comment="Limit, in bytes.")
    pod_name: Mapped[str] = mapped_column(comment="Name of the session's Pod.")
    admitted_at: Mapped[datetime] = mapped_column(comment="UTC; the start was admitted.")
    ends_at: Mapped[datetime | None] = mapped_column(comment="UTC deadline; absent: none.")
    ends_because: Mapped[str | None] = mapped_column(comment="What the deadline comes from.")
    bound_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; the Pod was ready and its allocation read. Absent: not yet, or never."
    )
    granted_percent: Mapped[int | None] = mapped_column(
        comment="GPU percent that the allocation really consumes."
    )
    group_key: Mapped[str | None] = mapped_column(comment="Group that owns the project.")
    organization: Mapped[str | None] = mapped_column(comment="Organization that pays.")
    zone: Mapped[str | None] = mapped_column(
        comment="IANA zone of its days and months. Absent: begun before there was a ledger."
    )
    reserved_from: Mapped[datetime | None] = mapped_column(
        comment="UTC; [this, ends_at) is reserved. Absent: nothing is, or not any more."
    )
    ended_at: Mapped[datetime | None] = mapped_column(comment="UTC. Absent: the session is open.")
    end_reason: Mapped[str | None] = mapped_column(comment="Machine reason of the end.")
    options: Mapped[str | None] = mapped_column(
        comment="JSON: the words of the request, without the name. Absent: begun before."
    )
    plan: Mapped[str | None] = mapped_column(comment="Plan key. Absent: none, or begun before.")
    active_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; last sign of work in it. Absent: none was seen."
    )
    kept_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; somebody asked to keep it running. Absent: nobody did."
    )
    extended_ms: Mapped[int] = mapped_column(
        server_default="0", comment="Milliseconds by which it may be longer than its profile says."
    )
    stop_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; it was asked to stop. Absent: it was not."
    )
    stop_reason: Mapped[str | None] = mapped_column(comment="Machine reason of that.")
    stop_by: Mapped[str | None] = mapped_column(comment="Who asked: a person or a service.")
    problem: Mapped[str | None] = mapped_column(
        comment="What was said of a start that failed. Absent: it did not, or nothing was."
    )


class DeploymentLogRow(Base):
    """What was seen of one start."""

    __tablename__ = "deployment_logs"
    __table_args__ = ({"comment": "What was seen of starts; kept after their Pods are gone."},)

    session_id: Mapped[str] = mapped_column(primary_key=True, comment="The session it began.")
    lines: Mapped[str] = mapped_column(comment="JSON: times and sentences, in order.")


class UsageRow(Base):
    """What one subject has used and reserved in one period, of one GPU model."""

    __tablename__ = "usage"
    __table_args__ = (
        *(
            CheckConstraint(f"{kind}_{resource} >= 0", name=f"{kind}_{resource}")
            for kind in ("settled", "reserved")
            for resource in ("gpu", "cpu", "memory")
        ),
        CheckConstraint("span IN ('at-once', 'day', 'month')", name="span"),
        {"comment": "Sums of the ledger, kept in the transactions that write it."},
    )

    subject: Mapped[str] = mapped_column(
        primary_key=True, comment="Kind and key of whom it counts against: user:alice."
    )
    span: Mapped[str] = mapped_column(
        primary_key=True, comment="at-once: rates of open sessions; else rate × milliseconds."
    )
    start: Mapped[str] = mapped_column(
        primary_key=True, comment="ISO day or month of the accounting zone; empty: at once."
    )
    gpu_model: Mapped[str] = mapped_column(primary_key=True, comment="Model key; empty: no GPU.")
    settled_gpu: Mapped[int] = mapped_column(comment="GPU-milliseconds·percent.")
    settled_cpu: Mapped[int] = mapped_column(comment="Millicore-milliseconds.")
    settled_memory: Mapped[int] = mapped_column(comment="MiB-milliseconds.")
    reserved_gpu: Mapped[int] = mapped_column(comment="As settled; at once: GPU percent.")
    reserved_cpu: Mapped[int] = mapped_column(comment="As settled; at once: millicores.")
    reserved_memory: Mapped[int] = mapped_column(comment="As settled; at once: MiB.")


class LedgerRow(Base):
    """One entry: what a session reserved, settled or released on one day. Never changed."""

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint("kind IN ('reserve', 'bind', 'settle', 'release')", name="kind"),
        Index("ix_ledger_session_id", "session_id"),
        {"comment": "Append-only: a trigger refuses changes. Amounts are differences."},
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
        comment="In the order of writing.",
    )
    session_id: Mapped[str] = mapped_column(comment="The session on whose account it is.")
    kind: Mapped[str] = mapped_column(comment="What happened.")
    day: Mapped[str] = mapped_column(comment="ISO day of the session's zone.")
    settled_gpu: Mapped[int] = mapped_column(comment="GPU-milliseconds·percent.")
    settled_cpu: Mapped[int] = mapped_column(comment="Millicore-milliseconds.")
    settled_memory: Mapped[int] = mapped_column(comment="MiB-milliseconds.")
    reserved_gpu: Mapped[int] = mapped_column(comment="As settled; negative where it is let go.")
    reserved_cpu: Mapped[int] = mapped_column(comment="As settled.")
    reserved_memory: Mapped[int] = mapped_column(comment="As settled.")
    recorded_at: Mapped[datetime] = mapped_column(comment="UTC.")
    queue: Mapped[str | None] = mapped_column(
        comment="Queue on whose account it is. Absent: the session's."
    )


class ConsumptionRow(Base):
    """What one session used and has reserved on one day."""

    __tablename__ = "consumption"
    __table_args__ = (
        *(
            Index(f"ix_consumption_{name}_day", name, "day")
            for name in ("owner", "project", "group_key", "organization")
        ),
        {"comment": "The ledger by session and day, up to the entry that the mark names."},
    )

    session_id: Mapped[str] = mapped_column(primary_key=True, comment="The session.")
    day: Mapped[str] = mapped_column(primary_key=True, comment="ISO day of the session's zone.")
    owner: Mapped[str] = mapped_column(comment="User whose workspace it is.")
    workspace: Mapped[str] = mapped_column(comment="Server name.")
    project: Mapped[str] = mapped_column(comment="Project key.")
    group_key: Mapped[str | None] = mapped_column(comment="Group that owns the project.")
    organization: Mapped[str | None] = mapped_column(comment="Organization that pays.")
    gpu_model: Mapped[str] = mapped_column(comment="Model key; empty: no GPU.")
    settled_gpu: Mapped[int] = mapped_column(comment="GPU-milliseconds·percent.")
    settled_cpu: Mapped[int] = mapped_column(comment="Millicore-milliseconds.")
    settled_memory: Mapped[int] = mapped_column(comment="MiB-milliseconds.")
    reserved_gpu: Mapped[int] = mapped_column(comment="As settled.")
    reserved_cpu: Mapped[int] = mapped_column(comment="As settled.")
    reserved_memory: Mapped[int] = mapped_column(comment="As settled.")


class MarkRow(Base):
    """How far something is that goes on and on."""

    __tablename__ = "marks"
    __table_args__ = ({"comment": "How far something that goes on is."},)

    name: Mapped[str] = mapped_column(primary_key=True, comment="What is marked.")
    value: Mapped[int] = mapped_column(comment="How far it is.")


class RefusalRow(Base):
    """A request that was refused."""

    __tablename__ = "refusals"
    __table_args__ = (
        Index("ix_refusals_at", "at"),
        {"comment": "Requests that were refused; the oldest are forgotten."},
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
        comment="In the order of writing.",
    )
    at: Mapped[datetime] = mapped_column(comment="UTC.")
    owner: Mapped[str] = mapped_column(comment="Whose workspace was to start.")
    workspace: Mapped[str] = mapped_column(comment="Server name.")
    actor: Mapped[str] = mapped_column(comment="Who asked.")
    reason: Mapped[str] = mapped_column(comment="Machine reason of the answer.")
    options: Mapped[str | None] = mapped_column(
        comment="JSON: the words of the request. Absent: too many to keep."
    )


class ChangeRow(Base):
    """What an admin changed of the catalog or the accounts at run time."""

    __tablename__ = "changes"
    __table_args__ = (
        Index("uq_changes_revision", "revision", unique=True),
        {"comment": "Entries of catalog.yaml that were changed since; they win over the file."},
    )

    section: Mapped[str] = mapped_column(primary_key=True, comment="As in catalog.yaml.")
    key: Mapped[str] = mapped_column(primary_key=True, comment="The entry's key.")
    document: Mapped[str | None] = mapped_column(comment="JSON. Absent: the entry was removed.")
    revision: Mapped[int] = mapped_column(comment="Grows by one with each change of any entry.")
    changed_at: Mapped[datetime] = mapped_column(comment="UTC.")
    changed_by: Mapped[str] = mapped_column(comment="Who did it.")


class AuditRow(Base):
    """Who did what, when and why. Never changed."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_object_id", "object", "id"),
        {"comment": "Append-only: a trigger refuses changes."},
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
        comment="In the order of writing.",
    )
    at: Mapped[datetime] = mapped_column(comment="UTC.")
    actor: Mapped[str] = mapped_column(comment="Who did it.")
    action: Mapped[str] = mapped_column(comment="What: a verb and its kind of object.")
    object: Mapped[str] = mapped_column(comment="To what: kind and key.")
    reason: Mapped[str] = mapped_column(comment="Why, in the actor's words; may be empty.")
    detail: Mapped[str] = mapped_column(comment="JSON: before and after, as far as they matter.")
    seal: Mapped[str | None] = mapped_column(
        comment="SHA-256 of the seal before and of all lines since, this one included. Absent: the "
        "next line with a seal seals it."
    )


class IdentityRow(Base):
    """Whose account is whose."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("username", name="uq_identities_username"),
        {"comment": "Whose account is whose."},
    )

    issuer: Mapped[str] = mapped_column(primary_key=True, comment="Who vouches for them.")
    subject: Mapped[str] = mapped_column(primary_key=True, comment="The issuer's unchanging name.")
    username: Mapped[str] = mapped_column(comment="Their name here, for good.")
    first_seen_at: Mapped[datetime] = mapped_column(comment="UTC.")


class ProviderSessionRow(Base):
    """A session at a provider by which somebody signed in."""

    __tablename__ = "provider_sessions"
    __table_args__ = (
        Index("ix_provider_sessions_signed_in_at", "signed_in_at"),
        {"comment": "Sessions at providers by which somebody signed in; the oldest are forgotten."},
    )

    issuer: Mapped[str] = mapped_column(primary_key=True, comment="Who vouches for them.")
    session: Mapped[str] = mapped_column(primary_key=True, comment="The issuer's name of it.")
    username: Mapped[str] = mapped_column(comment="Who signed in by it.")
    signed_in_at: Mapped[datetime] = mapped_column(comment="UTC; the last time.")


class LogoutTokenRow(Base):
    """A logout token that was obeyed."""

    __tablename__ = "logout_tokens"
    __table_args__ = ({"comment": "Logout tokens that were obeyed, against replays."},)

    issuer: Mapped[str] = mapped_column(primary_key=True, comment="Who sent it.")
    identifier: Mapped[str] = mapped_column(primary_key=True, comment="Its own name.")
    expires_at: Mapped[datetime] = mapped_column(comment="UTC; forgotten afterwards.")


class InvitationRow(Base):
    """Somebody who was asked into an organization."""

    __tablename__ = "invitations"
    __table_args__ = (
        UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
        Index("ix_invitations_email", "email"),
        Index("ix_invitations_organization", "organization", "created_at"),
        Index("ix_invitations_redeemed_by", "redeemed_by"),
        {"comment": "Invitations to organizations; each is redeemed once."},
    )

    id: Mapped[str] = mapped_column(primary_key=True, comment="Random.")
    email: Mapped[str] = mapped_column(comment="In small letters.")
    organization: Mapped[str] = mapped_column(comment="Its key.")
    roles: Mapped[str] = mapped_column(comment="JSON: keys of roles.")
    quotas: Mapped[str] = mapped_column(comment="JSON: quotas without whose.")
    token_hash: Mapped[str] = mapped_column(comment="SHA-256 of the link's token.")
    created_by: Mapped[str] = mapped_column(comment="Who invites.")
    created_at: Mapped[datetime] = mapped_column(comment="UTC.")
    expires_at: Mapped[datetime] = mapped_column(comment="UTC; of no use from then on.")
    sent_at: Mapped[datetime | None] = mapped_column(comment="UTC; when the link was last sent.")
    problem: Mapped[str] = mapped_column(comment="Why it was not sent; or empty.")
    revoked_at: Mapped[datetime | None] = mapped_column(comment="UTC.")
    redeemed_at: Mapped[datetime | None] = mapped_column(comment="UTC.")
    redeemed_by: Mapped[str] = mapped_column(comment="User name; empty: nobody.")


class ExportRow(Base):
    """Files of a workspace that somebody takes away."""

    __tablename__ = "exports"
    __table_args__ = (
        CheckConstraint("state IN ('preparing', 'ready', 'failed')", name="state"),
        CheckConstraint("files >= 0 AND size_bytes >= 0 AND downloads >= 0", name="amounts"),
        CheckConstraint("(state = 'ready') = (expires_at IS NOT NULL)", name="expires_at"),
        Index("ix_exports_creator", "creator", "created_at"),
        Index("ix_exports_owner", "owner", "created_at"),
        Index("ix_exports_state", "state", "expires_at"),
        {"comment": "Exports of workspaces: what was chosen, and until when it can be fetched."},
    )

    id: Mapped[str] = mapped_column(primary_key=True, comment="Random.")
    owner: Mapped[str] = mapped_column(comment="User name: whose workspace.")
    server: Mapped[str] = mapped_column(comment="Server name; empty for the default server.")
    creator: Mapped[str] = mapped_column(comment="User name: who takes it, and nobody else.")
    choice: Mapped[str] = mapped_column(
        comment="JSON: by volume, folder and whether notebooks alone."
    )
    name: Mapped[str] = mapped_column(comment="Name of the file that is downloaded.")
    secret: Mapped[str] = mapped_column(comment="Key of the link's signature, hexadecimal.")
    state: Mapped[str] = mapped_column(comment="preparing, ready or failed.")
    created_at: Mapped[datetime] = mapped_column(comment="UTC.")
    expires_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; the link's end. Absent: no link."
    )
    revoked_at: Mapped[datetime | None] = mapped_column(comment="UTC. Absent: it was not.")
    revoked_by: Mapped[str] = mapped_column(comment="User name; empty: nobody.")
    files: Mapped[int] = mapped_column(comment="Number of files.")
    size_bytes: Mapped[int] = mapped_column(comment="Bytes before packing.")
    summary: Mapped[str] = mapped_column(comment="JSON: what was left out, and the first files.")
    problem: Mapped[str] = mapped_column(comment="Why it failed; or empty.")
    downloads: Mapped[int] = mapped_column(comment="How often it was fetched to its end.")
    downloaded_at: Mapped[datetime | None] = mapped_column(comment="UTC; the last time.")


class ShareRow(Base):
    """A document that others may read."""

    __tablename__ = "shares"
    __table_args__ = (
        CheckConstraint("form IN ('html', 'pdf')", name="form"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        Index("ix_shares_creator", "creator", "created_at"),
        Index("ix_shares_expires_at", "expires_at"),
        {"comment": "Documents made of notebooks that others may read."},
    )

    id: Mapped[str] = mapped_column(primary_key=True, comment="Random.")
    owner: Mapped[str] = mapped_column(comment="User name: whose workspace the notebook is in.")
    server: Mapped[str] = mapped_column(comment="Server name; empty for the default server.")
    creator: Mapped[str] = mapped_column(comment="User name: who shares it.")
    notebook: Mapped[str] = mapped_column(comment="Where the notebook is, as people read it.")
    form: Mapped[str] = mapped_column(comment="html or pdf.")
    name: Mapped[str] = mapped_column(comment="Name of the file.")
    people: Mapped[str] = mapped_column(comment="JSON: user names that may read it.")
    groups: Mapped[str] = mapped_column(comment="JSON: keys of groups whose members may.")
    organization: Mapped[str] = mapped_column(
        comment="Key of the organization whose members may; empty: none."
    )
    size_bytes: Mapped[int] = mapped_column(comment="Of the document.")
    document: Mapped[bytes | None] = mapped_column(
        comment="As it was shared. Absent: it has ended."
    )
    created_at: Mapped[datetime] = mapped_column(comment="UTC.")
    expires_at: Mapped[datetime] = mapped_column(comment="UTC; cannot be read from then on.")
    revoked_at: Mapped[datetime | None] = mapped_column(comment="UTC. Absent: it was not.")
    revoked_by: Mapped[str] = mapped_column(comment="User name; empty: nobody.")


def table_of(row: type[Base]) -> Table:
    """Return the table behind *row*, for statements that skip the ORM's bookkeeping."""
    return cast("Table", row.__table__)


class MeasureRow(Base):
    """What a volume held when it was last looked at."""

    __tablename__ = "measures"
    __table_args__ = (
        CheckConstraint(
            "capacity_bytes >= 0 AND used_bytes >= 0 AND free_bytes >= 0 AND files >= 0",
            name="amounts",
        ),
        Index("ix_measures_wanted_at", "wanted_at"),
        {"comment": "What volumes held when they were last looked at, homes among them."},
    )

    owner: Mapped[str] = mapped_column(primary_key=True, comment="User name.")
    volume: Mapped[str] = mapped_column(
        primary_key=True, comment="Its key among the owner's; empty for the home."
    )
    wanted_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; since when it is to be measured. Absent: it is not."
    )
    looked_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; the last try. Absent: none yet."
    )
    measured_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; of the amounts. Absent: never."
    )
    capacity_bytes: Mapped[int] = mapped_column(comment="Size that Kubernetes gave it, as of then.")
    used_bytes: Mapped[int] = mapped_column(comment="What it held.")
    free_bytes: Mapped[int] = mapped_column(
        comment="What its disk had free, which it may share with others."
    )
    files: Mapped[int] = mapped_column(comment="Number of files.")
    summary: Mapped[str] = mapped_column(
        comment="JSON: the largest folders, and those that could go."
    )
    problem: Mapped[str] = mapped_column(comment="Why the last try failed; or empty.")


class ResizeRow(Base):
    """A volume that is to be larger."""

    __tablename__ = "resizes"
    __table_args__ = (
        CheckConstraint("size_bytes > former_bytes", name="size_bytes"),
        {"comment": "Volumes that are to be larger, until Kubernetes has been told."},
    )

    owner: Mapped[str] = mapped_column(primary_key=True, comment="User name.")
    volume: Mapped[str] = mapped_column(
        primary_key=True, comment="Its key among the owner's; empty for the home."
    )
    size_bytes: Mapped[int] = mapped_column(comment="Size that it is to have.")
    former_bytes: Mapped[int] = mapped_column(comment="Size that it had.")
    actor: Mapped[str] = mapped_column(comment="User name: who wants it.")
    at: Mapped[datetime] = mapped_column(comment="UTC.")
