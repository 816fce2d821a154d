"""Anchored: sections of the config with their paths made absolute, and what follows from other sections."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import msgspec

from ..learner.settings import LearnerSettings
from ..ops.reading.settings import LEAST_KEY, SatisfactionSettings
from ..ops.router.settings import RouterSettings
from ..ops.statistics.answers import ComparisonSettings
from ..ops.statistics.gate import GateSettings
from ..ops.triage.settings import TriageSettings
from ..streams.log.kafka_security import FILES
from ..streams.secret_values import FILE, anchored, read_secret
from .gateway.settings import GatewaySettings
from .sections import StreamSettings

ENVELOPE_BYTES = 10_000
"""More than a record's key and framing take."""


SECRETS = (
    "http.token",
    "http.flags_key",
    "engine.token",
    "gateway.token",
    "gateway.engine_token",
    "gateway.user_key",
    "gateway.flags_token",
    "gateway.flags_key",
    "triage.webhook",
    "triage.token",
)
"""Keys whose value may name where the secret is; `database` and `stream.kafka.security` too."""


def secrets_of(section: str) -> list[str]:
    """Return the keys of a section whose value may name where the secret is."""
    found = (name.partition(".") for name in SECRETS)
    return [key for owner, _, key in found if owner == section]


def with_secrets(given: msgspec.Struct, section: str) -> msgspec.Struct:
    """Return a section with its secrets in place of what names them.

    Raises ValueError with the key whose secret is not there.
    """
    found = {
        key: read_secret(f"{section}.{key}", getattr(given, key)) for key in secrets_of(section)
    }
    try:
        return msgspec.structs.replace(given, **found)
    except ValueError as problem:
        # What it stands for is no such thing, though what names it is.
        said = str(problem)
        named = said if said.startswith(f"{section}.") else f"{section}.{said}"
        raise ValueError(named) from None


def anchored_secrets(given: msgspec.Struct, section: str, folder: Path) -> dict[str, str]:
    """Return a section's secrets, where they name a file as an absolute one."""
    return {key: anchored(getattr(given, key), folder) for key in secrets_of(section)}


def anchored_learner(given: LearnerSettings, folder: Path) -> LearnerSettings:
    """Return the learner's settings, the model, the files of texts and that of the service's key absolute."""
    drift, replay = given.drift, given.replay
    if drift.probes:
        drift = msgspec.structs.replace(drift, probes=str(folder / drift.probes))
    if replay.texts:
        replay = msgspec.structs.replace(replay, texts=str(folder / replay.texts))
    model = str(folder / given.model)
    key = anchored(given.service.key, folder)
    service = msgspec.structs.replace(given.service, key=key)
    return msgspec.structs.replace(given, model=model, drift=drift, replay=replay, service=service)


def anchored_gate(given: GateSettings, folder: Path) -> GateSettings:
    """Return the gate's settings, the files that it reads absolute."""
    named = (("planted", given.planted), ("probes", given.probes))
    found = {key: str(folder / value) if value else "" for key, value in named}
    return msgspec.structs.replace(given, **found)


def anchored_router(given: RouterSettings, folder: Path, state: Path) -> RouterSettings:
    """Return the router's settings, its folder absolute: `served` in the state folder where none is named."""
    place = folder / given.folder if given.folder else state / "served"
    return msgspec.structs.replace(given, folder=str(place))


def anchored_satisfaction(given: SatisfactionSettings, folder: Path) -> SatisfactionSettings:
    """Return the settings of readers, their secrets' files absolute."""
    judge = msgspec.structs.replace(given.judge, token=anchored(given.judge.token, folder))
    return msgspec.structs.replace(given, key=anchored(given.key, folder), judge=judge)


def satisfaction_with_secrets(given: SatisfactionSettings) -> SatisfactionSettings:
    """Return the settings of readers with their secrets in place of what names them.

    Raises ValueError with the key whose secret is not there, or is too short.
    """
    token = read_secret("satisfaction.judge.token", given.judge.token)
    judge = msgspec.structs.replace(given.judge, token=token)
    key = read_secret("satisfaction.key", given.key)
    if key and len(key) < LEAST_KEY:
        raise ValueError(f"satisfaction.key: is shorter than {LEAST_KEY} characters")
    return msgspec.structs.replace(given, key=key, judge=judge)


def anchored_triage(given: TriageSettings, folder: Path) -> TriageSettings:
    """Return triage's settings, its log files and secrets absolute."""
    logs = tuple(str(folder / one) for one in given.logs)
    return msgspec.structs.replace(given, logs=logs, **anchored_secrets(given, "triage", folder))


def anchored_stream(stream: StreamSettings, folder: Path) -> StreamSettings:
    """Return where events come from, its folders and secrets absolute."""
    security = {
        key: _anchored_security(key, value, folder) for key, value in stream.kafka.security.items()
    }
    kafka = msgspec.structs.replace(stream.kafka, security=security)
    data = folder / stream.data_folder if stream.data_folder else ""
    file = folder / stream.file if stream.file else ""
    return msgspec.structs.replace(stream, data_folder=str(data), file=str(file), kafka=kafka)


def _anchored_security(key: str, value: str | bool, folder: Path) -> str | bool:
    if not isinstance(value, str):
        return value
    if key in FILES and value and not value.startswith(("$", FILE)):
        return str(folder / value)
    return anchored(value, folder)


def anchored_gateway(
    gateway: GatewaySettings,
    stream: StreamSettings,
    folder: Path,
    state: Path,
    known: Mapping[str, Any],
    written: AbstractSet[str],
) -> GatewaySettings:
    """Return the gateway's settings with what the daemon's say, absolute.

    `known` are values that the two share, and `written` the gateway's keys that stand in the file.
    Raises ValueError with the key where the file says something else of the gateway.
    """
    for key, value in known.items():
        if key in written and getattr(gateway, key) != value:
            raise ValueError(
                f"gateway.{key}: is not {value!r}, which the daemon uses; leave it out"
            )
    derived: dict[str, Any] = {
        key: str(folder / getattr(gateway, key) if key in written else state / name)
        for key, name in (("flags", "flags.json"), ("spool", "spool"))
    }
    derived |= anchored_secrets(gateway, "gateway", folder)
    if "max_feedback_bytes" not in written and stream.kind == "kafka":
        # Beside the data folder a record may be of any size; without, the broker's limit is ours.
        whole = gateway.max_body_bytes if stream.data_folder else stream.kafka.max_record_bytes
        derived["max_feedback_bytes"] = max(1024, whole - ENVELOPE_BYTES)
    return msgspec.structs.replace(gateway, **known, **derived)


def with_longest(comparison: ComparisonSettings, gateway: GatewaySettings) -> ComparisonSettings:
    """Return the comparison with the gateway's longest request, where it says none of its own."""
    if comparison.request_seconds is not None:
        return comparison
    return msgspec.structs.replace(comparison, request_seconds=gateway.longest_seconds)
