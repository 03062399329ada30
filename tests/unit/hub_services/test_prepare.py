"""An operator's mistakes are said in one line each before the hub begins (promise 7; issue of the chart)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from traitlets.config import Config

from eugospawner.policy.catalog import Engine
from eugospawner.policy.errors import ClusterError
from eugospawner.source import Source
from eugospawner.store import open_store
from eugospawner.store.schema import current, head
from hub_services import prepare
from hub_services.prepare import Finding, Offer, lacking, look, tell

CATALOG = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
ISSUER = "https://sign-in.example.org/realms/eugo"


class FakeCluster:
    """One that has *offer*, or fails."""

    def __init__(self, offer):
        self.held = offer

    async def offer(self, engine):
        self.asked = engine
        if isinstance(self.held, Exception):
            raise self.held
        return self.held


@pytest.fixture
def catalog():
    return Source(CATALOG, kinds={}, images={}).settings.catalog


@pytest.fixture
def whole(catalog):
    """All that the sample catalog names."""
    models = catalog.gpu_models.values()
    return Offer(
        never_preempting=frozenset(each.priority_class for each in catalog.queues.values()),
        preempting=frozenset({"system-node-critical"}),
        device_classes=frozenset(each.device_class for each in models),
        drivers=frozenset(each.driver for each in models),
        storage_classes=frozenset({"standard"}),
        has_default=True,
    )


@pytest.fixture
def prepared(tmp_path, whole):
    """Look, with some of what there is replaced; return what is said."""

    async def run(*, offer=None, issuer=None, answer=None, **environment):
        async def fetch(_url):
            if isinstance(answer, Exception):
                raise answer
            return answer

        url = f"sqlite:///{tmp_path / 'store.sqlite'}"
        surroundings = {"EUGO_CATALOG": str(CATALOG), "EUGO_DATABASE_URL": url, **environment}
        return await look(
            environment=surroundings,
            issuer=issuer,
            cluster=FakeCluster(offer or whole),
            fetch=fetch,
        )

    run.url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    return run


def metadata(issuer=ISSUER):
    return {
        "issuer": issuer,
        **{
            name: f"{ISSUER}/{name}"
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        },
    }


async def test_where_nothing_is_wrong_nothing_is_said_and_the_store_is_of_this_release(prepared):
    assert await prepared(issuer=ISSUER, answer=metadata()) == ()
    assert current(prepared.url) == head()
    assert await prepared() == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu_modles: {}\n", "gpu_modles"),
        ("profiles: {a: {flavors: [none]}}\n", "catalog.yaml:1"),
        ("[", "catalog.yaml"),
    ],
)
async def test_a_bad_catalog_ends_the_start_with_file_and_line(prepared, tmp_path, text, said):
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    found = await prepared(EUGO_CATALOG=str(path))
    assert all(each.is_fatal for each in found)
    assert any(said in each.sentence for each in found)
    assert all("\n" not in each.sentence for each in found)


async def test_a_model_that_the_catalog_does_not_have_ends_the_start(prepared, tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(CATALOG.read_text().replace("gpu_model: L40S", "gpu_model: L40SX", 1))
    assert path.read_text() != CATALOG.read_text()
    found = await prepared(EUGO_CATALOG=str(path))
    assert any("L40SX" in each.sentence and each.is_fatal for each in found)


async def test_a_catalog_that_is_not_there_is_named(prepared, tmp_path):
    (found,) = await prepared(EUGO_CATALOG=str(tmp_path / "none.yaml"))
    assert found.is_fatal
    assert "none.yaml" in found.sentence


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not set"),
        ("postgresql+asyncpg://eugo@127.0.0.1:1/eugo", "EUGO_DATABASE_URL"),
        ("mysql://x/y", "EUGO_DATABASE_URL"),
        ("sqlite:////nowhere/at/all/store.sqlite", "EUGO_DATABASE_URL"),
    ],
)
async def test_a_database_that_does_not_answer_ends_the_start_and_its_password_is_not_said(
    prepared, url, said
):
    (found,) = await prepared(EUGO_DATABASE_URL=url.replace("eugo@", "eugo:s3cret@"))
    assert found.is_fatal
    assert said in found.sentence
    assert "s3cret" not in found.sentence


async def test_what_admins_changed_and_the_catalog_does_not_bear_is_told(prepared, tmp_path):
    await prepared()
    store = await open_store(prepared.url)
    document = {"plan": "research"}
    await store.changes.put(
        "people", "alice", {"personal": document}, actor="a", reason="x", at=NOON
    )
    await store.close()
    path = tmp_path / "catalog.yaml"
    text = CATALOG.read_text()
    path.write_text(text.replace("  research:\n", "  researching:\n", 1))
    assert path.read_text() != text
    found = await prepared(EUGO_CATALOG=str(path))
    assert any("research" in each.sentence for each in found)


def test_a_priority_class_that_is_missing_or_preempts_is_told_with_its_queue(catalog, whole):
    queue = catalog.queues["default"]
    name = queue.priority_class
    gone = replace(whole, never_preempting=whole.never_preempting - {name})
    (found,) = lacking(catalog, gone, "")
    assert found == Finding(sentence=found.sentence)
    for word in (f"queues.{queue.key}.priority_class", name, "helm-values/base"):
        assert word in found.sentence
    (found,) = lacking(catalog, replace(gone, preempting=frozenset({name})), "")
    assert "preemptionPolicy is not Never" in found.sentence


def test_a_driver_that_is_absent_is_told_with_its_models(catalog, whole):
    model = catalog.gpu_models["H100"]
    none = replace(whole, device_classes=whole.device_classes - {model.device_class})
    said = [each.sentence for each in lacking(catalog, none, "")]
    assert any(each.startswith("gpu_models.H100.device_class: ") for each in said)
    silent = replace(whole, drivers=whole.drivers - {model.driver})
    said = [each.sentence for each in lacking(catalog, silent, "")]
    assert any(
        each.startswith(f"gpu_models.H100.driver: {model.driver} publishes") for each in said
    )


def test_that_no_home_could_be_made_is_told(catalog, whole):
    (found,) = lacking(catalog, whole, "fast")
    assert "the StorageClass fast is not there" in found.sentence
    (found,) = lacking(catalog, replace(whole, has_default=False), "")
    assert "no StorageClass is the cluster's default" in found.sentence
    assert list(lacking(catalog, replace(whole, has_default=False), "standard")) == []


@pytest.fixture
def queued(catalog):
    """The catalog where Kueue is the engine."""
    queues = {key: replace(each, local_queue=f"eugo-{key}") for key, each in catalog.queues.items()}
    return replace(catalog, engine=Engine.KUEUE, queues=queues)


def test_a_cluster_without_kueue_is_told_once_and_only_where_kueue_is_the_engine(
    catalog, queued, whole
):
    assert list(lacking(catalog, whole, "")) == []
    (found,) = lacking(queued, whole, "")
    assert found.sentence.startswith("defaults.engine: kueue, and this cluster has no Kueue.")
    assert "docs/howto/kueue.md" in found.sentence
    assert not found.is_fatal


def test_a_queue_that_kueue_does_not_have_or_that_admits_nothing_is_told(queued, whole):
    there = {each.local_queue: "" for each in queued.queues.values()}
    assert list(lacking(queued, replace(whole, local_queues=there), "")) == []
    held = replace(whole, local_queues={**there, "eugo-teaching": "LocalQueue is stopped."})
    (found,) = lacking(queued, held, "")
    assert found.sentence == (
        "queues.teaching.local_queue: the LocalQueue eugo-teaching admits nothing: Kueue says: "
        "LocalQueue is stopped. Mend its ClusterQueue. Workspaces of this queue wait until then."
    )
    del there["eugo-default"]
    (found,) = lacking(queued, replace(whole, local_queues=there), "")
    assert "the LocalQueue eugo-default is not there. Apply helm-values/kueue" in found.sentence


async def test_a_cluster_that_does_not_say_is_told_and_ends_nothing(prepared):
    (found,) = await prepared(offer=ClusterError("Could not list the Nodes: no", status=403))
    assert not found.is_fatal
    assert "Could not list the Nodes" in found.sentence


@pytest.mark.parametrize(
    ("issuer", "answer"),
    [
        (ISSUER, metadata("https://elsewhere.example.org")),
        (ISSUER, OSError("no route to host")),
        (ISSUER, []),
        ("http://sign-in.example.org", metadata()),
        ("", metadata()),
    ],
)
async def test_a_wrong_issuer_is_told_and_ends_nothing(prepared, issuer, answer):
    (found,) = await prepared(issuer=issuer, answer=answer)
    assert not found.is_fatal
    assert found.sentence.startswith(f"EugoAuthenticator.issuer: {issuer!r}: ")
    assert "Nobody can sign in" in found.sentence


def test_what_ends_the_start_stands_first_and_in_the_pods_status(tmp_path, capsys):
    log = tmp_path / "termination-log"
    tell(
        (Finding(sentence="a class."), Finding(sentence="no catalog.", is_fatal=True)),
        termination_log=log,
    )
    said = "eugo: error: no catalog.\neugo: warning: a class.\n"
    assert capsys.readouterr().err == said
    assert log.read_text() == said.strip()
    log.unlink()
    tell((Finding(sentence="a class."),), termination_log=log)
    assert not log.exists()
    tell((Finding(sentence="x", is_fatal=True),), termination_log=tmp_path / "no" / "pod")


def test_in_the_hub_it_ends_the_start(monkeypatch, capsys):
    """As `hub.extraConfig` runs it, in a process whose loop runs already."""
    monkeypatch.setenv("EUGO_CATALOG", "/nowhere/catalog.yaml")
    monkeypatch.delenv("EUGO_DATABASE_URL", raising=False)
    monkeypatch.setattr(prepare, "TERMINATION_LOG", Path("/nowhere/log"))

    async def hub():
        prepare.or_exit(Config())

    with pytest.raises(SystemExit) as ended:
        asyncio.run(hub())
    assert ended.value.code == 1
    said = capsys.readouterr().err.splitlines()
    assert all(line.startswith("eugo: error: ") for line in said)
    assert len(said) == 2


def test_a_client_without_its_secret_ends_the_start_and_the_remedy_is_said(
    monkeypatch, capsys, tmp_path, whole
):
    monkeypatch.setenv("EUGO_CATALOG", str(CATALOG))
    monkeypatch.setenv("EUGO_DATABASE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    monkeypatch.setattr(prepare, "TERMINATION_LOG", tmp_path / "log")
    monkeypatch.setenv("EUGO_NAMESPACE", "lab")
    namespaces = []

    def cluster(namespace):
        namespaces.append(namespace)
        return FakeCluster(whole)

    monkeypatch.setattr(prepare, "Kubernetes", cluster)

    async def fetch(_url):
        return metadata()

    monkeypatch.setattr(prepare, "_fetch", fetch)
    config = Config()
    config.JupyterHub.authenticator_class = "eugospawner.authenticator.EugoAuthenticator"
    config.EugoAuthenticator.issuer = ISSUER
    config.EugoAuthenticator.client_id = "eugo"
    with pytest.raises(SystemExit):
        prepare.or_exit(config)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("eugo: error: EugoAuthenticator.client_secret is not set")
    assert "hub.existingSecret" in line
    config.EugoAuthenticator.client_secret = "x" * 32
    config.EugoAuthenticator.catalog_file = str(CATALOG)
    config.EugoAuthenticator.store_url = "sqlite:////srv/x.sqlite"
    config.EugoAuthenticator.now = lambda: NOON
    prepare.or_exit(config)
    assert capsys.readouterr().err == ""
    assert set(namespaces) == {"lab"}
