"""`eugo` against a running service: every command, its exit code, and the words of the pages."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import quote

import click
import pytest
import yaml
from click.testing import CliRunner

from hub_services.cli.app import main

GPU_HOUR = 360_000_000


@pytest.fixture
def eugo(service):
    """Run `eugo` as somebody; return exit code, what it says, and what it says on standard error."""

    def run(*arguments, token="t-ada", url=None):  # noqa: S107 - a test's
        environment = {
            "EUGO_URL": url or service.url,
            "EUGO_TOKEN": token,
            "NO_PROXY": "*",
            "COLUMNS": "200",
        }
        result = CliRunner().invoke(main, list(arguments), env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def told(eugo):
    """Run `eugo --output json` and return what it says, which must be no refusal."""

    def run(*arguments, **keywords):
        code, stdout, stderr = eugo("--output", "json", *arguments, **keywords)
        assert (code, stderr) == (0, "")
        return json.loads(stdout)

    return run


def commands(group=main, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_says_what_it_is_for_and_shows_how(eugo):
    for path, command in commands():
        code, stdout, _ = eugo(*path, "--help")
        assert code == 0
        assert command.help, path
        needs = any(parameter.required for parameter in command.params)
        assert not needs or "Example" in stdout or path[-1] in {"show", "remove"}, path


def test_quotas_are_shown_word_for_word_as_on_the_page(service, eugo, told):
    """F102."""
    report = told("quota", "show", token="t-bob")
    page = service.ask("GET", "", token="t-bob", api=False).text
    shown = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
    code, stdout, _ = eugo("quota", "show", token="t-bob")
    flat = " ".join(re.sub(r"[│┃┏┓┗┛┡┩╇━─┼└┘┴┬├┤╞╡]", " ", stdout).split())
    assert code == 0
    for warning in report["warnings"]:
        assert warning in shown
        assert warning in flat
    for line in report["limits"]:
        for words in (line["label"], line["used"], line["remaining"], line["standing"]):
            assert words in shown, words
            assert words in flat, words
        assert line["resets"] in shown
    for line in report["consumers"]:
        for words in (line["workspace"], line["gpu"], line["cpu"], line["reserved"]):
            assert words in shown
            assert words in flat


def test_a_monthly_quota_of_one_model_is_set_for_one_user(told):
    """F99, in the command's own words."""
    answer = told("quota", "set", "--user", "jane@example.org", "--gpu-a100-hours-month", "40")
    assert answer["after"] == {
        "user": "jane@example.org", "gpu_hours": 40, "per": "month", "gpu_model": "A100",
    }  # fmt: skip
    (limit,) = [
        line
        for line in told("quota", "show", "--user", "jane@example.org")["limits"]
        if line["gpu_model"] == "A100"
    ]
    assert (limit["amount"], limit["span"]) == (40 * GPU_HOUR, "month")


def test_a_daily_quota_stands_beside_it_and_setting_again_changes_it(told):
    """F100: both hold together; the same kind is changed, not made a second time."""
    told("quota", "set", "--user", "jane@example.org", "--gpu-a100-hours-month", "40")
    told("quota", "set", "--user", "jane@example.org", "gpu-a100=8h/day")
    told("quota", "set", "--user", "jane@example.org", "gpu-a100=6.5h/day")
    found = {
        (entry["document"]["per"], entry["document"]["gpu_hours"])
        for entry in told("quota", "list")["entries"]
        if entry["document"].get("user") == "jane@example.org"
    }
    assert found == {("month", 40), ("day", 6.5)}


