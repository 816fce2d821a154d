"""Doctor, what the learner reads: is the model's folder whole, has it a chat template, are texts there?"""

import json
from collections.abc import Iterator
from pathlib import Path

from ...learner.settings import LearnerSettings
from ..config import Config
from .doctor_finding import Finding, fail, ok, warn


def check_model(folder: Path) -> Iterator[Finding]:
    """Look at the folder of the base model; its weights by their headers alone."""
    missing = [problem for problem in _model_problems(folder) if problem]
    for problem in missing:
        yield fail("model", problem, "learner.model is to name a whole Hugging Face folder")
    if missing:
        return
    config = json.loads((folder / "config.json").read_text())
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    kind = config.get("model_type", "unknown")
    yield ok("model", f"{folder}: {kind}, {size / (1 << 20):,.0f} MiB of weights")
    if not _has_template(folder):
        yield warn(
            "model", "no chat template", "/v1/chat/completions will be refused by the engine"
        )


def check_weights(config: Config) -> Iterator[Finding]:
    """Say what versions of full weights take where they are served."""
    if config.learner.weights == "adapter":
        return
    size = sum(path.stat().st_size for path in Path(config.learner.model).glob("*.safetensors"))
    slots = config.router.slots
    yield ok(
        "weights",
        f"versions are full weights: {slots} servers of {size / (1 << 30):.2f} GiB each behind `rlwd router`",
    )


def check_texts(settings: LearnerSettings) -> Iterator[Finding]:
    """Look for the files of texts that the learner reads at its start."""
    named = {
        "learner.drift.probes": settings.drift.probes,
        "learner.replay.texts": settings.replay.texts,
    }
    for key, path in named.items():
        if path and not Path(path).is_file():
            yield fail(
                "texts", f"{key}: {path} is no file", "the learner does not start without it"
            )


def _model_problems(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield f"{folder} is no folder"
        return
    for name in ("config.json", "tokenizer_config.json"):
        try:
            json.loads((folder / name).read_text())
        except OSError:
            yield f"{folder / name} is missing"
        except ValueError as problem:
            yield f"{folder / name}: {problem}"
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        yield f"{folder} holds no .safetensors file"
    for path in weights:
        yield _cut_off(path)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        named = set(json.loads(index.read_text())["weight_map"].values())
        for name in sorted(named - {path.name for path in weights}):
            yield f"{folder / name} is missing, which {index.name} names"


def _cut_off(path: Path) -> str:
    """Say whether a file of weights is whole, by its header alone; empty where it is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= size - 8:
            return f"{path} is no safetensors file"
        tensors = json.loads(file.read(length))
    end = max((t["data_offsets"][1] for n, t in tensors.items() if n != "__metadata__"), default=0)
    return (
        ""
        if size == 8 + length + end
        else f"{path} is cut off: {size} bytes, not {8 + length + end}"
    )


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").exists() or (folder / "chat_template.json").exists():
        return True
    return bool(json.loads((folder / "tokenizer_config.json").read_text()).get("chat_template"))
