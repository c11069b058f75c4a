import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Child, startChild } from "./child.ts";

/** Why OBS cannot run here; undefined when it can. */
export const obsMissing: string | undefined =
  existsSync("/usr/bin/obs") && existsSync("/usr/bin/Xvfb")
    ? undefined
    : "OBS is not installed here: apt-get install --no-install-recommends obs-studio obs-plugins xvfb";

const scene = {
  current_scene: "Scene",
  current_program_scene: "Scene",
  name: "Test",
  scene_order: [{ name: "Scene" }],
  sources: [
    { id: "color_source_v3", versioned_id: "color_source_v3", name: "Colour", settings: { color: 4_278_255_360, width: 320, height: 180 } },
    {
      id: "scene",
      name: "Scene",
      settings: {
        id_counter: 1,
        custom_size: false,
        items: [{ name: "Colour", id: 1, visible: true, pos: { x: 0, y: 0 }, scale: { x: 1, y: 1 } }],
      },
    },
  ],
};
const ini = (sections: Readonly<Record<string, Readonly<Record<string, string | number | boolean>>>>): string =>
  Object.entries(sections)
    .map(([name, values]) => [`[${name}]`, ...Object.entries(values).map(([key, value]) => `${key}=${value}`), ""].join("\n"))
    .join("\n");

/** An OBS of Debian on a display of its own that begins to stream a green picture at once, with a keyframe each second. It tries again twice. */
export async function startObs(server: string, key: string): Promise<Child> {
  const home = mkdtempSync(join(tmpdir(), "sluice-obs-"));
  const config = join(home, ".config/obs-studio");
  const profile = join(config, "basic/profiles/Test");
  mkdirSync(profile, { recursive: true });
  mkdirSync(join(config, "basic/scenes"));
  writeFileSync(
    join(config, "global.ini"),
    ini({
      General: { FirstRun: true, LastVersion: 486_539_266, InfoIncrement: 99, EnableAutoUpdates: false },
      Basic: { Profile: "Test", ProfileDir: "Test", SceneCollection: "Test", SceneCollectionFile: "Test", ConfigOnNewProfile: true },
      BasicWindow: { WarnBeforeStartingStream: false, WarnBeforeStoppingStream: false },
    }),
  );
  writeFileSync(
    join(profile, "basic.ini"),
    ini({
      General: { Name: "Test" },
      Video: { BaseCX: 320, BaseCY: 180, OutputCX: 320, OutputCY: 180, FPSCommon: 30 },
      Output: { Mode: "Advanced", Reconnect: true, RetryDelay: 1, MaxRetries: 2 },
      AdvOut: { Encoder: "obs_x264", TrackIndex: 1, RecType: "Standard" },
    }),
  );
  writeFileSync(
    join(profile, "streamEncoder.json"),
    JSON.stringify({ bitrate: 300, keyint_sec: 1, preset: "ultrafast", profile: "baseline", rate_control: "CBR" }),
  );
  writeFileSync(
    join(profile, "service.json"),
    JSON.stringify({ type: "rtmp_custom", settings: { server, key, use_auth: false, bwtest: false } }),
  );
  writeFileSync(join(config, "basic/scenes/Test.json"), JSON.stringify(scene));

  const display = startChild("Xvfb", ["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]);
  const number = (await display.printed(/^(\d+)\n/)).at(1);
  const runtime = join(home, "run");
  mkdirSync(runtime, { mode: 0o700 });
  const obs = startChild("obs", ["--startstreaming", "--minimize-to-tray", "--multi", "--verbose"], {
    env: {
      ...process.env,
      HOME: home,
      XDG_RUNTIME_DIR: runtime,
      XDG_CONFIG_HOME: join(home, ".config"),
      DISPLAY: `:${number}`,
      LIBGL_ALWAYS_SOFTWARE: "1",
    },
  });
  return {
    ...obs,
    [Symbol.asyncDispose]: async () => {
      // It asks back when it is told to end while it streams.
      await obs.stop("SIGKILL").catch(() => {});
      await display.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
