// npm start: installs what is missing, then runs the server with the project's own Node.
import { realpathSync } from "node:fs";
import { installPackages, projectNode, root, runNode } from "./setup.mjs";

installPackages();
const folder = process.env.INIT_CWD ?? process.cwd();
if (realpathSync(process.execPath) === realpathSync(projectNode)) {
  // npm has put the project's Node first on PATH: no second process is needed.
  process.chdir(folder);
  await import(`${root}/src/cli.ts`);
} else {
  process.exitCode = await runNode([`${root}/src/cli.ts`, ...process.argv.slice(2)], { cwd: folder });
}
