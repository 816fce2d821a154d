"""Specialist file: the config of a specialist, which says of itself only what it has otherwise than its parent."""

from codecs import BOM_UTF8
from collections.abc import Mapping
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


def read_written(path: Path) -> dict[str, Any]:
    """Return what a config file says, over what its parent says where it names one.

    Raises OSError or ValueError, naming the key, for what cannot be read or is out of bounds.
    """
    written: dict[str, Any] = msgspec.toml.decode(path.read_bytes().removeprefix(BOM_UTF8))
    check_values(written)
    if not written.get("parent"):
        return written
    return _over_parent(written, _parent_of(written["parent"], path))


def _parent_of(named: object, path: Path) -> dict[str, Any]:
    if not isinstance(named, str) or Path(named).name != named or named == path.name:
        raise ValueError("parent: the name of another config file in the same folder is needed")
    try:
        found = read_written(path.with_name(named))
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
    name = own.get("policy", "")
    sections = parent.get("specialists", {})
    if not isinstance(sections, Mapping) or name not in sections:
        raise ValueError(f"policy: {name!r} has no [specialists.{name}] in {own['parent']}")
    for key in _PARENTS:
        if key in own:
            raise ValueError(f"{key}: stands in {own['parent']}, for all policies; leave it out")
    if "port" not in own.get("http", {}):
        raise ValueError(f"http.port: a port of its own is needed beside that of {own['parent']}")
    state, stream = parent.get("state", "state"), parent.get("stream", {})
    of_parent = str(parent.get("policy", "policy"))
    derived: dict[str, Any] = {
        "state": f"{state}/{FOLDER}/{name}",
        "stream": {
            **{k: topic_of(stream.get(k, v), name, of_parent) for k, v in _TOPICS.items()},
            "file": stream.get("file") or f"{state}/log.db",
            "kafka": {"group_id": f"{stream.get('kafka', {}).get('group_id', 'rlwd')}.{name}"},
        },
        "gateway": {
            "policy": name,
            "flags": f"{state}/{FOLDER}/{name}/flags.json",
            "spool": parent.get("gateway", {}).get("spool", f"{state}/spool"),
        },
        # The machine's log lines are the parent's to look at: of two, each line would be two issues.
        "triage": {"logs": []},
    }
    for kind in ("generations", "feedback"):
        derived["gateway"][f"{kind}_topic"] = derived["stream"][kind]
    common = {key: value for key, value in parent.items() if key != "policy"}
    if sections[name].get("consent") == "opt_in":
        common["privacy"] = _asked_first(parent.get("privacy", {}))
    return _merged(_merged(common, derived), own)


def _asked_first(privacy: Mapping[str, Any]) -> dict[str, Any]:
    """Return `[privacy]` for people who are asked before, whichever tenant they are of."""
    tenants = {k: {**v, "consent": "opt_in"} for k, v in privacy.get("tenants", {}).items()}
    return {**privacy, "consent": "opt_in", "tenants": tenants}


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
