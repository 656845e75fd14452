// Whose signatures carry a decision: wallets' over EIP-712 digests (secp256k1), and custodians' (Ed25519, RFC 8032).

import { Link, base32, encode } from "./dagcbor.js";
import { keccak_256 as keccak } from "./noble/sha3.js";
import { recoverPublicKey } from "./noble/secp256k1.js";
import { verifyAsync } from "./noble/ed25519.js";

const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n; // EIP-2: s is not above it
const SUPPORTS = ["against", "for", "abstain"];
const PAUSE_EVERY = 50; // signatures, so that the page stays alive
const text = new TextEncoder();

function require(holds, sentence) {
  if (!holds) throw new Error(sentence);
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function same(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function number(bytes) {
  return BigInt("0x" + (hex(bytes) || "0"));
}

async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

function joined(...parts) {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function word(kind, value) {
  if (kind === "string") return keccak(text.encode(value));
  if (kind === "bytes32") {
    require(value.length === 32, "a digest has 32 bytes");
    return value;
  }
  const bytes = new Uint8Array(32);
  if (kind === "address") {
    require(value.length === 20, "an address has 20 bytes");
    bytes.set(value, 12);
  } else {
    for (let at = 31, rest = BigInt(value); rest > 0n; at -= 1, rest >>= 8n) bytes[at] = Number(rest & 255n);
  }
  return bytes;
}

// EIP-712: hashStruct of a flat struct; `fields` is what stands between the parentheses of encodeType.
function hashStruct(name, fields, values) {
  const words = fields.split(",").map((field, at) => word(field.split(" ")[0], values[at]));
  return keccak(joined(keccak(text.encode(`${name}(${fields})`)), ...words));
}

function domainOf(charter, genesis) {
  const fields = "string name,string version,uint256 chainId,bytes32 salt";
  return hashStruct("EIP712Domain", fields, ["Coffer", "1", charter.get("chain_id"), genesis.slice(-32)]);
}

function requireWallet(domain, struct, signature, address, what) {
  const digest = keccak(joined(Uint8Array.of(0x19, 0x01), domain, struct));
  const v = signature[64];
  const isCanonical = signature.length === 65 && (v === 27 || v === 28) && number(signature.subarray(32, 64)) <= HALF_ORDER;
  require(isCanonical, `the signature of ${what} is not in its one form`);
  let key;
  try {
    key = recoverPublicKey(joined([v - 27], signature.subarray(0, 64)), digest, { prehash: false, isCompressed: false });
  } catch {
    throw new Error(`the signature of ${what} is none`);
  }
  require(same(keccak(key.subarray(1)).subarray(12), address), `${what} is not signed by 0x${hex(address)}`);
}

function without(record, name) {
  return new Map([...record].filter(([key]) => key !== name));
}

function subjectText(subject) {
  const isCid = subject.length === 36 && subject[0] === 1 && [0x55, 0x70, 0x71].includes(subject[1]) && subject[2] === 0x12 && subject[3] === 0x20;
  return isCid ? "b" + base32(subject) : hex(subject);
}

function revocationWords(scope, subject) {
  if (scope === "dataset" && subject.length > 32) {
    const tombstone = "b" + base32(joined([0x01, 0x71, 0x12, 0x20], subject.subarray(32)));
    return `revoke ${scope} ${hex(subject.subarray(0, 32))}, deleted by its owner: tombstone ${tombstone}`;
  }
  return `revoke ${scope} ${subjectText(subject)}`.trimEnd();
}

// What an action is called where a wallet shows it.
function actionWords(action) {
  if (action.get("adopts")) {
    return `adopt policy ${action.get("adopts").cid}` + action.get("drops").map((one) => `, drop ${one.cid}`).join("");
  }
  if (action.get("charter")) return `change the charter to ${action.get("charter").cid}`;
  return revocationWords(action.get("revokes"), action.get("subject"));
}

function requireGenesis(link, genesis) {
  require(link instanceof Link && same(link.bytes, genesis), "it was signed for another DAO");
}

class Checking {
  constructor(charter, genesis, fetch) {
    Object.assign(this, { charter, genesis, fetch, domain: domainOf(charter, genesis), count: 0 });
  }

  async wallet(name, fields, values, signature, address, what) {
    requireWallet(this.domain, hashStruct(name, fields, values), signature, address, what);
    this.count += 1;
    if (this.count % PAUSE_EVERY === 0) await new Promise((resume) => setTimeout(resume));
  }

  async decision(decision) {
    const proposal = decision.get("proposal");
    requireGenesis(proposal.get("genesis"), this.genesis);
    const proposer = proposal.get("proposer");
    const fields = "bytes32 proposal,address proposer,string action,uint64 opensAt,uint64 closesAt";
    const unsigned = await sha256(encode(without(proposal, "signature")));
    const shown = [unsigned, proposer, actionWords(proposal.get("action")), proposal.get("opens_at"), proposal.get("closes_at")];
    await this.wallet("Proposal", fields, shown, proposal.get("signature"), proposer, "the proposal");
    const named = await sha256(encode(proposal));
    for (const page of await this.closed(decision.get("closings"), named)) await this.ballots(await this.fetch(page.cid), named);
  }

  // Returns the pages of ballots that q custodians of the charter closed the vote with.
  async closed(closings, proposal) {
    const keys = this.charter.get("custodians").map((one) => hex(one.get("key")));
    const signers = closings.map((one) => hex(one.get("custodian")));
    require(new Set(signers).size === signers.length && signers.every((one) => keys.includes(one)), "somebody closed the vote who is no custodian of this DAO");
    require(signers.length >= this.charter.get("signatures"), `${signers.length} custodians closed the vote; the charter asks for ${this.charter.get("signatures")}`);
    const pages = closings[0].get("pages");
    for (const closing of closings) {
      requireGenesis(closing.get("genesis"), this.genesis);
      const agrees = same(closing.get("proposal"), proposal) && same(encode(closing.get("pages")), encode(pages));
      require(agrees, "the custodians closed the vote with different ballots");
      const signed = encode(without(closing, "signature"));
      const holds = await verifyAsync(closing.get("signature"), signed, closing.get("custodian"), { zip215: false });
      require(holds, `the closing is not signed by custodian ${hex(closing.get("custodian"))}`);
      this.count += 1;
    }
    return pages;
  }

  async ballots(page, proposal) {
    require(page.get("type") === "coffer/ballots/v1" && same(page.get("proposal"), proposal), "a page of ballots is for another proposal");
    const fields = "bytes32 proposal,address voter,string support,uint64 sequence,string reason";
    const sequences = page.get("sequences");
    require(page.get("signatures").length === 65 * sequences.length, "a page of ballots lacks signatures");
    for (let n = 0; n < sequences.length; n += 1) {
      const voter = page.get("voters").subarray(20 * n, 20 * n + 20);
      const cast = [proposal, voter, SUPPORTS[page.get("supports")[n]], sequences[n], page.get("reasons")[n]];
      await this.wallet("Ballot", fields, cast, page.get("signatures").subarray(65 * n, 65 * n + 65), voter, "a ballot");
    }
  }

  async guardians(signed) {
    const act = signed.get("act"), cancels = act.get("cancels");
    requireGenesis(act.get("genesis"), this.genesis);
    const words = cancels ? `cancel proposal ${hex(cancels)}` : revocationWords(act.get("revokes"), act.get("subject"));
    const shown = [await sha256(encode(act)), words, act.get("epoch")];
    const guardians = this.charter.get("guardians").map(hex);
    const signers = new Set(signed.get("signatures").map((one) => hex(one.get("guardian"))));
    require([...signers].every((one) => guardians.includes(one)), "somebody acted who is no guardian of this DAO");
    require(signers.size >= Math.max(1, this.charter.get("guardian_signatures")), "too few guardians signed");
    for (const one of signed.get("signatures")) {
      await this.wallet("GuardianAct", "bytes32 act,string action,uint64 epoch", shown, one.get("signature"), one.get("guardian"), "the act");
    }
  }

  async delegations(batch) {
    requireGenesis(batch.get("genesis"), this.genesis);
    const fields = "bytes32 delegation,address delegator,address delegate,uint64 sequence";
    for (const proven of batch.get("delegations")) {
      const one = proven.get("delegation"), delegator = one.get("delegator");
      requireGenesis(one.get("genesis"), this.genesis);
      const unsigned = await sha256(encode(without(one, "signature")));
      const shown = [unsigned, delegator, one.get("delegate"), one.get("sequence")];
      await this.wallet("VoteDelegation", fields, shown, one.get("signature"), delegator, "a delegation");
    }
  }
}

// Checks every signature in what caused a head, by the charter in force before, and returns how many there were.
export async function verifiedSignatures(cause, charter, genesis, fetch) {
  const checking = new Checking(charter, genesis, fetch);
  switch (cause.get("type")) {
    case "coffer/decision/v1": await checking.decision(cause); break;
    case "coffer/guardian-act/v1": await checking.guardians(cause); break;
    case "coffer/delegations/v1": await checking.delegations(cause); break;
    default: throw new Error("a head is caused by a decision, an act of guardians, or delegations");
  }
  return checking.count;
}
