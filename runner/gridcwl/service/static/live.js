// Shows the page again when something happens in its run, at most every two seconds. What has been comes first.
"use strict";
const run = document.querySelector("[data-live]").dataset.live;
const events = new EventSource(`/api/v1/runs/${encodeURIComponent(run)}/events`);
const shown = Date.now();
let waiting = false;
events.onmessage = (message) => {
  const ended = JSON.parse(message.data).event === "RunEnded";
  if (ended) events.close();
  if (!ended && (waiting || Date.now() < shown + 1000)) return;
  waiting = true;
  setTimeout(() => location.reload(), Math.max(0, shown + 2000 - Date.now()));
};
