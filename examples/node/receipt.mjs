// Receipts: COSE_Sign1 over canonical DAG-CBOR, alone or in a burst (docs/wire.md, "Receipts").
import { Sign1 } from "@auth0/cose";
import { CID } from "multiformats/cid";
import { concat, decode, leafHash, require, rootFromPath, same, sha256 } from "./canonical.mjs";

const CONTENT_TYPE = "application/vnd.coffer.receipt+dag-cbor";
const TAG_18 = 0xd2;

/** Return a receipt that `instance` signed, and the digest by which the next request names it. */
export async function verifiedReceipt(message, instance) {
  let payload;
  if (message[0] === TAG_18) {
    payload = await verifiedPayload(message, instance, "coffer/receipt/v1");
  } else {
    const part = decode(message, "coffer/receipt-in-burst/v1");
    const burst = decode(await verifiedPayload(part.head, instance, "coffer/receipt-burst/v1"), "coffer/receipt-burst/v1");
    require(burst.size >= 2 && burst.size <= 1024, "a burst has 2 … 1024 receipts");
    const root = rootFromPath(leafHash(part.receipt), part.index, burst.size, part.path);
    require(same(root, burst.root), "the receipt is not in the burst whose head is signed");
    payload = part.receipt;
  }
  return { receipt: decode(payload, "coffer/receipt/v1"), digest: sha256(payload) };
}

/** The library takes headers that are wrong for us, so the bytes before the payload are compared with the one form. */
async function verifiedPayload(message, instance, aad) {
  const prefix = messagePrefix(instance);
  require(same(message.subarray(0, prefix.length), prefix), "not a COSE_Sign1 message of this key in its one form");
  const key = await crypto.subtle.importKey("raw", instance, { name: "Ed25519" }, false, ["verify"]);
  const sign1 = Sign1.decode(Uint8Array.from(message));
  await sign1.verify(key, { externalAAD: new TextEncoder().encode(aad) });
  const size = sign1.payload.length;
  const head = size < 24 ? [0x40 | size] : size < 256 ? [0x58, size] : size < 65536
    ? [0x59, size >> 8, size & 255]
    : [0x5a, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255];
  const whole = concat(prefix, head, sign1.payload, [0x58, 0x40], sign1.signature);
  require(same(whole, message), "the message has other bytes than its payload and signature");
  return Buffer.from(sign1.payload);
}

function messagePrefix(instance) {
  const type = Buffer.from(CONTENT_TYPE);
  const kid = sha256(instance).subarray(0, 16);
  const protectedHeader = concat([0xa3, 0x01, 0x27, 0x03, 0x78, type.length], type, [0x04, 0x50], kid);
  return concat([TAG_18, 0x84, 0x58, protectedHeader.length], protectedHeader, [0xa0]);
}

/** Check a receipt against the question, the passages, the policy and the owners' corpora; throw what is wrong. */
export function requireReceiptOf(receipt, { grounds, policy, license, query, response }) {
  const at = (value, cid) => CID.asCID(value).equals(cid);
  require(same(receipt.instance, grounds.terms.instance), "instance: another one");
  require(same(receipt.evidence, grounds.terms.evidence), "evidence: not what the leases rest on; fetch those grounds");
  require(at(receipt.head, CID.asCID(grounds.terms.head)), "head: not the leased one");
  require(at(receipt.genesis, license.genesis) && at(receipt.license, license.cid), "license: another one");
  require(at(receipt.policy, license.policy), "policy: another one");
  require(same(receipt.request, query.digest), "request: the receipt is for another question");
  require(same(receipt.text, sha256("coffer/query-text/v1", query.salt, query.text)), "text: another one");
  const vector = response.query_vector;
  require(same(receipt.vector, sha256("coffer/query-vector/v1", query.salt, vector)), "vector: another one");
  const price = priceOf(policy, receipt.passages.length, receipt.sequence - 1);
  require(receipt.price === price && receipt.currency === policy.currency, "price: not the voted one");
  require(response.is_repeat || same(receipt.confirmed, query.confirms), "confirmed: not the receipt that was named");
  require(receipt.passages.length === response.passages.length, "passages: another number of them");
  require(receipt.passages.length <= Math.min(query.k, policy.k_max), "passages: too many");
  const scores = Buffer.alloc(8 * response.passages.length);
  response.passages.forEach(({ score }, place) => scores.writeDoubleBE(score, 8 * place));
  require(same(receipt.scores, scores), "scores: not those that came with the passages");
  receipt.passages.forEach((proof, place) => requirePassage(proof, response.passages[place], grounds, policy));
}

/** What an answer costs a licensee that has had `before` answers: a free quota first, then tiers by volume. */
function priceOf(policy, passages, before) {
  if (before < policy.free_queries) return 0;
  const tier = policy.tiers.findLast(({ after }) => after <= before) ?? policy;
  return tier.price_per_query + tier.price_per_passage * passages;
}

function requirePassage(proof, passage, grounds, policy) {
  const cid = CID.asCID(proof.manifest);
  const manifest = grounds.manifests.get(cid.toString());
  require(grounds.terms.manifests.some((one) => CID.asCID(one).equals(cid)) && manifest, "a dataset that is not leased");
  const isNamed = policy.datasets.some((one) => same(one.owner, manifest.owner) && same(one.dataset, manifest.dataset));
  require(isNamed, "a dataset that is not the policy's");
  const commitment = proof.redacted === null ? leafHash(passage.salt, passage.body) : proof.commitment;
  if (proof.redacted !== null)
    require(same(proof.redacted, sha256("coffer/redacted-passage/v1", passage.salt, passage.body)), "a changed passage");
  require(same(commitment, proof.commitment), "a changed passage");
  const root = rootFromPath(commitment, proof.index, manifest.passages, proof.path);
  require(same(root, manifest.corpus_root), "a passage that is not in the owner's corpus");
}
