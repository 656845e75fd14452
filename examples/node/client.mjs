// A session with an attested enclave: pinned TLS, verified leases, one MAC a request (docs/wire.md).
import { X509Certificate, createHmac, randomBytes } from "node:crypto";
import { connect as tlsConnect } from "node:tls";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";
import { blake2b } from "@noble/hashes/blake2.js";
import { CID } from "multiformats/cid";
import { cidOf, concat, decode, encode, require, same, sameValue, sha256 } from "./canonical.mjs";
import { signedBy } from "./credential.mjs";
import { policyInForce, requireThisChannel, verifiedGrounds } from "./grounds.mjs";
import { requireReceiptOf, verifiedReceipt } from "./receipt.mjs";

const PROTO = fileURLToPath(new URL("../../proto", import.meta.url));
const SERVER_NAME = "coffer.enclave";
const HYBRID = "MLKEM768X25519-HKDF-SHA256-AES256GCM";
const SESSION_S = 3600;
const ANY_PRICE = (1n << 63n) - 1n;
const CALL_S = 30;

const keyHash = (der) => sha256(new X509Certificate(der).publicKey.export({ type: "spki", format: "der" }));

/** Return the certificate that a server shows, to be the only one that its channel takes. */
function shownCertificate(address) {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address);
  return new Promise((resolve, reject) => {
    const options = { host, port: Number(port), servername: SERVER_NAME, ALPNProtocols: ["h2"], minVersion: "TLSv1.3" };
    // Nothing is sent over this connection; who showed the certificate is checked by what the enclave proves.
    const socket = tlsConnect({ ...options, rejectUnauthorized: false, timeout: 5000 }, () => {
      resolve(socket.getPeerX509Certificate().raw);
      socket.destroy();
    });
    socket.on("error", reject).on("timeout", () => socket.destroy(new Error(`nothing answers at ${address}`)));
  });
}

export class Enclave {
  /** Pin the enclave at an address, verify it, and open a session. */
  static async connect(address, credential, { allowSimulated = false } = {}) {
    const der = await shownCertificate(address);
    const tlsKey = keyHash(der);
    const credentials = grpc.credentials.createSsl(Buffer.from(new X509Certificate(der).toString()), null, null, {
      checkServerIdentity: (_, peer) =>
        keyHash(peer.raw).equals(tlsKey) ? undefined : new Error("another TLS key than the pinned one"),
    });
    const options = { "grpc.ssl_target_name_override": SERVER_NAME, "grpc.default_authority": SERVER_NAME };
    const files = ["enclave/v1/attestation.proto", "enclave/v1/retrieval.proto"];
    const loaded = protoLoader.loadSync(files, { includeDirs: [PROTO], keepCase: true, longs: String, defaults: true });
    const { v1 } = grpc.loadPackageDefinition(loaded).enclave;
    const enclave = new Enclave();
    enclave.attestation = new v1.AttestationService(address, credentials, options);
    enclave.retrieval = new v1.RetrievalService(address, credentials, options);
    enclave.credential = credential;
    try {
      await enclave.#prove(tlsKey, allowSimulated);
      await enclave.#open(tlsKey);
    } catch (error) {
      enclave.close();
      throw error;
    }
    return enclave;
  }

  /** Return the passages nearest to a text, with the receipt that was verified against them. */
  async search(text, k) {
    const { license } = this.credential;
    const request = { request: randomBytes(32), policy: license.policy, text, k, salt: randomBytes(32) };
    const options = { mode: "dense", where: Buffer.alloc(0), distinct: false, diversity: 0, neighbors: 0, rerank: false };
    const more = { vector: Buffer.alloc(0), datasets: [], price_max: ANY_PRICE, options };
    const digest = sha256(encode({ type: "coffer/query/v2", ...request, ...more }));
    this.sequence += 1;
    const place = ["coffer/request/v1", this.session, this.sequence, digest, this.lastReceipt];
    const response = await call(this.retrieval, "Search", {
      session: this.session,
      sequence: this.sequence,
      mac: blake2b(encode(place), { key: this.macKey, dkLen: 32 }),
      question: {
        request_id: request.request,
        policy: CID.asCID(license.policy).bytes,
        text,
        k,
        salt: request.salt,
        price_max: ANY_PRICE.toString(),
      },
      last_receipt: this.lastReceipt,
    });
    const { receipt, digest: last } = await verifiedReceipt(response.receipt, this.grounds.terms.instance);
    await this.#followLeases(receipt);
    requireReceiptOf(receipt, {
      grounds: this.grounds,
      policy: this.policy,
      license: { genesis: CID.asCID(license.genesis), policy: CID.asCID(license.policy), cid: cidOf(encode(license)) },
      query: { ...request, digest, confirms: this.lastReceipt },
      response,
    });
    this.lastReceipt = last;
    const passages = response.passages.map(({ body, score }) => {
      const [document, start, end, words] = decode(body);
      return { document, start, end, text: words, score };
    });
    return { passages, receipt, message: response.receipt };
  }

