// Walking the chain of heads in this browser: every block is hashed, and has to be what the one after it names; and every
// signature that led to a head is checked, by the charter in force before it.

import { Link, cidOf, decode, encode } from "./dagcbor.js";
import { verifiedSignatures } from "./signed.js";

const facts = document.getElementById("verification").dataset;
const verified = document.getElementById("verified");
const causes = new Set();
const shown = new Map([...document.querySelectorAll("li[data-head]")].map((item) => [item.dataset.head, item]));

async function block(cid) {
  const response = await fetch(`/blocks/${cid}`);
  if (!response.ok) throw new Error(`the server does not have block ${cid}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if ((await cidOf(bytes)) !== cid) throw new Error(`what came for ${cid} has another hash`);
  return bytes;
}

function linkAt(map, key) {
  const value = map.get(key);
  return value instanceof Link ? value.cid : null;
}

// Returns what a block holds, which has to be in its one encoding.
async function record(cid) {
  const value = decode(await block(cid));
  if (!(value instanceof Map) || (await cidOf(encode(value))) !== cid) throw new Error(`${cid} is not in its one encoding`);
  return value;
}

async function headAt(cid, epoch) {
  const head = await record(cid);
  if (head.get("type") !== "coffer/head/v1" || linkAt(head, "genesis") !== facts.genesis) throw new Error(`${cid} is no head of this DAO`);
  if (head.get("epoch") !== epoch) throw new Error(`${cid} is not the head of epoch ${epoch}`);
  if ((linkAt(head, "cause") === null) !== (epoch === 0)) throw new Error(`epoch ${epoch} does not name what led to it`);
  return head;
}

async function charterOf(head) {
  const charter = await record(linkAt(head, "charter"));
  if (charter.get("type") !== "coffer/charter/v1") throw new Error("what the DAO is named by is no charter");
  return charter;
}

// Checks what led to a head, and returns the head before it and how many signatures there were.
async function verifiedLink(head, epoch) {
  if (epoch === 0) {
    if (linkAt(head, "charter") !== facts.genesis) throw new Error("the first head is not the charter's");
    await charterOf(head);
    return [null, 0];
  }
  const before = await headAt(linkAt(head, "previous"), epoch - 1);
  const cause = await record(linkAt(head, "cause"));
  requireFollows(head, before, cause);
  return [before, await verifiedSignatures(cause, await charterOf(before), head.get("genesis").bytes, record)];
}

// A head changes no more than what led to it says: charter and policies are those before, but for what was decided.
function requireFollows(head, before, cause) {
  const action = cause.get("type") === "coffer/decision/v1" ? cause.get("proposal").get("action") : new Map();
  const adopted = linkAt(action, "adopts"), dropped = (action.get("drops") || []).map((one) => one.cid);
  const kept = before.get("policies").map((one) => one.cid).filter((cid) => !dropped.includes(cid));
  const policies = head.get("policies").map((one) => one.cid);
  const isCharter = linkAt(head, "charter") === (linkAt(action, "charter") || linkAt(before, "charter"));
  const isAdopted = adopted === null ? policies.every((cid) => kept.includes(cid)) : String([...kept, adopted]) === String(policies);
  if (!isCharter || !isAdopted) throw new Error(`epoch ${head.get("epoch")} is not what its cause leads to`);
  const named = linkAt(head, "cause");
  if (causes.has(named)) throw new Error(`epoch ${head.get("epoch")} is caused by what caused another`);
  causes.add(named);
}

async function walk() {
  const last = Number(facts.epoch);
  let cid = facts.head, links = 0, signatures = 0, head = await headAt(cid, last).catch(broken(cid));
  for (let epoch = last; epoch >= 0; epoch -= 1) {
    const item = shown.get(cid);
    if (!item) throw new Error(`this page does not show head ${cid}`);
    const [before, count] = await verifiedLink(head, epoch).catch(broken(cid));
    item.querySelector(".tick").classList.add("holds");
    links += 1;
    signatures += count;
    verified.textContent = `Checked ${links} of ${last + 1} in this browser, ${signatures} signatures…`;
    cid = linkAt(head, "previous");
    head = before;
  }
  if (cid !== null || links !== shown.size) throw new Error("the chain does not end at the charter");
  verified.textContent = `✓ Your browser hashed all ${links} heads and what led to them, from the newest back to the charter ${facts.genesis}, and checked all ${signatures} signatures.`;
  verified.className = "done";
}

function broken(cid) {
  return (error) => {
    shown.get(cid)?.querySelector(".tick").classList.add("broken");
    throw error;
  };
}

walk().catch((error) => {
  verified.textContent = `✗ This chain does not hold: ${error.message}.`;
  verified.className = "warning";
});
