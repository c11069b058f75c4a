// Runs on any Node from 20 on: brings the project's own Node and packages, and Debian's programs for the tests.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");
export const projectNode = join(root, "node_modules", ".bin", "node");
const stampFile = join(root, "node_modules", ".sluice-installed");

/** Installs the locked packages unless exactly these are there. */
export function installPackages() {
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(projectNode) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === wanted) return;
  console.error("Installing packages (once) ...");
  const npm = process.env.npm_execpath;
  const [command, before] = npm ? [process.execPath, [npm]] : ["npm", []];
  try {
    // Not `npm ci`: the lock file knows only one platform's optional binaries, which `ci` takes for a fault and `install` mends.
    execFileSync(command, [...before, "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: root,
      stdio: ["ignore", 2, 2],
    });
  } catch {
    fail("npm could not install the packages; its own words are above. Mend that and run the same command again.");
  }
  writeFileSync(stampFile, wanted);
}

/** Programs that tests run against, with the Debian package that has each. */
const programs = [
  { program: "ffmpeg", packages: ["ffmpeg"] },
  { program: "chromium", packages: ["chromium"] },
  { program: "rtmpdump", packages: ["rtmpdump"] },
  { program: "haproxy", packages: ["haproxy"] },
  { program: "gst-launch-1.0", packages: ["gstreamer1.0-tools"] },
  {
    program: "gst-inspect-1.0",
    args: ["--exists", "rtmp2sink"],
    packages: [
      "gstreamer1.0-plugins-base",
      "gstreamer1.0-plugins-good",
      "gstreamer1.0-plugins-bad",
      "gstreamer1.0-plugins-ugly",
      "gstreamer1.0-libav",
    ],
  },
];

/** Programs whose tests are skipped, with the reason, where they are missing and may not be installed. */
const optionalPrograms = [
  { program: "obs", packages: ["obs-studio", "obs-plugins"] },
  { program: "xvfb-run", packages: ["xvfb", "xauth"] },
  { versions: "/usr/lib/postgresql", file: "bin/initdb", packages: ["postgresql"] },
];

/** Single programs of Debian packages that bring a service, which is not wanted: taken out of the package, nothing of it is set up. */
const takenPrograms = [{ program: "promtool", package: "prometheus", member: "./usr/bin/promtool" }];

/** More programs that only the benchmark needs. */
export const benchPrograms = [
  { program: "nginx", packages: ["nginx-light"] },
  { file: "/usr/lib/nginx/modules/ngx_rtmp_module.so", packages: ["libnginx-mod-rtmp"] },
];

/** Installs what is missing when it may, else ends with the exact command; what is optional is done without. */
export function installPrograms(wanted = programs, optional = wanted === programs ? optionalPrograms : []) {
  const mayInstall = process.getuid?.() === 0 && has("apt-get");
  const looked = mayInstall ? [...wanted, ...optional] : wanted;
  if (mayInstall && wanted === programs) takePrograms();
  const missing = looked.filter((one) => !isThere(one)).flatMap((one) => one.packages);
  if (missing.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${missing.join(" ")}`;
  if (!mayInstall) {
    fail(`These programs are needed and may not be installed by this user. Run:\n\n  sudo apt-get update && sudo ${command}\n`);
  }
  console.error(`Installing Debian packages (once): ${missing.join(" ")} ...`);
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  try {
    execFileSync("apt-get", ["update", "-qq"], { stdio: ["ignore", 2, 2], env: environment });
    if (missing.includes("postgresql")) withoutDatabase(environment);
    execFileSync("apt-get", command.split(" ").slice(1), { stdio: ["ignore", "ignore", 2], env: environment });
  } catch {
    fail(`apt-get could not install them. Run by hand:\n\n  apt-get update && ${command}\n`);
  }
}

/** Debian's PostgreSQL makes a database and starts it when it is installed; tests make their own, and nobody has asked for that one. */
function withoutDatabase(environment) {
  const args = ["install", "-y", "--no-install-recommends", "postgresql-common"];
  execFileSync("apt-get", args, { stdio: ["ignore", "ignore", 2], env: environment });
  const file = "/etc/postgresql-common/createcluster.conf";
  const text = readFileSync(file, "utf8");
  if (!/^\s*create_main_cluster\s*=/m.test(text)) writeFileSync(file, `${text}\ncreate_main_cluster = false\n`);
}

/** Tests of what could not be taken are skipped, with the reason. */
function takePrograms() {
  for (const { program, package: from, member } of takenPrograms.filter((one) => !has(one.program))) {
    console.error(`Taking ${program} from the Debian package ${from} (once) ...`);
    const folder = mkdtempSync(join(tmpdir(), "sluice-setup-"));
    const quiet = { cwd: folder, stdio: ["ignore", "ignore", "pipe"] };
    try {
      // Downloads are done as another user, who has to be able to write here.
      chmodSync(folder, 0o777);
      execFileSync("apt-get", ["update", "-qq"], quiet);
      execFileSync("apt-get", ["download", "-qq", from], quiet);
      const archive = readdirSync(folder).find((name) => name.endsWith(".deb"));
      execFileSync("dpkg-deb", ["--extract", archive, "."], quiet);
      copyFileSync(join(folder, member), join("/usr/local/bin", program));
    } catch (error) {
      console.error(
        `${program} is done without: ${String(error.stderr ?? error.message)
          .trim()
          .split("\n")
          .at(-1)}`,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** Runs the project's Node with the project's programs first on PATH; resolves with its exit code. */
export function runNode(args, options = {}) {
  const child = spawn(projectNode, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH}` },
    ...options,
  });
  const forward = (signal) => child.kill(signal);
  process.on("SIGTERM", forward);
  process.on("SIGINT", forward);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

function isThere(one) {
  if (one.versions)
    return existsSync(one.versions) && readdirSync(one.versions).some((version) => existsSync(join(one.versions, version, one.file)));
  if (one.file) return existsSync(one.file);
  if (!one.args) return has(one.program);
  try {
    execFileSync(one.program, one.args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function has(program) {
  return (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, program)));
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
