export { type Allow, allow, type Deny, deny, type Keep, keep, type Rewrite, rewrite } from "./base/decision.ts";
