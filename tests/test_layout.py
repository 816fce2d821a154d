"""The shape of the repository: imports run one way, groups are small and one level deep, all of it ships.

Events become episodes, rewards, candidates, rollouts: streams > rewards > learner > ops > daemon.
A folder imports only folders before it, and a group only what stands before it in `ORDER`.
"""

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("kernels", "streams", "rewards", "learner", "ops", "daemon")
ORDER: tuple[tuple[str, ...], ...] = (
    ("streams/exception_text",),
    (
        "kernels",
        "streams/authorities",
        "streams/ending_signals",
        "streams/logs",
        "streams/quick_imports",
        "streams/routed_experts",
        "streams/secret_values",
    ),
    ("streams/events", "streams/extensions", "streams/state"),
    ("streams/log", "streams/answers", "streams/derived", "streams/sessions", "streams/readings"),
    ("streams/redaction", "streams/attribution"),
    ("streams/join",),
    ("streams/rescore",),
    ("streams/schemas", "streams/traces", "streams/open"),
    ("streams/readers",),
    ("streams/writers",),
    ("rewards/behaviours",),
    ("rewards/parts",),
    ("rewards/costs",),
    ("rewards/spec",),
    ("rewards/trust",),
    ("rewards/satisfaction",),
    ("learner/health", "learner/trust_region"),
    (
        "learner/base_weights",
        "learner/digests",
        "learner/drift_settings",
        "learner/installed",
        "learner/lane_settings",
        "learner/replay_settings",
        "learner/service_settings",
        "learner/spelt_tokens",
        "learner/yield_settings",
    ),
    ("learner/settings",),
    ("learner/made_with", "learner/pulls", "learner/ranks", "learner/sealed"),
    ("learner/candidate", "learner/chains"),
    (
        "learner/benchmark_people",
        "learner/concordance",
        "learner/drawn_people",
        "learner/mixture",
    ),
    ("learner/estimators", "learner/ledger", "learner/open_models", "learner/tiny"),
    ("learner/train",),
    ("learner/checkpoint", "learner/lanes"),
    ("learner/service", "learner/staying"),
    ("learner/process", "learner/rebuild"),
    ("ops/flags", "ops/servers", "ops/embedded", "ops/reading"),
    ("ops/engine",),
    ("ops/rates", "ops/router"),
    ("ops/statistics", "ops/tool_errors"),
    ("ops/gate",),
    ("ops/stages",),
    ("ops/drift",),
    ("ops/problem_groups",),
    ("ops/triage",),
    ("ops/benchmark",),
    ("ops/rollout",),
    ("ops/experiments", "ops/holdout", "ops/looks"),
    ("ops/tracking",),
    ("ops/workload",),
    ("daemon/charts", "daemon/explain", "daemon/http", "daemon/supervisor"),
    ("daemon/callers", "daemon/capture", "daemon/engines", "daemon/spool"),
    ("daemon/status", "daemon/telemetry"),
    ("daemon/audit", "daemon/doors", "daemon/workers"),
    ("daemon/gateway",),
    ("daemon/exit_status", "daemon/number_bounds", "daemon/shown_json"),
    ("daemon/bounds", "daemon/config_hint", "daemon/sections"),
    ("daemon/anchored", "daemon/specialist_file"),
    ("daemon/config",),
    ("daemon/by_hand", "daemon/control", "daemon/own_part", "daemon/places", "daemon/store"),
    ("daemon/began_with", "daemon/erasures", "daemon/lists", "daemon/parent"),
    ("daemon/views",),
    ("daemon/site", "daemon/wire_log", "daemon/wire_reading", "daemon/wire_release"),
    ("daemon/wire",),
    ("daemon/backup", "daemon/benchmarks", "daemon/init", "daemon/keep", "daemon/worlds"),
    ("daemon/commands", "daemon/demo"),
    ("daemon/hacks",),
    ("daemon/doctor", "daemon/experiments", "daemon/rewards", "daemon/triage"),
    ("daemon/profile",),
    ("daemon/cli_by_hand", "daemon/cli_demo"),
    ("daemon/cli_experiments", "daemon/cli_state"),
    ("daemon/cli",),
    ("daemon/__main__",),
)
"""Lower first. What stands on one line does not import its neighbours; kernels is the learner's alone."""
LEVEL = {unit: level for level, units in enumerate(ORDER) for unit in units}
BANNED = {"utils", "util", "common", "base", "helpers", "helper", "misc", "types"}
GROUP_FILES = (2, 16)
FILE_LINES = 260
FUNCTION_LINES = 50
KERNEL_LINES, KERNEL_FUNCTION_LINES = 320, 110
"""The aim is 200 and 40; beyond these a file or a function does more than one thing. A kernel may be longer."""

