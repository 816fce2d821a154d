"""Says what is wrong with a config file, with the path of the key, and the key that was meant."""

import difflib
import re
from typing import get_args, get_origin

import msgspec


def hint(problem: str, config: type[msgspec.Struct]) -> str:
    """Return the decoder's words in ours: a misspelt key gets its path and the nearest one."""
    unknown = re.search(r"unknown field `([^`]+)`(?: - at `\$\.?([^`]*)`)?", problem)
    if unknown is None:
        return problem.replace("`$.", "`")
    field, section = unknown[1], unknown[2] or ""
    near = difflib.get_close_matches(field, _fields(section, config), n=1)
    where = f"{section}.{field}" if section else field
    return f"{where}: unknown key" + (f"; did you mean {near[0]}?" if near else "")


def _fields(section: str, kind: type[msgspec.Struct]) -> list[str]:
    for name in filter(None, re.sub(r"\[[^\]]*\]", "", section).split(".")):
        found = {field.name: field.type for field in msgspec.structs.fields(kind)}[name]
        # A list of tables has the keys of its element, a table of names those of each.
        kind = get_args(found)[-1] if get_origin(found) is dict else found
        kind = get_args(found)[0] if get_origin(found) is tuple else kind
    return [field.name for field in msgspec.structs.fields(kind)]
