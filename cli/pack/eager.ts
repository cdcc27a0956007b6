/**
 * Makes V8 compile functions when their module is loaded, and so keep them in its code cache: it compiles at once what
 * stands in parentheses, and everything else when it is first called, at every start of the program anew.
 *
 * @module
 */

import { type Node, parse } from "npm:acorn@8.15.0";

type Visit = (node: Node, parent: Node | undefined) => void;

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

function walk(node: Node, visit: Visit, parent?: Node): void {
  visit(node, parent);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) walk(child, visit, node);
  }
}

function isMethod(parent: Node | undefined): boolean {
  if (parent?.type === "MethodDefinition") return true;
  return parent?.type === "Property" && "method" in parent && "kind" in parent &&
    (parent.method === true || parent.kind !== "init");
}

/** Puts all function expressions in parentheses. */
function parenthesize(source: string): string {
  const marks: [at: number, text: string][] = [];
  walk(parse(source, { ecmaVersion: "latest", sourceType: "module" }), (node, parent) => {
    const isFunction = node.type === "FunctionExpression" || node.type === "ArrowFunctionExpression";
    if (isFunction && !isMethod(parent)) marks.push([node.start, "("], [node.end, ")"]);
  });
  let result = "", done = 0;
  for (const [at, text] of marks.sort(([a], [b]) => a - b)) {
    result += source.slice(done, at) + text;
    done = at;
  }
  return result + source.slice(done);
}

/** Makes function declarations at the top variables that stand before everything else, as if they were hoisted. */
function hoist(source: string): string {
  let head = "", rest = "", done = 0;
  for (const node of parse(source, { ecmaVersion: "latest", sourceType: "module" }).body) {
    if (node.type !== "FunctionDeclaration") continue;
    head += `var ${node.id.name} = (${source.slice(node.start, node.end)});\n`;
    rest += source.slice(done, node.start);
    done = node.end;
  }
  return head + rest + source.slice(done);
}

/** The same module, whose functions are compiled at once; but for methods and functions declared within others. */
export function compileEagerly(source: string): string {
  return hoist(parenthesize(source));
}
