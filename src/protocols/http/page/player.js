// The player page's script. It asks for the stream information with the page's own query, so that the viewer's parameters
// reach the server's decision once, and opens the media with the token that comes back: page and media are one viewer.

const name = document.documentElement.dataset.stream;
const video = document.querySelector("video");
const notice = document.querySelector("#notice");
const noticeTitle = document.querySelector("#notice h1");
const noticeText = document.querySelector("#notice p");
const retry = document.querySelector("#retry");
const sound = document.querySelector("#sound");
const offer = document.querySelector("#offer");
const badge = document.querySelector("#badge");

const pageQuery = new URLSearchParams(location.search);
const wanted = pageQuery.get("player");
pageQuery.delete("player");

/** Milliseconds until the next try: short at first, so that a stream that comes back is seen soon. */
const delays = [500, 1500, 3000, 5000, 8000];
const refusedDelay = 30_000;
/** Seconds that the page waits at most, whatever the server asks for. */
const mostWait = 3600;
/** Milliseconds without progress after which a player that should play is started anew. */
const stallMs = 8000;
/** Milliseconds between looks whether the stream is back, while something else is shown in its place. */
const lookMs = 5000;
/** Milliseconds between looks while the server has promised to tell when the stream is there. */
const toldMs = 20_000;

/** What tests and embedding pages may look at. */
window.sluice = {
  player: undefined,
  state: "loading",
  error: undefined,
  get time() {
    return video.currentTime;
  },
};

let token;
let tries = 0;
let timer;
let active;
let teller;
const failed = new Set();

