// Voting with the wallet in this browser: EIP-1193 providers, announced by EIP-6963 or found as window.ethereum.

const ballot = document.getElementById("ballot");
const walletBox = document.getElementById("wallet");
const walletList = document.getElementById("wallets");
const connectButton = document.getElementById("connect");
const account = document.getElementById("account");
const said = document.getElementById("said");
const standing = document.getElementById("standing");
const choices = [...document.querySelectorAll("button[data-support]")];

const USER_REFUSED = 4001; // EIP-1193
const UNKNOWN_CHAIN = 4902; // EIP-3085
const announced = new Map(); // EIP-6963: by the provider's rdns and uuid
let provider = null;
let address = null;

function tell(sentence, kind) {
  said.textContent = sentence;
  said.className = kind;
}

function refusal(error) {
  if (error && error.code === USER_REFUSED) return "You refused in the wallet. Nothing was sent.";
  return (error && error.message) || "The wallet did not answer. Unlock it and try again.";
}

async function call(path, body) {
  const base = `/proposals/${ballot.dataset.proposal}`;
  const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(base + path, options);
  } catch {
    throw new Error("The server does not answer. Nothing is lost; try again when it runs.");
  }
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function listWallets() {
  const known = [...announced.values()];
  if (!known.length && window.ethereum) known.push({ info: { name: "Browser wallet" }, provider: window.ethereum });
  walletBox.hidden = false;
  walletList.replaceChildren(...known.map((one, at) => new Option(one.info.name, String(at))));
  walletList.hidden = known.length < 2;
  connectButton.disabled = !known.length;
  standing.textContent = known.length
    ? "Connect your wallet to answer."
    : "No wallet was found in this browser. Install one, or vote with: coffer dao vote";
  return known;
}

async function onRightChain() {
  const wanted = BigInt(ballot.dataset.chain);
  const chain = async () => BigInt(await provider.request({ method: "eth_chainId" }));
  if ((await chain()) === wanted) return;
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: "0x" + wanted.toString(16) }] });
  } catch (error) {
    if (error && error.code === USER_REFUSED) throw error;
    const unknown = error && error.code === UNKNOWN_CHAIN ? " It does not know that chain." : "";
    throw new Error(`Your wallet is on chain ${await chain()}; this DAO's ballots are for chain ${wanted}.${unknown} Switch it there and try again.`);
  }
  if ((await chain()) !== wanted) throw new Error(`Your wallet is not on chain ${wanted}. Switch it there and try again.`);
}

async function showMember() {
  const member = await call(`/members/${address}`);
  const before = member.answer ? ` Your last answer: ${member.answer.support}.` : " You have not answered yet.";
  standing.textContent = `Your weight is ${member.weight}.${before}`;
  choices.forEach((button) => { button.disabled = false; });
}

function forget() {
  address = null;
  account.textContent = "";
  choices.forEach((button) => { button.disabled = true; });
}

async function connect() {
  forget();
  tell("", "");
  const known = listWallets();
  provider = known[Number(walletList.value || 0)].provider;
  try {
    const accounts = await provider.request({ method: "eth_requestAccounts" });
    address = accounts[0];
    account.textContent = `${address.slice(0, 8)}…${address.slice(-6)}`;
    account.title = address;
    if (provider.on) provider.on("accountsChanged", () => { forget(); listWallets(); });
    await onRightChain();
    await showMember();
  } catch (error) {
    tell(refusal(error), "warning");
  }
}

// What the wallet signs has to be the answer that was clicked, whoever serves this page.
function requireSame(typed, answer) {
  const message = typed.message;
  const same = typed.primaryType === "Ballot"
    && message.support === answer.support
    && message.reason === answer.reason
    && message.voter.toLowerCase() === answer.voter.toLowerCase()
    && BigInt(typed.domain.chainId) === BigInt(ballot.dataset.chain);
  if (!same) throw new Error("The server asked for another signature than this answer's. Do not trust it.");
}

async function answer(support) {
  choices.forEach((button) => { button.disabled = true; });
  const given = { voter: address, support, reason: document.getElementById("reason").value };
  try {
    await onRightChain();
    const asked = await call("/typed-data", given);
    requireSame(asked.typed_data, given);
    tell(asked.warning || "Look at what your wallet shows, and sign it there.", asked.warning ? "warning" : "");
    const params = [address, JSON.stringify(asked.typed_data)];
    const signature = await provider.request({ method: "eth_signTypedData_v4", params });
    tell("Handing it to the custodians…", "");
    const sequence = Number(asked.typed_data.message.sequence);
    const done = await call("/ballots", { ...given, sequence, signature });
    await Promise.all([refresh(), showMember()]);
    const enough = done.is_enough ? "enough that it is counted" : `it takes ${done.enough} to be sure; answer again later`;
    tell(`Voted ${done.support}. ${done.acknowledged} of ${done.custodians} custodians hold it, ${enough}. You can change your answer ${done.changes_left} more times.`, "done");
  } catch (error) {
    tell(refusal(error), "warning");
  } finally {
    choices.forEach((button) => { button.disabled = address === null; });
  }
}

// Shows the tally and the answers anew, as the server now has them.
async function refresh() {
  const text = await (await fetch(location.href)).text();
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const id of ["tally", "answers"]) document.getElementById(id).replaceWith(fresh.getElementById(id));
}

if (ballot) {
  window.addEventListener("eip6963:announceProvider", (event) => {
    announced.set(event.detail.info.rdns + event.detail.info.uuid, event.detail);
    if (!address) listWallets();
  });
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  listWallets();
  connectButton.addEventListener("click", connect);
  choices.forEach((button) => button.addEventListener("click", () => answer(button.dataset.support)));
}
