/** What a call does here, for docs/reference/mist-api.md. */
type Described = {
  readonly does: string;
  /** Where it is not as in MistServer. */
  readonly differs?: string;
};

/** Members of a command that the frame reads: they are no calls of the table. */
const frame: Readonly<Record<string, Described>> = {
  authorize: {
    does: "Logs in: `{username, password}`, `password` = md5(md5(plain) + challenge). `{new_username, new_password}` makes the first account.",
    differs:
      "The challenge cannot be computed and ends; wrong logins have to wait; the first account can be made from this machine only. Bearer tokens and HTTP Basic are taken too.",
  },
  logout: { does: "Ends the login of this connection." },
  minimal: { does: "Answers only what was asked for, as `/api2` always does." },
  log: { does: "The last 100 lines: `[unix, kind, message, stream, pid, program, line]`.", differs: "`line` is empty." },
};

/** Every call of the table; a test holds the names together. */
export const describedCalls: Readonly<Record<string, Described>> = {
  config_backup: {
    does: "The whole configuration, as `config_restore` takes it.",
    differs:
      "Accounts, keys and stream keys are not in it, secrets of handlers are masked. Settings that MistServer's shape has no place for are not in it either.",
  },
  config_reload: { does: "Loads the configuration's file anew.", differs: "`error` says when nothing was loaded." },
  config_restore: {
    does: "Replaces the whole configuration.",
    differs:
      "Nothing is changed when a member of `config` cannot be used. Accounts, keys, stream keys, and ports that are not named, stay. Streams are asked about (STREAM_ADD, ...) as always.",
  },
  config: {
    does: "Changes the members that are there (null resets), and answers all of them.",
    differs: "A member that cannot be used is named in `error`. Ports of HTTP and of the API count from the next start on.",
  },
  jwks: { does: "The keys for JWTs: asks, or replaces all." },
  addjwks: { does: "Adds keys for JWTs." },
  deletejwks: { does: "Takes keys for JWTs away." },
  bandwidth: {
    does: "`{limit, exceptions}`: what the machine's line has; for load balancers and charts, it limits nothing.",
    differs: "`exceptions` are kept and shown; their bytes count like all others.",
  },
  streams: { does: "Replaces all streams, or asks for them with their state." },
  addstream: { does: "Adds streams or changes them." },
  deletestream: { does: "Takes streams out of the configuration: a name, names, or an object." },
  deletestreamsource: {
    does: "The same, and deletes their files.",
    differs: "Only a plain file that is one stream's own source is deleted. There is no `.dtsh`, so `2:` never comes.",
  },
  addprotocol: { does: "Adds a connector, or several." },
  deleteprotocol: { does: "Takes every connector away that has these options." },
  updateprotocol: { does: "`[old, new]`: puts one in the place of another." },
  tags: { does: "The server's tags: asks, or replaces all." },
  add_tag: { does: "Adds tags to the server's." },
  remove_tag: { does: "Takes tags from the server's." },
  capabilities: {
    does: "Connectors, inputs, triggers and the machine.",
    differs: "Nothing is said about processes and pushes out; the abilities of one source (a text) are empty.",
  },
  load: { does: "Memory and processor in percent." },
  browse: {
    does: "`{path, files, subdirectories}` of a folder.",
    differs: "Only folders of configured sources and what is below them; any other path is answered with the path alone.",
  },
  streamkeys: { does: "Stream keys: asks, or replaces all." },
  streamkey_add: { does: "Adds stream keys." },
  streamkey_del: { does: "Takes stream keys away." },
  ui_settings: { does: "An object that a web interface keeps here." },
  version: { does: "`{version, release, date, time}`.", differs: "Date and time are now's." },
  clients: {
    does: "Sessions that were alive at `time`; filters `streams`, `protocols`, `sessids`, `hosts`; `tags` as a field.",
    differs: "Without `time` it is now. For a time that is past, bytes and rates are those of now or of the session's end.",
  },
  totals: {
    does: "Viewers and bytes for each second of the last 600.",
    differs: "The second that is not over yet has no row; sessions stop counting when they end. No filters by session or host.",
  },
  active_streams: {
    does: "Streams that play or are about to, by name or with facts.",
    differs: "Viewers count at once; `firstms` is true.",
  },
  stats_streams: { does: "Streams that had a session within ten minutes." },
  api_endpoint: { does: "The address of this API.", differs: "As the client reaches it." },
  shutdown: { does: "Ends the server in order; from this machine only." },
  nuke_stream: { does: "Ends a stream and its publisher." },
  no_unconfigured_streams: {
    does: "Ends streams whose name is not configured.",
    differs: "Does nothing where every name may be pushed to. A stream that plays from another source than the configured one goes on.",
  },
  invalidate_sessions: {
    does: "Asks again about everybody who watches these streams, and forgets refusals.",
    differs: "`base+` and `*` are patterns.",
  },
  invalidate_sessid: { does: "The same for sessions (FrameWorks' fork)." },
  stop_sessions: {
    does: "Ends sessions by stream and protocol; a list of texts means protocols.",
    differs: "`base+` and `*` are patterns.",
  },
  stop_sessid: { does: "Ends sessions." },
  stop_tag: { does: "Ends the sessions that have a tag." },
  tag_sessid: { does: "`{session: tag}`: gives tags to sessions." },
  untag_sessid: { does: "Takes them away (FrameWorks' fork)." },
  tag_stream: { does: "`{stream: tag}`: gives tags to streams while they play; 60 s before they come." },
  untag_stream: { does: "Takes tags from streams, configured ones too, while they play." },
  stream_tags: { does: "Tags of streams: of these, or of all that play." },
  push_start: { does: "", differs: "Refused with `error`: Sluice cannot push out yet." },
  push_list: { does: "null: there are no pushes." },
  push_stop: { does: "Nothing, as there are no pushes." },
  push_stop_graceful: { does: "Nothing, as there are no pushes." },
  push_auto_add: { does: "", differs: "Refused with `error`: Sluice cannot push out yet." },
  push_auto_remove: { does: "Answers the empty lists." },
  push_auto_list: { does: "null, and `auto_push` null." },
  push_settings: { does: "`{wait, maxspeed}`: kept for the day when there are pushes." },
  variable_add: {
    does: "A variable for `$name` in sources, `fallback_stream` and `defaultStream`: `[name, value]`, `[name, target, interval, value, waitTime]`, or an object. A target is a URL or a command; its answer is the value.",
    differs:
      "Commands are run without a shell. Names of the server's own variables cannot be taken. Values that targets gave are asked for anew after a start.",
  },
  variable_remove: { does: "Takes variables away." },
  variable_list: { does: "All variables with their values now.", differs: "`lastunix` is not told." },
  proc_list: { does: "`{}`: there are no processes." },
  clearstatlogs: { does: "Nothing: the last 100 lines are all there is." },
  save: { does: "Nothing: each change was written before it was answered." },
};

