"""The page *Custom images* (F50): what it has people write is taken by catalog and command."""

import re
from pathlib import Path

import yaml

from eugospawner import settings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "howto" / "custom-images.md").read_text()
CATALOG = (ROOT / "helm-values" / "catalog.yaml").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_image_and_its_profile_fit_the_sample_catalog():
    (block,) = blocks("yaml")
    entry = yaml.safe_load(block)["images"]
    text = CATALOG.replace("\nimages:\n", "\n" + block, 1)
    (line,) = re.findall(r"^eugo profile create (.*)$", PAGE, re.MULTILINE)
    name, image, flavor = re.fullmatch(
        r'--name "([^"]+)" --image (\S+) --flavor (\S+)', line
    ).groups()
    document = {"display_name": name, "when_to_use": "x", "images": [image], "flavors": [flavor]}
    parsed = settings.parse(
        text, name="catalog.yaml", changes={("profiles", "torch-ours"): document}
    )
    catalog = parsed.catalog
    found = [catalog.images[each].reference for each in catalog.profiles["torch-ours"].images]
    assert found == [entry[image]["reference"]]


def test_it_is_built_on_a_base_image_of_the_catalog_with_pinned_packages():
    (build,) = blocks("dockerfile")
    base = re.search(r"^FROM (\S+)$", build, re.MULTILINE).group(1)
    (image,) = [
        each for each in yaml.safe_load(CATALOG)["images"].values() if each["reference"] == base
    ]
    assert "CUDA 12.6" in image["description"]
    packages = re.findall(r"^    (\S+?)(?: \\)?$", build, re.MULTILINE)
    assert {each.partition("==")[0] for each in packages} == {
        "transformers",
        "datasets",
        "accelerate",
    }
    assert all("==" in each for each in packages)
    pushed = re.findall(r"registry\.example/eugo/torch-ours:\S+", PAGE)
    assert len(set(pushed)) == 1
