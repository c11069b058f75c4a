// npm run bench: installs what is missing, then measures. Arguments go to bench/run.ts.
import { benchPrograms, installPackages, installPrograms, root, runNode } from "./setup.mjs";

installPackages();
installPrograms();
installPrograms(benchPrograms);
process.exitCode = await runNode([`${root}/bench/run.ts`, ...process.argv.slice(2)]);