/** Lets the server tell when the stream is there. Where no WebSocket gets through, the page goes on asking. */
function listen() {
  if (teller && teller.token === token) return;
  teller?.close();
  const address = new URL(`json_${name}.js?${query()}`, document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.token = token;
  teller = socket;
  socket.addEventListener("message", ({ data }) => {
    if (teller !== socket) return;
    const info = JSON.parse(data);
    const { tkn, source, fallback, liveAgain } = info;
    offer.hidden = fallback !== "offer" || liveAgain !== true;
    if (source && active) mark(info);
    if (window.sluice.state !== "offline") return;
    const given = source ? new URL(source[0].url).searchParams.get("tkn") : new URLSearchParams(`tkn=${tkn ?? ""}`).get("tkn");
    // Whoever hears and whoever watches is one viewer.
    if (given) token = socket.token = given;
    if (!source) return;
    tries = 0;
    open();
  });
  socket.addEventListener("close", () => {
    if (teller === socket) teller = undefined;
  });
}

/** Asks what there is, and plays it or says why not. */
async function open() {
  clearTimeout(timer);
  stop();
  let response;
  let info;
  try {
    ({ response, info } = await ask());
  } catch {
    show("waiting", "No connection", "The server does not answer. Trying again…");
    return later();
  }
  if (response.status === 503) return waitForRoom(info);
  if (response.status === 403 || info.refused) {
    token = undefined;
    show("refused", "Not allowed", reasonOf(info, "You may not watch this stream."));
    return later(refusedDelay);
  }
  if (info.error || !info.source) {
    token = new URLSearchParams(`tkn=${info.tkn ?? ""}`).get("tkn") || token;
    show("offline", info.error ?? "Stream is offline", "It starts here as soon as it is live.");
    listen();
    return teller?.readyState === WebSocket.OPEN ? later(toldMs) : later();
  }
  const choice = choose(info);
  if (!choice) {
    failed.clear();
    const codecs = Object.values(info.meta?.tracks ?? {}).map((track) => track.codec);
    show("unplayable", "This browser cannot play the stream", `It has ${codecs.join(", ") || "no track yet"}.`);
    return later(delays.at(-1));
  }
  token = new URL(choice.url).searchParams.get("tkn") ?? token;
  // Who is kept while the stream is offline hears of it, and when it is live again.
  if (info.fallback) listen();
  else teller?.close();
  mark(info);
  await play(choice, info.type === "live", info.redirected !== undefined);
}

/** Says what is shown: the stream itself, or what stands in for it. */
function mark({ type, shows, liveAgain, redirected }) {
  const itself = shows === undefined && (type === "vod" || redirected === undefined);
  const other = { recording: "a recording", stream: "another stream", nothing: "nothing" }[shows];
  if (itself) badge.textContent = type === "live" ? "LIVE" : "RECORDING";
  else if (other) badge.textContent = `${liveAgain ? "LIVE AGAIN" : "OFFLINE"}, showing ${other}`;
  else badge.textContent = "ANOTHER STREAM";
  badge.className = itself ? type : "vod";
}

/** Why not, with the number under which the operator finds the decision. */
function reasonOf({ error, decision }, otherwise) {
  return `${error ?? otherwise}${decision ? ` (decision ${decision})` : ""}`;
}

/** There is no room for another viewer now: says why, and comes back when the server says so. */
function waitForRoom({ retryAfter = 10, ...info }) {
  const reason = reasonOf(info, "There is no room for another viewer.");
  // A little apart from the others that are told the same, so that they do not all come at once.
  const end = performance.now() + 1000 * (Math.min(retryAfter, mostWait) + Math.random());
  const count = () => {
    const seconds = Math.ceil((end - performance.now()) / 1000);
    if (seconds <= 0) return void open();
    show("full", "Full at the moment", `${reason}\nTrying again in ${seconds} s…`);
    clearTimeout(timer);
    timer = setTimeout(count, 1000);
  };
  count();
}

/** The stream information: what there is, or why not. Rejects without an answer. */
async function ask() {
  const response = await fetch(`json_${name}.js?${query()}`, { cache: "no-store" });
  return { response, info: await response.json() };
}

/** The page's own parameters; a token that the server gave is kept, so that all tries are one viewer. */
function query() {
  const params = new URLSearchParams(pageQuery);
  if (token && !params.has("tkn")) params.set("tkn", token);
  return params;
}

/** The best way that this browser has and that has not failed: FLV for its low latency, HLS for recordings and where FLV cannot play. */
function choose(info) {
  const mse = "MediaSource" in window;
  const managed = mse || "ManagedMediaSource" in window;
  const native = video.canPlayType("application/vnd.apple.mpegurl") !== "";
  const ways = [
    { kind: "flv", type: "flash/7", able: mse },
    { kind: "hls", type: "html5/application/vnd.apple.mpegurl", able: managed },
    { kind: "native", type: "html5/application/vnd.apple.mpegurl", able: native },
  ];
  if (info.type === "vod") ways.push(ways.shift());
  for (const { kind, type, able } of ways) {
    const source = info.source.find((one) => one.type === type);
    const asked = !wanted || wanted === kind || (wanted === "hls" && kind === "native");
    if (able && source && asked && !failed.has(kind)) return { kind, url: mediaUrl(source) };
  }
  return undefined;
}

/** Relative to the page, so that a proxy's path in front of the server does no harm. */
function mediaUrl(source) {
  const url = new URL(source.relurl, document.baseURI);
  for (const [key, value] of pageQuery) if (!url.searchParams.has(key)) url.searchParams.append(key, value);
  return url.href;
}

async function play({ kind, url }, live, standsIn) {
  const mine = { kind, stop: () => {} };
  active = mine;
  window.sluice.player = kind;
  let started = false;
  let moved = performance.now();
  /** The player has ended or broken down; what comes next is the server's to say. */
  const over = (error) => {
    if (active !== mine) return;
    window.sluice.error = error;
    if (error && !started) failed.add(kind);
    stop();
    show("waiting", "One moment", "Connecting again…");
    later();
  };
  const onTime = () => {
    moved = performance.now();
    if (started || video.currentTime === 0) return;
    started = true;
    tries = 0;
    failed.clear();
    window.sluice.error = undefined;
    hide();
  };
  const onEnded = () => over();
  const onError = () => over(video.error?.message || "the video element reports an error");
  const watch = setInterval(() => {
    if (video.paused) moved = performance.now();
    else if (performance.now() - moved > stallMs) over("no progress");
  }, 1000);
  // A recording may be loaded to its end: no request of its player would then hear of the server's change of mind.
  const look = async () => {
    const now = await ask().catch(() => undefined);
    if (now && (now.info.refused || now.info.type === "live")) over();
    else if (now?.info.source && active === mine) mark(now.info);
  };
  const looking = standsIn && !live ? setInterval(look, lookMs) : undefined;
  video.addEventListener("timeupdate", onTime);
  video.addEventListener("ended", onEnded);
  video.addEventListener("error", onError);
  mine.stop = () => {
    clearInterval(watch);
    clearInterval(looking);
    video.removeEventListener("timeupdate", onTime);
    video.removeEventListener("ended", onEnded);
    video.removeEventListener("error", onError);
    mine.close?.();
    video.removeAttribute("src");
    video.load();
  };
  try {
    const start = { flv: startFlv, hls: startHls, native: startNative }[kind];
    const close = await start(url, live, over);
    if (active === mine) mine.close = close;
    else close?.();
  } catch (error) {
    over(String(error));
  }
  if (active === mine) await video.play().catch(() => show("paused", "Ready", "Press play."));
}

async function startFlv(url, live, over) {
  await load("mpegts");
  const { mpegts } = window;
  mpegts.LoggingControl.enableAll = false;
  const player = mpegts.createPlayer(
    { type: "flv", isLive: live, url, cors: true },
    { enableStashBuffer: false, liveSync: live, liveSyncMaxLatency: 2.5, liveSyncTargetLatency: 1, liveSyncPlaybackRate: 1.1 },
  );
  player.on(mpegts.Events.ERROR, (type, detail, info) => over(`${type}: ${detail}${info?.code > 0 ? ` ${info.code}` : ""}`));
  // The server closes a live stream when it has ended or the viewer may not go on; a recording is played to its end first.
  if (live) player.on(mpegts.Events.LOADING_COMPLETE, () => over());
  player.attachMediaElement(video);
  player.load();
  return () => player.destroy();
}

async function startHls(url, live, over) {
  await load("hls");
  const { Hls } = window;
  const hls = new Hls({ liveSyncDurationCount: 2, backBufferLength: 30, manifestLoadingMaxRetry: 0 });
  let recovered = false;
  hls.on(Hls.Events.ERROR, (_, { fatal, type, details, response }) => {
    if (!fatal) return;
    if (type === Hls.ErrorTypes.MEDIA_ERROR && !recovered) {
      recovered = true;
      return hls.recoverMediaError();
    }
    over(`${details}${response?.code ? ` ${response.code}` : ""}`);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return () => hls.destroy();
}

function startNative(url) {
  video.src = url;
}

/** Loads one of the libraries that the server brings along, once. */
const libraries = new Map();
function load(library) {
  const known = libraries.get(library);
  if (known) return known;
  const loading = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.documentElement.dataset[library];
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => {
      libraries.delete(library);
      reject(new Error(`${library} could not be loaded`));
    });
    document.head.append(script);
  });
  libraries.set(library, loading);
  return loading;
}

