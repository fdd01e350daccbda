// Drives the exchange's official TypeScript SDK through every operation on tokens, and tells on stdout what it saw.
//
// `node drive.mjs < input`. The input is one JSON object with `url`, `identity_token`, `expired_identity_token` and
// `awkward_id` (a live token whose id has to be percent-encoded). The output is one JSON object; secrets appear in it as their
// SHA-256.

import { createHash } from "node:crypto";

import { failure, given, hosts, serviceOf, tell } from "./script.mjs";
import { HttpClient } from "@limitless-exchange/sdk";

const PACE_MS = 350; // the exchange asks for 300 ms between two calls of one credential

const pause = () => new Promise((resolve) => setTimeout(resolve, PACE_MS));
const paced = async (call) => {
  const result = await call;
  await pause();
  return result;
};
const shown = ({ secret, ...rest }) => ({ ...rest, secret: createHash("sha256").update(secret).digest("hex") });

const { url, identity_token: identity, expired_identity_token: expired, awkward_id: awkwardId } = given();
const seen = {};

const anonymous = serviceOf(url);
seen.capabilities = await paced(anonymous.getCapabilities(identity));
const manager = await paced(anonymous.deriveToken(identity, { label: "sdk-manager" }));
const bot = await paced(anonymous.deriveToken(identity, { label: "sdk-bot", scopes: ["trading", "delegated_signing"] }));
seen.derived = [shown(manager), shown(bot)];
seen["list without credentials"] = await failure(anonymous.listTokens());
seen["unsigned list"] = await failure(new HttpClient({ baseURL: url }).get("/auth/api-tokens"));
seen["expired identity"] = await paced(failure(anonymous.getCapabilities(expired)));
seen["scope not allowed"] = await paced(failure(anonymous.deriveToken(identity, { scopes: ["trading", "withdrawal"] })));
seen["invalid scope"] = await paced(failure(anonymous.deriveToken(identity, { scopes: ["tradng"] })));

const service = serviceOf(url, manager);
seen.listed = await paced(service.listTokens());
seen.revoked = [await paced(service.revokeToken(bot.tokenId)), await paced(service.revokeToken(awkwardId))];
seen["listed after"] = await paced(service.listTokens());
const crowd = await paced(Promise.allSettled(Array.from({ length: 8 }, () => service.listTokens())));
seen["a crowd"] = [...new Set(crowd.filter((one) => one.reason).map((one) => one.reason.name))];
seen["revoked again"] = await paced(failure(service.revokeToken(bot.tokenId)));
seen["wrong secret"] = await failure(serviceOf(url, { tokenId: manager.tokenId, secret: bot.secret }).listTokens());
seen.hosts = [...hosts];
tell(seen);
