/** Reading Dockerfiles: lines, words, instructions, patterns, and what steps come to. */

import assert from "node:assert/strict";
import { InputError } from "../../lib/errors.ts";
import { parseDockerfile } from "../../lib/build/dockerfile.ts";
import { evaluate } from "../../lib/build/evaluate.ts";
import { type Given, globalArgs, type Values } from "../../lib/build/variables.ts";
import { readLines } from "../../lib/build/lines.ts";
import { matcherOf, PatternError, readIgnored } from "../../lib/build/pattern.ts";
import type { Base } from "../../lib/build/plan.ts";
import { planBuild, unusedArgs } from "../../lib/build/plan.ts";
import type { Settings } from "../../lib/build/settings.ts";
import { expandText, expandWord, splitWords, WordError } from "../../lib/build/words.ts";

function refusal(work: () => unknown): InputError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof InputError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "nothing was refused" });
}

Deno.test("parseDockerfile: lines are continued, comments left out, and each knows its number", () => {
  const text = [
    "# a comment",
    "",
    "from  scratch  ",
    "RUN a \\",
    "  # not this",
    "",
    "  b \\  ",
    "c",
    "run d \\",
    "",
  ];
  const { lines, escape } = readLines("D", text.join("\r\n"));
  assert.equal(escape, "\\");
  assert.deepEqual(lines.map(({ line, name, rest }) => [line, name, rest]), [
    [3, "FROM", "scratch"],
    [4, "RUN", "a   b c"],
    [9, "RUN", "d"],
  ]);
});

Deno.test("directives are taken from the top only", () => {
  assert.equal(readLines("D", "# syntax=docker/dockerfile:1\n# escape=`\nFROM a `\n AS b").lines[0]?.rest, "a  AS b");
  assert.equal(readLines("D", "# comment\n# escape=`\nFROM a").escape, "\\");
  assert.match(refusal(() => readLines("D", "#escape=x\nFROM a")).message, /^D:1: the escape character cannot be "x"/);
});

Deno.test("here-documents belong to RUN, COPY and ADD", () => {
  const { lines } = readLines(
    "D",
    'RUN <<A cat <<-"B"\none\nA\n\t\ttwo\n\tB\nCOPY <<x.txt <<y /to/\n$X\nx.txt\ny\nCMD <<A\n',
  );
  assert.deepEqual(lines.map(({ name, documents }) => [name, documents]), [
    ["RUN", [{ name: "A", text: "one\n", expand: true }, { name: "B", text: "two\n", expand: false }]],
    ["COPY", [{ name: "x.txt", text: "$X\n", expand: true }, { name: "y", text: "", expand: true }]],
    ["CMD", []],
  ]);
  assert.match(refusal(() => readLines("D", "FROM a\nRUN <<A\nb")).message, /^D:2: the here-document <<A has no end/);
});

Deno.test("parseDockerfile: words end at blanks that are not quoted", () => {
  const cases: [string, string[]][] = [
    ["a b\tc", ["a", "b", "c"]],
    ['a="b c" d', ['a="b c"', "d"]],
    ["a='b \" c' d", ["a='b \" c'", "d"]],
    ["a\\ b c", ["a\\ b", "c"]],
    ['"a\\" b" c', ['"a\\" b"', "c"]],
    ["  ", []],
  ];
  for (const [text, words] of cases) assert.deepEqual(splitWords(text), words, text);
});

Deno.test("parseDockerfile: variables are replaced as docker does", () => {
  const values: Values = { X: "x", EMPTY: "", PATH: "/bin:$Y" };
  const lookup = (name: string): string | undefined => values[name];
  const cases: [string, string][] = [
    ["$X", "x"],
    ["${X}y", "xy"],
    ["$Xy", ""],
    ["a$X/b", "ax/b"],
    ["\\$X", "$X"],
    ["'$X'", "$X"],
    ['"$X y"', "x y"],
    ['"\\$X\\" \\a"', '$X" \\a'],
    ["${NO:-d}", "d"],
    ["${EMPTY:-d}", "d"],
    ["${EMPTY-d}", ""],
    ["${NO-d}", "d"],
    ["${X:-d}", "x"],
    ["${X:+v}", "v"],
    ["${EMPTY:+v}", ""],
    ["${EMPTY+v}", "v"],
    ["${NO+v}", ""],
    ["${NO:-${X}y}", "xy"],
    ["${NO:-'a b'}", "a b"],
    ["${X:?needed}", "x"],
    ["$PATH", "/bin:$Y"],
    ["$", "$"],
    ["a$-b", "a$-b"],
    ["$1", "$1"],
    ["a\\b", "ab"],
  ];
  for (const [word, result] of cases) assert.equal(expandWord(word, lookup), result, word);
  for (const word of ["${", "${X", "${X:-a", "${-}", "${X#a}", "'a", '"a', "${NO:?needed}", "${NO?}"]) {
    assert.throws(() => expandWord(word, lookup), WordError, word);
  }
  assert.throws(() => expandWord("${NO:?needed}", lookup), { message: "$NO is not set: needed" });
  assert.equal(expandWord("`$X \\$X", lookup, "`"), "$X \\x");
  assert.equal(expandText('it\'s "$X" \\$X \\n ${NO:-d}', lookup), 'it\'s "x" $X \\n d');
});

