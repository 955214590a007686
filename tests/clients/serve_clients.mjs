// The server held to its clients' own packages from npm: openai, @anthropic-ai/sdk, ollama, ai with
// @ai-sdk/openai-compatible, @langchain/openai (see serve_clients.py; run by serve.py). The packages
// are found in the folder argv[3], the server is at argv[2].
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [url, folder] = process.argv.slice(2);
const require = createRequire(path.join(folder, "index.js"));
async function load(name) {
  return import(pathToFileURL(require.resolve(name)).href);
}

const ask = [{ role: "user", content: "Say something, please" }];
const parameters = {
  type: "object",
  properties: { day: { type: "string", enum: ["today", "tomorrow"] } },
  required: ["day"],
  additionalProperties: false,
};
const answerSchema = {
  type: "object",
  properties: { number: { type: "integer" }, sure: { type: "boolean" } },
  required: ["number", "sure"],
  additionalProperties: false,
};
const tool = { type: "function", function: { name: "weather", description: "the weather", parameters } };
const tooLong = [{ role: "user", content: "Q".repeat(9000) }];
let passed = 0;
let failed = 0;

async function check(name, run) {
  try {
    await run();
    passed++;
    console.log(`ok - ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok - ${name}\n  # ${String(error?.stack ?? error).slice(0, 1500).replaceAll("\n", "\n  # ")}`);
  }
}

function must(good, what) {
  if (!good) throw new Error(`not so: ${what}`);
}

function dayOf(value) {
  const { day } = typeof value === "string" ? JSON.parse(value) : value;
  must(day === "today" || day === "tomorrow", `a day, not ${day}`);
}

function isAnswer(value) {
  must(Number.isInteger(value.number) && typeof value.sure === "boolean", JSON.stringify(value));
}

async function refuses(status, run) {
  try {
    await run();
  } catch (error) {
    const seen = error.status ?? error.status_code ?? error.statusCode;
    must(seen === status, `${status}, not ${seen}: ${error}`);
    return error;
  }
  throw new Error("it was not refused");
}

// ---- openai ----

const { default: OpenAI } = await load("openai");
const oai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0, timeout: 60000 });
const chat = (more) => oai.chat.completions.create({ model: "made", messages: ask, max_tokens: 12, temperature: 0, ...more });

await check("openai chats and streams", async () => {
  const whole = await chat();
  let text = "";
  for await (const chunk of await chat({ stream: true })) text += chunk.choices[0]?.delta?.content ?? "";
  must(text === whole.choices[0].message.content, "a stream says the same");
  must(whole.usage.completion_tokens === 12, "usage");
});

await check("openai calls tools", async () => {
  const more = { tools: [tool], tool_choice: "required", parallel_tool_calls: false, max_tokens: 300 };
  const whole = await chat(more);
  dayOf(whole.choices[0].message.tool_calls[0].function.arguments);
  const final = await oai.chat.completions
    .stream({ model: "made", messages: ask, temperature: 0, ...more })
    .finalChatCompletion();
  dayOf(final.choices[0].message.tool_calls[0].function.arguments);
});

await check("openai holds schemas", async () => {
  const a = await chat({
    max_tokens: 200,
    response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema: answerSchema } },
  });
  isAnswer(JSON.parse(a.choices[0].message.content));
});

await check("openai answers responses", async () => {
  const a = await oai.responses.create({ model: "made", input: "Hello", max_output_tokens: 8, temperature: 0 });
  const kinds = [];
  let text = "";
  const events = await oai.responses.create({ model: "made", input: "Hello", max_output_tokens: 8, temperature: 0, stream: true });
  for await (const event of events) {
    kinds.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  must(text === a.output_text, "a stream says the same");
  must(kinds[0] === "response.created" && /^response\.(completed|incomplete)$/.test(kinds.at(-1)), kinds.join());
});

await check("openai embeds", async () => {
  const a = await oai.embeddings.create({ model: "embed", input: ["the cat", "a dog"] });
  must(a.data.length === 2 && a.data[0].embedding.length > 10, "two vectors");
});

await check("openai is refused", async () => {
  await refuses(404, () => oai.chat.completions.create({ model: "nobody", messages: ask }));
  const error = await refuses(400, () => chat({ messages: tooLong }));
  must(error.code === "context_length_exceeded", error.code);
});

// ---- @anthropic-ai/sdk ----

const { default: Anthropic } = await load("@anthropic-ai/sdk");
const ant = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0, timeout: 60000 });
const message = (more) => ({ model: "made", max_tokens: 12, messages: ask, temperature: 0, ...more });

await check("anthropic chats and streams", async () => {
  const whole = await ant.messages.create(message());
  const final = await ant.messages.stream(message()).finalMessage();
  must(whole.content[0].text === final.content[0].text, "a stream says the same");
});

