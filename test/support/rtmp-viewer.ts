import { messageType } from "../../src/protocols/rtmp/wire/message.ts";
import { RtmpClient } from "./rtmp-client.ts";

/** What came of an attempt to play over RTMP: media, or the server's status, or nothing but a close. */
export type RtmpOutcome = { readonly plays: boolean; readonly code: string | undefined; readonly description: string | undefined };

/** Opens `name` (with its query) at a server on loopback and resolves with the first media message, refusal or close; the client goes on. */
export async function openRtmp(port: number, name: string, app = "live"): Promise<{ client: RtmpClient; outcome: RtmpOutcome }> {
  const client = new RtmpClient(port);
  client.connect(app, { tcUrl: `rtmp://127.0.0.1:${port}/${app}` });
  client.command("createStream", null);
  client.command("play", null, name, -2000);
  const refusal = (one: RtmpClient): RtmpOutcome | undefined => {
    const status = one.commands.find(([command, , , info]) => command === "onStatus" && (info as { level: string }).level === "error");
    if (!status) return undefined;
    const { code, description } = status[3] as { code: string; description: string };
    return { plays: false, code, description };
  };
  const media = (one: RtmpClient): RtmpOutcome | undefined =>
    one.received.some(({ type }) => type === messageType.video || type === messageType.audio)
      ? { plays: true, code: undefined, description: undefined }
      : undefined;
  const closed = client.closed.then((): RtmpOutcome => ({ plays: false, code: undefined, description: undefined }));
  const outcome = await Promise.race([client.until((one) => media(one) ?? refusal(one)), closed]).catch(
    (): RtmpOutcome => ({ plays: false, code: undefined, description: undefined }),
  );
  return { client, outcome };
}

/** As `openRtmp`, for who only wants to know. */
export async function tryRtmp(port: number, name: string, app = "live"): Promise<RtmpOutcome> {
  const { client, outcome } = await openRtmp(port, name, app);
  await client[Symbol.asyncDispose]();
  return outcome;
}
