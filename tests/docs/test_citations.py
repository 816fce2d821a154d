"""What the code cites exists: rules by number, and documents that are in the repository."""

import re
import subprocess
from os.path import normpath
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "contracts.md"
VLLM = ROOT / "docs" / "vllm.md"

_RULE = re.compile(r"(?:CONTRACTS|contracts\.md)((?:[ ,]+(?:(?:to|and) )?\d+\b)+)")
_VLLM = re.compile(r"vllm\.md (\d+)")
_PAGE = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)*[\w-]+\.md)\b")
_ELSEWHERE = re.compile(
    r"\b(?:\.\./)*shared/|\bDESIGN\.md|\brollout_ops \d|\bfaults\.md|\bhouse\.md"
)
THIS = Path(__file__).relative_to(ROOT)


def texts() -> dict[Path, str]:
    """Return every text file that the repository holds, by its path in it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    kept = (".py", ".md", ".toml", ".json", ".cfg", ".sh", ".service", ".yml", ".yaml", ".html")
    return {
        Path(name): (ROOT / name).read_text()
        for name in listed
        if name.endswith((*kept, "Makefile", "Containerfile"))
        and (ROOT / name).is_file()
        and not name.startswith(".typing")
    }


def rules(page: str) -> set[int]:
    """Return the numbers that the page gives its rules."""
    return {int(n) for n in re.findall(r"^(\d+)\. ", page, re.MULTILINE)}


def cited(text: str) -> set[int]:
    """Return the rules that a text cites; of `9 to 13` all of them."""
    found: set[int] = set()
    for numbers in _RULE.findall(text):
        found |= {int(n) for n in re.findall(r"\d+", numbers)}
        for first, last in re.findall(r"(\d+) to (\d+)", numbers):
            found |= set(range(int(first), int(last) + 1))
    return found


def missing_pages(texts: dict[Path, str]) -> list[str]:
    """Return the Markdown pages that are named and not there, each with who names it."""
    pages = {path for path in texts if path.suffix == ".md"}
    names = {page.name for page in pages} | {"REPORT.md"}
    return [
        f"{path}: {name}"
        for path, text in texts.items()
        for name in sorted(set(_PAGE.findall(text)))
        if Path(name).name not in names
        or ("/" in name and not {Path(name), Path(normpath(path.parent / name))} & pages)
    ]


def test_every_rule_that_is_cited_exists() -> None:
    """`CONTRACTS 17` leads to rule 17 of docs/contracts.md, and its rules are numbered in a row."""
    known = rules(RULES.read_text())
    assert known == set(range(1, len(known) + 1))
    wrong = {path: sorted(cited(text) - known) for path, text in texts().items() if path != THIS}
    assert {path: numbers for path, numbers in wrong.items() if numbers} == {}


def test_every_section_on_vllm_that_is_cited_exists() -> None:
    """`docs/vllm.md 5` leads to its section 5."""
    known = set(re.findall(r"^## (\d+)\. ", VLLM.read_text(), re.MULTILINE))
    wrong = {path: set(_VLLM.findall(text)) - known for path, text in texts().items()}
    assert {path: numbers for path, numbers in wrong.items() if numbers and path != THIS} == {}


def test_no_file_cites_a_page_that_is_not_here() -> None:
    """Every Markdown page that is named anywhere is in the repository."""
    everything = {path: text for path, text in texts().items() if path.parent != THIS.parent}
    assert missing_pages(everything) == []


def test_no_file_cites_a_place_outside() -> None:
    """Nothing leads to a folder or document that only its authors had."""
    wrong = {
        path: sorted(set(_ELSEWHERE.findall(text)))
        for path, text in texts().items()
        if path != THIS and _ELSEWHERE.search(text)
    }
    assert wrong == {}


def test_a_wrong_citation_is_found() -> None:
    """Planted: rule 99 alone and inside a list, a page that is nowhere, one in another folder."""
    assert cited("(CONTRACTS 99)") == {99}
    assert cited("(docs/contracts.md 3, 9 to 11 and 98)") == {3, 9, 10, 11, 98}
    planted = {
        Path("a.py"): "see nowhere.md and docs/vllm.md and ops/vllm.md",
        Path("docs/vllm.md"): "",
    }
    assert missing_pages(planted) == ["a.py: nowhere.md", "a.py: ops/vllm.md"]
    assert _ELSEWHERE.search("in ../shared/data") is not None
