"""Links and paths on the pages lead somewhere: files, headings, and code named in backticks."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("daemon", "docs", "examples", "kernels", "learner", "ops", "rewards", "streams", "tests")
PAGES = sorted(
    path
    for folder in (".", *FOLDERS)
    for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
    if path.name != "CHANGELOG.md"
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PLACEHOLDER = re.compile(r"(?:^|/)[A-Z]+(?:/|$)")
_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
_MAKE = re.compile(r"(?:`|^)(?:[A-Z_]+=\S+ )*make ([a-z][a-z-]*)", re.MULTILINE)


def anchors(page: str) -> set[str]:
    """Return the anchors that a page's headings make."""
    heads = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def broken(path: Path, page: str) -> list[str]:
    """Return what a page names and is not there."""
    wrong = []
    for link in _LINK.findall(page):
        if re.match(r"https?:|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            wrong.append(link)
    named = [one for one in _PATH.findall(page) if not _PLACEHOLDER.search(one)]
    return wrong + [one for one in named if not (ROOT / one).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_names_is_there(path: Path) -> None:
    """Every link, anchor and path of the repository on the page exists."""
    assert broken(path, path.read_text()) == []


def test_the_index_has_every_page() -> None:
    """docs/README.md links to whatever lies in docs/."""
    listed = set(_LINK.findall((ROOT / "docs" / "README.md").read_text()))
    there = {path.name + "/" * path.is_dir() for path in (ROOT / "docs").iterdir()}
    assert there - {"README.md"} <= listed


def test_a_broken_link_is_found() -> None:
    """Planted: a page, an anchor and a path that are not there; and ones that are."""
    planted = "[a](nowhere.md) [b](README.md#nothing) `ops/nothing.py` [c](README.md) `ops/`"
    assert broken(ROOT / "X.md", planted) == ["nowhere.md", "README.md#nothing", "ops/nothing.py"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_says_to_make_can_be_made(path: Path) -> None:
    """Every `make NAME` on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(_MAKE.findall(path.read_text())) - targets == set()
