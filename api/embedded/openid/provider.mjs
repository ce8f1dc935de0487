// An identity provider for one machine, of the certified library "oidc-provider": for trying single sign-on out, and for
// tests. It asks for no password, so it listens on loopback alone. Its only argument is a file with its configuration:
// port, clients, people, and where to read by how many seconds its clock is ahead (tests move clocks).
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { randomBytes } from "node:crypto";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const CODE = "424242"; // the second factor of everybody here
const now = Date.now;
if (config.ahead_file) {
  Date.now = () => now() + 1000 * Number(readFileSync(config.ahead_file, "utf8"));
}

const { privateKey } = await generateKeyPair("RS256", { extractable: true });
const issuer = `http://127.0.0.1:${config.port}`;
const person = (id) => config.people.find((each) => each.sub === id);
const identity = ["sub", "name", "email", "email_verified", "xms_edov", "tid", "oid", "hd", "amr", "acr", "auth_time"];

const rpInitiatedLogout = {
  enabled: true,
  logoutSource: (ctx, formToSend) => {
    ctx.body = framed(`${formToSend}<button form="op.logoutForm" name="logout" value="yes">Sign out there</button>`);
  },
  postLogoutSuccessSource: (ctx) => {
    ctx.body = framed("<p>You are signed out there.</p>");
  },
};

const provider = new Provider(issuer, {
  clients: config.clients,
  jwks: { keys: [{ ...(await exportJWK(privateKey)), use: "sig", alg: "RS256" }] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  claims: { openid: identity, profile: [], email: [] },
  scopes: ["openid", "profile", "email"],
  acrValues: ["one_factor", "two_factors"],
  conformIdTokenClaims: false, // Microsoft and Google put the address into the ID token as well
  features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true }, rpInitiatedLogout },
  // The library's own way out leads to no loopback address, where Watchword is on this machine.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => {
    const found = person(id);
    return found && { accountId: id, claims: () => ({ ...found }) };
  },
  loadExistingGrant: async ({ oidc }) => {
    const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
});

const escaped = (text) => String(text).replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);
const framed = (body) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Demo provider</title>
<link rel="icon" href="data:,"></head><body><h1>${escaped(config.title)}</h1>${body}</body></html>`;
const page = (response, body) => {
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(framed(body));
};
const form = (action, wrong) => `${wrong ? `<p role="alert">${wrong}</p>` : ""}
<p>This provider is for trying out: it asks for no password.</p><form method="post" action="${escaped(action)}">
<p><label>Your address there <input name="email" list="people" autocomplete="off" required></label></p>
<datalist id="people">${config.people.map((each) => `<option>${escaped(each.email)}</option>`).join("")}</datalist>
${config.second_factor ? `<p><label>Code (it is ${CODE}) <input name="code" autocomplete="off"></label></p>` : ""}
<button>Sign in there</button> <button name="cancel" value="yes" formnovalidate>Cancel</button></form>`;

async function fields(request) {
  let text = "";
  for await (const part of request) text += part;
  return new URLSearchParams(text);
}

async function interaction(request, response) {
  await provider.interactionDetails(request, response);
  if (request.method !== "POST") return page(response, form(request.url));
  const given = await fields(request);
  const finish = (result) => provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  if (given.has("cancel")) return finish({ error: "access_denied" });
  const found = config.people.find((each) => each.email === given.get("email"));
  if (!found) return page(response, form(request.url, "Nobody here has that address."));
  if (config.second_factor && given.get("code") !== CODE) return page(response, form(request.url, "The code is wrong."));
  const how = config.second_factor ? { amr: ["pwd", "otp", "mfa"], acr: "two_factors" } : { amr: ["pwd"], acr: "one_factor" };
  return finish({ login: { accountId: found.sub, ...how } });
}

provider.on("backchannel.error", (_, error) => console.error("back-channel logout:", error.message));
const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  return interaction(request, response).catch(() => {
    response.statusCode = 400;
    page(response, "<p>That sign-in is over. Go back and begin again.</p>");
  });
}).listen(config.port, "127.0.0.1");
