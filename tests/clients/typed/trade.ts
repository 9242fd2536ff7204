// With the client that @hey-api/openapi-ts makes: `node trade.js URL MODEL`, the token in the environment. Reads what the node says
// of itself, posts a job, asks a model both ways. Prints JSON.
import { client } from "./client/client.gen.js";
import { getJob, getPrediction, getStatus, postInference, postJob, postPrediction } from "./client/index.js";

declare const process: { argv: string[]; env: Record<string, string | undefined> };

const [url, model] = process.argv.slice(2) as [string, string];
client.setConfig({ baseUrl: url, auth: () => process.env["TOKEN"] });
const thrown = { throwOnError: true } as const;

const status = (await getStatus(thrown)).data;
const image = { reference: `registry.example/job@sha256:${"ab".repeat(32)}` };
const wait = { query: { wait: 20 }, ...thrown };
const posted = (await postJob({ body: { image, bounty: "1", expires_in_s: 3600, params: { epochs: 5 } }, ...wait })).data;
const job = (await getJob({ path: { job: posted.job }, ...thrown })).data;
const inputs = [
  { name: "x", datatype: "FP32", shape: [1, 2], data: [[0.5, 1]] },
  { name: "n", datatype: "INT64", shape: [1], data: [7] },
];
const answer = (await postInference({ path: { inference_model: model }, body: { inputs }, ...thrown })).data;
const asked = (await postPrediction({ body: { model, rows: [[[0.5, 1], 7]], n: 3 }, ...wait })).data;
const request = (await getPrediction({ path: { request: asked.request }, ...thrown })).data;
console.log(
  JSON.stringify({
    network: status.network,
    job: [posted.status, job.state, job.bounty, job.terms.params],
    answer: Object.fromEntries(answer.outputs.map((one) => [one.name, one.data])),
    asked: [asked.status, request.n, request.rows],
  }),
);