@pytest.mark.parametrize(
    ("words", "document"),
    [
        (["--cpu-hours-day", "100"], {"cpu_hours": 100, "per": "day"}),
        (["--cpu-hours-day=100"], {"cpu_hours": 100, "per": "day"}),
        (["--memory-gib-hours-month", "64.5"], {"memory_gib_hours": 64.5, "per": "month"}),
        (["--gpu-hours-month", "0"], {"gpu_hours": 0, "per": "month"}),
        (["gpu=8h/day"], {"gpu_hours": 8, "per": "day"}),
        (["--storage", "500Gi"], {"storage": "500Gi"}),
        (
            ["--gpu-A100-MIG-hours-day", "1"],
            {"gpu_hours": 1, "per": "day", "gpu_model": "A100-MIG"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_amounts_of_every_kind_can_be_set(told, words, document):
    answer = told("quota", "set", "--project", "vision", *words)
    assert answer["after"] == {"project": "vision", **document}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--user", "a"], "Give an amount"),
        (["--user", "a", "--project", "b", "gpu=1h/day"], "Give one of --user"),
        (["gpu=1h/day"], "Give one of --user"),
        (["--user", "a", "gpu=1h/week"], "is no amount"),
        (["--user", "a", "--gpu-hours-day", "many"], "is no number of hours"),
        (["--user", "a", "--gpu-hours-day"], "needs a number of hours"),
        (["--user", "a", "--apples", "4"], "is no amount"),
        (["--user", "a", "--key", "k", "gpu=1h/day", "cpu=1h/day"], "cannot name several"),
    ],
)
def test_what_is_no_amount_is_told_before_anybody_is_asked(eugo, words, problem):
    code, _, stderr = eugo("quota", "set", *words)
    assert code == 2
    assert problem in stderr


def test_an_override_is_given_and_ended(told, eugo):
    """F101."""
    given = told(
        "quota", "override", "gpu-each-month", "--hours", "240",
        "--until", "2026-12-01T00:00+01:00", "--reason", "Thesis",
    )  # fmt: skip
    assert given["after"]["override"]["hours"] == 240
    code, stdout, _ = eugo("quota", "show", "--user", "bob")
    assert code == 0
    assert "240.00 GPU hours until" in stdout
    assert "Thesis" in stdout
    ended = told("quota", "override", "gpu-each-month", "--end", "--reason", "done")
    assert "override" not in ended["after"]
    code, _, stderr = eugo("quota", "override", "gpu-each-month", "--hours", "1", "--reason", "x")
    assert (code, "Give --until" in stderr) == (2, True)


def test_setting_a_quota_leaves_its_override_alone(told):
    """An override is for a time and ends by itself; the quota beneath it may change meanwhile."""
    told(
        "quota", "override", "gpu-each-month", "--hours", "240",
        "--until", "2026-12-01T00:00+01:00", "--reason", "Thesis",
    )  # fmt: skip
    answer = told("quota", "set", "--user", "*", "--gpu-hours-month", "80")
    assert answer["after"]["gpu_hours"] == 80
    assert answer["after"]["override"]["hours"] == 240


def test_a_refusal_is_the_sentence_of_the_page_and_exits_with_one(eugo):
    code, stdout, stderr = eugo("quota", "show", "--user", "alice", token="t-bob")
    assert (code, stdout) == (1, "")
    assert stderr == (
        "Error: You may not see the usage of alice. "
        "Ask a notebook admin or a platform admin. [not-permitted]\n"
    )


def test_nobody_who_answers_exits_with_three(eugo):
    code, _, stderr = eugo("quota", "show", url="http://127.0.0.1:9")
    assert code == 3
    assert "Is EUGO_URL the hub's address?" in stderr


def test_whom_to_ask_must_be_said():
    result = CliRunner().invoke(main, ["quota", "show"], env={"EUGO_URL": "", "EUGO_TOKEN": ""})
    assert result.exit_code == 2
    assert "Set EUGO_URL" in result.stderr


def test_a_profile_is_set_and_the_audit_has_old_and_new_value(service, told):
    """F69."""
    answer = told(
        "profile", "set", "notebook-gpu-a100", "--idle-stop", "15min", "--max-session", "6h"
    )
    assert (answer["after"]["idle_stop"], answer["after"]["max_session"]) == ("15min", "6h")
    (line,) = service.ask("GET", "/audit?about=profiles.notebook-gpu-a100").body["lines"]
    assert line["detail"]["before"]["max_session"] == "8h"  # the file's
    assert line["detail"]["after"]["max_session"] == "6h"
    assert line["actor"] == "ada"
    assert answer["before"]["max_session"] == "8h"
    assert any(each.startswith("max_session: ") for each in answer["effects"])


def test_a_profile_is_created_once(told, eugo, tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text(
        "display_name: Short\nwhen_to_use: Courses\nflavors: [std-2x8]\nimages: [base-notebook]\n"
        "max_session: 4h\n"
    )
    assert told("profile", "create", "short", "--file", str(file))["before"] is None
    code, _, stderr = eugo("profile", "create", "short", "--file", str(file))
    assert (code, "exists" in stderr) == (1, True)


def test_a_profile_of_an_own_image_is_created_by_its_words(told, eugo):
    """F50."""
    words = ("--image", "pytorch", "--flavor", "nb-gpu-l4", "--flavor", "nb-gpu-h100")
    made = told("profile", "create", "--name", "Torch, ours", *words)["after"]
    assert (made["display_name"], made["images"], made["flavors"]) == (
        "Torch, ours", ["pytorch"], ["nb-gpu-l4", "nb-gpu-h100"],
    )  # fmt: skip
    assert "torch-ours" in eugo("profile", "list")[1]
    code, _, stderr = eugo("profile", "create", "--name", "Torch, ours", *words)
    assert (code, "The profile torch-ours exists" in stderr) == (1, True)
    code, _, stderr = eugo(
        "profile", "create", "other", "--name", "Other", "--image", "none", "--flavor", "gpu-t4"
    )
    assert code == 1
    assert "none" in stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "X"), "--image, --flavor"),
        ((), "--name, --image, --flavor"),
        (("--name", "äöü", "--image", "pytorch", "--flavor", "nb-gpu-l4"), "Give a KEY"),
    ],
)
def test_a_profile_without_all_its_words_is_refused_with_those_it_lacks(eugo, words, said):
    code, _, stderr = eugo("profile", "create", *words)
    assert (code, said in stderr) == (2, True)


