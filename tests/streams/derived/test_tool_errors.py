"""Classes of tools' errors: labelled results of many vendors, with precision and recall by class."""

import json
import tomllib
from pathlib import Path

import pytest

from rlwd.streams.derived.tool_errors import classify_error, rules
from rlwd.streams.events.signals import ErrorClass

CASES: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parent / "cases" / "tool_errors.toml").read_text(encoding="utf-8")
)
MODELS_FAULT = {"invalid_arguments", "unexpected_environment"}


def test_precision_and_recall_on_labelled_results() -> None:
    """Printed by class; nearly nothing that was not the model's fault is laid at its door."""
    told = [(label, classify_error(text)) for label, texts in CASES.items() for text in texts]
    assert len(told) >= 60
    print(f"\n{len(told)} labelled results\nclass                    precision  recall  labelled")
    for name, labelled in CASES.items():
        right = sum(label == said == name for label, said in told)
        said_so = sum(said == name for _, said in told)
        precision, recall = right / max(1, said_so), right / len(labelled)
        print(f"{name:24} {precision:9.2f} {recall:7.2f} {len(labelled):9}")
        assert precision >= 0.9, name
        assert recall >= 0.85, name
    blamed = [label in MODELS_FAULT for label, said in told if said in MODELS_FAULT]
    print(f"of {len(blamed)} laid at the model's door, {sum(blamed)} were its own")
    assert sum(blamed) / len(blamed) >= 0.97


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"error_class": "timeout", "error": "HTTP 503"}, "timeout"),
        ({"error": {"errorClass": "InvalidArguments", "message": "HTTP 503"}}, "invalid_arguments"),
        ({"isError": True, "structuredContent": {"error_class": "USER_ABORTED"}}, "user_aborted"),
        # A word of the harness's own that is none of the classes says nothing.
        ({"error_class": "Kaputt", "error": "HTTP 503"}, "provider_error"),
    ],
)
def test_the_harnesss_own_class_wins(told: dict[str, object], error: ErrorClass) -> None:
    """Whatever the codes and texts beside it say."""
    assert classify_error(json.dumps(told)) == error


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ("ls: Zugriff auf 'x' nicht möglich: Datei oder Verzeichnis nicht gefunden", "env"),
        ("Das System kann die angegebene Datei nicht finden.", "env"),
        ("bash: foo : commande introuvable", "env"),
        ("cat: x: Aucun fichier ou dossier de ce type", "env"),
        ("cat: x: No existe el archivo o el directorio", "env"),
        ("bash: foo: orden no encontrada", "env"),
        ("cat: x: Arquivo ou diretório inexistente", "env"),
        ("cat: x: File o directory non esistente", "env"),
        ("ls: 无法访问 'x': 没有那个文件或目录", "env"),
        ("bash: foo: 未找到命令", "env"),
        ("错误: 文件不存在", "env"),
        ("cat: x: そのようなファイルやディレクトリはありません", "env"),
        ("bash: foo: コマンドが見つかりません", "env"),
        ("cat: x: Нет такого файла или каталога", "env"),
        ("Fehler: Der Dienst ist vorübergehend nicht verfügbar", "provider_error"),
        ("Le service est temporairement indisponible", "provider_error"),
        ("El servicio no está disponible temporalmente", "provider_error"),
        ("错误: 服务暂时不可用", "provider_error"),
        ("サービスは一時的に利用できません", "provider_error"),
        ("El usuario canceló la operación", "user_aborted"),
        ("Vom Benutzer abgebrochen", "user_aborted"),
        ("L'utilisateur a annulé la demande", "user_aborted"),
        ("错误: 用户取消了操作", "user_aborted"),
        ("ユーザーによってキャンセルされました", "user_aborted"),
        # Whose words these are says nothing of what became of the call.
        ("Ungültiges Passwort für den Benutzer", "unknown"),
        ("The request failed schema validation: path is required", "invalid_arguments"),
        ("request failed validation", "invalid_arguments"),
        ("Ungültiges Argument: path fehlt", "invalid_arguments"),
        ("Pflichtparameter path fehlt", "invalid_arguments"),
        ("Paramètre manquant : path", "invalid_arguments"),
        ("Argument invalide : path", "invalid_arguments"),
        ("El parámetro path es obligatorio", "invalid_arguments"),
        ("O parâmetro path é obrigatório", "invalid_arguments"),
        ("Parametro mancante: path", "invalid_arguments"),
        ("Ontbrekende parameter path", "invalid_arguments"),
        ("无效的参数: path", "invalid_arguments"),
        ("错误:参数path不能为空", "invalid_arguments"),
        ("不正な引数: path", "invalid_arguments"),
        ("必須パラメータが不足しています: path", "invalid_arguments"),
        ("잘못된 인수: path", "invalid_arguments"),
        ("Неверный аргумент: path", "invalid_arguments"),
        ("Ungültiger API-Schlüssel", "unknown"),
        ("请求超时", "timeout"),
        ("Zeitüberschreitung der Anforderung", "timeout"),
        ("很抱歉服务暂时不可用", "provider_error"),
    ],
)
def test_what_systems_say_in_other_languages(told: str, error: str) -> None:
    """The shell, the network and harnesses of people whose machines are not English."""
    assert classify_error(told) == {"env": "unexpected_environment"}.get(error, error)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ("AssertionError: expected 'service unavailable' to equal 'ok'", "unknown"),
        ("AssertionError: expected status code 503 to equal 200", "unknown"),
        ("E   assert 'connection refused' == 'ok'", "unknown"),
        # A word more hides no fault of the model's own.
        ("cat: x: No such file or directory\nAssertionError", "unexpected_environment"),
        ("MCP error -32602: AssertionError", "invalid_arguments"),
        ('expect(received).toBe(expected)\nReceived: "service unavailable"', "unknown"),
        ('a_test.go:3: got "connection refused", want "ok"', "unknown"),
        ("ValueError: invalid literal for int(): 'timeout'", "unknown"),
        ("KeyError: 'service unavailable'", "unknown"),
        ('{"error": "KeyError: \'rate limit\'"}', "unknown"),
        ("TypeError: Cannot read properties of undefined (reading 'timeout')", "unknown"),
        ("Error: unknown tool 'service unavailable'", "invalid_arguments"),
        ("Error: file 'connection refused.txt' not found", "unexpected_environment"),
        # What holds nothing but a quotation says what that says; so does an error inside an error.
        ('Error: "Service unavailable"', "provider_error"),
        ("RuntimeError: ('Service unavailable',)", "provider_error"),
        ('{"error": "service unavailable"}', "provider_error"),
        ('Error: request failed: {"status": 404, "message": "x"}', "unexpected_environment"),
        ("APIStatusError: {'error': {'type': 'overloaded_error'}}", "provider_error"),
        ("ConnectionError: ('Aborted.', RemoteDisconnected('closed'))", "provider_error"),
    ],
)
def test_what_an_error_quotes_is_data(told: str, error: ErrorClass) -> None:
    """Its own name and words win: a test about outages that fails is none, and excuses nobody."""
    assert classify_error(told) == error


def test_numbers_that_are_no_codes_say_nothing() -> None:
    """A line, a port, a count, or a number of a longer one is no status."""
    assert classify_error("Error on line 503 of 1404") == "unknown"
    assert classify_error("Error: sum is 429.5, not -32602.7") == "unknown"
    assert classify_error('{"error": "boom", "code": true}') == "unknown"


def test_a_long_result_is_read_at_both_ends() -> None:
    """An error stands at the beginning or, of a command, at the end; the middle is its output."""
    log = "compiled a file\n" * 1000
    assert classify_error(f"Error:\n{log}\nENOSPC") == "provider_error"
    assert classify_error(f"Error:\n{log}ENOSPC\n{log}") == "unknown"


def test_every_rule_has_a_labelled_result_of_its_own() -> None:
    """Each rule, left out, would leave some result classed otherwise: none of them is dead."""
    for rule, names, texts in rules():
        labelled = CASES[rule.error_class]
        assert rule.why
        assert any(texts.search(text.lower()) for text in labelled) or any(
            name in text for name in names for text in labelled
        ), rule.why
