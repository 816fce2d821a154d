"""Spelt tokens: against the tokenizers themselves, of each way of spelling, and what is not known."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rlwd.learner.spelt_tokens import load_spelt_tokens

TEXT = "Grüße, 世界! def f(x):\n    return x  # ünïcode 🙂 \t end"


def byte_level() -> Tokenizer:
    """A byte-level BPE that has learned merges, as GPT-2, Llama 3 and Qwen have."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, show_progress=False)
    made.train_from_iterator([TEXT] * 20, trainer)
    made.add_special_tokens(["<|end|>"])
    return made


def sentence_piece() -> Tokenizer:
    """SentencePiece's way with bytes for what is rare, as Llama 2 and Gemma have."""
    rare = [f"<0x{byte:02X}>" for byte in range(256)]
    known = ["<unk>", *rare, *sorted({*TEXT.replace(" ", "▁")} - {"世", "🙂"}), "re", "ret"]
    made = Tokenizer(
        models.BPE(
            vocab={token: place for place, token in enumerate(dict.fromkeys(known))},
            merges=[("r", "e"), ("re", "t")],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence(steps)
    made.add_special_tokens(["</s>"])
    return made


@pytest.mark.parametrize("made", [byte_level(), sentence_piece()], ids=["bytes", "pieces"])
def test_tokens_spell_the_text(made: Tokenizer, tmp_path: Path) -> None:
    """Joined, the bytes of an encoded text are the text; special tokens spell nothing."""
    made.save(str(tmp_path / "tokenizer.json"))
    tokens = load_spelt_tokens(tmp_path)
    assert tokens is not None
    ids = made.encode(TEXT).ids
    assert made.decode(ids) == TEXT
    spelt = tokens.spell(ids)
    assert spelt is not None
    assert b"".join(spelt).decode() == TEXT
    end = made.token_to_id("<|end|>") or made.token_to_id("</s>") or 0
    assert tokens.spell([end]) == [b""]
    assert tokens.spell([ids[0], 10**6]) is None


def test_the_tiny_policy_is_spelt(tiny_policy: Path) -> None:
    """The demo's own tokenizer is one of these."""
    tokens = load_spelt_tokens(tiny_policy)
    assert tokens is not None
    ids = Tokenizer.from_file(str(tiny_policy / "tokenizer.json")).encode(TEXT).ids
    spelt = tokens.spell(ids)
    assert spelt is not None
    assert b"".join(spelt).decode() == TEXT


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        "{}",
        '{"model": {"vocab": {"a": 0}}, "decoder": null}',
        '{"model": {"vocab": {"a": 0}}, "decoder": {"type": "WordPiece"}}',
        '{"model": {"vocab": 7}, "decoder": {"type": "ByteLevel"}}',
        '{"model": {"vocab": {"a": 0}}, "decoder": {"type": "ByteLevel"}, "added_tokens": [{}]}',
        '{"model": {"vocab": {"a": 0}}, "decoder": {"type": "ByteLevel"}, "added_tokens": 5}',
    ],
)
def test_what_is_not_known_is_not_guessed(written: str, tmp_path: Path) -> None:
    """Other ways of spelling, and files that are none, give no bytes."""
    assert load_spelt_tokens(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text(written)
    assert load_spelt_tokens(tmp_path) is None


def test_a_unigram_model_is_spelt(tmp_path: Path) -> None:
    """Its tokens stand in order with their scores."""
    document = {
        "model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["▁a", -1.0], ["<0xC3>", -2.0]]},
        "decoder": {"type": "Metaspace"},
        "added_tokens": [{"id": 0, "content": "<unk>", "special": True}],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    tokens = load_spelt_tokens(tmp_path)
    assert tokens is not None
    assert tokens.spell([1, 2, 0]) == [b" a", b"\xc3", b""]