APART = {".", "loop", "bench", "chaos", "support", "examples", "docs", "upgrades", "simulation"}
"""Folders of tests that are about no group."""
ALIASES = {"__main__": {"rlwd"}, "cli": {"command"}, "dedup": {"duplication"}, "seal": {"sealing"}}
"""What the title of a file may say that is not named after its noun."""


def source_files(root: Path = ROOT) -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]


def unit_of(module: str) -> str:
    """Return the group that a dotted module stands in, or the file where it stands in none.

    >>> unit_of("rlwd.streams.join.joiner"), unit_of("rlwd.daemon.wire"), unit_of("rlwd.kernels.sweep")
    ('streams/join', 'daemon/wire', 'kernels')
    """
    parts = module.split(".")[1:]
    for unit in ("/".join(parts[:2]), parts[0]):
        if unit in LEVEL:
            return unit
    return "/".join(parts[:2])


class Read(NamedTuple):
    """What the rules ask of a file."""

    title: str
    """First line of its docstring."""
    imported: tuple[tuple[int, str, tuple[str, ...]], ...]
    """Level, module and names of each import, wherever it stands; a plain one has no names."""
    functions: tuple[tuple[str, int], ...]
    """Names with their lengths in lines."""
    classes: tuple[str, ...]
    """Names of those at the top."""


@cache
def read(text: str) -> Read:
    """Parse a file once for all rules."""
    tree = ast.parse(text)
    imported, functions = list[tuple[int, str, tuple[str, ...]]](), list[tuple[str, int]]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            imported.append((node.level, node.module or "", names))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append((node.name, (node.end_lineno or 0) - node.lineno + 1))
    title = (ast.get_docstring(tree) or "").partition("\n")[0]
    classes = tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef))
    return Read(title, tuple(imported), tuple(functions), classes)


