"""Provoked errors: what a model wrote is no outage, and an outage that it did not write is one."""

import base64
import json

import pytest

from rlwd.streams.derived.provoked import WrittenBefore, is_provoked
from rlwd.streams.derived.tool_errors import classes_in, classify_error
from rlwd.streams.events.input_message import answer_digest

DOWN = "Error: HTTP 503 Service Unavailable"


def bash(command: str) -> str:
    return json.dumps({"command": command, "timeout": 120000})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("result", "arguments"),
    [
        ("Error: 503 Service Unavailable", bash('echo "503 Service Unavailable" && exit 1')),
        ("Error: 503 Service Unavailable", bash("printf '503 Service %s' Unavailable")),
        (DOWN, bash(f"echo {encoded('HTTP 503 Service Unavailable')} | base64 -d")),
        (DOWN, bash(f"echo {b'HTTP 503 Service Unavailable'.hex()} | xxd -r -p")),
        (DOWN, bash(r"printf '\x48TTP 503'")),
        (DOWN, bash("echo 'HTTP 5''03'")),
        (DOWN, json.dumps({"code": "raise Exception('HTTP ' + '503')"})),
        (DOWN, bash("echo elbaliavanU ecivreS 305 PTTH | rev")),
        (DOWN, '{"command": "echo HTTP 503"'),  # No JSON: read as it is.
        ('{"error": "gone", "error_class": "provider_error"}', bash("echo provider_error")),
        ("Error: Exit code 124", bash("exit 124")),
        ("Error: Exit code 124", json.dumps({"code": "sys.exit(124)"})),
        ("Error: Exit code 130", bash("kill -INT $$")),
        ("Error: the user declined", bash("echo 'the user declined'")),
        ("Error: command timed out", bash("sleep 600")),
        ("Error: command timed out", bash("while true; do :; done")),
        ("Error: HTTP 502 Bad Gateway", bash("curl -f http://localhost:8000/api")),
        ("Error: HTTP 502 Bad Gateway", json.dumps({"url": "http://127.0.0.1:9/"})),
    ],
)
def test_what_a_call_explains_is_provoked(result: str, arguments: str) -> None:
    """Said outright, encoded, put together, from the back, by its exit code, by waiting, by itself."""
    assert is_provoked(classify_error(result), result, WrittenBefore(arguments)), result


@pytest.mark.parametrize(
    ("result", "arguments"),
    [
        (DOWN, json.dumps({"query": "weather in Bremen"})),
        (DOWN, bash("curl -sf https://api.example.com/v1/items?limit=503")),
        ("Error: HTTP 429 Too Many Requests", json.dumps({"q": "python sleep 5"})),
        # The time limit is a field of the call, and every call has it.
        ("Error: command timed out after 120 s", bash("npm test")),
        (
            "Error: Exit code 1\ncurl: (6) Could not resolve host: x.org",
            bash("curl x.org | head -1"),
        ),
    ],
)
def test_what_no_call_explains_is_believed(result: str, arguments: str) -> None:
    """Numbers, names of fields and other exit codes explain nothing."""
    assert not is_provoked(classify_error(result), result, WrittenBefore(arguments)), result


def test_what_was_written_before_explains_what_is_read_now() -> None:
    """A file that an earlier call wrote, whatever the tool puts before its lines; not another error."""
    wrote = json.dumps({"path": "a.txt", "text": "one\nHTTP 503 Service   Unavailable\n"})
    cat = WrittenBefore(bash("cat a.txt"), (bash("ls"), wrote))
    for shown in (
        DOWN,
        "Error:\n     2\tHTTP 503 Service Unavailable",
        f"Error: a.txt:2:{DOWN[7:]}",
    ):
        assert is_provoked("provider_error", shown, cat), shown
    assert not is_provoked("provider_error", "Error: HTTP 429 Too Many Requests", cat)
    assert not is_provoked("provider_error", DOWN, WrittenBefore(bash("cat a.txt")))


def test_an_error_in_the_middle_of_a_long_call_is_found() -> None:
    """Rules read both ends of it; the line is looked for in all of it."""
    pad = "print('a line of a long program')\n" * 2000
    long = json.dumps({"code": f"{pad}raise RuntimeError('HTTP 503 Service Unavailable')\n{pad}"})
    assert is_provoked("provider_error", DOWN, WrittenBefore(long))
    assert not is_provoked("provider_error", "Error: Bad Gateway", WrittenBefore(long))


def test_an_answer_of_its_own_agent_is_its_own() -> None:
    """What a subagent said comes back as the result of the call that started it."""
    task = WrittenBefore(json.dumps({"prompt": "look"}), (), frozenset([answer_digest(DOWN)]))
    assert is_provoked("provider_error", f"{DOWN}\n", task)
    assert not is_provoked("provider_error", "Error: HTTP 502 Bad Gateway", task)


def test_faults_of_the_models_own_are_never_explained_away() -> None:
    """Who writes that a file is missing, and then misses it, has missed it."""
    said = "Error: no such file or directory"
    assert not is_provoked("unexpected_environment", said, WrittenBefore(bash(f"echo '{said}'")))


def test_a_text_holds_every_class_that_a_part_of_it_may_say() -> None:
    """Not the first that fits alone: a result need not say all of the call."""
    assert classes_in("echo 'KeyboardInterrupt'; echo 'HTTP 503'; exit 124") >= {
        *("user_aborted", "provider_error", "timeout"),
    }
    assert classes_in("echo hello") == frozenset()
