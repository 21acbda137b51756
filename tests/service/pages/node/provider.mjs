// A certified OpenID provider on loopback, with two people and one client. argv: port, client's redirect address.
import Provider from "oidc-provider";

const [port, back] = process.argv.slice(2);
const people = {
  ada: { email: "ada@example.org", email_verified: true, groups: ["desk"] },
  eve: { email: "eve@evil.example", email_verified: true, groups: [] },
};
const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: "castline", client_secret: "a secret & more", redirect_uris: [back],
    post_logout_redirect_uris: [new URL("/login", back).href],
  }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, ...people[sub] }) }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listens"));
