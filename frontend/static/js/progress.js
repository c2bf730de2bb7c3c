// The progress page: what the analysis is doing, by server-sent events, until its result is there.
// When they fail the page loads itself again now and then, as it does without scripts.

import { bytes, number, say } from "./common.js";

const job = document.getElementById("job");
const bar = document.getElementById("job-progress");
const text = document.getElementById("job-text");
const FINAL = ["done", "failed", "cancelled"];
const RELOAD_MS = 3000;
/** Failures of the stream in a row after which it is given up. */
const PATIENCE = 3;

let failures = 0;
let reached = 0;
const stream = new EventSource(job.dataset.events);

stream.addEventListener("job", (event) => {
  failures = 0;
  const state = JSON.parse(event.data);
  if (FINAL.includes(state.status)) {
    stream.close();
    location.replace(job.dataset.result);
    return;
  }
  show(state);
});
stream.addEventListener("error", () => {
  failures += 1;
  if (stream.readyState !== EventSource.CLOSED && failures < PATIENCE) return;
  stream.close();
  setTimeout(() => location.replace(job.dataset.result), RELOAD_MS);
});

// The answer to the form tells that it is cancelled; the stream would lead away from it.
job.querySelector("form").addEventListener("submit", () => stream.close());

function show({ status, progress }) {
  const { phase, part } = status === "queued" ? waiting(progress) : running(progress);
  // Said by the page's own live region, and only when it says something else.
  if (text.textContent !== phase) text.textContent = phase;
  if (part === null) {
    bar.removeAttribute("value");
    return;
  }
  reached = Math.max(reached, part);
  bar.max = 1;
  bar.value = reached;
}

function waiting({ ahead }) {
  const phase = ahead > 0 ? say("job_waiting", { ahead: number(ahead) }) : say("job_starts");
  return { phase, part: null };
}

/**
 * The phase, and how much of all is done. What was read is understood piece by piece, before more
 * is read.
 */
function running({ bytes: read, bytes_total: all, texts, embedded }) {
  const phases = [];
  if (read < all) phases.push(say("job_reading", { read: bytes(read), total: bytes(all) }));
  if (embedded < texts) {
    phases.push(say("job_matching", { done: number(embedded), total: number(texts) }));
  }
  const understood = texts > 0 ? embedded / texts : 1;
  const part = all > 0 ? (0.95 * read * understood) / all : null;
  return { phase: phases.join(". ") || say("job_linking"), part };
}
