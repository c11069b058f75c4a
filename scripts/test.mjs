// npm test: installs what is missing, then runs every test. Arguments go to vitest: npm test -- src/triggers
import { installPackages, installPrograms, root, runNode } from "./setup.mjs";

installPackages();
installPrograms();
process.exitCode = await runNode([`${root}/node_modules/vitest/vitest.mjs`, "run", ...process.argv.slice(2)]);
