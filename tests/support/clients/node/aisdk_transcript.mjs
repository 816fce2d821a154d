// Asks a gateway with the AI SDK and prints what it saw as JSON, one line for each.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";

const [url, ...asked] = process.argv.slice(2);
const provider = createOpenAICompatible({
  name: "rlwd",
  baseURL: `${url}/v1`,
  apiKey: "none",
  includeUsage: true,
});

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

for (const one of asked) await ask(...one.split(":"));
