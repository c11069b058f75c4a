import type { Arranged, Arrangement } from "./access/live-arrangement.ts";
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import { messageOf, SluiceError } from "./base/errors.ts";
import type { Log } from "./base/log.ts";
import { openConfiguration } from "./config/configuration.ts";
import type { LoadedConfiguration } from "./config/load.ts";
import { createClock } from "./host/clock.ts";
import { createLog } from "./host/log.ts";
import { startOperatorCode } from "./operator-code.ts";
import { createAnswerer } from "./receiver/answerer.ts";
import { MistClient } from "./receiver/mist/client.ts";
import { createMistControl } from "./receiver/mist/control.ts";
import { areInstalled, installTriggers, removeTriggers } from "./receiver/mist/install.ts";
import { nodeListener } from "./receiver/node.ts";
import { secretCheck } from "./receiver/secret.ts";
import { openStore } from "./store/store.ts";
import { createTriggers } from "./triggers/bus.ts";
import type { TriggerName } from "./triggers/table.ts";

export type ReceiverServiceOptions = {
  /** The MistServer's API. */
  readonly mist: { readonly url: string; readonly username?: string; readonly password?: string };
  /** Where calls are taken. */
  readonly host: string;
  readonly port: number;
  /** How the MistServer reaches that; left out: `http://127.0.0.1:PORT/`. */
  readonly publicUrl?: string;
  /** Takes the triggers out of the MistServer at the end. Otherwise it goes on asking, and gets no answer, which is a no. */
  readonly removeOnExit: boolean;
  readonly logLine: (line: string) => void;
};

/** A receiver that is installed at a MistServer. Dispose to end it. */
export interface ReceiverService extends AsyncDisposable {
  readonly port: number;
  /** How the MistServer reaches it, without the key. */
  readonly url: string;
  readonly triggers: readonly TriggerName[];
}

/** A MistServer asks again after 5 s. */
const handlerMs = 4000;
const maxBytes = 1 << 20;
/** A MistServer may be given another configuration at any time. */
const checkMs = 30_000;

/**
 * Serves the policies and handlers of a configuration to a MistServer, and installs its triggers there. Rejects with "config.invalid" for
 * what a MistServer cannot do, "source.failed" or "api.credentials" when it cannot be talked to, "listen.failed".
 */
export async function startReceiverService(loaded: LoadedConfiguration, options: ReceiverServiceOptions): Promise<ReceiverService> {
  await using opened = new AsyncDisposableStack();
  const clock = createClock();
  const log = createLog({ level: loaded.settings.logLevel, write: options.logLine, clock });
  for (const warning of loaded.warnings) log.write("WARN", warning);
  const client = opened.use(new MistClient(options.mist));
  const control = opened.use(createMistControl({ client, clock, log }));
  await control.look();

  const store = opened.use(await openStore(loaded.settings.store ?? loaded.settings.data, { log }));
  const configuration = await openConfiguration(loaded, store.configChanges, log);
  const bus = opened.use(
    createTriggers({
      log,
      clock,
      identity: { version: "receiver", instance: "", pid: process.pid, serverId: () => configuration.settings.serverid },
      control: () => control,
      limits: { nativeMs: handlerMs },
    }),
  );
  // Whose session has ended takes no place any more; see `decided`.
  bus.on("USER_END", () => {});
  const noLimits = (): never => {
    throw new SluiceError(
      "config.invalid",
      "a MistServer has no limits to add to (viewerLimit, bandwidthLimit); a handler may answer allow({ user, limits })",
    );
  };
  const noList = ({ isListed: _nothingToHide, ...arrangement }: Arrangement): Arranged => {
    if (Object.keys(arrangement).length === 0) return { changed: () => {}, [Symbol.dispose]: () => {} };
    throw new SluiceError("config.invalid", "a MistServer has no public list to arrange (liveDirectory)");
  };
  opened.use(
    await startOperatorCode(loaded, {
      configuration,
      triggers: bus,
      log,
      policies: {
        server: control,
        tokens: store.tokens,
        limits: { add: noLimits },
        liveList: { arrange: noList },
        isConfigured: (name) => configuration.stream(name) !== undefined,
        clock,
        log,
      },
    }),
  );

  const key = randomBytes(24).toString("base64url");
  const answer = createAnswerer({ bus, clock, log, maxBytes, secret: secretCheck(key), decided: control.decided });
  const server = createServer(nodeListener(answer));
  const port = await listen(server, options.host, options.port);
  opened.defer(() => closed(server));

  const url = publicUrl(options.publicUrl ?? `http://127.0.0.1:${port}/`);
  const handler = `${url}?key=${key}`;
  const names = [...new Set(bus.handlers().map(({ trigger }) => trigger))];
  await installTriggers(client, names, handler);
  opened.defer(async () => {
    if (options.removeOnExit) await removeTriggers(client, url);
    else log.write("WARN", `The triggers stay installed: nobody is let in at ${options.mist.url} until the receiver is back`);
  });
  const ending = new AbortController();
  opened.use(clock.every(checkMs, () => void reinstall(client, names, handler, log, ending.signal)));
  opened.defer(() => ending.abort());
  const owned = opened.move();
  return { port, url, triggers: names, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Puts the triggers in again when somebody has taken them out. Never rejects. */
async function reinstall(client: MistClient, names: readonly TriggerName[], handler: string, log: Log, ending: AbortSignal): Promise<void> {
  try {
    if ((await areInstalled(client, names, handler)) || ending.aborted) return;
    await installTriggers(client, names, handler);
    log.write("WARN", "The MistServer's triggers were changed by somebody else; those of the receiver are installed again");
  } catch (error) {
    log.write("WARN", `The MistServer's triggers could not be looked at: ${messageOf(error)}`);
  }
}

function publicUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "") return url.href;
  throw new SluiceError(
    "config.invalid",
    `--public-url ${text.split("?")[0]}: it must be a URL such as http://10.0.0.5:8090/, without a query`,
  );
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) =>
      reject(new SluiceError("listen.failed", `the receiver cannot listen on ${host}:${port}: ${error.message}`, { cause: error })),
    );
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
  });
}

/** Calls that are being answered come to their end. */
async function closed(server: Server): Promise<void> {
  const done = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await done;
}
