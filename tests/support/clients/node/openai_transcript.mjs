// Asks a gateway with OpenAI's Node client and prints what it saw as JSON, one line for each.
import OpenAI from "openai";

const [url, ...asked] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });

function usageOf(usage) {
  return usage ? [usage.prompt_tokens, usage.completion_tokens] : null;
}

async function ask(how, what) {
  const body = {
    model: "rlwd",
    messages: [{ role: "user", content: "hello there" }],
    temperature: 0.8,
    max_tokens: 12,
  };
  if (what === "tool") {
    const parameters = { type: "object", properties: {} };
    body.tools = [{ type: "function", function: { name: "add", parameters } }];
  }
  const seen = { text: "", finish: null, usage: null, id: null, tool: null };
  if (how === "whole") {
    const answer = await client.chat.completions.create(body);
    const { message, finish_reason } = answer.choices[0];
    Object.assign(seen, { text: message.content ?? "", finish: finish_reason, id: answer.id });
    seen.usage = usageOf(answer.usage);
    seen.tool = message.tool_calls?.[0].function.arguments ?? null;
  } else {
    const options = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create({ ...body, ...options })) {
      seen.id = chunk.id;
      seen.usage = usageOf(chunk.usage) ?? seen.usage;
      for (const choice of chunk.choices) {
        seen.text += choice.delta.content ?? "";
        seen.finish = choice.finish_reason ?? seen.finish;
        const called = choice.delta.tool_calls?.[0].function.arguments;
        if (called) seen.tool = (seen.tool ?? "") + called;
      }
    }
  }
  console.log(JSON.stringify(seen));
}

for (const one of asked) await ask(...one.split(":"));
