// Who may watch is decided once for each viewer, by the viewer's cookie or URL parameter.
import { allow, defineConfig, deny } from "sluice";

const paid = new Set(["anna", "bert"]);

export default defineConfig({
  streams: { live: "push://" },
  triggers: {
    USER_NEW: ({ cookies, query }) => (paid.has(query.user ?? cookies.user ?? "") ? allow() : deny("please subscribe first")),
  },
});
