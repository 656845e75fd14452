// What an enclave has to show before a word is said to it (docs/wire.md, "Before a session").
//
// This example takes the word of q of the DAO's custodians, who verified the evidence of this very TLS key when they
// signed its leases. It does not verify the TEE vendor's own signature again, as the Python client does.
import { CID } from "multiformats/cid";
import { cidOf, decode, encode, require, requireSigned, same, sameValue, sha256 } from "./canonical.mjs";

const CLOCK_SKEW_S = 30;

/** Return grounds in which charter, leases, head, binding and evidence are of one another and of the DAO meant. */
export function verifiedGrounds(shown, genesis, at) {
  require(cidOf(shown.charter).equals(genesis), "the enclave serves another DAO than the license names");
  const charter = decode(shown.charter, "coffer/charter/v1");
  const leases = shown.leases.map((lease) => decode(lease, "coffer/lease/v1"));
  const terms = agreedTerms(leases, charter, genesis, at);
  const binding = decode(shown.binding, "coffer/binding/v1");
  require(cidOf(shown.head).equals(terms.head), "the head is not the leased one");
  require(same(sha256(shown.evidence), terms.evidence), "the evidence is not the leased one");
  require(same(binding.receipt_key, terms.instance), "the instance is not the leased one");
  require(same(terms.ledger, sha256("coffer/ledger/v1", genesis.bytes)), "the ledger is another DAO's");
  return {
    charter,
    terms,
    binding,
    head: decode(shown.head, "coffer/head/v1"),
    evidence: decode(shown.evidence, "coffer/evidence/v1"),
    policies: byCid(shown.policies),
    manifests: byCid(shown.manifests),
  };
}

/** Return the license's policy, which the leased head has to name and the enclave's configuration to satisfy. */
export function policyInForce(grounds, cid) {
  require(grounds.head.policies.some((one) => CID.asCID(one).equals(cid)), "the DAO has revoked the policy");
  const policy = grounds.policies.get(cid.toString());
  require(policy !== undefined, "the enclave did not hand out the policy its head names");
  const accepted = policy.configurations.some((one) => CID.asCID(one).equals(CID.asCID(grounds.binding.configuration)));
  require(accepted, "the policy does not accept the enclave's configuration");
  return policy;
}

/** Check that whoever holds this channel's TLS key answered our nonce, and is the instance that was leased. */
export function requireThisChannel(claimed, { nonce, tlsKey, grounds, allowSimulated }) {
  const binding = decode(claimed.binding, "coffer/binding/v1");
  const evidence = decode(claimed.evidence, "coffer/evidence/v1");
  const leased = grounds.binding;
  require(binding.purpose === "serve", "the evidence was made for something else than serving");
  require(binding.nonces.some((one) => one.challenger.length === 0 && same(one.nonce, nonce)), "an older answer");
  for (const [key, what] of [[binding.tls_key, "fresh"], [leased.tls_key, "leased"]])
    require(same(key, tlsKey), `the ${what} evidence vouches for another TLS key: somebody relays it`);
  require(same(binding.receipt_key, leased.receipt_key), "the custodians leased another instance");
  require(sameValue(binding.hpke, leased.hpke), "the leased HPKE keys are not the ones this evidence vouches for");
  require(evidence.kind !== "simulated" || allowSimulated, "the TEE is SIMULATED and protects nothing");
  return evidence.kind;
}

function agreedTerms(leases, charter, genesis, at) {
  const current = new Map();
  for (const lease of leases) {
    require(charter.custodians.some((one) => same(one.key, lease.custodian)), "a lease is from a stranger");
    requireSigned(lease, lease.custodian, "a lease");
    const isInTime = lease.issued_at - CLOCK_SKEW_S <= at && at < lease.not_after;
    if (isInTime && CID.asCID(lease.terms.genesis).equals(genesis))
      current.set(Buffer.from(lease.custodian).toString("hex"), lease.terms);
  }
  const all = [...current.values()];
  const agreed = all.find((one) => all.filter((other) => sameValue(one, other)).length >= charter.signatures);
  require(agreed !== undefined, `fewer than ${charter.signatures} custodians' leases are in time and agree`);
  return agreed;
}

const byCid = (blocks) => new Map(blocks.map((block) => [cidOf(block).toString(), decode(block)]));
