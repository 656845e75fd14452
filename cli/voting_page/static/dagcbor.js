// Reading what hash-named blocks hold: CIDv1 in base32 with SHA-256 (multiformats), and DAG-CBOR (IPLD, RFC 8949).

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const DEPTH_MAX = 32;

export function base32(bytes) {
  let text = "", bits = 0, value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(value >>> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return bits ? text + ALPHABET[(value << (5 - bits)) & 31] : text;
}

export async function cidOf(block) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", block));
  return "b" + base32(Uint8Array.of(0x01, 0x71, 0x12, 0x20, ...digest)); // CIDv1, dag-cbor, sha2-256, 32 bytes
}

export class Link {
  constructor(bytes) {
    this.bytes = bytes;
    this.cid = "b" + base32(bytes);
  }
}

// Returns the one encoding of a value that was decoded: maps keep their order, which leaving entries out does not change.
export function encode(value) {
  const parts = [];
  write(value, parts);
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

function write(value, parts) {
  if (value instanceof Uint8Array) parts.push(head(2, value.length), value);
  else if (value instanceof Link) {
    parts.push(Uint8Array.of(0xd8, 42));
    write(Uint8Array.of(0, ...value.bytes), parts);
  } else if (value instanceof Map) {
    parts.push(head(5, value.size));
    for (const entry of value) entry.forEach((item) => write(item, parts));
  } else if (Array.isArray(value)) {
    parts.push(head(4, value.length));
    value.forEach((item) => write(item, parts));
  } else if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    parts.push(head(3, text.length), text);
  } else if (typeof value === "number" || typeof value === "bigint") parts.push(value < 0 ? head(1, -1n - BigInt(value)) : head(0, value));
  else parts.push(Uint8Array.of({ false: 0xf4, true: 0xf5, null: 0xf6 }[String(value)]));
}

function head(major, argument) {
  const size = argument < 24 ? 0 : argument < 0x100 ? 1 : argument < 0x10000 ? 2 : argument < 0x100000000 ? 4 : 8;
  if (size === 0) return Uint8Array.of((major << 5) | Number(argument));
  const bytes = new Uint8Array(1 + size);
  bytes[0] = (major << 5) | (24 + Math.log2(size));
  for (let at = size, rest = BigInt(argument); at > 0; at -= 1, rest >>= 8n) bytes[at] = Number(rest & 255n);
  return bytes;
}

export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new Error("bytes are left over");
  return value;
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(length) {
    const end = this.at + Number(length);
    if (end > this.bytes.length) throw new Error("the block ends early");
    const part = this.bytes.subarray(this.at, end);
    this.at = end;
    return part;
  }

  // Returns the major type, the additional information, and the argument.
  head() {
    const first = this.take(1)[0];
    const major = first >> 5, info = first & 31;
    if (info < 24) return [major, info, info];
    if (info > 27) throw new Error("lengths have to be definite");
    let argument = 0n;
    for (const byte of this.take(1 << (info - 24))) argument = (argument << 8n) | BigInt(byte);
    return [major, info, argument <= Number.MAX_SAFE_INTEGER ? Number(argument) : argument];
  }

  value(depth) {
    if (depth > DEPTH_MAX) throw new Error("nested too deeply");
    const [major, info, argument] = this.head();
    switch (major) {
      case 0: return argument;
      case 1: return typeof argument === "bigint" ? -1n - argument : -1 - argument;
      case 2: return this.take(argument);
      case 3: return new TextDecoder("utf-8", { fatal: true }).decode(this.take(argument));
      case 4: return Array.from(this.counted(argument), () => this.value(depth + 1));
      case 5: return this.map(argument, depth);
      case 6: return this.link(argument, depth);
      default: return this.simple(info);
    }
  }

  // Every item takes a byte at least, so a length beyond the block's is refused before anything is made of it.
  *counted(length) {
    if (length > this.bytes.length - this.at) throw new Error("the block ends early");
    for (let n = 0; n < length; n += 1) yield n;
  }

  map(length, depth) {
    const found = new Map();
    for (const _ of this.counted(length)) {
      const key = this.value(depth + 1);
      if (typeof key !== "string" || found.has(key)) throw new Error("a map's keys are texts, each once");
      found.set(key, this.value(depth + 1));
    }
    return found;
  }

  link(tag, depth) {
    const bytes = this.value(depth + 1);
    if (tag !== 42 || !(bytes instanceof Uint8Array) || bytes[0] !== 0) throw new Error("a tag that is no link");
    return new Link(bytes.subarray(1));
  }

  simple(info) {
    if (info === 20) return false;
    if (info === 21) return true;
    if (info === 22) return null;
    if (info === 27) throw new Error("a number with a fraction");
    throw new Error("a value that DAG-CBOR does not have");
  }
}
