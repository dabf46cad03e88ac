// A run in a notebook: the card that Python makes of it, and buttons. What a button does is Python's, too.
//
// The model has: card (HTML, of which all text is escaped), actions (the buttons), pending (the action that is being
// done), message (how it went wrong) and answered (no answer is awaited). Messages to Python: {action: "cancel"}.

const WORDS = { cancel: ["Cancel", "Cancelling"], resume: ["Resume", "Resuming"] };
const TITLES = {
  cancel: "Stop the run and its jobs. Finished jobs are kept; it can be resumed.",
  resume: "Resume the run. Finished jobs do not run again.",
};
const PATIENCE_MS = 4000;
const ATTEMPTS = 60, EVERY_MS = 1000;
const ENDED = "The kernel has ended; the run does not depend on it. After %load_ext gridcwl, gridcwl.last() shows it.";
const BUSY =
  "The kernel is busy with a cell and does it afterwards. Interrupt the cell to have it done now; the run continues.";

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

/** What the user has opened and scrolled in a part of the card. */
function viewOf(part) {
  return {
    opened: [...part.querySelectorAll("details")].map((one) => one.open),
    scrolled: [part, ...part.querySelectorAll(".scroll, pre")].map((one) => [one.scrollTop, one.scrollLeft]),
  };
}

function restore(part, view) {
  [...part.querySelectorAll("details")].forEach((one, n) => { one.open = view.opened[n] ?? one.open; });
  [part, ...part.querySelectorAll(".scroll, pre")].forEach((one, n) => {
    [one.scrollTop, one.scrollLeft] = view.scrolled[n] ?? [0, 0];
  });
}

/** Replace those parts of the card that have changed; the others stay as they are, with their selection. */
function update(body, shown, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const seen = {};
  const wanted = new Map();
  for (const part of template.content.firstElementChild?.children ?? []) {
    const kind = `${part.tagName}.${part.className}`;
    seen[kind] = (seen[kind] ?? 0) + 1;
    const name = `${kind}.${seen[kind]}`;
    const text = part.outerHTML;
    const before = shown.get(name);
    wanted.set(name, before?.text === text ? before : { text, part, view: before && viewOf(before.part) });
  }
  for (const [name, { part }] of shown) {
    if (wanted.get(name)?.part !== part) part.remove();
  }
  shown.clear();
  let next = body.firstElementChild;
  for (const [name, one] of wanted) {
    shown.set(name, one);
    if (one.part === next) { next = next.nextElementSibling; continue; }
    body.insertBefore(one.part, next);
    if (one.view) restore(one.part, one.view);
    one.view = undefined;
  }
}

/**
 * Python shows runs by widgets as soon as a program has answered that can show them. What is sent before JupyterLab has
 * a subshell for widgets waits for the cell that is executed, so it is sent again until Python has received it.
 */
function initialize({ model }) {
  let attempts = 0;
  function answer() {
    if (model.get("answered") || attempts >= ATTEMPTS) return;
    attempts += 1;
    model.send({ action: "ready" });
    setTimeout(answer, EVERY_MS);
  }
  answer();
}

function render({ model, el }) {
  const card = element("div", "gridcwl-run gridcwl-widget", el);
  const bar = element("div", "actions", card);
  const message = element("p", "message", card);
  message.setAttribute("role", "status");
  const body = element("div", "body", card);
  const shown = new Map();
  const buttons = new Map();
  let requested = "", timer = 0, live = true;

  function request(action) {
    requested = action;
    clearTimeout(timer);
    timer = setTimeout(() => { requested = ""; message.textContent = BUSY; showButtons(); }, PATIENCE_MS);
    model.send({ action });
    showButtons();
  }

  function showButtons() {
    const active = requested || model.get("pending");
    const actions = live ? model.get("actions").filter((one) => one in WORDS) : [];
    for (const [action, button] of buttons) {
      if (!actions.includes(action)) { button.remove(); buttons.delete(action); }
    }
    for (const action of actions) {
      if (!buttons.has(action)) {
        const button = element("button", action, bar);
        button.type = "button";
        button.title = TITLES[action];
        button.addEventListener("click", () => request(action));
        buttons.set(action, button);
      }
      const button = buttons.get(action);
      button.textContent = active === action ? `${WORDS[action][1]} …` : WORDS[action][0];
      button.disabled = Boolean(active);
    }
  }

  function answered() {
    requested = "";
    clearTimeout(timer);
    message.textContent = live ? model.get("message") : ENDED;
    showButtons();
  }

  const changes = {
    "change:card": () => update(body, shown, model.get("card")),
    "change:actions": answered,
    "change:pending": answered,
    "change:message": answered,
    comm_live_update: () => { live = false; answered(); }, // of @jupyter-widgets/base: nobody receives any more
  };
  for (const [name, change] of Object.entries(changes)) model.on(name, change);
  update(body, shown, model.get("card"));
  answered();
  return () => {
    clearTimeout(timer);
    for (const [name, change] of Object.entries(changes)) model.off(name, change);
  };
}

export default { initialize, render };
