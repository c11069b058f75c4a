import { connect } from "node:net";

/** What the parent process asks for: so many new viewers a second, over kept-alive connections, each with a token of its own. */
export type RushOrder = { readonly port: number; readonly path: string; readonly perSecond: number; readonly seconds: number };

/** `ownCpuSeconds` is of this process; times are from the moment a viewer was due to its answer. */
export type RushResult = {
  readonly sent: number;
  readonly letIn: number;
  readonly ms: number;
  readonly p50: number;
  readonly p99: number;
  readonly ownCpuSeconds: number;
};

const connections = 256;

/** Raw sockets: the load is to cost little beside the server. */
async function run({ port, path, perSecond, seconds }: RushOrder): Promise<RushResult> {
  const free: ((token: string, due: number) => void)[] = [];
  const took: number[] = [];
  let letIn = 0;
  const all = Array.from({ length: connections }, () => {
    const socket = connect({ port, host: "127.0.0.1" });
    let began = 0;
    let length = -1;
    let got = 0;
    const ask = (token: string, due: number): void => {
      began = due;
      length = -1;
      got = 0;
      socket.write(`GET ${path}?tkn=${token} HTTP/1.1\r\nHost: live.example.org\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n`);
    };
    socket.on("data", (bytes) => {
      if (length < 0) {
        // Heads of answers are small and come in one piece.
        const text = bytes.toString("latin1");
        const head = text.indexOf("\r\n\r\n");
        length = head + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
        if (text.startsWith("HTTP/1.1 200")) letIn++;
      }
      got += bytes.length;
      if (got < length) return;
      took.push(performance.now() - began);
      free.push(ask);
    });
    socket.on("error", () => {});
    free.push(ask);
    return socket;
  });
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const most = perSecond * seconds;
  let sent = 0;
  while (took.length < most && performance.now() - begun < seconds * 4000) {
    const due = Math.min(most, Math.floor(((performance.now() - begun) * perSecond) / 1000));
    for (let ask = sent < due ? free.pop() : undefined; ask; ask = sent < due ? free.pop() : undefined) {
      ask(`new${sent}`, begun + (sent * 1000) / perSecond);
      sent++;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const ms = performance.now() - begun;
  const { user, system } = process.cpuUsage(cpu);
  for (const socket of all) socket.destroy();
  const sorted = took.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
  return { sent, letIn, ms, p50: at(0.5), p99: at(0.99), ownCpuSeconds: (user + system) / 1e6 };
}

process.once("message", async (order: RushOrder) => {
  process.send?.(await run(order), () => process.exit(0));
});
