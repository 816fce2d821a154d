"""Shipped specs: the reward specs that come with rlwd, and are named without a path."""

from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT = "default"


def shipped_names() -> list[str]:
    """Return the names by which a config may name a spec that comes with rlwd."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def spec_path(given: str, folder: Path = Path()) -> Path:
    """Return where the spec is that a config or a command names: a shipped one, or a file.

    Nothing is the default; a file is meant from the folder.
    """
    name = given or DEFAULT
    return FOLDER / f"{name}.toml" if name in shipped_names() else folder / given
