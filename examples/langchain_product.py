"""LangChain in front of the gateway: one chain, a person for each call, and feedback."""

import os

import httpx
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

URL = os.environ.get("RLWD_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("RLWD_TOKEN", "none")
model = ChatOpenAI(base_url=f"{URL}/v1", api_key=TOKEN, model="rlwd", max_completion_tokens=24)


def ask(person: str, session: str, question: str) -> AIMessage:
    """Return the answer; who asks goes with the call, so one model object serves everybody."""
    who = {"X-Rlwd-User": person, "X-Rlwd-Session": session, "X-Rlwd-Segment": "reply"}
    return model.invoke(question, extra_headers=who)


def tell(answer: AIMessage, signal: dict[str, object]) -> None:
    """Say what the person did with the answer."""
    generation_id = answer.response_metadata["id"]
    body = {
        "feedback_id": f"{generation_id}:{signal['kind']}",
        "generation_id": generation_id,
        "signal": signal,
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    httpx.post(f"{URL}/v1/feedback", json=body, headers=headers).raise_for_status()


if __name__ == "__main__":
    said = ask("ada@example.com", "ticket-4712", "Write a reply to the customer.")
    print(f"{said.response_metadata['id']}\n{said.text}")
    tell(said, {"kind": "rated", "value": 1.0})
