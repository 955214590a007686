// One turn of measuring llama.cpp as the npm package node-llama-cpp ships it (a prebuilt library
// for this CPU). Prints one JSON line; ids are the same on every machine.
//     node node_llama.mjs PROJECT MODEL.gguf PROMPT GENERATE DEPTH SEQUENCES THREADS
// PROJECT is the folder that holds node_modules. PROMPT 0 or GENERATE 0: not measured.
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [project, file, ...numbers] = process.argv.slice(2);
const [prompt, generate, depth, sequences, threads] = numbers.map(Number);
const found = createRequire(project + "/package.json").resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(found));

const llama = await getLlama({
    gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error,
});
const start = performance.now();
const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
const context = await model.createContext({
    contextSize: (prompt + depth + generate + 64) * (sequences > 1 ? sequences : 1),
    batchSize: 512, threads, sequences,
});
const load = (performance.now() - start) / 1000;

const ids = Array.from({length: prompt + depth + 1}, (_, i) => 100 + (i * 7919) % 30000);
const all = Array.from({length: sequences}, () => context.getSequence());

// Time of a prompt on the first sequence, after one that is not timed.
async function prefill() {
    const one = all[0];
    await one.evaluateWithoutGeneratingNewTokens(ids.slice(0, 64));
    await one.clearHistory();
    if (depth) await one.evaluateWithoutGeneratingNewTokens(ids.slice(0, depth));
    const begin = performance.now();
    await one.evaluateWithoutGeneratingNewTokens(ids.slice(depth, depth + prompt));
    const seconds = (performance.now() - begin) / 1000;
    await one.clearHistory();
    return seconds;
}

async function some(sequence, n) {
    let k = 0;
    for await (const token of sequence.evaluate([100], {temperature: 0, yieldEogToken: true}))
        if (token === undefined || ++k >= n) break;
    return k;
}

// Time of GENERATE tokens for every sequence together, after two that are not timed.
async function decode() {
    for (const one of all) {
        await one.clearHistory();
        if (depth) await one.evaluateWithoutGeneratingNewTokens(ids.slice(0, depth));
    }
    await Promise.all(all.map((one) => some(one, 2)));
    const begin = performance.now();
    const tokens = await Promise.all(all.map((one) => some(one, generate)));
    return [(performance.now() - begin) / 1000, tokens.reduce((a, b) => a + b, 0)];
}

const answer = {version: "llama.cpp " + llama.llamaCppRelease.release, load_s: load};
if (prompt) answer.prefill = prompt / await prefill();
if (generate) {
    const [seconds, tokens] = await decode();
    answer.decode = tokens / seconds;
}
process.stdout.write(JSON.stringify(answer) + "\n");
process.exit(0);
