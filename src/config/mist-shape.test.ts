import { describe, expect, it } from "vitest";
import { readConfiguration } from "./load.ts";
import { isMistShape } from "./mist-shape.ts";
import { connectorEntries } from "./connector-entries.ts";
import { streamSettings } from "./settings.ts";

/** As a MistServer writes it: switches as 0 and 1, `online` beside the connectors, members that only its web interface uses. */
const sample = {
  account: { admin: { password: "21232F297A57A5A743894A0E4A801FC3" } },
  bandwidth: { exceptions: ["::1"] },
  config: {
    accesslog: "LOG",
    controller: { interface: "127.0.0.1", port: 4243, username: "root" },
    debug: 3,
    defaultStream: null,
    prometheus: "metrics",
    protocols: [
      { connector: "HTTP", interface: "", port: "8081", online: 1 },
      { connector: "RTMP", port: 1936 },
      { connector: "RTMP", port: 1936 },
      { connector: "HLS", online: "Enabled" },
      { connector: "DTSC", port: 4200 },
    ],
    serverid: "edge-1",
    sessionViewerMode: 0,
    sessionStreamInfoMode: 2,
    sessionUnspecifiedMode: 0,
    tknMode: 0,
    triggers: { USER_NEW: [{ handler: "http://127.0.0.1/t", sync: true, streams: [], "x-LSP-name": "kept" }], PROCESS_X: [] },
    trustedproxy: ["10.0.0.0/8"],
    unheard_of: { a: 1 },
  },
  streams: {
    live: {
      name: "live",
      source: "push://",
      DVR: "60000",
      resume: 1,
      always_on: false,
      tags: ["a"],
      processes: [{ process: "x" }],
      online: 1,
    },
    "Bad Name": { source: "push://" },
  },
  ui_settings: { sort: "name" },
  external_writers: { s3: { cmdline: "x" } },
  variables: {},
};

describe("a MistServer configuration", () => {
  const read = readConfiguration(sample, "config.json", []);

  it("is told from our own shape", () => {
    expect(isMistShape(sample)).toBe(true);
    expect(isMistShape({ streams: {}, account: {} })).toBe(false);
    expect(read.mist).toBe(sample);
  });

  it("gives ports, addresses and modes; 0 is no value for the modes that MistServer cannot keep at 0", () => {
    expect(read.settings).toMatchObject({ apiPort: 4243, apiHost: "127.0.0.1", httpPort: 8081, httpHost: "0.0.0.0", rtmpPort: 1936 });
    expect(read.settings).toMatchObject({ sessionViewerMode: 14, sessionStreamInfoMode: 2, sessionUnspecifiedMode: 0, tknMode: 0 });
    expect(read.settings).toMatchObject({ serverid: "edge-1", accesslog: "LOG", defaultStream: "", trustedproxy: ["10.0.0.0/8"] });
    expect(read.settings.kept).toEqual({
      controllerUser: "root",
      debug: 3,
      prometheus: "metrics",
      bandwidth: { exceptions: ["::1"] },
      ui_settings: { sort: "name" },
    });
    expect(read.settings.account).toEqual({ admin: { password: "21232f297a57a5a743894a0e4a801fc3" } });
  });

  it("refuses names that are not configured, and serves only the connectors that it lists", () => {
    expect(read.settings.defaultSource).toBeUndefined();
    const connectors = connectorEntries(read.settings, []).map(({ connector }) => connector);
    expect(connectors).toContain("HLS");
    expect(connectors).not.toContain("FLV");
    expect(read.settings.connectors).toHaveLength(4);
  });

  it("keeps streams and triggers as they are", () => {
    expect(read.settings.triggers).toBe(sample.config.triggers);
    const live = read.settings.streams["live"];
    expect(live).toEqual({
      source: "push://",
      DVR: "60000",
      resume: 1,
      always_on: false,
      tags: ["a"],
      processes: [{ process: "x" }],
    });
    expect(live && streamSettings(live)).toMatchObject({ source: "push://", DVR: 60_000, resume: true, always_on: false, tags: ["a"] });
  });

  it("warns of what is not there", () => {
    expect(read.warnings).toEqual([
      "config.json: Sluice does not have the connectors HLS, DTSC",
      "config.json: triggers that never fire here: PROCESS_X",
      'config.json: streams["Bad Name"] is no stream name; use a-z, 0-9, "_", "." and "-": "bad"; the stream is left out',
      "config.json: Sluice has nothing for external_writers; they are ignored",
    ]);
  });

  it.each([
    [
      { config: { protocols: [{ connector: "HTTP", port: "x" }] } },
      'config.json: config.protocols[0].port is "x"; it must be a port number',
    ],
    [{ config: { sessionViewerMode: "many" } }, 'config.json: config.sessionViewerMode is "many"'],
    [{ config: 5 }, "config.json: config is 5; it must be an object"],
    [{ config: {}, account: { a: {} } }, "config.json: account.a.password is missing"],
  ])("names a wrong field: %j", (value, message) => {
    expect(() => readConfiguration(value, "config.json", [])).toThrow(message);
  });
});

describe("the connector HTTPS", () => {
  const read = (...protocols: readonly object[]) => readConfiguration({ config: { protocols } }, "c.json");

  it("has its port, interface and files in one setting of ours", () => {
    const { settings, warnings } = read(
      { connector: "HTTP" },
      { connector: "HTTPS", cert: ["/a/cert.pem"], key: "/a/key.pem", port: "", interface: "::" },
    );
    expect(settings.https).toEqual({ port: 4433, host: "::", cert: "/a/cert.pem", key: "/a/key.pem" });
    expect(warnings).toEqual([]);
    expect(read({ connector: "HTTPS", cert: "c", key: "k", port: "8443" }).settings.https).toEqual({ port: 8443, cert: "c", key: "k" });
    expect(read({ connector: "HTTP" }).settings.https).toBeUndefined();
  });

  it("is not started without files, and says so; what is of the wrong kind is an error at its place", () => {
    const { settings, warnings } = read({ connector: "HTTPS", cert: "c" });
    expect([settings.https, warnings]).toEqual([undefined, ["c.json: the connector HTTPS has no `cert` or no `key`; it is not started"]]);
    expect(() => read({ connector: "HTTPS", cert: "c", key: 5 })).toThrow(/config\.protocols\[0\]\.key is 5/);
  });

  it("is listed when our own setting has it", () => {
    const { settings } = readConfiguration({ https: { cert: "c", key: "k" } }, "c.ts");
    expect(settings.https).toEqual({ port: 4433, cert: "c", key: "k" });
    expect(connectorEntries(settings, []).find(({ connector }) => connector === "HTTPS")).toEqual({
      ...{ connector: "HTTPS", interface: "0.0.0.0", port: 4433, cert: "c", key: "k" },
    });
  });
});
