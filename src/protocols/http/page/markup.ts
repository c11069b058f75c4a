/** URLs of what the page loads, relative to it. */
export type PageAssets = { readonly script: string; readonly style: string; readonly hls: string; readonly mpegts: string };

/**
 * The player page. It holds nothing but the name that its own address has: who may see more is decided when its script
 * asks for the stream information. `name` is plain text, `encoded` the same as a part of a URL's path.
 */
export function playerPage(name: string, encoded: string, assets: PageAssets): string {
  const { script, style, hls, mpegts } = assets;
  return `<!DOCTYPE html>
<html lang="en" data-stream="${escapeHtml(encoded)}" data-hls="${escapeHtml(hls)}" data-mpegts="${escapeHtml(mpegts)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="same-origin">
<title>${escapeHtml(name)}</title>
<link rel="stylesheet" href="${escapeHtml(style)}">
</head>
<body>
<main>
<video controls muted autoplay playsinline></video>
<div id="bar"><span id="name">${escapeHtml(name)}</span><span id="badge"></span></div>
<div id="notice" role="status" hidden><h1></h1><p></p><button id="retry" type="button" hidden>Try again</button></div>
<button id="sound" type="button" hidden>Turn sound on</button>
<button id="offer" type="button" hidden>Back to live</button>
</main>
<noscript>This page needs JavaScript to play the stream.</noscript>
<script type="module" src="${escapeHtml(script)}"></script>
</body>
</html>
`;
}

/** Text for HTML's text and quoted attribute values (HTML standard, section 13.1.2.3). */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** The page runs nothing but its own scripts and loads nothing from elsewhere; it may be put into other sites' frames. */
export const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "media-src 'self' blob:",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

export const pageStyle = `:root { color-scheme: dark; font: 16px/1.5 system-ui, sans-serif; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html, body { height: 100%; margin: 0; background: #0d0f12; color: #e8eaed; }
main { position: relative; height: 100%; display: grid; place-items: center; overflow: hidden; }
video { width: 100%; height: 100%; object-fit: contain; background: #000; }
#bar { position: absolute; inset: 0 0 auto 0; display: flex; gap: .6rem; align-items: center; padding: .8rem 1rem; pointer-events: none;
  background: linear-gradient(#000a, #0000); font-size: .9rem; }
#name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#badge { padding: .05rem .45rem; border-radius: .25rem; font-size: .7rem; font-weight: 600; letter-spacing: .04em; background: #5f6368; }
#badge.live { background: #d93025; }
#badge.vod { background: #1a73e8; }
#badge:not(.live):not(.vod) { display: none; }
#notice { position: absolute; max-width: min(34rem, 90%); padding: 1.4rem 1.8rem; border-radius: .8rem; text-align: center;
  background: #1c1f24ee; box-shadow: 0 .5rem 2rem #0008; }
#notice h1 { margin: 0 0 .3rem; font-size: 1.15rem; font-weight: 600; }
#notice p { margin: 0; color: #bdc1c6; overflow-wrap: anywhere; white-space: pre-line; }
#notice[data-state="loading"] h1::before, #notice[data-state="waiting"] h1::before, #notice[data-state="offline"] h1::before {
  content: ""; display: inline-block; width: .7em; height: .7em; margin-right: .55em; border: .14em solid #8ab4f8; border-right-color: transparent;
  border-radius: 50%; animation: turn 1s linear infinite; }
#notice[data-state="refused"] h1 { color: #f28b82; }
button { font: inherit; font-size: .9rem; padding: .45rem 1rem; border: 0; border-radius: 2rem; background: #8ab4f8; color: #10131a; cursor: pointer; }
button:hover, button:focus-visible { background: #aecbfa; }
#retry { margin-top: 1rem; }
#sound { position: absolute; top: 3.2rem; left: 1rem; }
#offer { position: absolute; top: 3.2rem; right: 1rem; }
@keyframes turn { to { transform: rotate(1turn); } }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
`;
