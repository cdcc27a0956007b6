/** A small writer of tar archives, able to write wrong ones. */

/** One entry; all but the name have defaults. */
export interface Item {
  name: string;
  /** The letter in the header. Default: `0`, a file. */
  type?: string;
  /** Bytes or text that follow. */
  body?: string | Uint8Array<ArrayBuffer>;
  /** The size that the header tells. Default: that of the body. */
  size?: number;
  target?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  major?: number;
  minor?: number;
  prefix?: string;
  /** Default: POSIX. */
  magic?: "posix" | "gnu" | "v7";
  /** Changes the finished header; the checksum is made after it. */
  patch?: (header: Uint8Array<ArrayBuffer>) => void;
  /** Is added to the checksum. */
  checksumError?: number;
}

const encoder = new TextEncoder();

export function bytesOf(body: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return typeof body === "string" ? encoder.encode(body) : body;
}

export function concat(...parts: (string | Uint8Array<ArrayBuffer>)[]): Uint8Array<ArrayBuffer> {
  const all = parts.map(bytesOf);
  const whole = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of all) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One entry as it is in an archive. */
export function item(options: Item): Uint8Array<ArrayBuffer> {
  const { name, type = "0", target = "", mode = 0o644, uid = 0, gid = 0, mtime = 1_700_000_000 } = options;
  const body = bytesOf(options.body ?? "");
  const header = new Uint8Array(512);
  const put = (at: number, text: string): void => header.set(encoder.encode(text), at);
  const octal = (at: number, length: number, value: number): void =>
    put(at, value.toString(8).padStart(length - 1, "0"));
  put(0, name);
  octal(100, 8, mode);
  octal(108, 8, uid);
  octal(116, 8, gid);
  octal(124, 12, options.size ?? body.length);
  octal(136, 12, mtime);
  put(156, type);
  put(157, target);
  const magic = { posix: "ustar\x0000", gnu: "ustar  \0", v7: "" }[options.magic ?? "posix"];
  put(257, magic);
  if (options.major !== undefined) octal(329, 8, options.major);
  if (options.minor !== undefined) octal(337, 8, options.minor);
  if (options.prefix) put(345, options.prefix);
  options.patch?.(header);
  header.fill(32, 148, 156);
  octal(148, 7, header.reduce((sum, byte) => sum + byte, 0) + (options.checksumError ?? 0));
  header[154] = 0;
  return concat(header, body, new Uint8Array(-body.length & 511));
}

/** Records of an extended header; a record given as bytes stays as it is. */
export function records(values: Record<string, string | Uint8Array<ArrayBuffer>>): Uint8Array<ArrayBuffer> {
  return concat(
    ...Object.entries(values).map(([key, value]) => {
      const rest = concat(` ${key}=`, value, "\n");
      let length = rest.length + 1;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
      return concat(String(length), rest);
    }),
  );
}

/** An extended header for the next entry (`x`) or all (`g`). */
export function pax(values: Record<string, string | Uint8Array<ArrayBuffer>>, type = "x"): Uint8Array<ArrayBuffer> {
  return item({ name: "PaxHeaders/x", type, body: records(values) });
}

/** An archive of these entries, with its end mark. */
export function tar(...items: (Item | Uint8Array<ArrayBuffer>)[]): Uint8Array<ArrayBuffer> {
  return concat(...items.map((one) => one instanceof Uint8Array ? one : item(one)), new Uint8Array(1024));
}
