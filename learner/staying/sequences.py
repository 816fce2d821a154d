"""Sequences: token sequences out of an operator's file, as what the learner scores."""

from pathlib import Path

import msgspec

from ..lanes.model_words import ModelWords
from ..sealed import SealedEpisode, Token, as_scored


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str = ""
    token_ids: tuple[Token, ...] = ()


def read_sequences(
    path: Path, model: Path, *, key: str, vocabulary: int, longest: int
) -> list[SealedEpisode]:
    """Return the sequences of a file: a JSON object a line, `text` or `token_ids`.

    ValueError with the setting `key`, the path and the line where one is not usable, or there is none.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as problem:
        raise ValueError(f"{key}: {problem}") from None
    found, words = list[tuple[int, ...]](), ModelWords(model)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=_Line)
        except ValueError as problem:  # msgspec's, or of bytes that are no text
            raise ValueError(f"{key}: {path}:{number}: {problem}") from None
        if bool(one.text) == bool(one.token_ids):
            raise ValueError(f"{key}: {path}:{number}: either `text` or `token_ids` is needed")
        ids = one.token_ids or words.spell(one.text)
        if not 2 <= len(ids) <= longest:
            told = f"{len(ids)} tokens; 2 to learner.max_episode_tokens {longest} are taken"
            raise ValueError(f"{key}: {path}:{number}: {told}")
        if max(ids) >= vocabulary:
            raise ValueError(f"{key}: {path}:{number}: token id {max(ids)}: there are {vocabulary}")
        found.append(ids)
    if not found:
        raise ValueError(f"{key}: {path}: there is no line in it")
    return [as_scored(f"sequence{index}", ids) for index, ids in enumerate(found)]


def spelt(model: Path, texts: tuple[str, ...], *, vocabulary: int) -> list[SealedEpisode]:
    """Return texts as the model's tokenizer spells them; none where it has no tokenizer."""
    words = ModelWords(model)
    try:
        found = [words.spell(text) for text in texts]
    except (OSError, ValueError):
        return []
    usable = [ids for ids in found if len(ids) > 1 and max(ids) < vocabulary]
    return [as_scored(f"sequence{index}", ids) for index, ids in enumerate(usable)]
