"""MadeWith: what a version's bits depend on beside its parent and its batch; importable without torch."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from .digests import file_digest
from .settings import LearnerSettings

LIBRARIES = ("rlwd", "torch", "transformers", "peft", "safetensors", "tokenizers", "numpy")
"""Libraries whose versions may change bits."""
MODEL_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""Files of a base model that its digest, which is of its weights, does not tell of."""


class MadeWith(msgspec.Struct, frozen=True, kw_only=True):
    """Written into each manifest, so that the version can be made again."""

    settings: dict[str, Any]
    """`[learner]` as it was."""
    software: dict[str, str]
    """Library to version."""
    machine: dict[str, str]
    """`device`, `processor`, `instructions`, `threads` and `processes` that it was computed on and by."""
    files: dict[str, str]
    """Setting, or file of the base model, to the SHA-256 of what was read there."""

    @classmethod
    def measured(cls, settings: LearnerSettings, device: str, *, processes: int = 1) -> "MadeWith":
        """Return what this process learns with; `device` is torch's name of it."""
        import torch  # Whoever reads manifests does without.

        name = torch.cuda.get_device_name() if device == "cuda" else ""
        return cls(
            settings=msgspec.to_builtins(settings),
            software={name: _installed(name) for name in LIBRARIES},
            machine={
                "device": f"{device} ({name})" if name else device,
                "processor": platform.machine(),
                "instructions": torch.backends.cpu.get_cpu_capability(),
                "threads": str(torch.get_num_threads()),
                # Left out where it is one, as in what was written before there could be more.
                **({"processes": str(processes)} if processes > 1 else {}),
            },
            files=files_read(settings),
        )

    def read_settings(self) -> LearnerSettings:
        """Return the settings; ValueError, naming the key, where this rlwd has not such a one."""
        try:
            return msgspec.convert(self.settings, LearnerSettings)
        except msgspec.ValidationError as problem:
            raise ValueError(f"made_with.settings: {problem}") from problem

    def apart(self, other: "MadeWith") -> list[str]:
        """Name all that differs and may change bits: `torch: 2.6.0, here 2.7.0`."""
        told = list[str]()
        pairs = (
            (_changing_bits(self.settings), _changing_bits(other.settings)),
            (self.software, other.software),
            (self.machine, other.machine),
            (self.files, other.files),
        )
        for ours, theirs in pairs:
            for key in sorted(ours.keys() | theirs.keys()):
                was, here = ours.get(key, "nothing"), theirs.get(key, "nothing")
                if was != here:
                    told.append(f"{key}: {_short(was)}, here {_short(here)}")
        return told


def files_read(settings: LearnerSettings) -> dict[str, str]:
    """Return the digests of the files, but the weights, that the learner reads by these settings."""
    model = Path(settings.model)
    named = {f"learner.model/{name}": model / name for name in MODEL_FILES}
    for key, value in (
        ("learner.drift.probes", settings.drift.probes),
        ("learner.replay.texts", settings.replay.texts),
    ):
        if value:
            named[key] = Path(value)
    return {key: file_digest(path) for key, path in named.items() if path.is_file()}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _changing_bits(settings: dict[str, Any], prefix: str = "learner") -> dict[str, Any]:
    """Return the settings by key, without those that say where a file lies or how the process runs.

    The files themselves are compared by their digests, and the device and threads that were really used
    as part of the machine.
    """
    found = dict[str, Any]()
    for name, value in settings.items():
        key = f"{prefix}.{name}"
        if isinstance(value, dict):
            found |= _changing_bits(value, key)
        elif key not in PLACES:
            found[key] = value
    return found


PLACES = (
    *("learner.model", "learner.drift.probes", "learner.replay.texts"),
    *("learner.nice", "learner.threads", "learner.device", "learner.processes"),
    "learner.hang_seconds",
    *("learner.yielding.above_seconds", "learner.yielding.batch_seconds"),
    # Which service it was, and which of its models, says `machine.device`.
    *(f"learner.service.{name}" for name in ("url", "model", "key", "timeout_seconds")),
)


def _short(value: Any) -> str:
    told = str(value)
    return f"{told[:12]}…" if len(told) == 64 and told.isalnum() else told
