// A file that always lists exactly the streams that play at once on every protocol.
import { writeFile } from "node:fs/promises";
import { defineConfig } from "sluice";

export default defineConfig({
  streams: { live: "push://", radio: "push://" },
  triggers: {
    SYSTEM_START: async (_, { server }) => (await writeFile("live.json", JSON.stringify(server.liveStreams())), true),
    STREAM_BUFFER: (_, { server }) => writeFile("live.json", JSON.stringify(server.liveStreams())),
  },
});
