// No new viewers while a stream sends more than its limit; when it is under the safe mark they are let in at once.
import { allow, defineConfig, deny } from "sluice";

const [limit, safe] = [Number(process.env.LIMIT ?? 100e6), Number(process.env.SAFE ?? 80e6)]; // bits per second
const full = new Set<string>();

export default defineConfig({
  triggers: {
    USER_NEW: ({ stream, recheck }, { server }) => {
      if (server.egress(stream) > (full.has(stream) ? safe : limit)) full.add(stream);
      else full.delete(stream);
      return recheck || !full.has(stream) ? allow() : deny("this stream is full, try again soon", { denyFor: 0 });
    },
  },
});
