"""Settings page: docs/settings.md, written from the settings' own fields, defaults and docstrings.

The config that ships, ops/deploy/rlwd.toml, is written by the same run, from the same records.

Run `PYTHONPATH=tests/support .venv/bin/python -m settings_page` after a change of any setting.
"""

import inspect
from pathlib import Path

from rlwd.daemon.config import Config
from rlwd.daemon.init.config_file import SHIPPED, config_text
from rlwd.daemon.init.setting_notes import (
    default_of,
    every_key,
    field_notes,
    sections,
    type_name,
)

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
SHIPPED_CONFIG = Path(__file__).parents[2] / "ops" / "deploy" / "rlwd.toml"

HEAD = """\
# Settings
Every key of `rlwd.toml`, its default and what it does. Relative paths are relative to the file's folder. A key that is misspelt, or out of its bounds, stops the start and is named. Written from the code by `tests/support/settings_page.py`; a test holds it up to date.
"""


def settings_page() -> str:
    """Return the page."""
    lines = [HEAD]
    for path, kind, fields in sections(Config):
        lines.append(f"## `[{path}]`" if path else "## Top of the file")
        lines += [" ".join((inspect.getdoc(kind) or "").split()), ""]
        notes = field_notes(kind)
        if fields:
            lines += ["| key | type | default | what it does |", "| --- | --- | --- | --- |"]
        for field in fields:
            note = notes.get(field.name, "").replace("|", "\\|")
            kind_name = type_name(field.type).replace("|", "\\|")
            lines.append(f"| `{field.name}` | {kind_name} | {default_of(field)} | {note} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def write_pages() -> None:
    """Write the page, and the config that ships."""
    PAGE.write_text(settings_page())
    SHIPPED_CONFIG.write_text(config_text(SHIPPED))


if __name__ == "__main__":
    write_pages()
    print(f"{PAGE}, {SHIPPED_CONFIG}: {len(every_key())} keys")
