/*
 * An identity provider for one machine: people, organizations and roles of a file, signed in by password.
 *
 *     node provider.mjs SETTINGS.json
 *
 * The settings name issuer, port, client and the file of people, which is read anew at each question, so
 * that whoever edits it has changed somebody's roles "at the provider". Sessions and keys live as long as
 * the process. For development and tests only.
 */

import { generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(await readFile(process.argv[2], "utf8"));
const require = createRequire(settings.modules);
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);

const CLAIMS = ["preferred_username", "name", "email", "email_verified", "org", "groups", "roles"];

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwks = { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "1", use: "sig", alg: "RS256" }] };

async function people() {
  return JSON.parse(await readFile(settings.people, "utf8"));
}

async function findAccount(_context, id) {
  const person = (await people())[id];
  if (!person) return undefined;
  return { accountId: id, claims: () => ({ sub: id, ...person.claims }) };
}

const provider = new Provider(settings.issuer, {
  clients: [
    {
      client_id: settings.client.id,
      client_secret: settings.client.secret,
      redirect_uris: [settings.client.redirect],
      post_logout_redirect_uris: [settings.client.home],
      backchannel_logout_uri: settings.client.backchannel,
      backchannel_logout_session_required: true,
      grant_types: ["authorization_code", "refresh_token"],
    },
  ],
  claims: { openid: ["sub"], profile: CLAIMS, email: ["email", "email_verified"] },
  conformIdTokenClaims: false,
  // The hub listens on this machine, where the library would not send a logout.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  cookies: { keys: [settings.cookieKey] },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
  },
  findAccount,
  jwks,
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  // The hub is the organization's own: nobody need be asked whether it may know who they are.
  loadExistingGrant: async (context) => {
    const grant = new context.oidc.provider.Grant({
      clientId: context.oidc.client.clientId,
      accountId: context.oidc.session.accountId,
    });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
  renderError: async (context, out) => {
    context.type = "html";
    context.body = page("It did not work", `<p>${escape(out.error)}: ${escape(out.error_description ?? "")}</p>`);
  },
});

provider.on("backchannel.error", (_context, error) => console.error(`A logout did not reach the hub: ${error.message}`));
provider.on("server_error", (_context, error) => console.error(error));

function escape(text) {
  return String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>${escape(title)}</title>
<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem}
label{display:block;margin:1rem 0 .25rem}input{font:inherit;width:100%;padding:.5rem;box-sizing:border-box}
button{font:inherit;margin-top:1.5rem;padding:.5rem 1rem}</style></head>
<body><main><h1>${escape(title)}</h1>${body}</main></body></html>`;
}

async function logoutSource(context, form) {
  context.type = "html";
  context.body = page(
    "Sign out",
    `${form}<p>Do you want to sign out of the example provider, too?</p>
<button form="op.logoutForm" value="yes" name="logout" type="submit" autofocus>Sign out</button>
<button form="op.logoutForm" type="submit">Stay signed in</button>`,
  );
}

async function postLogoutSuccessSource(context) {
  context.type = "html";
  context.body = page("Signed out", "<p>You are signed out of the example provider.</p>");
}

function form(uid, problem) {
  return page(
    "Example provider",
    `${problem ? `<p role="alert">${escape(problem)}</p>` : "<p>Sign in to go on to the workspaces.</p>"}
<form method="post" action="/interaction/${escape(uid)}">
<label for="login">Name</label><input id="login" name="login" autocomplete="username" autofocus required>
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<button type="submit">Sign in</button></form>`,
  );
}

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 10_000) throw new Error("too long");
  }
  return new URLSearchParams(text);
}

async function interact(request, response) {
  const { uid } = await provider.interactionDetails(request, response);
  let problem = "";
  if (request.method === "POST") {
    const typed = await bodyOf(request);
    const known = Object.entries(await people()).find(([, each]) => each.login === typed.get("login"));
    if (known && known[1].password === typed.get("password")) {
      await provider.interactionFinished(request, response, { login: { accountId: known[0] } });
      return;
    }
    problem = "Name or password is wrong.";
  }
  response.writeHead(problem ? 401 : 200, { "content-type": "text/html", "cache-control": "no-store" });
  response.end(form(uid, problem));
}

const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) {
    answer(request, response);
    return;
  }
  interact(request, response).catch(() => {
    response.writeHead(400, { "content-type": "text/html" });
    response.end(page("Too late", "<p>This sign-in is over. Begin again at the hub.</p>"));
  });
}).listen(settings.port, "127.0.0.1", () => console.log(`ready ${settings.issuer}`));
