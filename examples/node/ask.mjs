// node ask.mjs HOST:PORT CREDENTIAL "question" [--k 3] [--allow-simulated] [--receipt FILE]
//
// The password of the credential's file is in COFFER_PASSWORD. Prints one JSON object.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { cidOf, encode } from "./canonical.mjs";
import { Enclave } from "./client.mjs";
import { readCredential } from "./credential.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    k: { type: "string", default: "3" },
    "allow-simulated": { type: "boolean", default: false },
    receipt: { type: "string" },
  },
});
if (positionals.length !== 3) {
  console.error("usage: node ask.mjs HOST:PORT CREDENTIAL QUESTION [--k 3] [--allow-simulated] [--receipt FILE]");
  process.exit(2);
}
const [address, path, question] = positionals;
try {
  const credential = readCredential(path, process.env.COFFER_PASSWORD ?? "");
  const enclave = await Enclave.connect(address, credential, { allowSimulated: values["allow-simulated"] });
  try {
    const { passages, receipt, message } = await enclave.search(question, Number(values.k));
    if (values.receipt) writeFileSync(values.receipt, message, { mode: 0o600 });
    const facts = { cid: cidOf(encode(receipt)).toString(), sequence: receipt.sequence, price: receipt.price };
    console.log(JSON.stringify({ passages, receipt: facts, currency: receipt.currency, tee: enclave.tee }));
  } finally {
    enclave.close();
  }
} catch (error) {
  console.error(`error: ${error.reason ? `${error.reason}: ` : ""}${error.message}`);
  process.exit(1);
}
