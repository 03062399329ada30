"""
Deciding: how options reach admission, and what was granted reaches KubeSpawner.

Every door of the hub ends here: the form, the REST path's `user_options`, options saved last
month, an admin's start for somebody else. All are judged by `judge.judge` at the moment of the
start; what is granted becomes KubeSpawner's traits. Source: design §5, steps 1 and 2; promise 1.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from jupyterhub.utils import url_escape_path, url_path_join
from kubespawner import KubeSpawner
from traitlets import Callable as CallableTrait
from traitlets import Dict, Integer, TraitError, Unicode, default, validate

from eugospawner import form, options, podspec, preflight, records, refusals
from eugospawner.desk import desk_of
from eugospawner.judge import judge
from eugospawner.manifests import attachments, editors, labels
from eugospawner.policy import limits, names, storage
from eugospawner.policy.accounts import Actor
from eugospawner.policy.decisions import Admitted, Denied, Queued
from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Fits
from eugospawner.slugs import slug_of
from eugospawner.store.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eugospawner.desk import Desk
    from eugospawner.judge import Circumstances, Verdict
    from eugospawner.policy.decisions import Refusal
    from eugospawner.policy.volumes import Volume
    from eugospawner.store import NewSession


#: Somebody else may take what was left in between; again and again is a fault, not a race.
_MOST_DECISIONS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A form that was refused: its JSON options, why, and the nearest that would be admitted."""

    options: Mapping[str, object]
    refusals: tuple[Refusal, ...]
    nearest: Mapping[str, object] | None


