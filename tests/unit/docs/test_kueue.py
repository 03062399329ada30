"""The queues and values for Kueue agree with the catalog, and the page with both (design section 6)."""

import re
from pathlib import Path

import yaml

from eugospawner.settings import load

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "helm-values" / "kueue"
PAGE = (ROOT / "docs" / "howto" / "kueue.md").read_text()
CATALOG = load(ROOT / "helm-values" / "catalog.yaml").catalog
OBJECTS = [*yaml.safe_load_all((FOLDER / "queues.yaml").read_text())]


def named(kind):
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


def amount(queue):
    (group,) = queue["spec"]["resourceGroups"]
    (flavor,) = group["flavors"]
    assert (group["coveredResources"], flavor["name"]) == (["gpu-percent"], "eugo")
    (found,) = flavor["resources"]
    return found


def test_each_queue_of_the_catalog_has_its_local_queue_and_that_its_cluster_queue():
    locals_, clusters = named("LocalQueue"), named("ClusterQueue")
    assert set(locals_) == {f"eugo-{key}" for key in CATALOG.queues}
    assert {each["spec"]["clusterQueue"] for each in locals_.values()} == set(clusters)
    assert {each["metadata"]["namespace"] for each in locals_.values()} == {"eugo"}


def test_whoever_may_be_stopped_runs_on_borrowed_gpus_and_nobody_else_borrows():
    """F58: workspaces of queues that are not preemptible are never chosen."""
    clusters = named("ClusterQueue")
    for key, queue in CATALOG.queues.items():
        cluster = clusters[f"eugo-{key}"]
        has = amount(cluster)
        assert (has.get("borrowingLimit") != 0) is queue.preemptible, key
        assert (has["nominalQuota"] == 0) is queue.preemptible, key
        assert cluster["spec"]["preemption"]["withinClusterQueue"] == "Never"
        assert cluster["spec"]["cohortName"] == "eugo"
        if queue.deserved_percent is not None:
            assert has["nominalQuota"] == queue.deserved_percent


def test_kueue_counts_the_capacity_that_the_models_of_the_catalog_ask_for():
    values = yaml.safe_load((FOLDER / "kueue-values.yaml").read_text())
    config = yaml.safe_load(values["managerConfig"]["controllerManagerConfigYaml"])
    (mapping,) = config["resources"]["deviceClassMappings"]
    (source,) = mapping["sources"]
    for key in ("H100", "L40S", "L4"):
        model = CATALOG.gpu_models[key]
        assert [model.device_class] == mapping["deviceClassNames"]
        assert (model.sm_capacity, model.driver) == (
            source["capacity"]["name"],
            source["capacity"]["driver"],
        )
    assert config["managedJobsNamespaceSelector"]["matchLabels"] == {"eugo.dev/policy": "enforce"}
    namespace = yaml.safe_load((ROOT / "helm-values" / "base" / "namespace.yaml").read_text())
    assert namespace["metadata"]["labels"]["eugo.dev/policy"] == "enforce"
    assert not config["manageJobsWithoutQueueName"]


def test_the_hub_may_see_of_kueue_what_it_asks_for_and_no_more():
    role, binding = yaml.safe_load_all((FOLDER / "hub-role.yaml").read_text())
    granted = {tuple(rule["resources"]): set(rule["verbs"]) for rule in role["rules"]}
    assert granted == {("workloads",): {"list", "watch"}, ("localqueues",): {"list"}}
    assert {tuple(rule["apiGroups"]) for rule in role["rules"]} == {("kueue.x-k8s.io",)}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "hub", "namespace": "eugo"}]
    asked = "".join(
        (ROOT / path).read_text()
        for path in ("eugospawner/reflector.py", "hub_services/prepare.py")
    )
    assert '"workloads"' in asked
    assert '"localqueues"' in asked


def test_the_page_names_files_that_are_there_and_a_catalog_that_holds(tmp_path):
    for named_ in re.findall(r"helm-values/[a-z/.-]*[a-z]", PAGE):
        assert (ROOT / named_).exists(), named_
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    catalog = yaml.safe_load((ROOT / "helm-values" / "catalog.yaml").read_text())
    catalog["defaults"] |= yaml.safe_load(block)["defaults"]
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump(catalog, sort_keys=False))
    queues = load(path).catalog.queues
    assert {key: each.local_queue for key, each in queues.items()} == {
        key: f"eugo-{key}" for key in queues
    }
    assert {each.local_queue for each in CATALOG.queues.values()} == {""}
