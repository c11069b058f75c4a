import type { Sluice } from "./sluice.ts";

/** The parts of the stream information that tests look at. */
export type StreamInfo = {
  readonly error?: string;
  readonly type: string;
  readonly width: number;
  readonly height: number;
  readonly meta: {
    readonly tracks: Readonly<
      Record<string, { readonly type: string; readonly codec: string; readonly codecstring: string; readonly lastms: number }>
    >;
  };
  readonly source: readonly { readonly type: string; readonly relurl: string }[];
};

/** Asks for the stream information until the stream plays. `failed` rejects when it never will. */
export async function whenPlayable(sluice: Sluice, name: string, failed?: Promise<never>): Promise<StreamInfo> {
  const limit = performance.now() + 30_000;
  for (;;) {
    const response = await fetch(sluice.http(`json_${name}.js?tkn=waits-for-it`));
    const info = (await response.json()) as StreamInfo;
    if (info.source) return info;
    if (performance.now() > limit) throw new Error(`${name} did not play within 30 s: ${info.error}`);
    await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 100))].filter((wait) => wait !== undefined));
  }
}
