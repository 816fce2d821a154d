"""Trace cases: a recorded file of each format, made up."""

from pathlib import Path

CASES = Path(__file__).parents[1] / "streams" / "readers" / "cases"
FILES = {
    "claude-code": "claude-code.jsonl",
    "pi": "pi.jsonl",
    "openai-chat": "openai-chat.jsonl",
    "openai-ft": "openai-ft.jsonl",
    "sharegpt": "sharegpt.jsonl",
    "kto": "kto.jsonl",
    "helicone": "helicone.jsonl",
    "langfuse": "langfuse.jsonl",
    "langsmith": "langsmith.jsonl",
    "atif": "atif.json",
    "otel-genai": "otel-genai.jsonl",
}
GOLDEN = [*FILES.items(), ("pi", "pi-v1.jsonl")]
