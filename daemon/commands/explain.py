"""Explain: one generation's whole story, printed."""

import orjson

from ..config import Config
from ..explain.explain import explain
from ..store import existing_store


def run_explain(config: Config, generation_id: str) -> None:
    """Print one generation's story."""
    store = existing_store(config)
    with store.reading() as view:
        story = explain(view, config.policy, generation_id)
    store.close()
    print(orjson.dumps(story, option=orjson.OPT_INDENT_2).decode())
