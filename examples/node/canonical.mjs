// Objects on the wire: canonical DAG-CBOR, named by CID or SHA-256 (docs/wire.md, "Objects").
import { createHash, createPublicKey, verify } from "node:crypto";
import * as dagCbor from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";

export const concat = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
export const sha256 = (...parts) => createHash("sha256").update(concat(...parts)).digest();
export const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
export const encode = (value) => Buffer.from(dagCbor.encode(value));
export const sameValue = (a, b) => same(encode(a), encode(b));
export const cidOf = (bytes) => CID.decode(concat([0x01, 0x71, 0x12, 0x20], sha256(bytes)));

export function require(holds, wrong) {
  if (!holds) throw new Error(wrong);
}

/** Return the object that `bytes` is the one encoding of. */
export function decode(bytes, type) {
  const value = dagCbor.decode(Uint8Array.from(bytes));
  require(same(encode(value), bytes), "not the canonical encoding of its value");
  require(type === undefined || value.type === type, `not a ${type}`);
  return value;
}

const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex"); // RFC 8410: an Ed25519 key's SubjectPublicKeyInfo

export const ed25519 = (raw) =>
  createPublicKey({ key: concat(SPKI_PREFIX, raw), format: "der", type: "spki" });

/** Check a record that a machine signed: Ed25519 over the record without its signature. */
export function requireSigned(record, signer, what) {
  const { signature, ...body } = record;
  require(verify(null, encode(body), ed25519(signer), signature), `${what} is not signed by whom it names`);
}

/** Return the root that an RFC 6962 inclusion path leads to (RFC 9162, section 2.1.3.2). */
export function rootFromPath(leaf, index, size, path) {
  require(index >= 0 && index < size, "the leaf is outside the tree");
  let [node, last, here] = [BigInt(index), BigInt(size) - 1n, leaf];
  for (const sibling of path) {
    require(last !== 0n, "the path is too long");
    if (node & 1n || node === last) {
      here = sha256([1], sibling, here);
      while (!(node & 1n) && node) [node, last] = [node >> 1n, last >> 1n];
    } else {
      here = sha256([1], here, sibling);
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  require(last === 0n, "the path is too short");
  return here;
}

export const leafHash = (...parts) => sha256([0], ...parts);
