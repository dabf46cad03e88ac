// Follows what happens: parts of a page are fetched again when the server says that something is new; logs grow.
// Without this script the same pages work; they have to be reloaded.
"use strict";

const MOST_CHARACTERS = 1 << 20;
const PAUSE_MS = 1000;

// -- parts of the page ------------------------------------------------------------------------------------------------

const shown = new Map();
let busy = false;
let again = false;

function remember() {
  for (const part of document.querySelectorAll("[data-part]")) shown.set(part.dataset.part, part.innerHTML);
}

function put(part, fresh) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const mark = focused && (focused.id ? `#${CSS.escape(focused.id)}`
    : focused.getAttribute("href") ? `[href="${CSS.escape(focused.getAttribute("href"))}"]`
    : focused.getAttribute("aria-label") ? `[aria-label="${CSS.escape(focused.getAttribute("aria-label"))}"]` : null);
  const places = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  part.replaceChildren(...fresh.childNodes);
  part.querySelectorAll(".scroll").forEach((one, number) => { one.scrollLeft = places[number] ?? 0; });
  if (mark) part.querySelector(mark)?.focus({ preventScroll: true });
  enhance(part);
}

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  const began = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-part]")) {
        const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
        if (other === null || other.innerHTML === shown.get(part.dataset.part)) continue;
        shown.set(part.dataset.part, other.innerHTML);
        put(part, document.adoptNode(other));
      }
      if (document.title !== fresh.title) {
        document.title = fresh.title;
        document.getElementById("news").textContent = fresh.title;
      }
    }
  } catch {
    again = true; // the server is away for a moment
  }
  // a page that takes long to make is fetched less often
  await new Promise((resolve) => setTimeout(resolve, Math.max(PAUSE_MS, 4 * (Date.now() - began))));
  busy = false;
  if (again) {
    again = false;
    refresh();
  }
}

// -- events -----------------------------------------------------------------------------------------------------------

const followers = [];

// A connection is held only while the page is seen: a browser has few of them for all its pages.
function follow(open) {
  const one = { source: null, ended: false };
  one.start = () => {
    if (!one.ended && one.source === null && !document.hidden) one.source = open(one);
  };
  one.stop = () => {
    one.source?.close();
    one.source = null;
  };
  followers.push(one);
  one.start();
}

document.addEventListener("visibilitychange", () => {
  for (const one of followers) document.hidden ? one.stop() : one.start();
});

function end(one) {
  one.ended = true;
  one.stop();
}

function followPage(url) {
  let begun = false;
  follow((one) => {
    const source = new EventSource(url);
    source.addEventListener("ready", () => {
      if (begun) refresh(); // something may have happened while nobody looked
      begun = true;
      document.body.dataset.state = "live";
    });
    source.addEventListener("changed", refresh);
    source.addEventListener("end", () => {
      end(one);
      document.body.dataset.state = "ended";
      refresh();
    });
    return source;
  });
}

function followLog(log) {
  const [path, query] = log.dataset.follow.split("?");
  let offset = Number(new URLSearchParams(query).get("start"));
  follow((one) => {
    const source = new EventSource(`${path}?start=${offset}`);
    source.addEventListener("text", (event) => {
      offset = Number(event.lastEventId);
      const below = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      log.append(JSON.parse(event.data));
      if (log.textContent.length > MOST_CHARACTERS) log.textContent = log.textContent.slice(-MOST_CHARACTERS / 2);
      if (below) log.scrollTop = log.scrollHeight;
    });
    source.addEventListener("end", () => end(one));
    return source;
  });
}

// -- buttons ----------------------------------------------------------------------------------------------------------

function enhance(part) {
  for (const button of part.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.onclick = async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      document.getElementById("news").textContent = "Copied";
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2 * PAUSE_MS);
    };
  }
}

remember();
enhance(document);
for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
for (const log of document.querySelectorAll("[data-follow]")) followLog(log);
if (document.body.dataset.live) followPage(document.body.dataset.live);
