"""The shape of the house: imports follow the data, folders stay flat, all of it ships.

Events become episodes, rewards, candidates, rollouts: streams > rewards > learner > ops. A folder
may import only the nouns of the folders before it; daemon/ wires the rest together.
"""

import ast
import configparser
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STREAMS = {
    *("streams.bounds", "streams.signals", "streams.event"),
    *("streams.episode", "streams.transaction", "streams.source"),
}
NOUNS = STREAMS | {"rewards.reward", "learner.candidate"}
MAY_IMPORT = {
    "streams": set[str](),
    "kernels": set[str](),
    "rewards": STREAMS,
    "learner": STREAMS | {"rewards.reward", "kernels"},
    "ops": NOUNS,
    "daemon": {"streams", "rewards", "learner", "ops"},
}
NOUNS_MAY_USE = {*sys.stdlib_module_names, "msgspec"}
BANNED = {"utils", "util", "common", "base", "helpers", "helper", "misc", "types"}
FILE_LINES = 260
FUNCTION_LINES = 50
KERNEL_LINES, KERNEL_FUNCTION_LINES = 320, 110
"""The aim is 200 and 40; beyond these two a room or a function does more than one thing. A kernel may be longer."""


def rooms() -> list[Path]:
    return [path for folder in MAY_IMPORT for path in sorted((ROOT / folder).glob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Yield what a room imports; from `..rewards.reward` it is `rlwd.rewards.reward`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from (f"{path.parent.name}.{name}" for name in targets(node))
        elif isinstance(node, ast.ImportFrom):
            yield from (f"rlwd.{name}" for name in targets(node))


def targets(node: ast.ImportFrom) -> list[str]:
    """Return the rooms that a relative import reaches: `from ..ops import gate` is `ops.gate`."""
    deep = node.module is not None and (node.level == 1 or "." in node.module)
    prefix = node.module or ""
    if deep:
        return [prefix]
    return [f"{prefix}.{alias.name}".lstrip(".") for alias in node.names]


def wrong_imports(path: Path, allowed: set[str]) -> list[str]:
    return [
        f"{path.parent.name}/{path.name} imports {module}"
        for top, _, module in (name.partition(".") for name in imports(path))
        if top == "rlwd" and not {module, module.partition(".")[0]} & allowed
    ]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_follow_the_data(folder: str) -> None:
    """Only daemon/ may reach behaviour in another folder, and never against the flow."""
    paths = sorted((ROOT / folder).glob("*.py"))
    assert paths
    assert [line for path in paths for line in wrong_imports(path, MAY_IMPORT[folder])] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("from ..streams.episode import Episode", 0),
        ("from ..streams import store", 1),
        ("from ..streams.store import Store", 1),
        ("from ..learner.candidate import Candidate", 1),
        ("import rlwd.daemon.control.loop", 1),
        ("from .spec import Spec", 0),
        ("def late():\n    from ..ops.gate import judge", 1),
    ],
)
def test_the_rule_finds_what_breaks_it(tmp_path: Path, text: str, wrong: int) -> None:
    """A planted import in rewards/ is found, in any spelling and depth."""
    path = tmp_path / "room.py"
    path.write_text(text)
    assert len(wrong_imports(path, MAY_IMPORT["rewards"])) == wrong


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_a_noun_needs_hardly_anything(noun: str) -> None:
    """A guardrail or a replay tool can name an Episode without importing torch."""
    path = ROOT / f"{noun.replace('.', '/')}.py"
    wrong = [
        module
        for module in imports(path)
        if module.partition(".")[0] not in NOUNS_MAY_USE
        and module.removeprefix("rlwd.") not in NOUNS
    ]
    assert wrong == []


def test_folders_are_flat_and_have_no_init() -> None:
    """An __init__.py would let kernels/ hide Hugging Face's kernels from transformers."""
    nested = [path for folder in MAY_IMPORT for path in (ROOT / folder).glob("*/*.py")]
    inits = [path for folder in MAY_IMPORT for path in (ROOT / folder).glob("__init__.py")]
    inits += list((ROOT / "tests").rglob("__init__.py"))
    assert nested + inits == []
    assert (ROOT / "__init__.py").exists(), "the root is the package"


def test_no_name_takes_anothers_place() -> None:
    """No room is named like a module of the standard library, nor after nothing in particular."""
    taken = [path for path in rooms() if path.stem in sys.stdlib_module_names | BANNED]
    assert taken == []


def test_tests_mirror_the_folders() -> None:
    """Who looks for a room's tests finds them under its folder's name."""
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders == {*MAY_IMPORT, "loop"}


def test_every_folder_ships() -> None:
    """A folder missing from setup.cfg works in an editable install and is absent in production."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = set(config["options"]["packages"].split())
    assert packages == {"rlwd", *(f"rlwd.{folder}" for folder in MAY_IMPORT)}
    mapped = dict(
        line.replace(" ", "").split("=")
        for line in config["options"]["package_dir"].strip().splitlines()
    )
    assert mapped == {"rlwd": ".", **{f"rlwd.{folder}": folder for folder in MAY_IMPORT}}


def test_typing_links_reach_the_folders() -> None:
    """mypy finds `rlwd` through .typing/; a broken link makes it check nothing and pass."""
    links = {folder: ROOT / ".typing" / "rlwd" / folder for folder in MAY_IMPORT}
    assert {folder: link.resolve() for folder, link in links.items()} == {
        folder: ROOT / folder for folder in MAY_IMPORT
    }


def test_rooms_are_small() -> None:
    """A file that is too long is two rooms."""
    long = {
        f"{path.parent.name}/{path.name}": lines
        for path in rooms()
        if (lines := len(path.read_text().splitlines()))
        > (KERNEL_LINES if path.parent.name == "kernels" else FILE_LINES)
    }
    assert long == {}


def test_functions_are_small() -> None:
    """A function that is too long does more than its name says."""
    long = {
        f"{path.parent.name}/{path.name}:{node.name}": length
        for path in rooms()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1)
        > (KERNEL_FUNCTION_LINES if path.parent.name == "kernels" else FUNCTION_LINES)
    }
    assert long == {}


@pytest.mark.parametrize("path", rooms(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_room_says_what_it_is(path: Path) -> None:
    """Every file begins with a docstring whose first line stands alone."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "`", ")", "?"))
