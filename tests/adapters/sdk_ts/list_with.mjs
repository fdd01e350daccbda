// Lists tokens with the exchange's official TypeScript SDK, given nothing but what lies in Vault.
//
// `node list_with.mjs < input`. The input is a JSON list of secrets as they lie in Vault (fields and texts). The output is a
// JSON list: for each, the ids that its own signature listed, or the SDK's error.

import { given, serviceOf, tell } from "./script.mjs";

const listed = async (fields) => {
  const service = serviceOf(fields.api_url, { tokenId: fields.token_id, secret: fields.secret });
  try {
    return (await service.listTokens()).map((token) => token.tokenId).sort();
  } catch (error) {
    return error.name;
  }
};

const found = [];
for (const fields of given()) {
  found.push(await listed(fields));
}
tell(found);
