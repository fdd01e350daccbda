// What the scripts here have in common: JSON in, JSON out, and how the SDK says that a call failed.

import { readFileSync } from "node:fs";

import { hosts } from "./only_loopback.mjs";
import { ApiTokenService, HttpClient } from "@limitless-exchange/sdk";

export { hosts };

export const given = () => JSON.parse(readFileSync(0, "utf-8"));

export const tell = (seen) => process.stdout.write(JSON.stringify(seen));

/** The SDK's service for tokens, signing with this pair; without one it can't sign. */
export const serviceOf = (baseURL, hmacCredentials) => new ApiTokenService(new HttpClient({ baseURL, hmacCredentials }));

/** How a call failed, in the SDK's own terms: its class of error and the status. */
export const failure = async (call) => {
  try {
    await call;
  } catch (error) {
    return [error.name, error.status ?? null];
  }
  return ["no error", null];
};
