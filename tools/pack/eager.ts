/**
 * Eager compilation: V8 compiles functions in parentheses when their module is loaded, and keeps them in its code cache.
 * Other functions it compiles at their first call, at every start of the program.
 *
 * @module
 */

import { type Node, parse } from "npm:acorn@8.15.0";

/** Returns whether to compile a function eagerly, given its offset in the source. */
export type IsUsed = (start: number) => boolean;

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

/** Returns the parentheses to insert around function expressions. */
function parentheses(tree: Node, isUsed: IsUsed): [at: number, text: string][] {
  const marks: [at: number, text: string][] = [];
  walk(tree, (node, parent) => {
    const isFunction = node.type === "FunctionExpression" || node.type === "ArrowFunctionExpression";
    if (isFunction && !isMethod(parent) && isUsed(node.start)) marks.push([node.start, "("], [node.end, ")"]);
  });
  return marks.sort(([a], [b]) => a - b);
}

/**
 * Returns the module with functions compiled eagerly if `isUsed`, except for methods and nested function declarations.
 * Top-level declarations become variables before everything else, which keeps them hoisted.
 */
export function compileEagerly(source: string, isUsed: IsUsed = () => true): string {
  const tree = parse(source, { ecmaVersion: "latest", sourceType: "module" });
  const marks = parentheses(tree, isUsed);
  const marked = (start: number, end: number): string => {
    let result = "", done = start;
    for (const [at, text] of marks) {
      if (at < start || at > end || (at === end && text === "(")) continue;
      result += source.slice(done, at) + text;
      done = at;
    }
    return result + source.slice(done, end);
  };
  let head = "", rest = "", done = 0;
  for (const node of tree.body) {
    if (node.type !== "FunctionDeclaration" || !isUsed(node.start)) continue;
    head += `var ${node.id.name} = (${marked(node.start, node.end)});\n`;
    rest += marked(done, node.start);
    done = node.end;
  }
  return head + rest + marked(done, source.length);
}
