/**
 * Validation of `container.json`: the type of every known field, and that paths stay within the container's own.
 *
 * @module
 */

import { isControlGroup } from "../../../ffi/fs/filesystems.ts";
import type { ContainerRecord } from "./record.ts";

type Test = (value: unknown) => boolean;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const text: Test = (value) => typeof value === "string";
const number: Test = (value) => typeof value === "number";
const flag: Test = (value) => typeof value === "boolean";
const path: Test = (value) => typeof value === "string" && value.startsWith("/") && !value.includes("\0");
const descriptor: Test = (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const either = (...tests: readonly Test[]): Test => (value) => tests.some((test) => test(value));
const list = (test: Test): Test => (value) => Array.isArray(value) && value.every(test);
const dictionary = (test: Test): Test => (value) => isObject(value) && Object.values(value).every(test);
const matching = (pattern: RegExp): Test => (value) => typeof value === "string" && pattern.test(value);

type Fields = Readonly<Record<string, Test>>;

/** Returns the first invalid field. Fields of `may` are optional; unknown ones are not checked. */
function faultIn(value: unknown, must: Fields, may: Fields = {}): string | undefined {
  if (!isObject(value)) return "";
  const missing = Object.keys(must).find((name) => !must[name]?.(value[name]));
  return missing ?? Object.keys(may).find((name) => value[name] !== undefined && !may[name]?.(value[name]));
}

const object = (must: Fields, may?: Fields): Test => (value) => faultIn(value, must, may) === undefined;

const texts = list(text), word = either(text, number);

/** The options that a record keeps, and a test of each. The compiler asks for a line of every option. */
export const RECORDED_OPTIONS: Readonly<Record<keyof ContainerRecord["options"], Test>> = {
  hostname: text,
  env: dictionary(text),
  cwd: text,
  user: text,
  groups: texts,
  init: flag,
  stopSignal: word,
  stopTimeout: number,
  labels: dictionary(text),
  limits: object({}, {
    cpuShares: number,
    cpus: number,
    cpusetCpus: text,
    cpusetMems: text,
    memory: number,
    memorySwap: number,
    memoryReservation: number,
    pids: number,
  }),
  ulimits: texts,
  sysctls: dictionary(text),
  oomScoreAdj: number,
  network: either(text, texts),
  networkAliases: texts,
  containerAddress: text,
  bridgeAddress: text,
  publish: texts,
  expose: texts,
  publishAll: flag,
  dns: texts,
  dnsSearch: texts,
  dnsOptions: texts,
  addHosts: texts,
  netRate: number,
  volumes: texts,
  tmpfs: texts,
  devices: texts,
  deviceRules: texts,
  readOnly: flag,
  shmSize: number,
  capAdd: texts,
  capDrop: texts,
  privileged: flag,
  allowNewPrivileges: flag,
  cgroupParent: text,
  interactive: flag,
  tty: flag,
  restart: text,
  logSize: number,
  logFiles: number,
  health: object({ command: either(text, texts) }, {
    interval: number,
    timeout: number,
    startPeriod: number,
    retries: number,
  }),
};

const ENDED = object({ at: text, code: number }, { signal: number, oomKilled: flag, lost: flag });
const DETACHED = object({}, { input: descriptor, terminal: descriptor, job: descriptor });
const ATTACHMENT = object({ network: text, interface: text, addresses: texts, gateway: text, mac: text, host: text });
const PORT = object({
  protocol: matching(/^(tcp|udp)$/),
  hostAddress: text,
  hostPort: number,
  containerPort: number,
});

// Commands write to these groups and kill what is in them: they must be the container's own.
function ownGroup(id: string): Test {
  return (value) =>
    typeof value === "string" && value.startsWith("/") && !value.includes("/../") &&
    value.split("/").includes(`sauropod-${id}`) && isControlGroup(value);
}

const LAYER = matching(/^\/(?!.*\/\.\.?\/).*\/\.layers\/[0-9a-f]+\/diff$/);

/** Returns the name of the first invalid field in the record of container `id`; undefined if it is valid. */
export function recordFault(value: unknown, id: string): string | undefined {
  const fault = faultIn(value, {
    version: (version) => version === 1,
    id: (own) => own === id,
    image: text,
    lower: list(path),
    command: texts,
    options: object({}, RECORDED_OPTIONS),
    created: text,
    keep: flag,
    cgroups: list(ownGroup(id)),
  }, {
    name: matching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/),
    imageDigest: text,
    layers: list(LAYER),
    forking: LAYER,
    line: text,
    joining: list(ownGroup(id)),
    countedLate: flag,
    networks: list(ATTACHMENT),
    ports: list(PORT),
    ended: ENDED,
    detached: DETACHED,
  });
  return fault === "" ? "not an object" : fault;
}
