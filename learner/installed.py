"""Installed: the packages of the extra `learner`, without which no policy is learned."""

from importlib.util import find_spec

PACKAGES = ("torch", "transformers", "peft", "safetensors")


def check_installed() -> None:
    """Import nothing; ValueError, with what to install, where a package of the learner is missing."""
    if missing := [name for name in PACKAGES if _absent(name)]:
        raise ValueError(f"{' and '.join(missing)} missing: pip install 'rlwd[learner]'")


def _absent(name: str) -> bool:
    try:
        return find_spec(name) is None
    except ModuleNotFoundError:  # Somebody's import hook keeps it from being found.
        return True