class DecidingSpawner(KubeSpawner):
    """Asks admission about every start, whichever door it came through."""

    catalog_file = Unicode(
        help="Path of catalog.yaml, which says what people can pick.", config=True
    )
    store_url = Unicode(
        help="Database of the store: sqlite:///PATH or postgresql+asyncpg://…",
        config=True,
    )
    guarantee_percent = Integer(
        100,
        help="""
        Share of a workspace's CPU and memory that its node sets aside, 1 to 100 percent. The
        limit is always the whole; less than 100 lets idle notebooks share a node.
        """,
        config=True,
    )
    unavailable_kinds = Dict(
        value_trait=Unicode(),
        help="""
        Editors that the catalog offers and this deployment does not have: kind (`vscode`) to a
        sentence that says why and what to do. People see both on the spawn page.
        """,
        config=True,
    )
    unavailable_images = Dict(
        value_trait=Unicode(),
        help="Likewise images, by their key in the catalog.",
        config=True,
    )
    now = CallableTrait(help="What time it is: a callable that returns aware UTC.", config=True)

    #: What the form is prefilled with, from the query string; set by the handler.
    prefill: Mapping[str, object] | None = None
    #: The form that was refused last, shown again with its refusals.
    attempt: Attempt | None = None

    #: Where people land below the workspace's address, if not where its program says (F46).
    landing_path = ""

    _admitted: Admitted | None = None
    _record: NewSession | None = None
    _revision = 0
    _session_id = ""
    _pod_labels: Mapping[str, str] = MappingProxyType({})
    #: What the configuration says of traits that decisions set: a decision may be made twice.
    _declared = Dict()

    @validate("guarantee_percent")
    def _validate_guarantee(self, proposal: Any) -> int:
        if not 1 <= proposal["value"] <= 100:  # noqa: PLR2004
            message = "EugoSpawner.guarantee_percent is a whole number from 1 to 100"
            raise TraitError(message)
        return int(proposal["value"])

    @validate("internal_ssl", "services_enabled", "enable_user_namespaces")
    def _validate_unsupported(self, proposal: Any) -> bool:
        if proposal["value"]:
            message = f"EugoSpawner does not support {proposal['trait'].name}: remove it"
            raise TraitError(message)
        return False

    @default("options_form")
    def _options_form_default(self) -> Any:
        return self._render_form

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return self._decide_form

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        # Options are read in load_user_options, at every start; nothing is left to apply.
        return lambda _spawner, _options: None

    @property
    def desk(self) -> Desk:
        """What the spawners of this process share: catalog, store, watches, templates."""
        return desk_of(self)

    def _slug(self, name: str) -> str:
        return slug_of(name)

    def _actor(self, handler: Any = None) -> Actor:
        """
        Return who asks: the owner, or an admin for them.

        Whoever may administer the owner's servers is an admin to us: a person, or a service.
        """
        handler = handler or self.handler
        asker = getattr(handler, "current_user", None)
        if asker is None or asker.name == self.user.name:
            return Actor(name=self.user.name, is_admin=bool(getattr(asker, "admin", False)))
        return Actor(
            name=asker.name,
            is_admin=bool(handler.has_scope(f"admin:servers!user={self.user.name}")),
        )

    # What the next hub process is told

    def get_state(self) -> dict[str, Any]:
        """Return KubeSpawner's state and what is ours, for the next hub process."""
        ours = {"session": self._session_id, "landing_path": self.landing_path}
        return dict(super().get_state(), **{name: value for name, value in ours.items() if value})

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over the state of a hub process before this one."""
        super().load_state(state)
        self._session_id = str(state.get("session", ""))
        self.landing_path = str(state.get("landing_path", ""))

    # Deciding

    async def circumstances(
        self,
        *,
        volumes: bool = True,
        usage: bool = True,
        workspaces: bool = False,
        name: str | None = None,
    ) -> Circumstances:
        """
        Return what this workspace's options would be judged by now; see `Desk.circumstances`.

        Raises:
            SpawnException: The store does not answer; the answer is no then (promise 7).
        """
        try:
            return await self.desk.circumstances(
                owner=self.user.name,
                owner_slug=self._slug(self.user.name),
                now=self.now(),
                volumes=volumes,
                usage=usage,
                workspaces=workspaces,
                name=name,
            )
        except StoreError as error:
            raise refusals.store_down() from error

    async def judge(
        self,
        words: object,
        *,
        handler: Any = None,
        workspace: str | None = None,
        usage: bool = True,
    ) -> Verdict:
        """
        Return the verdict on JSON options at this moment; raises as `circumstances`.

        Args:
            handler: Answers whoever asks; `None`: the spawner's.
            workspace: Server name, where it is not this spawner's own.
            usage: Whether what is used counts.
        """
        names_volumes = isinstance(words, dict) and bool(words.get("volumes"))
        return judge(
            words,
            await self.circumstances(volumes=names_volumes, usage=usage, name=names.name_in(words)),
            owner=self.user.name,
            workspace=self.name if workspace is None else workspace,
            actor=self._actor(handler),
        )

    async def load_user_options(self, *, usage: bool = False) -> None:
        """
        Decide about the options of this very start and take over what was granted.

        Args:
            usage: Whether to ask what is used before the store is asked to reserve.

        Raises:
            SpawnException: The start is denied; the hub does not count it as a failure.
        """
        # Usage, and whether the settings are the newest, is the store's to judge, in the
        # transaction that reserves. What is refused for any reason is judged by all of it here, so
        # that the answer is the one that the form gives.
        verdict = await self.judge(self.user_options, usage=usage)
        if not usage and isinstance(verdict.decision, Denied):
            verdict = await self.judge(self.user_options)
        self._revision = verdict.revision
        match verdict.decision:
            case Denied(refusals=reasons):
                await self._keep_refusal(self.user_options, reasons)
                raise refusals.denied(reasons)
            case Queued(admitted=admitted) | (Admitted() as admitted):
                self._admitted, self._session_id = admitted, uuid.uuid4().hex
                self.landing_path = editors.landing_path(admitted.grant)
        self._pod_labels = labels.make_pod_labels(
            admitted.grant,
            owner_slug=self._slug(self.user.name),
            workspace_slug=self._slug(self.name),
            session=self._session_id,
        )
        traits = podspec.make_traits(
            admitted.grant,
            self.desk.catalog.storage,
            guarantee_percent=self.guarantee_percent,
            fs_group=self.fs_gid,
            declared_command=self._as_declared("cmd"),
        )
        for name, value in traits.items():
            setattr(self, name, value)
        self._pin(admitted.grant.node)

    def _pin(self, node: str | None) -> None:
        """Have the Pod run on *node*, beside what the configuration says of Nodes; `None`: as that says."""
        spawner: Any = self  # its traits have no types
        declared = self._as_declared("node_affinity_required")
        spawner.node_affinity_required = (
            declared
            if node is None
            else attachments.pinned(spawner._sorted_dict_values(declared) or (), node)  # noqa: SLF001
        )

    def _as_declared(self, trait: str) -> Any:
        """Return what the configuration says of *trait*, whatever decisions have made of it since."""
        return self._declared.setdefault(trait, getattr(self, trait))

    async def reserve(self) -> None:
        """
        Reserve what was admitted and record the session.

        Others may have been admitted since usage was read, or the settings changed. The store then
        reserves nothing, and the options are decided about again.

        Raises:
            SpawnException: They are denied by now.
            StoreError: Nothing was reserved.
        """
        store = await self.desk.store()
        for _ in range(_MOST_DECISIONS):
            if (admitted := self._admitted) is None:
                return
            record = records.session_of(
                admitted,
                session=self._session_id,
                actor=self._actor().name,
                pod_name=self.pod_name,
                options=self.user_options,
            )
            self._record = record
            try:
                answer = await store.sessions.open(
                    record,
                    admitted.demand,
                    revision=self._revision,
                    wish=records.wish_of(self.user_options, admitted.grant.mounts),
                )
            except StoreError:
                # Ending it would wait for the same store again; if it was recorded after all, it
                # has no Pod, and the sweep ends it.
                self._session_id = ""
                raise
            if isinstance(answer, Fits):
                return
            await self.load_user_options(usage=True)
        message = "The store reserves less than it says is left"
        raise StoreError(message)

    async def record_volume(self, volume: Volume) -> None:
        """
        Record a volume of what was granted, if plan and quotas leave room for a new one.

        Raises:
            SpawnException: Somebody else has taken the room since it was decided.
            StoreError: It was not recorded.
        """
        store = await self.desk.store()
        for _ in range(_MOST_DECISIONS):
            if self._admitted is None:
                return
            grant, now = self._admitted.grant, self.now()
            quotas = self.desk.catalog.storage_quotas
            if await store.volumes.add(
                grant.owner,
                volume,
                payers=limits.payers_of(grant.owner, grant.project),
                limits=storage.limits_of(grant.owner, grant.project, quotas, now),
                at=now,
            ):
                return
            # The same rules say why not, unless there is room again by now.
            decision = (await self.judge(self.user_options)).decision
            if isinstance(decision, Denied):
                await self._keep_refusal(self.user_options, decision.refusals)
                raise refusals.denied(decision.refusals)
        message = "The store has less room for a volume than it says"
        raise StoreError(message)

    async def _keep_refusal(self, words: object, reasons: Sequence[Refusal]) -> None:
        refused = Refused(
            at=self.now(),
            owner=self.user.name,
            workspace=self.name,
            actor=self._actor().name,
            reason=str(reasons[0].reason),
            options=words if isinstance(words, dict) else None,
        )
        await records.keep_refusal(self.desk.store, refused, self.log)

    async def _render_form(self, _spawner: object = None) -> str:
        attempt = self.attempt
        saved = self.orm_spawner.user_options if self.orm_spawner else None
        words = attempt.options if attempt else self.prefill or saved or {}
        # Page and verdict are of one moment, and of one trip to the store.
        circumstances = await self.circumstances(workspaces=True, name=names.name_in(words))
        verdict = judge(
            words,
            circumstances,
            owner=self.user.name,
            workspace=self.name,
            actor=self._actor(),
        )
        return form.render(
            catalog=circumstances.catalog,
            accounts=circumstances.accounts,
            volumes=circumstances.volumes,
            cluster=circumstances.cluster,
            options=words,
            refusals=attempt.refusals if attempt else (),
            nearest=attempt.nearest if attempt else None,
            standings=circumstances.standings(words),
            storage_standings=circumstances.storage_standings(words),
            workspaces=circumstances.workspaces,
            workspace=self.name,
            now=circumstances.now,
            preflight=preflight.describe(verdict.decision, words=words, nearest=verdict.nearest),
            preflight_url=url_path_join(
                self.hub.base_url,
                preflight.PATH,
                self.user.escaped_name,
                url_escape_path(self.name),
            ),
            base_url=self.hub.base_url,
        )

    async def _decide_form(self, fields: Mapping[str, Sequence[str]]) -> dict[str, object]:
        words = options.from_form(fields)
        verdict = await self.judge(words)
        self.attempt = None
        if isinstance(verdict.decision, Denied):
            reasons = verdict.decision.refusals
            self.attempt = Attempt(options=words, refusals=reasons, nearest=verdict.nearest)
            await self._keep_refusal(words, reasons)
            raise refusals.denied(reasons)
        return words
