// What llama.cpp (the npm package node-llama-cpp) finds likely after some ids, a JSON line a file:
//   node next_token.mjs FOLDER 1,2,3 FILE.gguf ...    FOLDER holds node_modules
// Beside quantized_files.py.
import path from "node:path";
import {pathToFileURL} from "node:url";

const [folder, list, ...files] = process.argv.slice(2);
const entry = path.resolve(folder, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
const ids = list.split(",").map(Number);
for (const file of files) {
    const line = {file};
    try {
        const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
        const context = await model.createContext({contextSize: 256, batchSize: 256});
        const last = {generateNext: {probabilities: true}};
        const input = ids.map((id, i) => (i === ids.length - 1 ? [id, last] : id));
        const answers = await context.getSequence().controlledEvaluate(input);
        line.next = [...answers[ids.length - 1].next.probabilities.entries()];
        await context.dispose();
        await model.dispose();
    } catch (error) {
        line.error = String(error);
    }
    console.log(JSON.stringify(line));
}
process.exit(0);
