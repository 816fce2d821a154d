"""A product: asks for a person's answer, shows it as it comes, and says what the person did."""

import os

import httpx
from openai import OpenAI

URL = os.environ.get("RLWD_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("RLWD_TOKEN", "none")
openai = OpenAI(base_url=f"{URL}/v1", api_key=TOKEN)


def ask(person: str, session: str, question: str) -> tuple[str, str]:
    """Return the answer and its id: with the id alone feedback finds its way."""
    chunks = openai.chat.completions.create(
        model="rlwd",
        messages=[{"role": "user", "content": question}],
        max_tokens=24,
        stream=True,
        extra_headers={
            "X-Rlwd-User": person,  # hashed in the gateway; decides which version answers
            "X-Rlwd-Session": session,  # one conversation
            "X-Rlwd-Segment": "reply",  # what kind of work this is
            "X-Rlwd-Consent": "true",  # may be learned from
        },
    )
    text = generation_id = ""
    for chunk in chunks:
        generation_id = chunk.id
        for choice in chunk.choices:
            text += choice.delta.content or ""
    return text, generation_id


def tell(generation_id: str, signal: dict[str, object]) -> None:
    """Say what the person did; told again under the same feedback_id it changes nothing."""
    feedback_id = f"{generation_id}:{signal['kind']}"
    body = {"feedback_id": feedback_id, "generation_id": generation_id, "signal": signal}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    httpx.post(f"{URL}/v1/feedback", json=body, headers=headers).raise_for_status()


if __name__ == "__main__":
    answer, answer_id = ask("ada@example.com", "ticket-4711", "Write a reply to the customer.")
    print(f"{answer_id}\n{answer}")
    tell(answer_id, {"kind": "edited", "final_text": f"{answer} Yours, Ada"})
    tell(answer_id, {"kind": "accepted"})
