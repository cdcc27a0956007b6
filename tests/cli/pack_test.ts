import assert from "node:assert/strict";
import { compileEagerly } from "../../tools/pack/eager.ts";
import { lean } from "../../tools/pack/lean.ts";

/** What a module exports, after the change and before it. */
async function exportsOf(source: string): Promise<Record<string, unknown>> {
  const url = (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`;
  const before = await import(url(source)), after = await import(url(compileEagerly(lean(source))));
  assert.deepEqual({ ...after }, { ...before });
  for (const isUsed of [() => false, (start: number) => start % 2 === 0]) {
    assert.deepEqual({ ...await import(url(compileEagerly(source, isUsed))) }, { ...before });
  }
  return after;
}

const MODULES = [
  [
    "comments, blanks, and what looks like them",
    "// one\nexport /* two */ const result = [ `  // ${ /* three */ 1 +  +2 }  `, 8 / 2 / 1, 'a  b', /[/] *x/.test(\"/  x\"),\n" +
    "  1 - -1, typeof  void 0, 1 .toString(), [] ? .5 : 1, new  Date(0) instanceof  Date, 3 in  [1, 2, 3, 4] ]\n" +
    "const next = 1 // no semicolon\n;[next].forEach(() => { return\n 5 })",
  ],
  ["a function is called before it stands", "export const result = later(1); function later(n) { return n + 1; }"],
  [
    "functions call each other",
    "export const result = even(10); function even(n) { return n === 0 || odd(n - 1); }\n" +
    "function odd(n) { return n !== 0 && even(n - 1); }",
  ],
  ["arrows in arrows", "export const result = [1, 2].map((a) => [3].map((b) => ({ a, b })));"],
  [
    "an arrow whose body is an object, one that is an argument of a call that is called",
    "const make = (f) => f; export const result = make((a) => ({ a }))(1);",
  ],
  [
    "async functions, generators and both",
    "async function one() { return 1; } function* two() { yield 2; } async function* three() { yield 3; }\n" +
    "export const result = [await one(), ...two(), (await three().next()).value, await (async () => 4)()];",
  ],
  [
    "methods, getters and setters stay methods",
    "const o = { get a() { return this.b; }, set a(v) { this.b = v; }, m() { return super.toString === Object.prototype.toString; },\n" +
    "  f: function () { return this.b; }, async *g() {}, ['x' + 1]() { return 5; } }; o.a = 3;\n" +
    "class C { static s = () => 7; #p = () => 8; constructor() { this.q = () => this.#p(); } static { this.t = 9; } get h() { return 6; } }\n" +
    "export const result = [o.a, o.m(), o.f(), o.x1(), new C().h, C.s(), new C().q(), C.t];",
  ],
  [
    "classes that extend",
    "class A { f() { return 1; } } class B extends A { f() { return super.f() + 1; } } export const result = new B().f();",
  ],
  [
    "names of functions",
    "function f() {} const g = () => {}; const h = function () {}; export const result = [f.name, g.name, h.name];",
  ],
  [
    "a tagged template, an optional call, a comma, a conditional",
    "const t = (s) => s[0]; const n = null; export const result = [t`x`, n?.(() => 1), (0, () => 2)(), (n ? () => 1 : () => 2)()];",
  ],
  [
    "text that looks like code",
    "export const result = '(function () {})' + `${(() => '=>')()}` + /=>/.source; // () => 1",
  ],
  [
    "an immediately called function",
    "export const result = (function () { return 1; })() + (() => 2)() + +function () { return 3; }();",
  ],
  [
    "default and rest parameters that are functions",
    "const f = (a = () => 1, ...b) => a() + b.length; export const result = f(undefined, 1, 2);",
  ],
] as const;

for (const [what, source] of MODULES) {
  Deno.test(`pack: a module whose functions are compiled at once does the same: ${what}`, async () => {
    assert("result" in await exportsOf(source));
  });
}

Deno.test("functions at the top, expressions and arrows stand in parentheses; methods do not", () => {
  const changed = compileEagerly("const a = () => 1; function b() { return () => 2; } const c = { d() {} };");
  assert.equal(changed, "var b = (function b() { return (() => 2); });\nconst a = (() => 1);  const c = { d() {} };");
});
