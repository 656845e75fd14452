// What an app asks with: license, delegation and session key, sealed under a password (docs/wire.md, "Credentials").
import { createDecipheriv, createPrivateKey, scryptSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { concat, decode, encode, require } from "./canonical.mjs";

const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex"); // RFC 8410: an Ed25519 private key

export function readCredential(path, password) {
  const file = decode(readFileSync(path), "coffer/sealed-file/v1");
  require(file.purpose === "credential", `${path} holds a ${file.purpose}`);
  const key = scryptSync(password, file.salt, 32, { N: 1 << 15, r: 8, p: 1, maxmem: 1 << 26 });
  const opened = createDecipheriv("aes-256-gcm", key, Buffer.alloc(12));
  opened.setAAD(Buffer.from(file.purpose));
  opened.setAuthTag(file.ciphertext.slice(-16));
  let secret;
  try {
    secret = concat(opened.update(file.ciphertext.slice(0, -16)), opened.final());
  } catch {
    throw new Error(`the password does not open ${path}`);
  }
  return decode(secret, "coffer/credential/v1");
}

/** Return a record with the session key's signature over all of it but the signature. */
export function signedBy(seed, body) {
  const key = createPrivateKey({ key: concat(PKCS8_PREFIX, seed), format: "der", type: "pkcs8" });
  return { ...body, signature: sign(null, encode(body), key) };
}
