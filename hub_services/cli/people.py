"""``eugo user``: inviting people, and their roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hub_services.cli.client import part
from hub_services.cli.output import Session, safe, table
from hub_services.cli.quota import amounts_of, show_effects

if TYPE_CHECKING:
    from rich.console import Console

_COLUMNS: Final = ["Id", "E-mail", "Organization", "Roles", "Status", "Expires", "By"]


@click.group()
def user() -> None:
    """Invite people to organizations, and give them roles."""


@user.command()
@click.option("--email", required=True, help="Where the link is sent.")
@click.option("--org", "organization", required=True, help="Key of the organization.")
@click.option(
    "--role", "roles", multiple=True, default=["member"], show_default=True,
    help="Key of a role; may be given several times.",
)  # fmt: skip
@click.option(
    "--quota", "quotas", multiple=True, metavar="AMOUNT",
    help="As of eugo quota set: gpu-a100=8h/day; may be given several times.",
)  # fmt: skip
@click.option(
    "--expires-days", type=click.IntRange(1, 90), default=7, show_default=True,
    help="The link is of no use afterwards.",
)  # fmt: skip
@click.pass_obj
def invite(
    session: Session,
    email: str,
    organization: str,
    roles: tuple[str, ...],
    quotas: tuple[str, ...],
    expires_days: int,
) -> None:
    """
    Invite somebody: a link is sent that lets them in once.

    \b
    Examples:
      eugo user invite --email jane@example.org --org acme
      eugo user invite --email jane@example.org --org acme --role member --quota gpu-a100=8h/day
    """
    answer = session.client.post(
        "/invitations",
        {
            "email": email,
            "organization": organization,
            "roles": list(roles),
            "quotas": amounts_of(session, quotas),
            "expires_days": expires_days,
        },
    )
    _show_invited(session, answer)


@user.command()
@click.option("--org", "organization", help="Of this organization alone.")
@click.pass_obj
def invitations(session: Session, organization: str | None) -> None:
    """
    List invitations, newest first.

    \b
    Example:
      eugo user invitations --org acme
    """
    found = session.client.get("/invitations", {"organization": organization})
    rows = [
        [
            each["id"],
            each["email"],
            each["organization"],
            ", ".join(each["roles"]),
            each["problem"] or each["status"],
            each["expires_at"],
            each["created_by"],
        ]
        for each in found["invitations"]
    ]
    session.show(found, lambda console: console.print(table("Invitations", _COLUMNS, rows)))


@user.command(name="send-again")
@click.argument("invitation")
@click.pass_obj
def send_again(session: Session, invitation: str) -> None:
    """
    Send another link of INVITATION; the one before is of no use then.

    \b
    Example:
      eugo user send-again 3f0e9c27a1b84d6e
    """
    _show_invited(session, session.client.post(f"/invitations/{part(invitation)}/send", None))


@user.command()
@click.argument("invitation")
@click.pass_obj
def revoke(session: Session, invitation: str) -> None:
    """
    Take INVITATION back; if it was redeemed, what it gave goes with it.

    \b
    Example:
      eugo user revoke 3f0e9c27a1b84d6e
    """
    answer = session.client.delete(f"/invitations/{part(invitation)}", {})
    session.show(
        answer,
        lambda console: console.print(
            f"The invitation of {safe(answer['email'])} is taken back.", soft_wrap=True
        ),
    )


@user.command()
@click.argument("name")
@click.argument("roles", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; the audit keeps it.")
@click.pass_obj
def role(session: Session, name: str, roles: tuple[str, ...], reason: str) -> None:
    """
    Give the person NAME these ROLES, and no others.

    \b
    Examples:
      eugo user role bob viewer --reason "the project is over"
      eugo user role bob member IDE_MANAGE --reason "tidies up"
    """
    path = f"/settings/people/{part(name)}"
    found = session.client.get(path)
    document = {**found["entry"]["document"], "role": roles[0] if len(roles) == 1 else list(roles)}
    answer = session.client.put(
        path, {"document": document, "reason": reason, "revision": found["revision"]}
    )
    show_effects(session, answer)


def _show_invited(session: Session, answer: Any) -> None:
    line = answer["invitation"]

    def tell(console: Console) -> None:
        who = safe(line["email"])
        if answer["link"]:
            console.print(f"{who} is invited. Pass this link on; it is shown once:", soft_wrap=True)
            console.print(safe(answer["link"]), soft_wrap=True)
        elif line["problem"]:
            console.print(
                f"{who} is invited, but the link was not sent: {safe(line['problem'])} "
                f"Try eugo user send-again {safe(line['id'])}.",
                soft_wrap=True,
            )
        else:
            console.print(f"{who} is invited; the link is sent.", soft_wrap=True)

    session.show(answer, tell)
