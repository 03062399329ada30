"""
Access: what the hub's own doors ask before they let somebody do something to a workspace.

JupyterHub's scopes say which requests get this far; whether the person may is the directory's to say, as of
this moment, by the one function that everybody asks (`policy.permissions.may`). If the records cannot be read,
what was last known holds: running workspaces are not shut off by an outage (promise 7).
Source: design §5; F2, F105 to F107, F110.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jupyterhub import orm

from eugospawner.policy.accounts import Actor, Person
from eugospawner.policy.permissions import Workspace, may, who_may
from eugospawner.policy.reasons import Reason
from eugospawner.policy.roles import MEANINGS, Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eugospawner.desk import Desk

#: What of the hub's scopes each action needs, for a token to act on its owner's workspaces.
_HUB_SCOPES: Final[Mapping[Action, str]] = {
    Action.VIEW: "read:servers",
    Action.CREATE: "servers",
    Action.ACCESS: "access:servers",
    Action.DEPLOY: "start:servers",
    Action.STOP: "delete:servers",
    Action.SUSPEND: "delete:servers",
    Action.TERMINATE: "delete:servers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    Whether somebody may do something to a workspace, and what to tell them if not.

    Attributes:
        title: What is wrong, in a few words; empty: nothing is.
        sentence: What to do about it, and who can.
        reason: Machine reason.
    """

    is_allowed: bool
    title: str = ""
    sentence: str = ""
    reason: Reason = Reason.NOT_PERMITTED


def desk_behind(handler: Any) -> Desk | None:
    """Return what the spawners of this hub share; `None`: its spawner is not ours."""
    for user in (handler.current_user, *handler.users.values()):
        spawner = getattr(user, "spawner", None)
        if spawner is not None:
            found: Desk | None = getattr(spawner, "desk", None)
            return found
    return None


def actor_of(handler: Any, action: Action, owner: str, server: str) -> Actor:
    """
    Return who asks.

    A token acts within the hub's scopes for its owner, and within ours (``custom:eugo:…``) for others.
    """
    asking = handler.current_user
    is_admin = bool(handler.has_scope(f"admin:servers!user={owner}"))
    if isinstance(asking, orm.Service):
        # What a service may is the operator's to say, in the hub's roles alone.
        is_admin |= bool(handler.has_scope(f"{_HUB_SCOPES[action]}!server={owner}/{server}"))
    by_token = handler.get_token() is not None and not is_admin
    # A session of a workspace is a token for this one workspace.
    has_hub_scope = handler.has_scope(f"{_HUB_SCOPES[action]}!server={owner}/{server}")
    limited = by_token and not (asking.name == owner and has_hub_scope)
    return Actor(
        name=asking.name,
        is_admin=is_admin,
        scopes=frozenset(handler.expanded_scopes) if limited else None,
    )


async def answer(handler: Any, action: Action, owner: str, server: str) -> Answer:
    """Return whether who asks may do *action* to the workspace of *owner*."""
    return (await answers(handler, (action,), owner, server))[action]


async def answers(
    handler: Any, actions: Iterable[Action], owner: str, server: str
) -> dict[Action, Answer]:
    """Return which of *actions* who asks may do to the workspace of *owner*, by one look at the records."""
    desk = desk_behind(handler)
    if desk is None:
        return {each: Answer(is_allowed=True) for each in actions}
    target, people = await desk.workspace(owner, server)
    return {
        each: _decided(actor_of(handler, each, owner, server), each, target, people)
        for each in actions
    }


async def answer_to_session(handler: Any, action: Action, owner: str, server: str) -> Answer:
    """
    Return whether the person behind a session of a workspace may do *action* to that workspace.

    The session's token is for this workspace alone, so it says nothing of what its owner may beside it.
    """
    desk = desk_behind(handler)
    if desk is None:
        return Answer(is_allowed=True)
    target, people = await desk.workspace(owner, server)
    asking = handler.current_user
    actor = Actor(name=asking.name, is_admin=bool(asking.admin))
    return _decided(actor, action, target, people)


def _decided(
    actor: Actor, action: Action, target: Workspace, people: Mapping[str, Person]
) -> Answer:
    if may(actor, action, target, people):
        return Answer(is_allowed=True)
    asking = people.get(actor.name) or Person(name=actor.name)
    if asking.suspended_because:
        return Answer(
            is_allowed=False,
            title="Your account is suspended",
            sentence=f"{asking.suspended_because[:1].upper()}{asking.suspended_because[1:]}. "
            "Your files are kept. Ask an owner of your organization or an admin.",
            reason=Reason.ACCOUNT_SUSPENDED,
        )
    return Answer(
        is_allowed=False,
        title="You have no access to this workspace"
        if action is Action.ACCESS
        else f"You may not {_verb(action)} this workspace",
        sentence=_sentence(action, actor, target),
    )


def _verb(action: Action) -> str:
    """Return how a sentence says *action*, after "may"."""
    return {Action.ACCESS: "open", Action.DEPLOY: "start"}.get(action, str(action))


def _sentence(action: Action, actor: Actor, target: Workspace) -> str:
    if actor.name == target.owner.name:
        return (
            f"Your roles do not include the permission “{MEANINGS[action]}”. "
            f"Ask {who_may(Action.ASSIGN_ROLE, target)} for a role that does."
        )
    return f"It is not yours. {_capital(who_may(action, target))} may {_verb(action)} it."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


async def record(handler: Any, action: str, owner: str, server: str) -> None:
    """Write into the audit that who asks did *action*; a store that is down keeps nobody out."""
    desk = desk_behind(handler)
    if desk is None:
        return
    await desk.record(action, f"workspace.{owner}/{server}", actor=handler.current_user.name)
