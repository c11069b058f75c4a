// npm start: installs what is missing, then runs the server with the project's own Node.
import { installPackages, root, runNode } from "./setup.mjs";

installPackages();
process.exitCode = await runNode([`${root}/src/cli.ts`, ...process.argv.slice(2)], { cwd: process.env.INIT_CWD ?? process.cwd() });
