import json
from pathlib import Path

from scripts.local import hub, people, workdir


def an_environment(**inherited: str) -> dict[str, str]:
    return hub.environment(
        inherited,
        store_url="sqlite:////data/store.sqlite",
        catalog=Path("/src/helm-values/catalog.yaml"),
        settings=Path("/data/hub.json"),
        kubeconfig=Path("/data/hub.kubeconfig"),
        service_ports={"quota": 3},
        public_url="http://127.0.0.1:8000",
    )


def test_variables_of_a_hub_around_us_do_not_leak_in():
    made = an_environment(JUPYTERHUB_API_TOKEN="t", JPY_API_TOKEN="t", EUGO_CATALOG="/other", A="b")
    assert made["A"] == "b"
    assert "JUPYTERHUB_API_TOKEN" not in made
    assert "JPY_API_TOKEN" not in made
    assert made["EUGO_CATALOG"] == "/src/helm-values/catalog.yaml"
    assert an_environment(EUGO_SMTP_URL="smtp://mail")["EUGO_SMTP_URL"] == "smtp://mail"


def test_the_hub_uses_its_own_credential_and_store():
    made = an_environment(KUBECONFIG="/home/me/.kube/config")
    assert made["KUBECONFIG"] == "/data/hub.kubeconfig"
    assert made["EUGO_DATABASE_URL"] == "sqlite:////data/store.sqlite"


def test_loopback_is_reached_without_the_proxy_of_the_network():
    assert an_environment(no_proxy="example.org")["NO_PROXY"].split(",") == [
        "example.org",
        "127.0.0.0/8",
        "127.0.0.1",
        "localhost",
    ]


def test_settings_say_who_is_admin_and_carry_the_secrets(tmp_path):
    with workdir.opened(tmp_path) as opened:
        made = hub.Settings.of(
            opened,
            port=8000,
            hub_address="127.0.0.1",
            hub_port=1,
            proxy_api_port=2,
            service_ports={"quota": 3},
            proxy_command=("node", "proxy"),
            unavailable={"kinds": {"vscode": "Not here."}},
        )
        read = json.loads(made.to_json())
    assert read["url"] == "http://127.0.0.1:8000"
    assert read["admins"] == ["ada"]
    assert read["users"] == ["alice", "bob", "carol", "dave"]
    assert read["unavailable"] == {"kinds": {"vscode": "Not here."}}
    assert read["secrets"]["admin_token"] == made.secrets.admin_token


def test_the_ready_line_names_everybody_and_what_opens_the_door(tmp_path):
    with workdir.opened(tmp_path) as opened:
        secrets = opened.secrets()
    line = people.ready_line("http://127.0.0.1:8000", secrets)
    assert "\n" not in line
    for word in ("http://127.0.0.1:8000", "alice", "dave", "ada", secrets.user_password):
        assert word in line
    assert {entry["name"]: entry["admin"] for entry in people.sign_ins(secrets)}["ada"]
