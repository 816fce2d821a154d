// Asks a gateway with the AI SDK, by the API that DOOR names, and prints what it saw as JSON, one line for each.
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const [url, ...asked] = process.argv.slice(2);
const at = { baseURL: `${url}/v1`, apiKey: "none" };
let provider;
let named;
if (process.env.DOOR === "chat") {
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
  provider = createOpenAICompatible({ ...at, name: "rlwd", includeUsage: true });
  named = (user) => ({ rlwd: { user } });
} else {
  const { createOpenAI } = await import("@ai-sdk/openai");
  provider = createOpenAI(at);
  // Nothing is kept for clients, so that the history is sent and not referred to.
  named = (user) => ({ openai: { user, store: false } });
}

async function ask(how, what) {
  const wanted = {
    model: provider("rlwd"),
    prompt: "hello there",
    temperature: 0.8,
    maxOutputTokens: 12,
    maxRetries: 0,
  };
  if (what === "tool") {
    const inputSchema = jsonSchema({ type: "object", properties: {} });
    wanted.tools = { add: tool({ description: "adds", inputSchema }) };
  }
  const result = how === "whole" ? await generateText(wanted) : streamText(wanted);
  const [text, finish, usage, calls] = await Promise.all([
    result.text,
    result.finishReason,
    result.usage,
    result.toolCalls,
  ]);
  const told = usage?.outputTokens ? [usage.inputTokens, usage.outputTokens] : null;
  const called = calls?.length ? JSON.stringify(calls[0].input) : null;
  const seen = { text, finish: finish.replaceAll("-", "_"), usage: told, id: null, tool: called };
  console.log(JSON.stringify(seen));
}

// A person asks, a tool is called and answers, the person says thanks: three requests.
async function loop(how) {
  const inputSchema = jsonSchema({ type: "object", properties: {} });
  const wanted = {
    model: provider("rlwd"),
    maxRetries: 0,
    stopWhen: stepCountIs(3),
    providerOptions: named(how),
    tools: { add: tool({ description: "adds", inputSchema, execute: async () => 3 }) },
  };
  const messages = [{ role: "user", content: "hello there" }];
  let text = "";
  for (let turn = 0; turn < 2; turn += 1) {
    const result = how === "whole" ? await generateText({ ...wanted, messages }) : streamText({ ...wanted, messages });
    text = await result.text;
    const made = (await result.steps).flatMap((step) => step.response.messages);
    messages.push(...made, { role: "user", content: "thanks" });
  }
  console.log(JSON.stringify({ text, finish: null, usage: null, id: null, tool: null }));
}

for (const one of asked) {
  const [how, what] = one.split(":");
  await (what === "loop" ? loop(how) : ask(how, what));
}