/** Calls of MistServer that are ignored, as unknown calls are, and why. */
const absent: Readonly<Record<string, string>> = {
  "external_writer_add, external_writer_list, external_writer_remove": "nothing is written out yet",
  playlist: "there are no playlists as sources yet",
  enumerate_sources: "there are no sources that are devices",
  "autoupdate, checkupdate, update, abortupdate": "the package manager does it",
  "push_status_update, proc_status_update, trigger_stat, trigger_fail": "MistServer's processes tell each other; here there is one process",
  "camera_list, camera_config, ...": "FrameWorks' fork only: cameras",
  "the same commands by UDP": "MistServer's processes use it; a datagram's sender cannot be known",
};

/** The page docs/reference/mist-api.md; `names` are the calls in the order in which they run. */
export function mistApiReference(names: readonly string[]): string {
  const row = ([name, { does, differs = "" }]: readonly [string, Described]): string => `| \`${name}\` | ${does} | ${differs} |`;
  const calls = names.map((name) => [name, describedCalls[name] ?? { does: "" }] as const);
  return `# MistServer's JSON API

<!-- Written by \`node scripts/reference.ts\` from src/api/mist/reference.ts. Change the table, not this page. -->

\`POST /api\` with a JSON object as the body (\`Content-Type: application/json\`, with or without a charset), or \`command=\` in a form or in the query. Each member is a call; they run in the order of this table, whatever the order in the object. \`/api2\`, or \`"minimal":1\`, leaves out what was not asked for: \`streams\`, \`config\` and \`log\`. The status is 200, also when a login is needed; \`error\` says in words what could not be done. JSONP with \`callback\` or \`jsonp\`. Unknown members are ignored.

    curl -s http://127.0.0.1:4242/api2 -H 'Content-Type: application/json' -d '{"active_streams":["viewers","status"]}'

| member | what it does | where it differs from MistServer |
|---|---|---|
${Object.entries(frame).map(row).join("\n")}
${calls.map(row).join("\n")}

## What is ignored

| MistServer's | why |
|---|---|
${Object.entries(absent)
  .map(([name, why]) => `| ${name} | ${why} |`)
  .join("\n")}
`;
}
