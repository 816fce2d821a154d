"""Specialist file: the config of a specialist, which says of itself only what it has otherwise than its parent."""

from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .bounds import check_values
from .callers.specialists import topic_of

FOLDER = "specialists"
"""In the parent's state folder: the states of its specialists, each of its name."""
_PARENTS = ("specialists", "clients", "gateway", "privacy", "state", "database", "erasures")
"""What all policies of one deployment have in common, or what follows from the name."""
_TOPICS = {
    "generations": "rlwd.generations",
    "feedback": "rlwd.feedback",
    "dead_letters": "rlwd.deadletter",
}

_FOLLOW = (
    *(f"stream.{key}" for key in _TOPICS),
    "stream.file",
    "stream.kafka.group_id",
    "engine.adapters",
)


def read_written(path: Path) -> dict[str, Any]:
    """Return what a config file says, over what its parent says where it names one.

    Raises OSError or ValueError, naming the key, for what cannot be read or is out of bounds.
    """
    written = _read(path)
    if not written.get("parent"):
        return written
    return _over_parent(written, _parent_of(written["parent"], path))


def _read(path: Path) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.toml.decode(path.read_bytes().removeprefix(BOM_UTF8))
    check_values(written)
    return written


def _parent_of(named: object, path: Path) -> dict[str, Any]:
    if not isinstance(named, str) or Path(named).name != named or named == path.name:
        raise ValueError("parent: the name of another config file in the same folder is needed")
    try:
        found = _read(path.with_name(named))
    except OSError as problem:
        raise ValueError(f"parent: {named}: {problem.strerror}") from problem
    except ValueError as problem:
        raise ValueError(f"parent: {named}: {problem}") from problem
    if found.get("parent"):
        raise ValueError(f"parent: {named}: is a specialist itself")
    return found


def _over_parent(own: Mapping[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
    """Return a specialist's whole config.

    Its topics, its state, its consumer group and its share of the engines' adapters follow from its name
    and its section; raises ValueError with the key where its own file says one of them.
    """
    name, sections = own.get("policy", ""), _section(parent, "specialists")
    if not isinstance(name, str) or name not in sections:
        raise ValueError(f"policy: {name!r} has no [specialists.{name}] in {own['parent']}")
    for key in _PARENTS:
        if key in own:
            raise ValueError(f"{key}: stands in {own['parent']}, for all policies; leave it out")
    for path in _FOLLOW:
        if _holds(own, path.split(".")):
            raise ValueError(
                f"{path}: follows from the policy's name and its section; leave it out"
            )
    if "port" not in _section(own, "http"):
        raise ValueError(f"http.port: a port of its own is needed beside that of {own['parent']}")
    state, stream = parent.get("state", "state"), _section(parent, "stream")
    of_parent = str(parent.get("policy", "policy"))
    derived: dict[str, Any] = {
        "state": f"{state}/{FOLDER}/{name}",
        "stream": {
            **{k: topic_of(stream.get(k, v), name, of_parent) for k, v in _TOPICS.items()},
            "file": stream.get("file") or f"{state}/log.db",
            "kafka": {"group_id": f"{_section(stream, 'kafka').get('group_id', 'rlwd')}.{name}"},
        },
        "gateway": {
            "policy": name,
            "flags": f"{state}/{FOLDER}/{name}/flags.json",
            "spool": _section(parent, "gateway").get("spool", f"{state}/spool"),
        },
        # The machine's log lines are the parent's to look at: of two, each line would be two issues.
        "triage": {"logs": []},
    }
    if experiment := _section(parent, "mlflow").get("experiment"):
        # Traces hold what people said.
        derived["mlflow"] = {"experiment": f"{experiment}/{name}"}
    for kind in ("generations", "feedback"):
        derived["gateway"][f"{kind}_topic"] = derived["stream"][kind]
    common = {key: value for key, value in parent.items() if key != "policy"}
    if _section(sections, name).get("consent") == "opt_in":
        common["privacy"] = _asked_first(_section(parent, "privacy"))
    return _merged(_merged(common, derived), own)


def _asked_first(privacy: Mapping[str, Any]) -> dict[str, Any]:
    """Return `[privacy]` for people who are asked before, whichever tenant they are of."""
    named = _section(privacy, "tenants")
    tenants = {name: {**_section(named, name), "consent": "opt_in"} for name in named}
    return {**privacy, "consent": "opt_in", "tenants": tenants}


def _section(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a section of a file, empty where it is not there. Raises ValueError where it is no section."""
    found = of.get(key, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{key}: is {found!r}, and a section is needed")
    return found


def _holds(of: Mapping[str, Any], path: Sequence[str]) -> bool:
    found: Any = of
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return False
        found = found[key]
    return True


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, sections key by key."""
    found = dict(under)
    for key, value in over.items():
        below = found.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            found[key] = _merged(below, value)
        else:
            found[key] = value
    return found