Deno.test("parseDockerfile: what a Dockerfile must not say is refused with its line, and what is not done by name", () => {
  const cases: [string, RegExp, string?][] = [
    ["", /^D:1: no FROM instruction/],
    ["RUN a", /^D:1: RUN stands before the first FROM/],
    ["FROM", /^D:1: FROM requires an argument/],
    ["FROM a b", /^D:1: FROM takes an image/],
    ["FROM a AS 1b", /^D:1: invalid stage name "1b"/],
    ["FROM a AS x\nFROM a AS X", /^D:2: there are two stages called x/],
    ["FROM --bad=1 a", /^D:1: FROM has no flag --bad/],
    ["FROM --constructor=1 a", /^D:1: FROM has no flag --constructor/],
    ["FROM a\n\nRUNN b", /^D:3: unknown instruction "RUNN"/],
    ["FROM a\nCONSTRUCTOR b", /^D:2: unknown instruction "CONSTRUCTOR"/],
    ["FROM a\nCOPY b", /^D:2: COPY takes what to copy/],
    ["FROM a\nCOPY a b c", /^D:2: several files go into a folder: c must end/],
    ["FROM a\nCOPY --from=1 b c", /^D:2: there is no stage 1/, "unknown-stage"],
    ["FROM a\nCOPY --from=x b c\nFROM b AS x", /^D:2: there is no stage x before this one/, "unknown-stage"],
    ["FROM a\nENV A", /^D:2: ENV A has no value/],
    ["FROM a\nENV A=1 b", /^D:2: ENV has a word that is not NAME=VALUE/],
    ["FROM a\nARG 1=2", /^D:2: invalid argument "1=2"/],
    ["FROM a\nSHELL sh", /^D:2: SHELL takes a JSON list/],
    ["FROM a\nHEALTHCHECK NONE", /^D:2: HEALTHCHECK is not supported/, "dockerfile-unsupported"],
    ["FROM a\nONBUILD RUN a", /^D:2: ONBUILD is not supported/, "dockerfile-unsupported"],
    ["FROM a\nRUN --mount=type=cache,target=/x a", /^D:2: RUN --mount is not supported/, "dockerfile-unsupported"],
    ["FROM a\nADD https://x/y /z", /^D:2: ADD of https:\/\/x\/y is not supported/, "dockerfile-unsupported"],
    ["FROM a\nADD git@x:y /z", /^D:2: ADD of git@x:y is not supported/, "dockerfile-unsupported"],
    ["FROM a\nCOPY --parents a /z", /^D:2: COPY --parents is not supported/, "dockerfile-unsupported"],
    ["FROM a\nRUN <<A\n#!/bin/x\nA\n", /^D:2: a here-document with an interpreter/, "dockerfile-unsupported"],
  ];
  for (const [text, message, code = "bad-dockerfile"] of cases) {
    const error = refusal(() => parseDockerfile("D", text));
    assert.match(error.message, message, text);
    assert.equal(error.code, code, text);
  }
});

const given = (buildArgs: Values = {}): Given => ({ buildArgs, automatic: { TARGETARCH: "amd64" } });

function evaluated(text: string, { base = {}, buildArgs = {} }: { base?: Settings; buildArgs?: Values } = {}) {
  const dockerfile = parseDockerfile("D", text), stage = dockerfile.stages.at(-1);
  assert.ok(stage);
  const globals = globalArgs(dockerfile, given(buildArgs));
  return evaluate(stage, base, {}, globals, given(buildArgs), dockerfile.escape);
}

