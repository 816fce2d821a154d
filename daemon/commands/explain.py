"""Explain: one generation's whole story, printed."""

from ..config import Config
from ..explain.explain import explain
from ..shown_json import shown_json
from ..store import existing_store


def run_explain(config: Config, generation_id: str) -> None:
    """Print one generation's story."""
    store = existing_store(config)
    with store.reading() as view:
        story = explain(view, config.policy, generation_id)
    store.close()
    print(shown_json(story))
