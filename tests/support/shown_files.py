"""Shown files: pages of docs/ that show files of examples/ hold their very text.

Run `PYTHONPATH=tests/support .venv/bin/python -m shown_files` after a change of an example.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "connect.md",)

_PLACE = re.compile(r"<!-- file: (\S+) -->\n.*?<!-- /file -->", re.DOTALL)
_LANGUAGE = {".py": "python", ".mjs": "js", ".sh": "sh", ".toml": "toml", ".json": "json"}


def with_files(page: str) -> str:
    """Return the page with the files that it shows as they are now."""

    def shown(place: re.Match[str]) -> str:
        path = ROOT / place[1]
        text = path.read_text().rstrip()
        return (
            f"<!-- file: {place[1]} -->\n`{place[1]}`:\n\n"
            f"```{_LANGUAGE[path.suffix]}\n{text}\n```\n<!-- /file -->"
        )

    return _PLACE.sub(shown, page)


def files_shown(page: str) -> set[str]:
    """Return the paths of the files that a page shows."""
    return {place[1] for place in _PLACE.finditer(page)}


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(with_files(path.read_text()))
        print(path)
