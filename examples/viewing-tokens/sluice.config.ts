// Viewers open a token instead of a name. The token says which stream and how many viewers; the name itself is refused.
import { allow, defineConfig, deny, rewrite } from "sluice";

const tokens = new Map([["t-7d1e8a04b53k9f2c", { stream: "live", left: 2 }]]);

export default defineConfig({
  streams: { live: { source: "push://", hidden: true } },
  triggers: {
    DEFAULT_STREAM: ({ stream }) => rewrite(tokens.get(stream)?.stream ?? ""),
    USER_NEW: ({ asked }) => {
      const token = tokens.get(asked);
      return token && token.left-- > 0 ? allow() : deny("this address does not play, or not any more");
    },
  },
});
