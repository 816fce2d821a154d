"""The config that ships has every key, is one that starts, and what it shows are the defaults."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from rlwd.daemon.config import Config, load_config
from rlwd.daemon.init.config_file import SHIPPED, config_text
from rlwd.daemon.init.setting_notes import every_key

FILE = Path(__file__).parents[2] / "ops" / "deploy" / "rlwd.toml"
HOW = "run `make docs`"


def leaves(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


def with_comments_taken(text: str) -> str:
    """Return a config with every default that it shows in a comment as if it stood there."""
    text = re.sub(r"^#(\[\[?[\w.]+\]\]?)$", r"\1", text, flags=re.MULTILINE)
    # A list of sections is left out: its own name is not given.
    text = text[: text.index("[[")] + text[text.index("\n\n", text.index("[[")) :]
    text = re.sub(r"^#\w+ =  # left .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^#(\w+ = .*)$", r"\1", text, flags=re.MULTILINE)
    # Clients need a token and the key that signs ids, specialists a tenant and adapters to divide; there
    # is no default of any.
    text = text.replace("tokens = []  # required", f'tokens = ["sha256:{"0" * 64}"]')
    text = text.replace("tenants = []  # required", 'tenants = ["t"]')
    text = text.replace("adapters = 0", "adapters = 12")
    return text.replace('user_key = ""', 'user_key = "k"')


def test_it_is_written_from_the_settings() -> None:
    """No key, default, bound or sentence of it is anybody's but the code's."""
    assert FILE.read_text() == config_text(SHIPPED), HOW


def test_it_has_every_key_and_its_explanation() -> None:
    """Each key stands in its section once, under a sentence of its own."""
    found, section, before = {}, "", ""
    for line in FILE.read_text().splitlines():
        if heading := re.fullmatch(r"#?\[([\w.]+|\[[\w.]+\])\]", line):
            section = heading[1]
        elif key := re.match(r"#?(\w+) = ", line):
            path = f"{section}.{key[1]}" if section else key[1]
            assert path not in found, path
            found[path] = before
        before = line
    assert list(found) == list(every_key())
    assert [key for key, above in found.items() if not above.startswith("## ")] == []


def test_what_is_shown_are_the_defaults() -> None:
    """Who takes every comment mark away has the same config as who takes none."""
    default = dict(
        leaves(msgspec.to_builtins(msgspec.convert({"learner": {"model": "m"}}, Config)))
    )
    shown = dict(leaves(tomllib.loads(with_comments_taken(FILE.read_text()))))
    other = {
        key: (value, default.get(key))
        for key, value in shown.items()
        if key not in {*SHIPPED, "gateway.user_key", "engine.adapters"}
        and ".NAME." not in f"{key}."
        and value != _plain(default.get(key))
    }
    assert other == {}
    assert len(shown) > 200


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_it_is_a_config(tmp_path: Path) -> None:
    """It loads as it is shipped, and with every default written out."""
    assert load_config(FILE).policy == "policy"
    whole = tmp_path / "rlwd.toml"
    whole.write_text(with_comments_taken(FILE.read_text()))
    assert load_config(whole).policy == "policy"
