"""Base weights: the files of the base model that `learner.model` names."""

from pathlib import Path


def base_weights(model: str) -> list[Path]:
    """Return the base model's files of weights, by name, as its folder has them.

    Raises ValueError, naming `learner.model`, where it holds none.
    """
    weights = sorted(Path(model).glob("*.safetensors")) if model else []
    if not weights:
        raise ValueError(f"learner.model: {model!r} holds no .safetensors of a base model")
    return weights
