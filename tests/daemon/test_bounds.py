"""Every value of the config is bounded at start, and refused by its path."""

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlwd.daemon.anchored import SECRETS
from rlwd.daemon.bounds import (
    CALLED,
    ENGINES,
    HOSTS,
    KAFKA_NAMES,
    MOST_PART,
    MOST_PATH,
    MOST_URL,
    NAMES,
    NEVER_EMPTY,
    ORIGINS,
    OTHERS,
    PATHS,
    REQUIRED,
    SERVERS,
    TOPICS,
    URLS,
    check_values,
)
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.init.setting_notes import COPIES, named_sections
from rlwd.daemon.number_bounds import NUMBERS


def fields_of(kind: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from fields_of(field.type, f"{path}{field.name}.")
        elif (named := named_sections(field.type)) is not None:
            one = "NAME." if get_origin(field.type) is dict else ""
            yield from fields_of(named, f"{path}{field.name}.{one}")
        else:
            yield f"{path}{field.name}", field.type


def plain(kind: Any) -> Any:
    """Return the type without its annotations; of a tuple its items', of one or None the one."""
    if get_origin(kind) in (tuple, Union, UnionType):
        return plain(get_args(kind)[0])
    return plain(get_args(kind)[0]) if hasattr(kind, "__metadata__") else kind


FIELDS = dict(fields_of(Config))
COPIED = tuple(f"{copy}." for copy in COPIES)
FIELDS = {path: kind for path, kind in FIELDS.items() if not path.startswith(COPIED)}
NUMERIC = sorted(path for path, kind in FIELDS.items() if plain(kind) in (int, float))
FREE = {
    *("privacy.exempt", "privacy.tenants.NAME.exempt"),
    *("satisfaction.judge.tenants", "satisfaction.rubrics", "gate.suites"),
    "triage.labels",
    *("gateway.base_digest", "gateway.tokenizer_digest", "gateway.logprobs_mode"),
    *("gateway.harness", "gateway.references"),
    *("stream.kafka.security", "clients.NAME.tenant"),
    *("clients.NAME.tokens", "specialists.NAME.tenants", "specialists.NAME.segments"),
    "gateway.specialists_state",
    *(
        "benchmark.name",
        "benchmark.segments",
        "rollout.metric.name",
        "database",
        "satisfaction.key",
        "satisfaction.judge.token",
        "profile.currency",
        "learner.service.model",
        "learner.service.key",
    ),
}
"""Texts that are no place, or whose own record says what they may be."""


def write(folder: Path, path: str, value: str) -> Path:
    """Write a config that is right but for one value."""
    *sections, key = path.split(".")
    if get_origin(FIELDS[path]) is tuple:
        value = f"[{value}]"
    lines = {"learner": ['model = "base"']}
    if sections == ["rollout", "metric"]:
        sections = ["[rollout", "metric]"]
        lines["[rollout.metric]"] = ['name = "reward"', 'kind = "superior"']
    if sections == ["clients", "NAME"]:
        lines["clients.NAME"] = [f'tokens = ["sha256:{"0" * 64}"]']
        lines["gateway"] = ['user_key = "k"']
    if sections == ["specialists", "NAME"]:
        lines["specialists.NAME"] = ['tenants = ["t"]']
        lines |= {"gateway": ['user_key = "k"'], "engine": ["adapters = 2000"]}
    lines.setdefault(".".join(sections), []).append(f"{key} = {value}")
    if path == "learner.model":
        lines["learner"] = lines["learner"][1:]
    top = lines.pop("", [])
    file = folder / "rlwd.toml"
    sections_text = [f"[{name}]\n" + "\n".join(each) for name, each in lines.items()]
    file.write_text("\n".join([*top, *sections_text]) + "\n")
    return file


def refused(folder: Path, path: str, value: str) -> str:
    file = write(folder, path, value)
    with pytest.raises(ValueError, match=r"rlwd\.toml: ") as problem:
        load_config(file)
    said = str(problem.value)
    assert path in re.sub(r"\[\d+\]", "", said), said
    return said


def test_every_number_has_bounds() -> None:
    """A new number gets its least and most in daemon/number_bounds.py; what is gone leaves no bounds."""
    assert set(NUMERIC) == set(NUMBERS)


def test_every_text_that_is_a_place_or_a_name_is_known() -> None:
    """A new text is of one of the lists that are checked, or said here to be free; none is of two."""
    lists = [PATHS, URLS, TOPICS, NAMES, HOSTS, SERVERS, set(SECRETS), FREE, OTHERS]
    lists += [KAFKA_NAMES, CALLED, ORIGINS]
    texts = {path for path, kind in FIELDS.items() if is_text(kind)}
    assert sorted(texts) == sorted(path for each in lists for path in each)


def is_text(kind: Any) -> bool:
    return plain(kind) is str or (get_origin(kind) is dict and kind not in (dict[str, float],))


@pytest.mark.parametrize("path", NUMERIC)
def test_a_number_beyond_either_end_is_refused(tmp_path: Path, path: str) -> None:
    """Just outside, far outside, infinite or no number at all: refused by its path."""
    least, most = NUMBERS[path]
    if plain(FIELDS[path]) is int:
        wrong = [str(int(least) - 1), str(int(most) + 1), str(-(2**63))]
    else:
        below = math.nextafter(least, -math.inf)
        wrong = [repr(below), repr(math.nextafter(most, math.inf)), "-1e300", "inf", "-inf", "nan"]
    for value in wrong:
        refused(tmp_path, path, value)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(NUMERIC), value=st.floats() | st.integers(-(2**63), 2**63 - 1))
