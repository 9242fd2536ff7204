// With types that openapi-typescript makes: `node trade_typed.js URL MODEL`, the token in the environment. Does what trade.ts does.
import type { components, paths } from "./api.js";

declare const process: { argv: string[]; env: Record<string, string | undefined> };

type Json<A> = A extends { content: { "application/json": infer B } } ? B : never;
type Read<P extends keyof paths> = paths[P] extends { get: { responses: { 200: infer A } } } ? Json<A> : never;
type Sent<P extends keyof paths> = paths[P] extends { post: { requestBody?: infer A } } ? Json<A> : never;
type Made<P extends keyof paths> = paths[P] extends { post: { responses: { 200: infer A } } } ? Json<A> : never;

const [url, model] = process.argv.slice(2) as [string, string];

async function call(path: string, how: object): Promise<unknown> {
  const headers = { Authorization: `Bearer ${process.env["TOKEN"]}`, "Content-Type": "application/json" };
  const response = await fetch(url + path, { headers, ...how });
  if (!response.ok) throw new Error(`${response.status} at ${path}: ${await response.text()}`);
  return response.json();
}
async function get<P extends keyof paths>(path: P, named: Record<string, string> = {}): Promise<Read<P>> {
  const filled = path.replace(/{(\w+)}/g, (_, name: string) => encodeURIComponent(named[name] ?? ""));
  return (await call(filled, {})) as Read<P>;
}
async function post<P extends keyof paths>(path: P, filled: string, body: Sent<P>): Promise<Made<P>> {
  return (await call(filled, { method: "POST", body: JSON.stringify(body) })) as Made<P>;
}

const inputs: components["schemas"]["InferenceTensor"][] = [
  { name: "x", datatype: "FP32", shape: [1, 2], data: [[0.5, 1]] },
  { name: "n", datatype: "INT64", shape: [1], data: [7] },
];
const image = { reference: `registry.example/job@sha256:${"ab".repeat(32)}` };
const status = await get("/v1/status");
const posted = await post("/v1/jobs", "/v1/jobs?wait=20", { image, bounty: "1", expires_in_s: 3600, params: { epochs: 5 } });
const job = await get("/v1/jobs/{job}", { job: posted.job });
const answer = await post("/v2/models/{inference_model}/infer", `/v2/models/${encodeURIComponent(model)}/infer`, { inputs });
const asked = await post("/v1/predictions", "/v1/predictions?wait=20", { model, rows: [[[0.5, 1], 7]], n: 3 });
const request = await get("/v1/predictions/{request}", { request: asked.request });
console.log(
  JSON.stringify({
    network: status.network,
    job: [posted.status, job.state, job.bounty, job.terms.params],
    answer: Object.fromEntries(answer.outputs.map((one) => [one.name, one.data])),
    asked: [asked.status, request.n, request.rows],
  }),
);
