import { type MetricDefinition, metrics } from "./table.ts";

/** The page docs/reference/metrics.md. */
export function metricReference(): string {
  const rows = Object.entries(metrics as Readonly<Record<string, MetricDefinition>>).map(([name, { type, labels = [], help }]) => {
    const names = labels.map((label) => `\`${label}\``).join(", ");
    return `| \`${name}\` | ${type} | ${names} | ${help} |`;
  });
  return `# Metrics

<!-- Written by \`node scripts/reference.ts\` from src/metrics/table.ts. Change the table, not this page. -->

${intro}

| metric | type | labels | |
|---|---|---|---|
${rows.join("\n")}
`;
}

const intro = `\`GET /metrics\` on the API port is Prometheus' text format. It is open to programs on this machine, and to others with an account's name and password by HTTP Basic, or a bearer token with the scope \`read\`:

\`\`\`yaml
scrape_configs:
  - job_name: sluice
    basic_auth: { username: prometheus, password_file: /etc/prometheus/sluice }
    static_configs: [{ targets: ["media.example:4242"] }]
\`\`\`

MistServer's setting \`prometheus\` (\`config.prometheus\`, in the file or through the API) opens \`/<prometheus>\` to everybody who reaches the API port, without a login, as MistServer does: the names of streams and the addresses of handlers stand there. Empty, it is off.

What begins with \`mist_\` is called and meant as in MistServer; there is a space before each value. What MistServer has and Sluice does not has no line (\`mist_shm_*\`, \`mist_packets_total\`, \`mist_packets\`, \`mist_bw_other\`, \`stat_bw_total\`). \`/<prometheus>.json\` is MistServer's JSON form for load balancers, with JSONP (\`?callback=\`); what is not counted is 0 there. \`handler\` is a URL without its query and password, a path, or a function's name; \`id\` is the handler's in \`/api/v1/triggers\`.`;