await check("anthropic calls tools", async () => {
  const more = {
    max_tokens: 300,
    tools: [{ name: "weather", description: "the weather", input_schema: parameters }],
    tool_choice: { type: "any", disable_parallel_tool_use: true },
  };
  dayOf((await ant.messages.create(message(more))).content.find((b) => b.type === "tool_use").input);
  const final = await ant.messages.stream(message(more)).finalMessage();
  dayOf(final.content.find((b) => b.type === "tool_use").input);
});

await check("anthropic is refused", async () => {
  await refuses(404, () => ant.messages.create(message({ model: "nobody" })));
  await refuses(400, () => ant.messages.create(message({ messages: tooLong })));
});

// ---- ollama ----

const { Ollama } = await load("ollama");
const oll = new Ollama({ host: url });
const options = { temperature: 0, num_predict: 12 };

await check("ollama chats, streams, lists and shows", async () => {
  const whole = await oll.chat({ model: "made", messages: ask, options });
  let text = "";
  for await (const part of await oll.chat({ model: "made", messages: ask, options, stream: true })) text += part.message.content;
  must(text === whole.message.content, "a stream says the same");
  must((await oll.list()).models.some((m) => m.name.startsWith("made")), "a list");
  must((await oll.show({ model: "made" })).capabilities.includes("completion"), "capabilities");
});

await check("ollama holds schemas and embeds", async () => {
  const a = await oll.chat({ model: "made", messages: ask, format: answerSchema, options: { temperature: 0, num_predict: 200 } });
  isAnswer(JSON.parse(a.message.content));
  must((await oll.embed({ model: "embed", input: ["the cat", "a dog"] })).embeddings.length === 2, "two vectors");
});

await check("ollama takes tools", async () => {
  const a = await oll.chat({ model: "made", messages: ask, tools: [tool], options: { temperature: 0, num_predict: 60 } });
  for (const call of a.message.tool_calls ?? []) dayOf(call.function.arguments);
});

await check("ollama is refused", async () => {
  await refuses(404, () => oll.chat({ model: "nobody", messages: ask }));
});

// ---- ai with @ai-sdk/openai-compatible ----

const ai = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const provider = createOpenAICompatible({ name: "bantam", baseURL: `${url}/v1`, supportsStructuredOutputs: true });
const base = { model: provider("made"), messages: ask, temperature: 0, maxOutputTokens: 12, maxRetries: 0 };

await check("ai generates and streams text", async () => {
  const whole = await ai.generateText(base);
  let text = "";
  for await (const piece of ai.streamText(base).textStream) text += piece;
  must(text === whole.text && whole.usage.outputTokens === 12, "a stream says the same");
});

await check("ai calls tools", async () => {
  const tools = { weather: ai.tool({ description: "the weather", inputSchema: ai.jsonSchema(parameters) }) };
  const more = { ...base, tools, toolChoice: "required", maxOutputTokens: 300 };
  dayOf((await ai.generateText(more)).toolCalls[0].input);
  dayOf((await ai.streamText(more).toolCalls)[0].input);
});

await check("ai generates objects", async () => {
  isAnswer((await ai.generateObject({ ...base, maxOutputTokens: 200, schema: ai.jsonSchema(answerSchema) })).object);
});

await check("ai embeds", async () => {
  const a = await ai.embedMany({ model: provider.textEmbeddingModel("embed"), values: ["the cat", "a dog"] });
  must(a.embeddings.length === 2, "two vectors");
});

await check("ai is refused", async () => {
  await refuses(404, () => ai.generateText({ ...base, model: provider("nobody") }));
});

// ---- @langchain/openai ----

const { ChatOpenAI, OpenAIEmbeddings } = await load("@langchain/openai");
const configuration = { baseURL: `${url}/v1` };
const lang = (more) => new ChatOpenAI({ model: "made", apiKey: "none", temperature: 0, maxTokens: 12, maxRetries: 0, configuration, ...more });

await check("langchain invokes and streams", async () => {
  const whole = await lang().invoke("Say something, please");
  let text = "";
  for await (const chunk of await lang().stream("Say something, please")) text += chunk.content;
  must(text === whole.content, "a stream says the same");
});

await check("langchain calls tools", async () => {
  const a = await lang({ maxTokens: 300 }).bindTools([tool], { tool_choice: "required", parallel_tool_calls: false }).invoke("Say something, please");
  dayOf(a.tool_calls[0].args);
});

await check("langchain holds schemas", async () => {
  const held = lang({ maxTokens: 200 }).withStructuredOutput(answerSchema, { method: "jsonSchema", name: "answer" });
  isAnswer(await held.invoke("Say something, please"));
});

await check("langchain embeds", async () => {
  const a = await new OpenAIEmbeddings({ model: "embed", apiKey: "none", maxRetries: 0, configuration }).embedDocuments(["the cat", "a dog"]);
  must(a.length === 2 && a[0].length > 10, "two vectors");
});

await check("langchain is refused", async () => {
  await refuses(404, () => lang({ model: "nobody" }).invoke("x"));
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
