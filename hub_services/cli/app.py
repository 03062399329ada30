"""The root of the commands: whom to ask, as whom, and how to answer."""

from __future__ import annotations

from importlib.metadata import version

import click
from click.shell_completion import get_completion_class

from hub_services.cli.audit import audit
from hub_services.cli.catalog import catalog, plan, profile, project, queue
from hub_services.cli.client import Client
from hub_services.cli.exports import export
from hub_services.cli.output import Session
from hub_services.cli.people import user
from hub_services.cli.policy import policy, window
from hub_services.cli.quota import quota
from hub_services.cli.volumes import volume
from hub_services.cli.workspaces import workspace


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url", envvar=["EUGO_URL", "JUPYTERHUB_HOST"], help="The hub's address. [env: EUGO_URL]"
)
@click.option(
    "--token",
    envvar=["EUGO_TOKEN", "JUPYTERHUB_API_TOKEN"],
    help="A token of the hub; its page Token makes one. [env: EUGO_TOKEN]",
)
@click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How answers are shown.",
)
@click.version_option(version("eugo-workspaces"), prog_name="eugo")
@click.pass_context
def main(context: click.Context, url: str | None, token: str | None, output: str) -> None:
    """
    Workspaces, quotas and plans from the command line.

    Refusals exit with 1 and the sentence that the pages show, wrong use with 2, and 3 means that
    nobody answered.

    \b
    Examples:
      export EUGO_URL=http://127.0.0.1:8000 EUGO_TOKEN=…
      eugo quota show
      eugo --output json quota show --user jane@example.org
    """

    def make_client() -> Client:
        for name, value in (("EUGO_URL", url), ("EUGO_TOKEN", token)):
            if not value:
                option = name.removeprefix("EUGO_").lower()
                message = f"Set {name}, or give --{option}: whom to ask is not known without it."
                raise click.UsageError(message)
        return Client(url=str(url), token=str(token))

    context.obj = Session(make_client=make_client, is_json=output == "json")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """
    Print what makes SHELL complete commands and options.

    \b
    Example:
      eugo completion bash > ~/.local/share/bash-completion/completions/eugo
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - the choices are click's own
    click.echo(found(main, {}, "eugo", "_EUGO_COMPLETE").source())


for _group in (
    workspace,
    export,
    volume,
    quota,
    plan,
    queue,
    window,
    profile,
    project,
    user,
    catalog,
    policy,
    audit,
):
    main.add_command(_group)
