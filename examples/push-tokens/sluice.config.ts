// Encoders push to a secret key; viewers see the public name. The public name itself cannot be pushed to.
import { defineConfig, deny, rewrite } from "sluice";

const names = new Map([["k9f2c7d1e8a04b53", "live"]]);

export default defineConfig({
  streams: { live: "push://" },
  triggers: {
    PUSH_REWRITE: ({ stream }) => (names.has(stream) ? rewrite(names.get(stream) ?? "") : deny("unknown key")),
  },
});