def test_no_number_does_anything_else(tmp_path: Path, path: str, value: float) -> None:
    """Whatever number stands there is taken, or refused with file and key: nothing else happens."""
    text = str(value) if isinstance(value, int) else repr(value)
    file = write(tmp_path, path, text)
    said = ""
    try:
        load_config(file)
    except ValueError as problem:
        said = str(problem)
    within = NUMBERS[path][0] <= value <= NUMBERS[path][1]
    assert within or path in re.sub(r"\[\d+\]", "", said)
    assert not said or said.startswith(f"{file}: ")


@pytest.mark.parametrize("path", sorted(URLS))
@pytest.mark.parametrize(
    "value",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1:21",
        "127.0.0.1:8000",
        "http://",
        "http://:8000",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:99999",
        f"http://127.0.0.1:8000/{'x' * 2000}",
        "http://127.0.0.1:port",
        "http://user:secret@127.0.0.1:8000",
        "http://127.0.0.1:8000/?key=1",
        "http://127.0.0.1:8000/#x",
        "http://[::1",
        "http://a b:1",
    ],
)
def test_what_is_no_url_is_refused(tmp_path: Path, path: str, value: str) -> None:
    """Engines and MLflow are reached by HTTP and by nothing else; no secret stands in a URL."""
    said = refused(tmp_path, path, f'"{value}"')
    assert "user:secret" not in said


@pytest.mark.parametrize("path", sorted(ENGINES))
def test_an_engine_is_named_once_and_without_v1(tmp_path: Path, path: str) -> None:
    """What every OpenAI client calls its base URL is told apart, and one engine counts once."""
    for end in ("/v1", "/v1/", "/v1/chat/completions", "/proxy/v1/models"):
        assert "leave out" in refused(tmp_path, path, f'"http://h:8000{end}"')
    assert "stands there twice" in refused(tmp_path, path, '"http://h:8000", "http://h:8000/"')


@pytest.mark.parametrize("path", sorted(ORIGINS))
@pytest.mark.parametrize(
    "value", ["http://[::1", "http://:80", "http://h:99999", "http://u:p@h", "h", "http://h/x"]
)
def test_what_is_no_origin_is_refused(tmp_path: Path, path: str, value: str) -> None:
    """A page's origin is scheme, host and port, as a browser sends it."""
    refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted(KAFKA_NAMES))