function stop() {
  const last = active;
  active = undefined;
  last?.stop();
}

function later(ms = delays[Math.min(tries++, delays.length - 1)]) {
  clearTimeout(timer);
  timer = setTimeout(open, ms);
}

function show(state, title, text) {
  window.sluice.state = state;
  if (state === "refused" || state === "unplayable" || state === "full") window.sluice.error = text;
  noticeTitle.textContent = title;
  noticeText.textContent = text;
  retry.hidden = state !== "refused" && state !== "unplayable" && state !== "full";
  notice.dataset.state = state;
  notice.hidden = false;
  sound.hidden = true;
  if (state !== "paused") badge.className = "";
}

function hide() {
  window.sluice.state = "playing";
  notice.hidden = true;
  sound.hidden = !video.muted;
}

retry.addEventListener("click", () => {
  tries = 0;
  open();
});
offer.addEventListener("click", async () => {
  offer.hidden = true;
  tries = 0;
  pageQuery.set("tolive", "1");
  await open();
  pageQuery.delete("tolive");
});
sound.addEventListener("click", () => {
  video.muted = false;
  sound.hidden = true;
});
video.addEventListener("volumechange", () => {
  if (!video.muted) sound.hidden = true;
});
video.addEventListener("playing", () => {
  if (notice.dataset.state === "paused") notice.hidden = true;
});

show("loading", "One moment", "Connecting…");
open();
