"""
User options at the door: strict, bounded, and the same words everywhere (design §5).

Forged options come as JSON of any shape (facts on security, misuse cases): each gives a request
or refusals, never an exception, and neither grows with what came in.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eugospawner import options
from eugospawner.policy.catalog import Kind
from eugospawner.policy.decisions import Refusal
from eugospawner.policy.reasons import Reason
from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest
from tests.factories import GIB, a_request, a_volume_request, decide_about
from tests.factories.chance import a_random_request, chance

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "options.md"


def parsed(words: object) -> WorkspaceRequest:
    answer = options.parse(words, owner="alice", workspace="")
    assert isinstance(answer, WorkspaceRequest), answer
    return answer


def refused(words: object) -> tuple[Refusal, ...]:
    answer = options.parse(words, owner="alice", workspace="")
    assert isinstance(answer, tuple)
    return answer


# --- what is taken ---


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_options_ask_for_the_defaults(nothing: object) -> None:
    assert parsed(nothing) == a_request()


def test_every_word_is_understood() -> None:
    request = parsed(
        {
            "project": "vision",
            "profile": "notebook",
            "flavor": "cpu-2",
            "kind": "vscode",
            "image": "registry.example/eugo/base:1.0",
            "queue": "batch",
            "gpu_count": 2,
            "gpu_model": "H100",
            "sm_percent": 25,
            "cpu": "500m",
            "memory": "8Gi",
            "volumes": [{"claim": "data", "mount_path": "/mnt/data"}],
            "root_shell": True,
        }
    )
    assert request == a_request(
        project="vision",
        profile="notebook",
        flavor="cpu-2",
        kind=Kind.VSCODE,
        image="registry.example/eugo/base:1.0",
        queue="batch",
        gpu_count=2,
        gpu_model="H100",
        sm_percent=25,
        cpu_millicores=500,
        memory_bytes=8 * GIB,
        volumes=(a_volume_request("data", "/mnt/data"),),
        root_shell=True,
    )


def test_a_bare_whole_number_is_a_quantity() -> None:
    request = parsed({"cpu": 2, "memory": 2**30})
    assert (request.cpu_millicores, request.memory_bytes) == (2000, GIB)


def test_null_means_that_the_word_is_absent() -> None:
    words = [word for word in options.WORDS if word not in {"volumes", "root_shell"}]
    assert parsed(dict.fromkeys(words)) == a_request()


def test_owner_and_workspace_come_from_the_door_and_never_from_the_options() -> None:
    answer = options.parse({}, owner="bob", workspace="two")
    assert answer == WorkspaceRequest(owner="bob", workspace="two")
    for word in ("owner", "workspace", "user", "server"):
        (refusal,) = refused({word: "eve"})
        assert refusal.reason is Reason.UNKNOWN_OPTION


def test_bounds_are_the_rules_business() -> None:
    assert parsed({"gpu_count": -1, "sm_percent": 101}) == a_request(gpu_count=-1, sm_percent=101)


# --- what is refused, and in which words ---

REFUSED: dict[str, tuple[object, str, str]] = {
    "a list": ([], "options", "options: expected an object with words and values."),
    "a text": ("{}", "options", "options: expected an object with words and values."),
    "a number": (0, "options", "options: expected an object with words and values."),
    "false": (False, "options", "options: expected an object with words and values."),
    "an unknown word": (
        {"prfile": "x"},
        "options",
        f"There is no option 'prfile'. The options are: {', '.join(options.WORDS)}.",
    ),
    "an empty word": (
        {"": 1},
        "options",
        f"There is no option ''. The options are: {', '.join(options.WORDS)}.",
    ),
    "KubeSpawner's override": (
        {"kubespawner_override": {"image": "x"}},
        "options",
        ("There is no option 'kubespawner_override'. "
        f"The options are: {', '.join(options.WORDS)}."),
    ),
    "a PVC by its name": (
        {"volumes": [{"claim": "a", "mount_path": "/a", "pvc": "claim-bob"}]},
        "options",
        f"There is no option 'volumes.0.pvc'. The options are: {', '.join(options.WORDS)}.",
    ),
    "a number for text": ({"project": 1}, "project", "project: write text."),
    "an empty text": (
        {"project": ""},
        "project",
        "project: is empty; leave the word out for its default.",
    ),
    "an unknown editor": (
        {"kind": "emacs"},
        "kind",
        "kind: input should be 'jupyterlab', 'vscode' or 'custom'.",
    ),
    "text for a number": ({"gpu_count": "2"}, "gpu_count", "gpu_count: write a whole number."),
    "true for a number": ({"gpu_count": True}, "gpu_count", "gpu_count: write a whole number."),
    "a fraction": ({"sm_percent": 12.5}, "sm_percent", "sm_percent: write a whole number."),
    "a whole fraction": ({"sm_percent": 50.0}, "sm_percent", "sm_percent: write a whole number."),
    "not a number": (
        {"sm_percent": float("nan")},
        "sm_percent",
        "sm_percent: write a whole number.",
    ),
    "infinity": ({"sm_percent": 1e309}, "sm_percent", "sm_percent: write a whole number."),
    "a count of no thing": (
        {"gpu_count": 10**30},
        "gpu_count",
        "gpu_count: input should be less than or equal to 1000000.",
    ),
    "a number for a truth": ({"root_shell": 1}, "root_shell", "root_shell: write true or false."),
    "text for a truth": ({"root_shell": "yes"}, "root_shell", "root_shell: write true or false."),
    "null for a truth": ({"root_shell": None}, "root_shell", "root_shell: write true or false."),
    "a truth for a quantity": (
        {"cpu": True},
        "cpu",
        "cpu: write a Kubernetes quantity such as 500m, 2 or 8Gi.",
    ),
    "a fraction for a quantity": (
        {"cpu": 0.5},
        "cpu",
        "cpu: write a Kubernetes quantity such as 500m, 2 or 8Gi.",
    ),
    "less than nothing": (
        {"memory": -1},
        "memory",
        "memory: write a Kubernetes quantity such as 500m, 2 or 8Gi.",
    ),
    "a quantity of thousands of digits": (
        {"memory": 10**5000},
        "memory",
        "memory: write a Kubernetes quantity such as 500m, 2 or 8Gi.",
    ),
    "no quantity": (
        {"memory": "8GB"},
        "memory",
        "memory: '8GB' is not a Kubernetes quantity; write for example 500m, 2 or 8Gi.",
    ),
    "more than Kubernetes holds": (
        {"memory": "8Ei"},
        "memory",
        "memory: '8Ei' is larger than Kubernetes can hold.",
    ),
    "volumes that are no list": (
        {"volumes": {"data": "/mnt"}},
        "volumes",
        "volumes: expected a list.",
    ),
    "volumes that are text": ({"volumes": "data"}, "volumes", "volumes: expected a list."),
    "a volume that is a list": (
        {"volumes": [["data", "/mnt"]]},
        "volumes",
        "volumes.0: expected an object with words and values.",
    ),
    "a volume without a path": (
        {"volumes": [{"claim": "data"}]},
        "volumes",
        "volumes.0.mount_path: field required.",
    ),
    "a lone surrogate": ({"project": "\ud800"}, "project", "project: holds characters that are no text."),
    "a lone surrogate as a word": (
        {"\ud800": 1},
        "options",
        "options: holds characters that are no text.",
    ),
    "a number as a word": ({1: 2}, "options", "options: words are text."),
}  # fmt: skip


@pytest.mark.parametrize(("words", "word", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_at_the_door_is(words: object, word: str, sentence: str) -> None:
    (refusal,) = refused(words)
    assert (refusal.word, refusal.sentence) == (word, sentence)
    assert refusal.status == 400
    assert refusal.reason in {Reason.MALFORMED, Reason.UNKNOWN_OPTION}


def test_every_fault_is_told_at_once() -> None:
    refusals = refused({"gpu_count": "2", "root_shell": "on", "cpu": "x", "nope": 1})
    assert {refusal.word for refusal in refusals} == {"gpu_count", "root_shell", "cpu", "options"}


def test_an_answer_does_not_grow_with_the_request() -> None:
    hostile: list[object] = [
        {f"word-{number}" * 50: number for number in range(10_000)},
        {"volumes": [{"claim": 1}] * 64},
        {"volumes": [{"claim": "a", "mount_path": "/a"}] * 100_000},
        {"x" * 10**6: 1},
        {"\u202e" * 10**6: 1},
        {"cpu": "9" * 10**6, "memory": "\U0001f600" * 10**6},
        dict.fromkeys(options.WORDS, "x" * 10**6),
    ]
    for words in hostile:
        refusals = refused(words)
        assert 1 <= len(refusals) <= 20
        assert all(len(refusal.sentence) < 6000 for refusal in refusals)


# --- forged JSON: ten thousand, nested, huge, confused ---

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 100, 101, 2**31, 2**63, -(2**63), 10**400, 10**5000, 0.0, -0.0,
    0.5, 25.0, 1e308, 1e309, -1e309, float("nan"), "", " ", "0", "25", "1e9999", "NaN", "true",
    "H100", "notebook", "jupyterlab", "8Gi", "500m", "\0", "a\0b", "\ud800", "\udfff\ud800",
    "\u202e", "../../etc/passwd", "{username}", "${jndi:ldap://x}", "' OR 1=1 --", "%00", "[]",
    "<svg onload=alert(1)>", "=HYPERLINK(1)", "\r\nSet-Cookie: a=b", "é" * 600, "ﬀ", "٢",
    "x" * 501, [], {}, [[]], [None], [{}], {"": {}}, {"claim": "data"},
    {"claim": "data", "mount_path": "/data"}, {"claim": [], "mount_path": {}},
]  # fmt: skip
NAMES = [*options.WORDS, "claim", "mount_path", "", "__class__", "\0", "\ud800", "Profile"]


def forged(random: Random, depth: int = 0) -> Any:
    """JSON by chance: most often a hostile value, sometimes a container of more."""
    kind = random.random()
    if depth < 4 and kind < 0.12:
        return [forged(random, depth + 1) for _ in range(random.randint(0, 4))]
    if depth < 4 and kind < 0.2:
        return {
            random.choice(NAMES): forged(random, depth + 1) for _ in range(random.randint(0, 4))
        }
    return random.choice(VALUES)


def forged_options(random: Random) -> object:
    """A good request with some words forged, or anything at all."""
    if random.random() < 0.1:
        return forged(random)
    words = options.serialize(a_random_request(random))
    for _ in range(random.randint(1, 3)):
        words[random.choice(NAMES)] = forged(random, 1)
    return words


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_forged_options_give_a_request_or_refusals(seed: int) -> None:
    """Facts on security, misuse cases: no exception, no foreign text that breaks an answer."""
    random = chance(seed)
    for _ in range(1000):
        answer = options.parse(forged_options(random), owner="alice", workspace="")
        if isinstance(answer, WorkspaceRequest):
            check_types(answer)
            decide_about(answer)
            assert options.parse(options.serialize(answer), owner="alice", workspace="") == answer
            continue
        assert 1 <= len(answer) <= 20
        for refusal in answer:
            assert refusal.word in {*options.WORDS, "options"}
            assert refusal.sentence.endswith(".")
            json.dumps(refusal.sentence).encode()
            refusal.sentence.encode()
            assert refusal.sentence.isprintable()


def check_types(request: WorkspaceRequest) -> None:
    for word in ("project", "profile", "flavor", "image", "queue", "gpu_model"):
        value = getattr(request, word)
        assert value is None or (isinstance(value, str) and 1 <= len(value) <= 500)
    for word in ("gpu_count", "sm_percent", "cpu_millicores", "memory_bytes"):
        assert getattr(request, word) is None or type(getattr(request, word)) is int
    assert request.kind is None or type(request.kind) is Kind
    assert type(request.root_shell) is bool
    assert len(request.volumes) <= 64


def test_deep_nesting_ends_at_the_first_level() -> None:
    deep: Any = {}
    for _ in range(10_000):
        deep = {"volumes": [deep]}
    began = time.perf_counter()
    assert refused({"volumes": deep})
    assert refused(deep)
    assert time.perf_counter() - began < 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(NAMES), json_values, max_size=5))
@settings(max_examples=200)
def test_any_json_object_gives_a_request_or_refusals(words: dict[str, Any]) -> None:
    answer = options.parse(words, owner="alice", workspace="")
    assert isinstance(answer, WorkspaceRequest) or answer


# --- there and back ---

some_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=500)
count = st.integers(-(10**6), 10**6)
any_request = st.builds(
    WorkspaceRequest,
    owner=st.just("alice"),
    project=st.none() | some_text,
    profile=st.none() | some_text,
    flavor=st.none() | some_text,
    kind=st.none() | st.sampled_from(Kind),
    image=st.none() | some_text,
    queue=st.none() | some_text,
    gpu_count=st.none() | count,
    gpu_model=st.none() | some_text,
    sm_percent=st.none() | count,
    cpu_millicores=st.none() | st.integers(0, (2**63 - 1) * 1000),
    memory_bytes=st.none() | st.integers(0, 2**63 - 1),
    volumes=st.lists(
        st.builds(VolumeRequest, claim=some_text, mount_path=some_text), max_size=4
    ).map(tuple),
    root_shell=st.booleans(),
)


@given(any_request)
@settings(max_examples=200)
def test_what_is_serialized_is_parsed_back_unchanged(request: WorkspaceRequest) -> None:
    words = json.loads(json.dumps(options.serialize(request)))
    assert parsed(words) == request


def test_absent_words_are_left_out() -> None:
    assert options.serialize(a_request()) == {}


# --- the form ---


def as_form(request: WorkspaceRequest) -> dict[str, list[str]]:
    """Return the fields that a browser would send for *request*."""
    words = options.serialize(request)
    volumes = words.pop("volumes", [])
    assert isinstance(volumes, list)
    fields = {word: ["on" if value is True else str(value)] for word, value in words.items()}
    fields["volume_claim"] = [volume["claim"] for volume in volumes]
    fields["volume_path"] = [volume["mount_path"] for volume in volumes]
    return fields


@pytest.mark.parametrize("seed", range(3))
def test_the_form_says_the_same_as_json(seed: int) -> None:
    random = chance(seed)
    for _ in range(300):
        request = a_random_request(random)
        words = options.serialize(request)
        if any(value in ("", "\0") for value in words.values()):
            continue  # an empty field of a form is an absent word
        form = options.from_form(as_form(request))
        assert options.parse(form, owner="alice", workspace="") == options.parse(
            words, owner="alice", workspace=""
        )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, {}, id="no field"),
        pytest.param({"profile": [""], "cpu": ["  "]}, {}, id="an empty field is an absent word"),
        pytest.param({"profile": ["", " x "]}, {"profile": "x"}, id="the first that is not empty"),
        pytest.param({"gpu_count": ["2"]}, {"gpu_count": 2}, id="a whole number"),
        pytest.param({"gpu_count": ["-2"]}, {"gpu_count": -2}, id="a number below zero"),
        pytest.param({"gpu_count": ["2.5"]}, {"gpu_count": "2.5"}, id="a fraction stays text"),
        pytest.param({"gpu_count": ["٢"]}, {"gpu_count": "٢"}, id="other digits stay text"),
        pytest.param({"gpu_count": ["9" * 50]}, {"gpu_count": "9" * 50}, id="an endless number"),
        pytest.param({"gpu_count": ["-"]}, {"gpu_count": "-"}, id="a lone minus"),
        pytest.param({"sm_percent": ["25 %"]}, {"sm_percent": "25 %"}, id="a percent sign"),
        pytest.param({"cpu": ["2"]}, {"cpu": "2"}, id="a quantity stays text"),
        pytest.param({"root_shell": ["on"]}, {"root_shell": True}, id="a ticked box"),
        pytest.param({"root_shell": ["false"]}, {"root_shell": False}, id="a box told false"),
        pytest.param({"root_shell": ["maybe"]}, {"root_shell": "maybe"}, id="a forged box"),
        pytest.param({"_xsrf": ["x"], "next": ["/"]}, {}, id="what is not ours is ignored"),
        pytest.param({"volumes": ["x"]}, {}, id="volumes come as pairs only"),
        pytest.param(
            {"volume_claim": ["a", "", "c"], "volume_path": ["/a", ""]},
            {
                "volumes": [
                    {"claim": "a", "mount_path": "/a"},
                    {"claim": "c", "mount_path": ""},
                ]
            },
            id="volumes pair by pair",
        ),
        pytest.param(
            {"volume_path": ["/a"]},
            {"volumes": [{"claim": "", "mount_path": "/a"}]},
            id="a path without a volume",
        ),
    ],
)
def test_form_fields_become(fields: dict[str, list[str]], words: dict[str, object]) -> None:
    assert options.from_form(fields) == words


@given(
    st.dictionaries(
        st.sampled_from([*options.WORDS, "volume_claim", "volume_path", "other"]),
        st.lists(st.text(max_size=20), max_size=3),
    )
)
def test_any_form_gives_a_request_or_refusals(fields: dict[str, list[str]]) -> None:
    answer = options.parse(options.from_form(fields), owner="alice", workspace="")
    assert isinstance(answer, WorkspaceRequest) or answer


# --- the reference ---


def documented() -> Iterator[str]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = re.match(r"\| `([a-z_]+)` \|", line)
        if match:
            yield match[1]


def test_the_reference_has_every_word_in_order_and_no_other() -> None:
    assert tuple(documented()) == options.WORDS


def test_the_examples_of_the_reference_are_understood() -> None:
    examples = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        parsed(json.loads(example))
