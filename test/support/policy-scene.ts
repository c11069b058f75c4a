import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createControl } from "../../src/api/control.ts";
import type { Admission, AccessRequest } from "../../src/sessions/access-request.ts";
import { ActivePolicies } from "../../src/policies/active.ts";
import type { Policy } from "../../src/policies/policy.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import type { Stream } from "../../src/streams/stream.ts";
import type { Arrangement } from "../../src/access/live-arrangement.ts";
import { GateBench } from "./gate-bench.ts";

/** Policies at the real gate, with the real store on disk; time stands still. */
export class PolicyScene implements AsyncDisposable {
  readonly bench: GateBench;
  readonly store: Store;
  readonly policies: ActivePolicies;
  /** What policies say about the public list. */
  readonly arrangements: Arrangement[] = [];
  readonly #folder: string;

  constructor(bench: GateBench, store: Store, folder: string) {
    const { clock, directory, pending, sessions, triggers } = bench;
    const log = { write: (kind: string, message: string) => void bench.logged.push(`${kind} ${message}`) };
    const server = createControl({ directory, sessions, pending, fallbackRules: { add: () => ({ [Symbol.dispose]: () => {} }) } });
    this.bench = bench;
    this.store = store;
    this.#folder = folder;
    this.policies = new ActivePolicies({
      on: triggers.on,
      server,
      tokens: store.tokens,
      limits: { add: () => ({ [Symbol.dispose]: () => {} }) },
      liveList: {
        arrange: (arrangement) => {
          this.arrangements.push(arrangement);
          return { changed: () => {}, [Symbol.dispose]: () => void this.arrangements.splice(this.arrangements.indexOf(arrangement), 1) };
        },
      },
      isConfigured: (name) => bench.streams[name] !== undefined,
      clock,
      log,
    });
  }

  apply(...policies: readonly Policy[]): Promise<void> {
    return this.policies.apply(policies.map((policy) => ({ name: policy.name, policy })));
  }

  /** Asks for a stream as a viewer does. Gives "in" and keeps the connection, or why not. */
  async watch(stream: string, part: Partial<AccessRequest> = {}): Promise<string> {
    return (await this.view(stream, part)).answer;
  }

  async view(
    stream: string,
    part: Partial<AccessRequest> = {},
  ): Promise<{ readonly answer: string; readonly admission?: Admission<Stream> }> {
    try {
      const query = Object.entries(part.query ?? {}).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
      const url = `http://127.0.0.1:8080/${stream}.flv${query.length > 0 ? `?${query.join("&")}` : ""}`;
      return { answer: "in", admission: await this.bench.gate.play(this.bench.view(stream, { url, ...part })) };
    } catch (error) {
      return { answer: error instanceof Error ? error.message : String(error) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.policies[Symbol.dispose]();
    await this.bench.close();
    await this.store[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export async function policyScene(): Promise<PolicyScene> {
  const bench = new GateBench();
  const folder = mkdtempSync(join(tmpdir(), "sluice-policies-"));
  const store = await openStore(folder, { now: () => bench.clock.now() });
  return new PolicyScene(bench, store, folder);
}