def imports(path: Path, root: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, as absolute names, wherever the import stands."""
    package = ["rlwd", *path.relative_to(root).parts[:-1]]
    for level, named, names in read(path.read_text(encoding="utf-8")).imported:
        above = package[: len(package) - level + 1] if level else []
        module = ".".join([*above, *([named] if named else [])])
        if names and (module == "rlwd" or module.startswith("rlwd.")):
            yield from (f"{module}.{name}" for name in names)
        elif not names and module.startswith("rlwd."):
            yield module


def wrong_imports(path: Path, root: Path = ROOT) -> list[str]:
    me = unit_of(".".join(["rlwd", *path.relative_to(root).with_suffix("").parts]))
    return [
        f"{path.relative_to(root)} imports {module}"
        for module in imports(path, root)
        if (target := unit_of(module)) != me and not may_import(me, target)
    ]


def may_import(unit: str, target: str) -> bool:
    if target == "kernels":
        return unit.startswith("learner/")
    return unit in LEVEL and target in LEVEL and LEVEL[target] < LEVEL[unit]


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_one_way(folder: str) -> None:
    """No folder and no group imports what stands beside it or after it."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    assert [line for path in paths for line in wrong_imports(path)] == []


@pytest.mark.parametrize(
    ("file", "text", "wrong"),
    [
        ("rewards/spec/part.py", "from ...streams.events.episode import Episode", 0),
        ("rewards/spec/part.py", "from .spec import Spec", 0),
        ("rewards/spec/part.py", "from ...learner.candidate import Candidate", 1),
        ("rewards/spec/part.py", "import rlwd.daemon.control.loop", 1),
        ("rewards/spec/part.py", "def late():\n    from ...ops.statistics.gate import judge", 1),
        ("rewards/spec/part.py", "from ...kernels.sweep import Sweep", 1),
        ("learner/train/loss.py", "from ...kernels.sweep import Sweep", 0),
        ("streams/log/sink.py", "from ..events.event import Event", 0),
        ("streams/log/sink.py", "from ..join import joiner", 1),
        ("streams/join/dedup.py", "from .joiner import Joiner", 0),
        ("streams/traces/recorded.py", "from ..schemas.schema import SCHEMAS", 1),
        ("streams/readers/chat.py", "from ..unheard.of import it", 1),
        ("ops/rollout/gate.py", "from ...daemon.config import Config", 1),
        ("daemon/demo/run.py", "from ..commands.audit import audit", 1),
        ("daemon/demo/run.py", "from ..wire import state_store", 0),
    ],
)
def test_the_rule_finds_what_breaks_it(tmp_path: Path, file: str, text: str, wrong: int) -> None:
    """A planted import against the order of folders or of groups is found, in any spelling and depth."""
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert len(wrong_imports(path, tmp_path)) == wrong


def circles(root: Path) -> list[str]:
    """Return the files that reach themselves through what they import at the top level of a group."""
    names = {
        ".".join(["rlwd", *p.relative_to(root).with_suffix("").parts]): p
        for p in source_files(root)
    }
    reach = {
        name: {found for found in (longest(one, names) for one in imports(path, root)) if found}
        for name, path in names.items()
    }
    while True:
        grown = {name: seen.union(*(reach[one] for one in seen)) for name, seen in reach.items()}
        if grown == reach:
            return sorted(name for name, seen in reach.items() if name in seen)
        reach = grown


def longest(module: str, names: dict[str, Path]) -> str | None:
    """Return the file that an imported name stands in."""
    return next((one for one in (module, module.rpartition(".")[0]) if one in names), None)


def test_no_file_imports_itself_through_others() -> None:
    """Inside a group, too, there is no circle."""
    assert circles(ROOT) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    """Two planted files that import each other are both named."""
    folder = tmp_path / "streams" / "log"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("from .b import one")
    (folder / "b.py").write_text("def late():\n    from . import a")
    assert circles(tmp_path) == ["rlwd.streams.log.a", "rlwd.streams.log.b"]


def groups(root: Path = ROOT) -> list[Path]:
    return sorted(
        path
        for folder in FOLDERS
        for path in (root / folder).iterdir()
        if path.is_dir() and any(path.rglob("*.py"))
    )


def wrong_groups(root: Path = ROOT) -> list[str]:
    least, most = GROUP_FILES
    wrong = [
        f"{group.relative_to(root)} holds {count} files"
        for group in groups(root)
        if not least
        <= (count := sum(p.suffix == ".py" or p.suffix == ".json" for p in group.iterdir()))
        <= most
    ]
    deep = [p for folder in FOLDERS for p in (root / folder).glob("*/*/**/*.py")]
    inits = [p for folder in FOLDERS for p in (root / folder).rglob("__init__.py")]
    return wrong + [f"{path.relative_to(root)} may not stand there" for path in deep + inits]


def test_groups_are_small_and_one_level_deep() -> None:
    """A group has 2 to 16 files and no groups inside; an __init__.py would hide Hugging Face's kernels."""
    assert wrong_groups() == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    assert (ROOT / "__init__.py").exists(), "the root is the package"


def test_a_wrong_group_is_found(tmp_path: Path) -> None:
    """A group of one, one of seventeen, one inside another and an __init__.py are each named."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    planted = ["streams/lone/only.py", "ops/deep/in/side.py", "ops/deep/a.py", "ops/deep/b.py"]
    planted += [f"daemon/crowd/f{number}.py" for number in range(17)]
    planted += ["kernels/__init__.py"]
    for name in planted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert wrong_groups(tmp_path) == [
        "daemon/crowd holds 17 files",
        "streams/lone holds 1 files",
        "ops/deep/in/side.py may not stand there",
        "kernels/__init__.py may not stand there",
    ]


def units(root: Path) -> set[str]:
    return {
        unit_of(".".join(["rlwd", *p.relative_to(root).with_suffix("").parts]))
        for p in source_files(root)
    }


def test_every_group_has_its_place() -> None:
    """A new group or file at the top of a folder is put into the order, and none is left over."""
    assert units(ROOT) == set(LEVEL)


def wrong_names(root: Path) -> list[str]:
    taken = sys.stdlib_module_names | BANNED
    return [str(p.relative_to(root)) for p in source_files(root) if p.stem in taken]


def test_no_name_takes_anothers_place() -> None:
    """No file is named like a module of the standard library, nor after nothing in particular."""
    assert wrong_names(ROOT) == []


def unmirrored(root: Path) -> set[str]:
    known = {str(group.relative_to(root)) for group in groups(root)} | set(FOLDERS)
    folders = {
        str(p.parent.relative_to(root / "tests")) for p in (root / "tests").rglob("test_*.py")
    }
    return folders - known - APART


def test_tests_mirror_the_folders() -> None:
    """Who looks for a file's tests finds them under its group's name."""
    assert unmirrored(ROOT) == set()


def unshipped(root: Path) -> set[str]:
    """Return the differences between the groups that are there and what setup.cfg lists and maps."""
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg")
    names = [*FOLDERS, *(str(group.relative_to(root)) for group in groups(root))]
    wanted = {"rlwd": ".", **{f"rlwd.{name.replace('/', '.')}": name for name in names}}
    listed = set(config["options"]["packages"].split())
    mapped = dict(
        line.replace(" ", "").split("=")
        for line in config["options"]["package_dir"].strip().splitlines()
    )
    return (set(wanted) ^ listed) | {name for name, _ in wanted.items() ^ mapped.items()}


def test_every_group_ships() -> None:
    """A group missing from setup.cfg works in an editable install and is absent in production."""
    assert unshipped(ROOT) == set()


def test_typing_links_reach_the_folders() -> None:
    """mypy finds `rlwd` through .typing/; a broken link makes it check nothing and pass."""
    links = {folder: ROOT / ".typing" / "rlwd" / folder for folder in FOLDERS}
    assert {folder: link.resolve() for folder, link in links.items()} == {
        folder: ROOT / folder for folder in FOLDERS
    }


def long_files(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): lines
        for path in source_files(root)
        if (lines := len(path.read_text().splitlines()))
        > (KERNEL_LINES if path.parent.name == "kernels" else FILE_LINES)
    }


def test_files_are_small() -> None:
    """A file that is too long is two."""
    assert long_files(ROOT) == {}


def long_functions(root: Path) -> dict[str, int]:
    return {
        f"{path.relative_to(root)}:{name}": length
        for path in source_files(root)
        for name, length in read(path.read_text()).functions
        if length > (KERNEL_FUNCTION_LINES if path.parent.name == "kernels" else FUNCTION_LINES)
    }


def test_functions_are_small() -> None:
    """A function that is too long does more than its name says."""
    assert long_functions(ROOT) == {}


def shared_names(root: Path) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for path in source_files(root):
        for name in read(path.read_text()).classes:
            if not name.startswith("_"):
                places.setdefault(name, []).append(str(path.relative_to(root)))
    return {name: where for name, where in places.items() if len(where) > 1}


def test_a_class_name_is_used_once() -> None:
    """One name, one thing: no two files define a public class of the same name."""
    assert shared_names(ROOT) == {}


def words(text: str) -> set[str]:
    """Return the words of a title or a file name, as singulars: `HttpEngines` has http and engine."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()
    return {word.rstrip("s") for word in re.findall(r"[a-z]+", apart)}


def untitled(root: Path) -> list[str]:
    """Return files whose docstring does not begin with a line that stands alone and names the file."""
    wrong = []
    for path in source_files(root):
        first = read(path.read_text()).title
        title, place = first.partition(":")[0], path.relative_to(root)
        named = words(path.stem) | words(path.parent.name) | ALIASES.get(path.stem, set())
        if not first.endswith((".", ":", "`", ")", "?")) or not words(title) & named:
            wrong.append(str(place))
    return wrong


def test_a_file_says_what_it_is() -> None:
    """Every file begins with a line that stands alone, and whose title the file is named after."""
    assert untitled(ROOT) == []


def test_every_other_rule_finds_what_breaks_it(tmp_path: Path) -> None:
    """Planted: names, lengths, titles, a group that does not ship, a test beside its group."""
    lines = "x = 1\n"
    planted = {
        "ops/flags/utils.py": '"""Utils: anything."""\n',
        "ops/flags/queue.py": '"""Queue: takes the place of Python\'s own."""\n',
        "ops/flags/long.py": '"""Long: has too many lines."""\n' + FILE_LINES * lines,
        "ops/flags/deep.py": '"""Deep: f is too long."""\ndef f():\n' + 50 * f"    {lines}",
        "ops/lone/one.py": '"""One: a name that two has too."""\nclass Twin: ...\n',
        "ops/lone/two.py": '"""Two: a name that one has too."""\nclass Twin: ...\n',
        "ops/lone/parking.py": '"""OversizeSink: was renamed, and its title was not."""\n',
        "ops/lone/silent.py": "",
        "tests/ops/lane/test_one.py": "",
        "setup.cfg": "[options]\npackages =\n    rlwd.ops.gone\npackage_dir =\n    rlwd = .\n",
    }
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    for name, text in planted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert wrong_names(tmp_path) == ["ops/flags/queue.py", "ops/flags/utils.py"]
    assert long_files(tmp_path) == {"ops/flags/long.py": FILE_LINES + 1}
    assert long_functions(tmp_path) == {"ops/flags/deep.py:f": 51}
    assert shared_names(tmp_path) == {"Twin": ["ops/lone/one.py", "ops/lone/two.py"]}
    assert untitled(tmp_path) == ["ops/lone/parking.py", "ops/lone/silent.py"]
    assert unmirrored(tmp_path) == {"ops/lane"}
    assert {"rlwd.ops.gone", "rlwd.ops.lone"} <= unshipped(tmp_path)
    assert units(tmp_path) - set(LEVEL) == {"ops/lone"}


def test_the_pages_show_the_order() -> None:
    """ARCHITECTURE.md names each group and file of the order in its folder's row, lower ones first."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    shown = re.findall(r"^\| `(\w+)/` \| (.+) \|$", page, re.MULTILINE)
    assert [folder for folder, _ in shown] == [
        "streams",
        "rewards",
        "learner",
        "kernels",
        "ops",
        "daemon",
    ]
    for folder, cell in shown:
        steps = [re.findall(r"`([\w.]+)`", step) for step in cell.partition(" (")[0].split(";")]
        found = [
            {f"{folder}/{name.removesuffix('.py')}" for name in step} for step in steps if step
        ]
        levels = [{unit for unit in step if unit.startswith(f"{folder}/")} for step in ORDER]
        assert found == [step for step in levels if step], folder


def test_the_pages_show_every_table() -> None:
    """ARCHITECTURE.md has each table of the state database in the row of the folder that makes it."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for folder in ("streams", "learner", "ops"):
        text = "".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))
        made = set(re.findall(r"CREATE TABLE (\w+)", text))
        for old, name in re.findall(r"ALTER TABLE (\w+) RENAME TO (\w+)", text):
            made = made - {old} | {name}
        rows = re.findall(rf"^\| ((?:`\w+`(?:, )?)+) \| `{folder}/` \|", page, re.MULTILINE)
        assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == made - {"IF"}
