// better-auth with its twoFactor plugin on PostgreSQL: node:cluster with WORKERS processes.
import cluster from "node:cluster";
import http from "node:http";
import pg from "pg";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { twoFactor } from "better-auth/plugins";

const { BASE, PORT, PEER_DATABASE_URL, SECRET, WORKERS } = process.env;
const options = {
  appName: "bench",
  baseURL: BASE,
  secret: SECRET,
  database: new pg.Pool({ connectionString: PEER_DATABASE_URL, max: 8 }),
  emailAndPassword: {
    enabled: true,
    // The password step comes before what is measured, so its cost is taken out of the way.
    password: { hash: async (word) => "x" + word, verify: async ({ hash, password }) => hash === "x" + password },
  },
  rateLimit: { enabled: false },
  advanced: { useSecureCookies: false },
  telemetry: { enabled: false },
  logger: { level: "error" },
  plugins: [twoFactor({ issuer: "bench" })],
};

if (cluster.isPrimary) {
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  for (let n = 0; n < Number(WORKERS); n++) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  http.createServer(toNodeHandler(betterAuth(options))).listen(Number(PORT), "127.0.0.1");
}
