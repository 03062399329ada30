"""Every environment renders by the chart's own schema, into what Kubernetes takes to the letter."""

import json
from dataclasses import replace

import pytest
import yaml

from tests.deploy.charts import ENVIRONMENTS, VALUES, one

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
EVERY = pytest.mark.parametrize("environment", ENVIRONMENTS)


def hub_of(objects):
    (container,) = one(objects, "Deployment", "hub")["spec"]["template"]["spec"]["containers"]
    return container


@EVERY
def test_it_is_what_the_api_server_takes_word_for_word(
    drawn, kubectl, namespace, environment, tmp_path
):
    """Strict: no field that it does not know, none twice."""
    path = tmp_path / "rendered.yaml"
    path.write_text(replace(drawn, namespace=namespace).draw(environment))
    done = kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", str(path)
    )
    assert done.stderr == ""


@EVERY
def test_nothing_of_the_chart_that_would_work_against_us_is_there(drawn, environment):
    objects = drawn.render(environment)
    kinds = {each["kind"] for each in objects}
    assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ServiceAccount", "DaemonSet", "Job"}
    assert {each["metadata"]["name"] for each in objects if each["kind"] == "Deployment"} == {
        "hub", "proxy",
    }  # fmt: skip
    for name in ("hub", "proxy"):
        assert one(objects, "Deployment", name)["spec"]["strategy"]["type"] == "Recreate"
    pod = one(objects, "Deployment", "hub")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "hub"
    assert "--upgrade-db" in hub_of(objects)["args"]


@EVERY
def test_no_secret_stands_in_what_is_not_secret(drawn, environment):
    objects = drawn.render(environment)
    secret = one(objects, "Secret", "hub")["data"]
    hidden = [
        value
        for name, value in secret.items()
        if "secret" in name or "token" in name or "keys" in name
    ]
    assert hidden
    rest = json.dumps([each for each in objects if each["kind"] != "Secret"])
    assert not [value for value in hidden if value in rest]


@EVERY
def test_services_are_where_the_proxy_can_ask_them_and_nobody_else(drawn, environment):
    objects = drawn.render(environment)
    ports = {each["name"]: each["port"] for each in one(objects, "Service", "hub")["spec"]["ports"]}
    told = {
        each["name"].removeprefix("EUGO_").removesuffix("_URL").lower(): each["value"]
        for each in hub_of(objects)["env"]
        if each["name"].endswith("_URL") and "//hub:" in each.get("value", "")
    }
    assert set(told) == {"quota", "culler", "reaper", "workspaces", "export"}
    for name, url in told.items():
        assert url == f"http://hub:{ports[name]}"
    policy = one(objects, "NetworkPolicy", "hub")["spec"]
    of_proxy = [
        {port["port"] for port in rule["ports"]}
        for rule in policy["ingress"]
        if {"podSelector": {"matchLabels": {"component": "proxy"}}} in rule["from"]
    ]
    assert of_proxy == [{8191, 8194, 8195}]
    everybody = [rule for rule in policy["ingress"] if "from" not in rule]
    assert everybody == []
    asked = [
        {port["port"] for port in rule["ports"]}
        for rule in one(objects, "NetworkPolicy", "proxy")["spec"]["egress"]
        if {"podSelector": {"matchLabels": {"component": "hub"}}} in rule.get("to", ())
    ]
    assert {8191, 8194, 8195} in asked


@pytest.mark.parametrize("environment", ["restricted", "production-restricted"])
def test_where_data_must_not_leave_workspaces_reach_no_address_but_names(drawn, environment):
    """D10: of the NetworkPolicy, the half that needs no proxy."""
    policy = one(drawn.render(environment), "NetworkPolicy", "singleuser")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    ranges = [to for rule in policy["egress"] for to in rule.get("to", ()) if "ipBlock" in to]
    assert ranges == []
    anywhere = [rule for rule in policy["egress"] if not rule.get("to")]
    assert anywhere == []


def test_the_catalog_is_the_file_that_was_named(drawn, tmp_path):
    objects = drawn.render("small")
    text = one(objects, "Secret", "hub")["stringData"]["catalog"]
    assert text == (VALUES / "catalog.yaml").read_text()
    (mount,) = [each for each in hub_of(objects)["volumeMounts"] if each["name"] == "files"]
    assert mount["mountPath"] == "/etc/eugo/catalog.yaml"
    other = tmp_path / "other.yaml"
    other.write_text(text + "\n# another\n")
    again = drawn.render("small", f"--set-file=hub.extraFiles.catalog.stringData={other}")

    def sums(found):
        return one(found, "Deployment", "hub")["spec"]["template"]["metadata"]["annotations"]

    assert sums(objects)["checksum/secret"] != sums(again)["checksum/secret"]  # so the hub restarts


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--set=hub.extraEnvs.A=b", "extraEnvs"),
        ("--set=hub.consecutiveFailureLimit=often", "consecutiveFailureLimit"),
        ("--set=singleusr.cmd=x", "singleusr"),
    ],
)
def test_an_unknown_key_and_a_wrong_value_are_named_before_anything_is_made(drawn, option, said):
    done = drawn.helm.try_(*drawn.command("small", option, "--dry-run=client"))
    assert done.returncode == 1
    assert said in done.stderr


def test_values_are_read_as_one_mapping():
    """YAML takes a key twice without a word, and Helm the last one."""
    for path in sorted(VALUES.glob("*.yaml")):
        assert isinstance(yaml.compose(path.read_text()), yaml.MappingNode)
        twice = []

        def look(node, where, twice=twice):
            if isinstance(node, yaml.MappingNode):
                names = [key.value for key, _ in node.value]
                twice += [f"{where}.{name}" for name in set(names) if names.count(name) > 1]
                for key, value in node.value:
                    look(value, f"{where}.{key.value}")

        look(yaml.compose(path.read_text()), path.name)
        assert twice == []
