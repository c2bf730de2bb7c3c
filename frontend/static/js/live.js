// The live page: links as they are found, by server-sent events, and the state of the stream.
//
// Left open for days it grows in nothing: the list holds at most MOST entries, so does what waits
// to be shown, and of what is neither only the number is kept.

import { announce, debounced, decimal, lag, moment, number, rarely, say, span } from "./common.js";

/** Links in the list, and links that wait for it. */
const MOST = 500;
/** How many of the last links the stream begins with. */
const RECENT = 100;
/** The most of a message that an entry shows, in letters. */
const SHOWN = 240;
const STATUS_MS = 2000;
/** How often the number of links that wait is told while paused. */
const COUNT_MS = 500;
const ANNOUNCE_MS = 10_000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;

const live = document.getElementById("live");
const list = document.getElementById("live-links");
const template = document.getElementById("live-link");
const pause = document.getElementById("pause");
const filter = document.getElementById("live-filter");
const state = document.getElementById("live-state");
const sources = document.querySelector("#live-sources tbody");
const parts = document.getElementById("live-parts");

let stream = null;
let lastId = null; // of the last event, to go on behind it
let retry = FIRST_RETRY_MS;
let retryTimer = null;
let waiting = []; // links to be shown, oldest first
let arrived = 0; // while paused
let paused = false;
let drawing = false;
let unannounced = 0;
let lastAnnounced = 0;

pause.addEventListener("click", () => {
  const told = paused ? arrived : 0;
  setPaused(!paused);
  if (told > 0) announce(say("new_links", { count: number(told) }));
});
filter.addEventListener("input", debounced(300, startAnew));
filter.form?.addEventListener("submit", (event) => event.preventDefault());

// Nothing but entries: an empty list says so by its style.
list.replaceChildren(...list.children);
connect(`recent=${RECENT}`);
keepStatus();

function setPaused(on) {
  paused = on;
  arrived = 0;
  pause.setAttribute("aria-pressed", String(on));
  pause.textContent = say(on ? "resume" : "pause");
  if (on) {
    tellState("paused");
  } else {
    tellState(stream.readyState === EventSource.OPEN ? "connected" : "reconnecting");
    draw();
  }
}

/** The filter has changed: the list is that of another stream. */
function startAnew() {
  lastId = null;
  waiting = [];
  list.replaceChildren();
  setPaused(false);
  connect(`recent=${RECENT}`);
}

function connect(extra) {
  clearTimeout(retryTimer);
  stream?.close();
  const query = new URLSearchParams(extra);
  const wanted = filter.value.trim();
  if (wanted) query.set("q", wanted);
  const opened = new EventSource(`${live.dataset.stream}?${query}`);
  stream = opened;
  opened.addEventListener("open", () => {
    retry = FIRST_RETRY_MS;
    if (!paused) tellState("connected");
  });
  opened.addEventListener("link", (event) => {
    lastId = event.lastEventId || lastId;
    take(event.data);
  });
  opened.addEventListener("error", () => {
    if (opened !== stream) return;
    tellState("reconnecting");
    // The browser tries again by itself, unless the answer was no stream at all.
    if (opened.readyState !== EventSource.CLOSED) return;
    const after = lastId ? new URLSearchParams({ last_event_id: lastId }) : `recent=${RECENT}`;
    retryTimer = setTimeout(() => connect(after), retry);
    retry = Math.min(2 * retry, LONGEST_RETRY_MS);
  });
}

function tellState(now) {
  live.dataset.state = now;
  const text = now === "paused" ? say("live_paused", { count: number(arrived) }) : say(`live_${now}`);
  if (state.textContent !== text) state.textContent = text;
}

const tellArrived = rarely(COUNT_MS, () => {
  if (paused) tellState("paused");
});

function take(text) {
  waiting.push(text);
  if (waiting.length > MOST) waiting.shift();
  if (paused) {
    arrived += 1;
    tellArrived();
  } else {
    draw();
  }
}

/** Shows what waits, all at once, when the browser next paints. */
function draw() {
  if (drawing || paused) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (paused) return;
    // A link that is shown already, or comes twice, is shown once.
    const links = new Map(waiting.map((text) => JSON.parse(text)).map((link) => [link.id, link]));
    waiting = [];
    for (const { dataset } of list.children) links.delete(dataset.id);
    const fresh = [...links.values()];
    // The newest first.
    list.prepend(...fresh.reverse().map(entry));
    while (list.children.length > MOST) list.lastElementChild.remove();
    told(fresh.length);
  });
}

