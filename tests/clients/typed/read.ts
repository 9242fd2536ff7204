// Reads a job with types made from the document: `node read.js URL JOB ACCOUNT`, the token in the environment. Prints JSON.
import type { components, paths } from "./api.js";

declare const process: { argv: string[]; env: Record<string, string | undefined> };

type Answer<P extends keyof paths> = paths[P] extends { get: { responses: { 200: { content: { "application/json": infer A } } } } }
  ? A
  : never;
type Refusal = components["schemas"]["ErrorResponse"];

const [url, job, account] = process.argv.slice(2) as [string, string, string];

async function get<P extends keyof paths>(path: P, filled: string): Promise<Answer<P>> {
  const response = await fetch(url + filled, { headers: { Authorization: `Bearer ${process.env["TOKEN"]}` } });
  if (!response.ok) {
    const refusal = ((await response.json()) as Refusal).error;
    throw new Error(`${response.status} ${refusal.name} at ${path}: ${refusal.message}`);
  }
  return (await response.json()) as Answer<P>;
}

const shown = await get("/v1/jobs/{job}", `/v1/jobs/${job}`);
const holder = await get("/v1/accounts/{account}", `/v1/accounts/${account}`);
const votes = shown.rounds.flatMap((round) => round.committee.flatMap((seat) => seat.votes.map((vote) => vote.vote)));
let refusal = "";
try {
  await get("/v1/jobs/{job}", `/v1/jobs/${"00".repeat(32)}`);
} catch (problem) {
  refusal = (problem as Error).message;
}
const loss: string | null | undefined = shown.claims[0]?.loss;
console.log(JSON.stringify({ state: shown.state, winner: shown.winner, bounty: shown.bounty, loss, votes, balance: holder.balance, refusal }));
// @ts-expect-error: a field that no job has
void shown.invented;
