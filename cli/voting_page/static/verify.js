// Walking the chain of heads in this browser: every block is hashed, and has to be what the one after it names.

import { Link, cidOf, decode } from "./dagcbor.js";

const facts = document.getElementById("verification").dataset;
const verified = document.getElementById("verified");
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

async function verifiedHead(cid, epoch) {
  const head = decode(await block(cid));
  const isHead = head instanceof Map && head.get("type") === "coffer/head/v1";
  if (!isHead || linkAt(head, "genesis") !== facts.genesis) throw new Error(`${cid} is no head of this DAO`);
  if (head.get("epoch") !== epoch) throw new Error(`${cid} is not the head of epoch ${epoch}`);
  const cause = linkAt(head, "cause");
  if ((cause === null) !== (epoch === 0)) throw new Error(`epoch ${epoch} does not name what led to it`);
  if (cause !== null) await block(cause);
  return head;
}

async function walk() {
  let cid = facts.head, links = 0;
  for (let epoch = Number(facts.epoch); epoch >= 0; epoch -= 1) {
    const item = shown.get(cid);
    try {
      if (!item) throw new Error(`this page does not show head ${cid}`);
      const head = await verifiedHead(cid, epoch);
      item.querySelector(".tick").classList.add("holds");
      links += 1;
      verified.textContent = `Checked ${links} of ${Number(facts.epoch) + 1} in this browser…`;
      cid = linkAt(head, "previous");
    } catch (error) {
      if (item) item.querySelector(".tick").classList.add("broken");
      throw error;
    }
  }
  if (cid !== null || links !== shown.size) throw new Error("the chain does not end at the charter");
  const charter = decode(await block(facts.genesis));
  if (charter.get("type") !== "coffer/charter/v1") throw new Error("what the DAO is named by is no charter");
  verified.textContent = `✓ Your browser hashed all ${links} heads and what led to them, from the newest back to the charter ${facts.genesis}.`;
  verified.className = "done";
}

walk().catch((error) => {
  verified.textContent = `✗ This chain does not hold: ${error.message}.`;
  verified.className = "warning";
});
