// Evaluates JavaScript expressions: a line of JSON in for each, a line of JSON out. Started by javascript.py.
//
// Expressions come from documents, and what they work on comes from tools: neither may reach this machine. Each gets a
// context of its own. Nothing of this program's realm is ever given to it: not even its global object's prototype, for
// from any object here `constructor.constructor` leads to this realm's Function. In case that something is found all
// the same, there is nothing left here to find: the globals are gone, intrinsics are frozen, no
// text becomes code in this realm (--disallow-code-generation-from-strings), and the process may open nothing.
"use strict";
(() => {
  const vm = require("vm");
  const { stdin, stdout } = process;
  const write = stdout.write.bind(stdout);
  const exit = process.exit.bind(process);
  const { parse, stringify } = JSON;
  const { runInContext, createContext } = vm;
  const { deleteProperty } = Reflect;
  process.on("unhandledRejection", () => {}); // of promises that an expression leaves behind

  const CONSOLE = `(() => {
    const lines = [];
    const word = (value) => {
      if (typeof value === "string") return value;
      const text = JSON.stringify(value);
      return text === undefined ? String(value) : text;
    };
    const log = (...values) => { lines.push(values.map(word).join(" ")); };
    globalThis.console = { log, info: log, warn: log, error: log, debug: log };
    const text = JSON.stringify;
    return () => text(lines);
  })()`;
  // A value as JSON, and an error as text, made by functions of the context before anything else ran there.
  // What runs code after its expression, waits for ever, or has memory beside the heap goes: CWL's JavaScript has none.
  const OUTCOME = `(() => {
    for (const name of ["FinalizationRegistry", "WeakRef", "WebAssembly", "SharedArrayBuffer", "Atomics"]) {
      delete globalThis[name];
    }
    const text = JSON.stringify, string = String;
    return {
      value: (value) => { const made = text(value); return made === undefined ? "undefined" : made; },
      error: (error) => string((typeof error === "object" && error !== null && error.stack) || error),
    };
  })()`;

  function evaluate({ code, console }) {
    const context = createContext({ __proto__: null }, { microtaskMode: "afterEvaluate" });
    const lines = console ? runInContext(CONSOLE, context) : null;
    const outcome = runInContext(OUTCOME, context);
    const answer = { __proto__: null };
    try {
      const text = outcome.value(runInContext(code, context));
      answer.value = typeof text === "string" ? text : "undefined";
    } catch (error) {
      try {
        const text = outcome.error(error);
        answer.error = typeof text === "string" ? text : "an error";
      } catch {
        answer.error = "an error that cannot be shown";
      }
    }
    if (lines !== null) {
      try {
        answer.console = `${lines()}`;
      } catch {
        answer.console = "[]";
      }
    }
    return stringify(answer);
  }

  let waiting = [];
  stdin.setEncoding("utf8");
  stdin.on("data", (chunk) => {
    const end = chunk.indexOf("\n");
    if (end < 0) {
      waiting.push(chunk);
      return;
    }
    waiting.push(chunk.slice(0, end));
    const line = waiting.join("");
    waiting = [chunk.slice(end + 1)];
    write(`${evaluate(parse(line))}\n`);
  });
  stdin.on("end", () => exit(0));


  // What an import() gives back, and its error, are of this realm. Their prototypes cannot be changed, so that nothing
  // can be left there for the next expression; each instance can still be given a property of its own.
  const { defineProperty, getOwnPropertyDescriptor, ownKeys } = Reflect;
  const isObject = (value) => (typeof value === "object" || typeof value === "function") && value !== null;
  const settle = (holder, key, value, enumerable) => {
    const set = function (own) {
      if (this !== holder && isObject(this)) {
        defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true });
      }
    };
    defineProperty(holder, key, { get: () => value, set, enumerable, configurable: false });
  };
  const { freeze, getPrototypeOf } = Object;
  const names = Object.getOwnPropertyNames(globalThis);
  const roots = names.map((name) => getOwnPropertyDescriptor(globalThis, name).value).filter(isObject);
  roots.push(getPrototypeOf(async () => {}), getPrototypeOf(function* () {}), getPrototypeOf([][Symbol.iterator]()));
  for (const root of roots.filter((root) => root !== globalThis && root !== process)) {
    const prototype = getOwnPropertyDescriptor(root, "prototype")?.value;
    for (const holder of isObject(prototype) && !ArrayBuffer.isView(prototype) ? [prototype] : []) {
      for (const key of ownKeys(holder)) {
        const found = getOwnPropertyDescriptor(holder, key);
        if (found.configurable && "value" in found) settle(holder, key, found.value, found.enumerable);
      }
      freeze(holder);
    }
    freeze(root);
  }
  for (const name of names) {
    if (name !== "globalThis") deleteProperty(globalThis, name);
  }
})();