Deno.test("parseDockerfile: settings come to what docker makes of them", () => {
  const cases: [string, Settings, Settings?][] = [
    ["ENV A=1 B=$A\nENV B=$A", { Env: ["A=1", "B=1"] }],
    ["ENV A=2 C=$A", { Env: ["A=2", "P=x", "C=1"] }, { Env: ["A=1", "P=x"] }],
    ["ENV PATH=/a:$PATH", { Env: ["PATH=/a:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] }],
    ["ENV PATH=/a:$PATH", { Env: ["PATH=/a:/b"] }, { Env: ["PATH=/b"] }],
    ["ENV A one two", { Env: ["A=one two"] }],
    ["WORKDIR a\nWORKDIR ../b/./c/", { WorkingDir: "/b/c" }],
    ["WORKDIR b", { WorkingDir: "/a/b" }, { WorkingDir: "/a" }],
    ["CMD a b", { Cmd: ["/bin/sh", "-c", "a b"] }],
    ['CMD ["a", "b"]', { Cmd: ["a", "b"] }],
    ["CMD ['a']", { Cmd: ["/bin/sh", "-c", "['a']"] }],
    ['ENTRYPOINT ["e"]', { Entrypoint: ["e"], Cmd: null }, { Cmd: ["c"] }],
    ['CMD ["d"]\nENTRYPOINT ["e"]', { Cmd: ["d"], Entrypoint: ["e"] }, { Cmd: ["c"] }],
    ['SHELL ["/b", "-x"]\nCMD a', { Shell: ["/b", "-x"], Cmd: ["/b", "-x", "a"] }],
    ["LABEL a=b c='d e'\nLABEL f g h\nMAINTAINER me", {
      Labels: { z: "y", a: "b", c: "d e", f: "g h", maintainer: "me" },
    }, {
      Labels: { z: "y" },
    }],
    ["EXPOSE 80 90-91/UDP", { ExposedPorts: { "80/tcp": {}, "90/udp": {}, "91/udp": {} } }],
    ['VOLUME /a\nVOLUME ["/b"]', { Volumes: { "/a": {}, "/b": {} } }],
    ["ARG U=me\nUSER $U\nSTOPSIGNAL SIGINT", { User: "me", StopSignal: "SIGINT" }],
  ];
  for (const [text, expected, base] of cases) {
    assert.deepEqual(evaluated(`FROM a\n${text}`, { base }).settings, expected, text);
  }
  for (
    const text of ["EXPOSE 0", "EXPOSE 1-x", "EXPOSE 70000", "STOPSIGNAL SIGNONE", "USER $NO", "COPY --chmod=u+x a b"]
  ) {
    assert.match(refusal(() => evaluated(`FROM a\n${text}`)).message, /^D:2: /, text);
  }
});

Deno.test("arguments come from the command, their defaults, what stands before FROM, and the machine", () => {
  const text = "ARG G=1\nARG H=$G.2\nFROM a\nARG G\nARG H=own\nARG N\nARG D=d\nARG TARGETARCH\nRUN x";
  const env = (buildArgs: Values): Values => {
    const action = evaluated(text, { buildArgs }).tasks.at(-1)?.action;
    return action?.kind === "run" ? action.env : {};
  };
  assert.deepEqual(env({}), { G: "1", H: "own", D: "d", TARGETARCH: "amd64" });
  assert.deepEqual(env({ G: "2", N: "n", D: "", https_proxy: "p" }), {
    G: "2",
    H: "own",
    N: "n",
    D: "",
    TARGETARCH: "amd64",
    https_proxy: "p",
  });
  assert.equal(globalArgs(parseDockerfile("D", text), given()).H, "1.2");
  assert.deepEqual(unusedArgs(parseDockerfile("D", text), { G: "", no: "", https_proxy: "" }), ["no"]);
  const [arg, run] = evaluated("FROM a\nARG X=1\nRUN $X").tasks;
  assert.deepEqual([arg?.createdBy, run?.createdBy], ["ARG X=1", "RUN |1 X=1 /bin/sh -c $X"]);
});

Deno.test("parseDockerfile: only the stages that are needed are planned, and unknown ones refused", async () => {
  const empty: Base = { config: {}, layers: () => Promise.resolve([]) };
  const text =
    "FROM a AS one\nENV X=1\nFROM b AS two\nFROM one AS three\nCOPY --from=img /x /y\nFROM scratch\nCOPY --from=2 / /";
  const asked: string[] = [];
  const plan = (target?: string) =>
    planBuild(parseDockerfile("D", text), { buildArgs: {}, ...(target ? { target } : {}) }, (name) => {
      asked.push(name);
      return Promise.resolve(empty);
    });
  assert.deepEqual((await plan()).map(({ number }) => number), [0, 2, 3]);
  assert.deepEqual(asked, ["a", "img", "scratch"]);
  assert.deepEqual((await plan("TWO")).map(({ number }) => number), [1]);
  assert.deepEqual((await plan("three")).at(-1)?.settings, { Env: ["X=1"] });
  await assert.rejects(plan("four"), { code: "unknown-stage", hint: "there is: one, two, three, 3" });
  const triggers: Base = { config: { config: { OnBuild: ["RUN x"] } }, layers: () => Promise.resolve([]) };
  const parsed = parseDockerfile("D", "FROM a");
  await assert.rejects(planBuild(parsed, { buildArgs: {} }, () => Promise.resolve(triggers)), /D:1: a has ONBUILD/);
});

Deno.test("parseDockerfile: patterns are those of Go's filepath.Match", () => {
  const cases: [string, string, boolean][] = [
    ["*.txt", "a.txt", true],
    ["*.txt", ".txt", true],
    ["*", "a", true],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["[a-c]x", "bx", true],
    ["[^a-c]x", "bx", false],
    ["[^a-c]x", "dx", true],
    ["a\\*", "a*", true],
    ["a\\*", "ab", false],
    ["a.c", "abc", false],
    ["(a|b)", "a", false],
    ["[\\]]", "]", true],
    ["ä?", "äö", true],
  ];
  for (const [pattern, name, expected] of cases) assert.equal(matcherOf(pattern)(name), expected, `${pattern} ${name}`);
  for (const pattern of ["[", "[a", "[]", "[b-a]", "a\\", "[a-"]) assert.throws(() => matcherOf(pattern), PatternError);
});

Deno.test(".dockerignore is read by docker's rules", () => {
  const cases: [string, string, boolean][] = [
    ["a", "a", true],
    ["a", "a/b/c", true],
    ["a", "b/a", false],
    ["/a/", "a", true],
    ["./a", "a", true],
    ["*/b", "a/b", true],
    ["*/b", "a/c/b", false],
    ["**/b", "b", true],
    ["**/b", "a/c/b/d", true],
    ["a/**", "a/b", true],
    ["a/**", "a", false],
    ["a/**/b", "a/b", true],
    ["a/**/b", "a/x/y/b", true],
    ["**/*.go", "a/b.go", true],
    ["*.md\n!README.md", "README.md", false],
    ["*.md\n!README.md", "OTHER.md", true],
    ["!README.md\n*.md", "README.md", true],
    ["*\n!a/b", "a/b", false],
    ["*\n!a/b", "a/c", true],
    ["# a\n\n  b  ", "b", true],
    ["#a", "#a", false],
    ["a?", "ab", true],
    ["../a", "a", true],
    [".", "a", false],
  ];
  for (const [text, path, expected] of cases) assert.equal(readIgnored(text).has(path), expected, `${text} ${path}`);
  assert.equal(readIgnored("a\n!b").exceptions, true);
  assert.throws(() => readIgnored("a[b"), PatternError);
});

Deno.test("parseDockerfile: whatever stands in a Dockerfile, it is read or refused", () => {
  let state = 20240607;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  const pieces = [
    ...["FROM a", "FROM scratch AS b", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "WORKDIR", "USER", "CMD", "SHELL"],
    ...[
      "EXPOSE",
      "VOLUME",
      "STOPSIGNAL",
      "ENTRYPOINT",
      "ONBUILD",
      "--from=b",
      "--chown=1:2",
      "--chmod=7",
      "--x",
      "<<E",
    ],
    ...["\nE\n", "\n", "\r\n", " ", "\t", "\\", "\\\n", "#", "# escape=`\n", "`\n", "$X", "${X:-", "}", "${", '"', "'"],
    ...[
      "[",
      "]",
      '["a"]',
      "=",
      "A=1",
      "80",
      "/",
      "a/",
      "**",
      "!",
      "[a-",
      "\0",
      "ä",
      "\ud800",
      "\ufeff",
      "9".repeat(30),
    ],
  ];
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join(random(3) ? " " : "");
    const source = random(2) ? `FROM a\n${text}` : text;
    try {
      evaluated(source, { base: { Env: ["X=$X"], Cmd: 3, Labels: [] } });
    } catch (error) {
      assert.ok(error instanceof InputError, `${JSON.stringify(source)}: ${error}`);
      assert.match(error.message, /^D:\d+: /, JSON.stringify(source));
    }
    try {
      const path = `${pieces[random(pieces.length)]}/${pieces[random(pieces.length)]}`;
      readIgnored(text).has(path);
      matcherOf(text)(path);
    } catch (error) {
      assert.ok(error instanceof PatternError, `${JSON.stringify(text)}: ${error}`);
    }
  }
});