  close() {
    this.attestation.close();
    this.retrieval.close();
  }

  async #prove(tlsKey, allowSimulated) {
    const { license } = this.credential;
    const nonce = randomBytes(32);
    const claimed = await call(this.attestation, "GetEvidence", { nonce });
    require(claimed.grounds, "the enclave does not serve");
    this.grounds = verifiedGrounds(claimed.grounds, CID.asCID(license.genesis), Math.floor(Date.now() / 1000));
    this.policy = policyInForce(this.grounds, CID.asCID(license.policy));
    this.tee = requireThisChannel(claimed, { nonce, tlsKey, grounds: this.grounds, allowSimulated });
    this.serverNonce = claimed.server_nonce;
  }

  /** Take up the leases that a receipt rests on, where they were renewed since: of the same keys, or not at all. */
  async #followLeases(receipt) {
    if (same(receipt.evidence, this.grounds.terms.evidence)) return;
    const { grounds } = await call(this.attestation, "GetGrounds", { evidence: receipt.evidence });
    const { license } = this.credential;
    const renewed = verifiedGrounds(grounds, CID.asCID(license.genesis), Math.floor(Date.now() / 1000));
    for (const name of ["receipt_key", "tls_key", "hpke", "configuration"])
      require(sameValue(renewed.binding[name], this.grounds.binding[name]), "the enclave was replaced; connect anew");
    require(renewed.terms.epoch >= this.grounds.terms.epoch, "the enclave went back to an older head; connect anew");
    [this.grounds, this.policy] = [renewed, policyInForce(renewed, CID.asCID(license.policy))];
  }

  async #open(tlsKey) {
    const { license, delegation, seed } = this.credential;
    const { terms, binding } = this.grounds;
    const recipient = binding.hpke.find((one) => one.suite === HYBRID);
    require(recipient, `the enclave offers no ${HYBRID}`);
    const about = { genesis: license.genesis, instance: terms.instance, ledger: terms.ledger };
    const secret = randomBytes(32);
    const opening = signedBy(seed, {
      type: "coffer/session-opening/v1",
      ...about,
      license: cidOf(encode(license)),
      delegation: cidOf(encode(delegation)),
      session_key: delegation.session_key,
      tls_key: tlsKey,
      server_nonce: this.serverNonce,
      expires_at: Math.floor(Date.now() / 1000) + SESSION_S,
      spend_cap: delegation.spend_cap,
      suite: HYBRID,
      sealed_secret: await sealed(recipient.key, secret, {
        purpose: "coffer/session-secret/v1",
        ...about,
        nonce: this.serverNonce,
        suite: HYBRID,
      }),
    });
    const { signature: _, ...unsigned } = opening;
    const label = Buffer.from("coffer/session-mac/v1");
    const info = concat([0, label.length], label, encode(unsigned));
    this.macKey = Uint8Array.from(hkdf(secret, this.serverNonce, info));
    const answer = await call(this.retrieval, "OpenSession", {
      license: encode(license),
      delegation: encode(delegation),
      opening: encode(opening),
    });
    this.session = answer.session;
    this.sequence = 0;
    this.lastReceipt = Buffer.alloc(32); // a fresh client holds none
  }
}

/** Return 32 bytes by HKDF-SHA256 (RFC 5869): one block. Node's own takes no `info` beyond 1,024 bytes. */
function hkdf(secret, salt, info) {
  const hmac = (key, ...parts) => createHmac("sha256", key).update(concat(...parts)).digest();
  return hmac(hmac(salt, secret), info, [1]);
}

async function sealed(publicKey, secret, facts) {
  const suite = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const recipientPublicKey = await suite.kem.deserializePublicKey(Uint8Array.from(publicKey).buffer);
  const info = Uint8Array.from(encode(facts)).buffer;
  const sender = await suite.createSenderContext({ recipientPublicKey, info });
  const ciphertext = await sender.seal(Uint8Array.from(secret).buffer);
  return concat(new Uint8Array(sender.enc), new Uint8Array(ciphertext));
}

/** Make one call; a refusal is an Error with the wire's own `reason`. */
function call(stub, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = { deadline: Date.now() + CALL_S * 1000 };
    stub[method](request, deadline, (error, response) => {
      if (!error) return resolve(response);
      const [reason] = error.metadata?.get("coffer-reason") ?? [];
      reject(Object.assign(new Error(error.details || error.message), { reason: reason ?? "UNAVAILABLE" }));
    });
  });
}
