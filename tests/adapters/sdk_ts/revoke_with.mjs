// Revokes ids one after the other with the exchange's official TypeScript SDK: how it encodes and signs each of them.
//
// `node revoke_with.mjs < input`. The input is one JSON object with `url`, `token_id`, `secret` and `ids`. The output is a JSON
// object: for each id how its revocation failed, `["no error", null]` where it did not.

import { failure, given, serviceOf, tell } from "./script.mjs";

const { url, token_id: tokenId, secret, ids } = given();
const service = serviceOf(url, { tokenId, secret });
const outcomes = {};
for (const id of ids) {
  outcomes[id] = await failure(service.revokeToken(id));
}
tell(outcomes);