def test_a_plan_is_put_tried_and_shown(told, eugo, tmp_path):
    code, stdout, _ = eugo("plan", "show", "research")
    document = yaml.safe_load(stdout)
    document["gpu_models"] = ["L4"]
    file = tmp_path / "research.yaml"
    file.write_text(yaml.safe_dump(document))
    dry = told("plan", "put", "research", "--file", str(file), "--dry-run")
    assert "It concerns the projects Vision." in dry["effects"]
    assert yaml.safe_load(eugo("plan", "show", "research")[1])["gpu_models"] != ["L4"]
    told("plan", "put", "research", "--file", str(file))
    assert yaml.safe_load(eugo("plan", "show", "research")[1])["gpu_models"] == ["L4"]
    code, _, stderr = eugo("plan", "remove", "research", "--reason", "x")
    assert code == 1
    assert "there is no 'research'" in stderr


def test_a_plan_is_bound_to_a_project_by_its_manager(told, eugo):
    code, _, stderr = eugo("project", "bind", "vision", "teaching", token="t-carol")
    assert (code, "[not-permitted]" in stderr) == (1, True)
    assert told("project", "bind", "vision", "teaching")["after"]["plan"] == "teaching"
    assert "plan" not in told("project", "bind", "vision", "none")["after"]
    for section in ("plan", "queue", "profile", "project"):
        assert told(section, "list")["entries"]


def test_the_catalog_is_exported_and_compared(eugo, tmp_path):
    file = tmp_path / "catalog.yaml"
    assert eugo("catalog", "export", "--to", str(file))[0] == 0
    assert yaml.safe_load(file.read_text())["projects"]["vision"]["plan"] == "research"
    assert yaml.safe_load(eugo("catalog", "export")[1]) == yaml.safe_load(file.read_text())
    code, stdout, _ = eugo("catalog", "diff")
    assert (code, "projects.vision" in stdout) == (0, True)


def test_the_next_ten_openings_are_shown(told, eugo):
    assert len(told("window", "preview", "research")["openings"]) == 10
    code, stdout, _ = eugo("window", "preview", "teaching", "--count", "2")
    assert code == 0
    assert "The queues of teaching (teaching) are closed now." in stdout


def test_a_decision_is_explained_and_a_refusal_exits_with_one(eugo):
    code, stdout, _ = eugo(
        "policy", "explain", "--user", "alice", "--option", "profile=nb-gpu-l40s"
    )
    assert code == 1
    assert "no  Is enough left of what may be used?" in stdout
    assert "[quota-exhausted] This can be changed by an admin." in stdout
    assert "This would start: " in stdout
    code, stdout, _ = eugo(
        "policy", "explain", "--option", "profile=nb-gpu-l4", "--option", "sm_percent=25",
        token="t-bob",
    )  # fmt: skip
    assert (code, stdout.startswith("It starts")) == (0, True)
    assert eugo("policy", "explain", "--option", "gpu")[0] == 2


def test_a_change_is_tried_on_the_last_days(eugo, tmp_path):
    """L11."""
    file = tmp_path / "cheaper.yaml"
    file.write_text('quotas:\n  gpu-each-month: {user: "*", gpu_hours: 80, per: month}\n')
    code, stdout, _ = eugo("policy", "what-if", "--plan", str(file), "--since", "14d")
    assert code == 0
    assert re.search(r"It would have denied \d\d starts of 1 user\.", stdout)
    assert "quota-exhausted" in stdout
    file.write_text('quotas:\n  gpu-each-month: {user: "*", gpu_hours: 800, per: month}\n')
    code, stdout, _ = eugo("policy", "what-if", "--plan", str(file), "--since", "14d")
    assert (code, "It would have changed nothing." in stdout) == (0, True)
    assert eugo("policy", "what-if", "--plan", str(file), "--since", "2 weeks")[0] == 2
    file.write_text("- a\n")
    assert eugo("policy", "what-if", "--plan", str(file))[0] == 2
    file.write_text("plans:\n  a: {}\n  a: {}\n")
    code, _, stderr = eugo("policy", "what-if", "--plan", str(file))
    assert (code, "stands here twice" in stderr) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(eugo, shell):
    code, stdout, _ = eugo("completion", shell)
    assert (code, "_EUGO_COMPLETE" in stdout) == (0, True)


HOSTILE = ["<svg onload=alert(1)>", "\u202eevil", "[red]x[/red]", "=HYPERLINK(1)", "a" * 255]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_as_they_are_and_obeyed_by_nothing(service, eugo, name):
    code, stdout, _ = eugo("quota", "show", "--user", name)
    assert code == 0
    assert "\u202e" not in stdout
    assert "\x1b" not in stdout
    page = service.ask("GET", f"?user={quote(name)}", api=False)
    assert page.status == 200
    assert "<svg onload" not in page.text
    answer = service.ask("GET", f"/usage?user={quote(name)}")
    assert answer.body["title"] == name


def test_a_name_with_control_characters_moves_no_cursor(eugo):
    code, stdout, _ = eugo("quota", "show", "--user", "x\x1b[2Jy")
    assert code == 0
    assert "\x1b[2J" not in stdout
    assert "\\u001b" in stdout
