"""What docs/howto/install.md has people type is what the other tests run."""

import base64
import contextlib
import re
import shlex
import sqlite3
import subprocess
import sys
from itertools import pairwise

import pytest
import yaml

from tests.deploy.charts import CATALOG, REPOSITORY, ROOT, VALUES, VERSION, one

PAGE = (ROOT / "docs" / "howto" / "install.md").read_text()
BLOCKS = dict(enumerate(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)))


def commands(program):
    found = []
    for language, text in BLOCKS.values():
        if language == "sh":
            lines = text.replace("\\\n", " ").splitlines()
            found += [
                shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")
            ]
    return found


def own():
    (text,) = [text for language, text in BLOCKS.values() if language == "yaml"]
    return text


def test_the_command_that_installs_is_the_one_of_the_tests_and_of_the_values():
    (command,) = [each for each in commands("helm") if each[1] == "upgrade"]
    said = re.findall(
        r"^#   (helm upgrade.*?)\n#\n",
        (VALUES / "values.yaml").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    (of_values,) = [shlex.split(re.sub(r"\\\n#\s+", " ", each)) for each in said]
    named = command.index("own.yaml")
    assert [*command[: named - 1], *command[named + 1 :]] == of_values
    assert command[:4] == ["helm", "upgrade", "--install", "eugo"]
    assert (command[command.index("--version") + 1], command[command.index("--repo") + 1]) == (
        VERSION,
        REPOSITORY,
    )
    files = [word for before, word in pairwise(command) if before == "--values"]
    assert files == ["helm-values/values.yaml", "helm-values/small.yaml", "own.yaml"]
    option, value = CATALOG
    assert command[command.index(option) + 1] == value.replace(f"{VALUES}/", "helm-values/")


@pytest.mark.parametrize("program", ["helm", "kubectl", "podman"])
def test_every_file_that_a_command_names_is_there(program):
    named = {
        word
        for command in commands(program)
        for word in command
        if word.startswith(("helm-values/", "images/"))
    }
    assert named or program == "helm"
    assert [word for word in named if not (ROOT / word).exists()] == []


@pytest.mark.cluster
def test_the_values_that_people_write_themselves_fit_and_hold(drawn, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(own())
    objects = drawn.render("small", f"--values={path}")
    wanted = yaml.safe_load(own())["hub"]
    (container,) = one(objects, "Deployment", "hub")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == ":".join(wanted["image"].values())
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert (
        told["EUGO_EXPORTER_IMAGE"]
        == wanted["extraEnv"]["EUGO_EXPORTER_IMAGE"]
        == container["image"]
    )
    secret = one(objects, "Secret", "hub")["data"]["values.yaml"]
    values = yaml.safe_load(base64.b64decode(secret))
    assert values["hub"]["config"]["EugoAuthenticator"] == wanted["config"]["EugoAuthenticator"]


def test_the_secret_that_people_make_has_the_keys_that_the_chart_reads():
    (made,) = [each for each in commands("kubectl") if "eugo-hub" in each]
    keys = {word.partition("=")[2].partition("=")[0] for word in made if word.startswith("--from-")}
    assert keys == {
        "values.yaml",
        "hub.config.JupyterHub.cookie_secret",
        "hub.config.CryptKeeper.keys",
    }
    assert (
        yaml.safe_load((VALUES / "values.yaml").read_text())["hub"]["existingSecret"] == "eugo-hub"
    )


def test_the_backup_of_both_databases_is_whole_and_can_be_made_again(tmp_path):
    """The program of the page, on files that are written meanwhile."""
    (program,) = re.findall(r"python3 -c \\\n\s+'(import sqlite3;[^']*)'", PAGE)
    there, copies = tmp_path / "srv", tmp_path / "tmp"
    there.mkdir()
    copies.mkdir()
    program = program.replace('"/tmp/', f'"{copies}/').replace("/srv/jupyterhub", str(there))
    open_ones = [sqlite3.connect(there / f"{name}.sqlite") for name in ("jupyterhub", "eugo")]
    for number, each in enumerate(open_ones):
        each.execute("PRAGMA journal_mode=WAL")
        each.execute("CREATE TABLE t (n)")
        each.execute("INSERT INTO t VALUES (?)", (number,))
        each.commit()
        each.execute("INSERT INTO t VALUES (99)")  # not committed
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True)
    for number, name in enumerate(("jupyterhub", "eugo")):
        with contextlib.closing(sqlite3.connect(copies / f"{name}.sqlite")) as copy:
            assert copy.execute("SELECT n FROM t").fetchall() == [(number,)]
    for each in open_ones:
        each.close()
