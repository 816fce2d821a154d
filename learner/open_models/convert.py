"""`python -m rlwd.learner.open_models.convert FILE FOLDER`: a GGUF file as a plain Hugging Face folder.

Weights become float32, whatever they were; learner and vLLM read the folder as any other.
"""

import argparse
import json
from pathlib import Path

from ...streams.quick_imports import quick_imports


def convert(weights: Path, folder: Path) -> None:
    """Write the model and the tokenizer inside a GGUF file as a folder; raises what transformers raises."""
    with quick_imports():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    tokenizer.save_pretrained(folder)
    _keep_template_inside(folder, tokenizer.chat_template)
    read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = type(read.config)(
        **{key: v for key, v in read.config.to_dict().items() if key != "quantization_config"}
    )
    # transformers saves nothing that it once read as quantized, though it is no longer.
    plain = type(read)(config)
    plain.load_state_dict(read.state_dict())
    plain.to(torch.float32).save_pretrained(folder)


def _keep_template_inside(folder: Path, template: str) -> None:
    """Keep the chat template inside tokenizer_config.json, and a class that every reader knows."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config |= {"chat_template": template, "tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "chat_template.jinja").unlink(missing_ok=True)


def main() -> None:
    """Convert as the arguments say."""
    parser = argparse.ArgumentParser(description="Convert a GGUF file to a Hugging Face folder.")
    parser.add_argument("weights", type=Path, help="the GGUF file")
    parser.add_argument("folder", type=Path, help="where the Hugging Face folder goes")
    given = parser.parse_args()
    convert(given.weights, given.folder)


if __name__ == "__main__":
    main()
