// A product on Node: asks for a person's answer, shows it as it comes, and says what the person did.
import OpenAI from "openai";

const URL = process.env.RLWD_URL ?? "http://127.0.0.1:8080";
const TOKEN = process.env.RLWD_TOKEN ?? "none";
const openai = new OpenAI({ baseURL: `${URL}/v1`, apiKey: TOKEN });

async function ask(person, session, question) {
  const chunks = await openai.chat.completions.create(
    { model: "rlwd", messages: [{ role: "user", content: question }], max_tokens: 24, stream: true },
    {
      headers: {
        "X-Rlwd-User": person, // hashed in the gateway; decides which version answers
        "X-Rlwd-Session": session, // one conversation
        "X-Rlwd-Segment": "reply", // what kind of work this is
        "X-Rlwd-Consent": "true", // may be learned from
      },
    },
  );
  let text = "";
  let id = "";
  for await (const chunk of chunks) {
    id = chunk.id;
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  return { id, text };
}

async function tell(id, signal) {
  const answer = await fetch(`${URL}/v1/feedback`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ feedback_id: `${id}:${signal.kind}`, generation_id: id, signal }),
  });
  if (!answer.ok) throw new Error(`feedback: ${answer.status} ${await answer.text()}`);
}

const { id, text } = await ask("ada@example.com", "ticket-4713", "Write a reply to the customer.");
console.log(`${id}\n${text}`);
await tell(id, { kind: "copied", text });
await tell(id, { kind: "accepted" });