@pytest.mark.parametrize("value", ["a b", "a\\u0000b", "é", "x" * 250, "a/b"])
def test_what_is_no_name_of_kafkas_is_refused(tmp_path: Path, path: str, value: str) -> None:
    """A group's and a member's name are the broker's to take, and it is asked later."""
    refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted(CALLED))
def test_what_others_call_it_is_one_line(tmp_path: Path, path: str) -> None:
    """A NUL, a line's end and a whole page are no name."""
    for value in (r"a\u0000b", r"a\nb", "x" * 201):
        refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted(NEVER_EMPTY))
def test_a_name_that_has_to_be_is_not_empty(tmp_path: Path, path: str) -> None:
    """What clients ask for, and whose offsets those are."""
    refused(tmp_path, path, '""')


@pytest.mark.parametrize("path", sorted(NAMES))
@pytest.mark.parametrize("value", ["../evil", "", "a/b", ".hidden", "a b", "a@v1", "x" * 101, "é"])
def test_what_is_no_name_is_refused(tmp_path: Path, path: str, value: str) -> None:
    """Names become parts of paths, flags and versions."""
    refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted(TOPICS))
@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a b", "x" * 250])
def test_what_is_no_topic_is_refused(tmp_path: Path, path: str, value: str) -> None:
    """Topics are named as the broker names them."""
    refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted(HOSTS))
@pytest.mark.parametrize("value", ["", "http://127.0.0.1", "a b", "127.0.0.1/x"])
def test_what_is_no_host_is_refused(tmp_path: Path, path: str, value: str) -> None:
    """A host is a name or an address."""
    refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted(SERVERS))
@pytest.mark.parametrize(
    "value", ["", "kafka", ":9092", "kafka:0", "kafka:99999", "kafka:x", "a b:1"]
)
def test_what_is_no_server_is_refused(tmp_path: Path, path: str, value: str) -> None:
    """A broker is a host with its port."""
    refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted(URLS))
def test_a_url_at_either_end_of_its_range_is_taken(tmp_path: Path, path: str) -> None:
    """The least and the largest port, and as long as a URL may be: what is refused lies beyond."""
    longest = f"http://h/{'x' * (MOST_URL - len('http://h/'))}"
    for value in ("http://h:1", "https://h:65535", longest):
        # Not loaded whole: some ask for a key beside it.
        check_values(tomllib.loads(write(tmp_path, path, f'"{value}"').read_text()))


@pytest.mark.parametrize("path", sorted(PATHS))
def test_what_is_no_path_is_refused(tmp_path: Path, path: str) -> None:
    """No path holds a NUL or a line's end, or is longer than a file system takes."""
    refused(tmp_path, path, r'"a\u0000b"')
    refused(tmp_path, path, r'"a\nb"')
    refused(tmp_path, path, f'"{"x" * (MOST_PART + 1)}"')
    refused(tmp_path, path, f'"{"x/" * (MOST_PATH // 2 + 1)}"')
    # Each would make a folder of that name beside the config.
    for value in ("file:///var/lib/rlwd", "http://h/x", "~/rlwd", "$HOME/rlwd"):
        refused(tmp_path, path, f'"{value}"')


@pytest.mark.parametrize("path", sorted({*REQUIRED, "learner.model"}))
def test_a_path_that_has_to_be_is_not_empty(tmp_path: Path, path: str) -> None:
    """What everything is kept in, and what is learned on, has a place."""
    refused(tmp_path, path, '""')


def test_what_contradicts_each_other_is_refused(tmp_path: Path) -> None:
    """Each is within its bounds, and together they are not."""
    assert "below batch.episodes" in refused(tmp_path, "batch.at_most", "10")
    file = write(tmp_path, "stream.feedback", '"rlwd.generations"')
    with pytest.raises(ValueError, match=r"stream: the topics .* are not three"):
        load_config(file)
