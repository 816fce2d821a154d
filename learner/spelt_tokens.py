"""Spelt tokens: what each token id spells, as a model's `tokenizer.json` has it.

Read here and not through the tokenizer's library: who seals batches is to hold neither it nor torch.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581"
"""What SentencePiece writes for a space."""


class SpeltTokens:
    """What each id spells. Special tokens spell nothing: no text shows them."""

    def __init__(self, pieces: dict[int, bytes]) -> None:
        self._pieces = pieces

    def spell(self, ids: Sequence[int]) -> list[bytes] | None:
        """Return the bytes of each id; None where one is not in the vocabulary."""
        found = [self._pieces.get(one) for one in ids]
        return None if None in found else [one for one in found if one is not None]


def load_spelt_tokens(model: Path) -> SpeltTokens | None:
    """Read the vocabulary of a model's folder; None where its tokens are spelt in another way.

    Known are byte-level tokens (GPT-2's way: Llama 3, Qwen, SmolLM2, Mistral's Tekken) and
    SentencePiece's with bytes for what is rare (Llama 2, Gemma). Others, WordPiece among them, do not
    say which bytes a token stands for.
    """
    try:
        return _read_spelt(msgspec.json.decode((model / "tokenizer.json").read_bytes()))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _read_spelt(document: dict[str, Any]) -> SpeltTokens | None:
    vocabulary = document["model"]["vocab"]
    told = vocabulary.items() if isinstance(vocabulary, dict) else _numbered(vocabulary)
    named = {str(token): int(number) for token, number in told}
    kinds = _kinds(document.get("decoder"))
    if "ByteLevel" in kinds:
        letters = byte_letters()
        pieces = {number: _from_letters(token, letters) for token, number in named.items()}
    elif kinds & {"ByteFallback", "Metaspace"} or {"Replace", "Fuse"} <= kinds:
        pieces = {number: _from_sentence_piece(token) for token, number in named.items()}
    else:
        return None
    for added in document.get("added_tokens") or ():
        pieces[added["id"]] = b"" if added.get("special") else added["content"].encode()
    return SpeltTokens(pieces)


def byte_letters() -> dict[str, int]:
    """Return the byte that each letter stands for in byte-level vocabularies (GPT-2's table).

    Printable bytes stand for themselves, the others for letters from U+0100 on, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }


def _from_letters(token: str, letters: dict[str, int]) -> bytes:
    if all(letter in letters for letter in token):
        return bytes(letters[letter] for letter in token)
    return token.encode()


def _from_sentence_piece(token: str) -> bytes:
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE, " ").encode()


def _numbered(vocabulary: Sequence[Sequence[Any]]) -> list[tuple[str, int]]:
    """Return the tokens of a unigram model, which stand in order with their scores."""
    return [(token[0], number) for number, token in enumerate(vocabulary)]


def _kinds(decoder: dict[str, Any] | None) -> set[str]:
    """Return the kinds of steps by which a tokenizer makes a text of its tokens."""
    if decoder is None:
        return set()
    inner = [kind for one in decoder.get("decoders", ()) for kind in _kinds(one)]
    return {str(decoder["type"]), *inner}
