import assert from "node:assert/strict";
import { type Limits, parseCpuList, sharesToWeight, validateLimits, weightToShares } from "../../lib/cgroup/limits.ts";
import { InputError } from "../../lib/errors.ts";
import { MiB, throws } from "../helpers/cgroup_hosts.ts";

Deno.test("validateLimits: limits that make no sense are refused by name", () => {
  const bad: [Limits, string][] = [
    [{ cpuShares: 1 }, "--cpu-shares 1:"],
    [{ cpuShares: 262_145 }, "--cpu-shares"],
    [{ cpuShares: 2.5 }, "whole number"],
    [{ cpus: 0 }, "--cpus"],
    [{ cpus: 0.009 }, "--cpus"],
    [{ cpus: NaN }, "--cpus"],
    [{ cpus: Infinity }, "--cpus"],
    [{ memory: 6 * MiB - 1 }, "from 6 MiB"],
    [{ memory: -1 }, "--memory"],
    [{ memory: 8 * MiB + 0.5 }, "--memory"],
    [{ memorySwap: 8 * MiB }, "requires --memory"],
    [{ memory: 8 * MiB, memorySwap: 7 * MiB }, "cannot be less"],
    [{ memory: 8 * MiB, memorySwap: -2 }, "-1 for unlimited"],
    [{ memory: 8 * MiB, memoryReservation: 9 * MiB }, "cannot be more"],
    [{ memoryReservation: 1 }, "--memory-reservation"],
    [{ pids: 0.5 }, "--pids-limit"],
    [{ pids: -2 }, "--pids-limit"],
    [{ cpusetCpus: "" }, "--cpuset-cpus"],
    [{ cpusetCpus: "0-" }, "--cpuset-cpus"],
    [{ cpusetCpus: "3-1" }, "--cpuset-cpus"],
    [{ cpusetCpus: "0,,1" }, "--cpuset-cpus"],
    [{ cpusetCpus: "0\n1" }, "--cpuset-cpus"],
    [{ cpusetMems: "all" }, "--cpuset-mems"],
    [{ cpusetMems: "0-99999999999" }, "--cpuset-mems"],
  ];
  for (const [limits, text] of bad) throws(() => validateLimits(limits), InputError, "bad-limit", text);
  const good: Limits[] = [
    {},
    { cpuShares: 2, cpus: 0.01, memory: 6 * MiB, memorySwap: 6 * MiB, memoryReservation: 6 * MiB, pids: 1 },
    { cpuShares: 262_144, memory: 6 * MiB, memorySwap: -1, pids: -1, cpusetCpus: "0-1,3", cpusetMems: "0" },
    { memorySwap: -1 },
    { pids: 0 },
  ];
  for (const limits of good) validateLimits(limits);
  assert.deepEqual(parseCpuList("0-2,7,4-4"), [0, 1, 2, 7, 4]);
});

Deno.test("validateLimits: shares and weights map as in the kernel", () => {
  for (const [shares, weight] of [[1024, 100], [2, 1], [512, 50], [2048, 200], [102_400, 10_000], [262_144, 10_000]]) {
    assert.equal(sharesToWeight(shares ?? 0), weight);
  }
  for (let weight = 1; weight <= 10_000; weight++) assert.equal(sharesToWeight(weightToShares(weight)), weight);
});
