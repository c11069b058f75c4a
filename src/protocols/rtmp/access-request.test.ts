import { describe, expect, it } from "vitest";
import type { TcpConnection } from "../protocol.ts";
import { accessRequest, readConnect } from "./access-request.ts";

const tcp = {
  id: 7,
  signal: new AbortController().signal,
  address: "192.0.2.9",
  localAddress: "127.0.0.1",
  localPort: 1935,
} as TcpConnection;
const streamOf = (name: string): string => accessRequest(tcp, readConnect({ app: "live" }), name, "play").stream;

describe("the stream name", () => {
  it.each([
    ["live", "live"],
    ["flv:live", "live"],
    ["mp4:live?tkn=a", "live"],
    ["/FLV:live", "live"],
    ["flv:live+a b", "live+a b"],
    ["other:live", "other:live"],
  ])("of %s is %s", (name, stream) => {
    expect(streamOf(name)).toBe(stream);
  });

  it("keeps the URL for triggers as it was sent", () => {
    const { url } = accessRequest(tcp, readConnect({ app: "play", tcUrl: "rtmp://example.test/play" }), "mp4:live?tkn=a", "play");
    expect(url).toBe("rtmp://example.test/play/mp4:live?tkn=a");
  });
});

describe("the application", () => {
  it("is the password of a publisher, and none of a player: there it is no secret", () => {
    const request = (kind: "publish" | "play") => accessRequest(tcp, readConnect({ app: "secret?a=b" }), "live", kind);
    expect(request("publish").password).toBe("secret");
    expect(request("play")).not.toHaveProperty("password");
  });
});