/** Announces new links, but not each of many. */
function told(count) {
  unannounced += count;
  const now = Date.now();
  if (unannounced === 0 || now - lastAnnounced < ANNOUNCE_MS) return;
  announce(say("new_links", { count: number(unannounced) }));
  unannounced = 0;
  lastAnnounced = now;
}

/** The beginning of a long text, as the server cuts it. */
function cut(text) {
  const letters = [...text];
  return letters.length > SHOWN ? `${letters.slice(0, SHOWN).join("")} …` : text;
}

/** A link as the template has it. */
function entry(link) {
  const item = template.content.firstElementChild.cloneNode(true);
  item.dataset.id = link.id;
  const { anomaly, problem } = link;
  const texts = {
    "problem-text": cut(problem.event.message),
    "anomaly-text": cut(anomaly.event.message),
    when: problem.event.timestamp,
    lag: lag(link.lag_seconds),
    where: `${problem.event.file}:${problem.event.line} ← ${anomaly.event.file}:${anomaly.event.line}`,
    score: `${decimal(problem.score, 3)} / ${decimal(anomaly.score, 3)}`,
  };
  for (const [name, text] of Object.entries(texts)) {
    for (const place of item.querySelectorAll(`.${name}`)) place.textContent = text;
  }
  return item;
}

/** Asks for the state every two seconds, while somebody may be looking. */
async function keepStatus() {
  for (;;) {
    if (!document.hidden) await refreshStatus();
    await new Promise((resolve) => setTimeout(resolve, STATUS_MS));
  }
}

async function refreshStatus() {
  try {
    const answer = await fetch(live.dataset.status);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const status = await answer.json();
    showFigures(status);
    showSources(status.sources);
    showParts(status.dependencies ?? []);
  } catch {
    // The service is away, as #live-state tells; old figures would be wrong ones.
    showFigures({});
  }
}

function showFigures(status) {
  const or = (value, write) => (value === undefined || value === null ? "–" : write(value));
  const figures = {
    rate: or(status.lines_per_second, (rate) => decimal(rate, 1)),
    lag: or(status.lag_seconds, span),
    links: or(status.links, number),
    links_per_minute: or(status.links_per_minute, (rate) => decimal(rate, 1)),
  };
  for (const [name, text] of Object.entries(figures)) {
    for (const place of document.querySelectorAll(`[data-figure="${name}"]`)) write(place, text);
  }
}

/** Changes a text only when it is another one, so that what somebody has selected stays. */
function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function showSources(found) {
  while (sources.rows.length > found.length) sources.deleteRow(-1);
  for (const [index, source] of found.entries()) {
    const row = sources.rows[index] ?? newSource();
    const { date, time } = source.last_event ? moment(source.last_event) : { date: "–", time: "" };
    const texts = [source.topic, number(source.lines), number(source.events), `${date} ${time}`];
    texts.forEach((text, cell) => write(row.cells[cell].firstElementChild ?? row.cells[cell], text));
  }
}

function newSource() {
  const row = sources.insertRow();
  const name = document.createElement("th");
  name.scope = "row";
  name.append(document.createElement("bdi"));
  row.append(name);
  for (let cell = 0; cell < 3; cell += 1) row.insertCell();
  return row;
}

function showParts(found) {
  const told = found.map(({ name, ok, need, reason }) => [name, ok, need, reason ?? ""].join("\n"));
  if (parts.dataset.told === told.join("\n\n")) return;
  parts.dataset.told = told.join("\n\n");
  parts.replaceChildren(...found.map(part));
}

function part({ name, ok, need, reason }) {
  const item = document.createElement("li");
  item.className = ok ? "ok" : need === "optional" ? "weak" : "bad";
  const texts = [
    ["bdi", "name", name],
    ["span", "state", say(ok ? "ok" : "not_ok")],
    ["bdi", "reason", reason],
  ];
  for (const [tag, kind, text] of texts) {
    if (!text) continue;
    const place = document.createElement(tag);
    place.className = kind;
    place.textContent = text;
    item.append(place, " ");
  }
  return item;
}
