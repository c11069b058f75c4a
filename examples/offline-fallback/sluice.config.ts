// Who opens an offline stream gets the latest recording; when the stream is back, they are moved to it.
import { defineConfig, deny, rewrite } from "sluice";

export default defineConfig({
  streams: { live: "push://", recording: process.env.RECORDING ?? "/var/lib/sluice/latest.mp4" },
  triggers: {
    DEFAULT_STREAM: ({ stream }) => (stream === "live" ? rewrite("recording") : deny("offline")),
    STREAM_BUFFER: ({ stream, state }, { server }) => {
      if (stream === "live" && state === "FULL") server.stopSessions(server.viewers("recording").map((viewer) => viewer.sessionId));
    },
  },
});
