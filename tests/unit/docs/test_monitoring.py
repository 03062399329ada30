"""The dashboard asks for metrics that there are, and Prometheus for paths and ports that the values open."""

import json
import re
from pathlib import Path

import jupyterhub.metrics
import pytest
import yaml
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "helm-values" / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
SERVICES = ("quota", "culler", "reaper", "workspaces", "export")
#: What a histogram and a counter add to their names.
SUFFIXES = re.compile(r"_(bucket|count|sum|total)$")


def documented():
    """Return the metrics of our services by their reference."""
    text = (ROOT / "docs" / "reference" / "services.md").read_text()
    found, prefix = set(), ""
    for name in re.findall(r"`(eugo_[a-z_]+|…_[a-z_]+)`", text):
        if name.startswith("eugo_"):
            prefix = "_".join(name.split("_")[:2])
        found.add(name.replace("…", prefix))
    return found


def upstream():
    assert jupyterhub.metrics
    return {SUFFIXES.sub("", each.name) for each in REGISTRY.collect()}


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_asks_for_what_there_is(panel):
    assert panel["description"].endswith(".") or panel["description"].endswith(").")
    for target in panel["targets"]:
        expression = target["expr"]
        ours = set(re.findall(r"\beugo_[a-z_]+", re.sub(r'"[^"]*"', "", expression)))
        theirs = set(re.findall(r"\bjupyterhub_[a-z_]+", expression))
        assert ours <= documented()
        assert {SUFFIXES.sub("", name) for name in theirs} <= upstream()
        assert ours or theirs or "__name__" in expression


def test_panels_do_not_lie_upon_each_other():
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)


def test_prometheus_asks_where_the_values_let_it():
    monitor = yaml.safe_load((FOLDER / "service-monitor.yaml").read_text())
    asked = {each["port"]: each["path"] for each in monitor["spec"]["endpoints"]}
    values = yaml.safe_load((ROOT / "helm-values" / "values.yaml").read_text())["hub"]
    ports = {each["name"]: each["port"] for each in values["service"]["extraPorts"]}
    assert set(asked) == {"hub", *SERVICES}
    assert set(ports) == set(SERVICES)
    production = yaml.safe_load((ROOT / "helm-values" / "production.yaml").read_text())["hub"]
    (opened,) = [
        {port["port"] for port in rule["ports"]}
        for rule in production["networkPolicy"]["ingress"]
        if "namespaceSelector" in rule["from"][0]
    ]
    assert opened == {8081, *ports.values()}
    assert production["loadRoles"]["prometheus"]["scopes"] == ["read:metrics"]
    tokens = {each["authorization"]["credentials"]["key"] for each in monitor["spec"]["endpoints"]}
    assert tokens == {"hub.services.prometheus.apiToken"}
