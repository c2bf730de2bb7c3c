// The result page: the table is sorted, filtered and paged by fragments of it, rows open their
// evidence, and table and timeline show each other's selection.
//
// The address of the page always says what is shown, so that it can be shared or loaded again.

import { announce, debounced, say } from "./common.js";
import { startTimeline } from "./timeline.js";

const section = document.getElementById("links");
const filter = document.getElementById("filter");
const timelineSection = document.getElementById("timeline");

let query = new URLSearchParams(location.search);
let loading = null; // the request under way
let selected = query.get("select"); // the number of the selected link, as the address has it
let timeline = null;

section.addEventListener("click", (event) => {
  // A click that opens another tab is the browser's.
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const link = event.target.closest("a");
  if (link?.matches("[data-sort], [data-page]")) {
    event.preventDefault();
    turn(link);
  } else if (link?.matches(".evidence")) {
    event.preventDefault();
    toggle(link);
  } else if (!link && !event.target.closest(".evidence-row") && !getSelection().toString()) {
    const row = event.target.closest("tr[data-number]");
    if (row) select(row);
  }
});
// Links are followed by Enter; this one opens something here, as buttons do by Space as well.
section.addEventListener("keydown", (event) => {
  const link = event.target.closest("a.evidence");
  if (link && event.key === " ") {
    event.preventDefault();
    toggle(link);
  } else if (event.key === "Escape") {
    const open = event.target.closest(".evidence-row");
    if (open) close(open);
  }
});

if (filter) {
  const typed = debounced(300, applyFilter);
  filter.addEventListener("input", typed);
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    applyFilter();
  });
  // A form is reset after its event.
  filter.addEventListener("reset", () => setTimeout(applyFilter));
}

mark();
if (timelineSection) showTimeline();

async function showTimeline() {
  timeline = startTimeline(timelineSection, selectNumber);
  await timeline.filter(query);
  const row = rowOf(selected);
  if (row) timeline.select(chosen(row));
}

/** Loads the fragment that a link of it asks for, and gives the keyboard its place back. */
async function turn(link) {
  const { sort, page } = link.dataset;
  const wanted = new URL(link.href).searchParams;
  wanted.delete("select");
  await load(wanted);
  if (sort !== undefined) {
    section.querySelector(`a[data-sort="${CSS.escape(sort)}"]`)?.focus();
    return;
  }
  const again = section.querySelector(`a[data-page="${CSS.escape(page)}"]`);
  (again ?? section.querySelector("a[data-page]"))?.focus({ preventScroll: true });
  section.scrollIntoView({ block: "start" });
}

async function applyFilter() {
  const wanted = new URLSearchParams(query);
  for (const name of ["offset", "select"]) wanted.delete(name);
  for (const field of filter.elements) {
    if (field.name) wanted.delete(field.name);
  }
  for (const [name, value] of new FormData(filter)) {
    if (value !== "") wanted.append(name, value);
  }
  if (wanted.toString() === query.toString()) return;
  if (await load(wanted)) timeline?.filter(query);
}

/** Shows the table of a query. False when another one was asked for meanwhile, or it failed. */
async function load(wanted) {
  loading?.abort();
  loading = new AbortController();
  section.setAttribute("aria-busy", "true");
  let answer;
  let fragment;
  try {
    answer = await fetch(`${section.dataset.table}?${wanted}`, { signal: loading.signal });
    fragment = await answer.text();
  } catch (error) {
    if (error.name !== "AbortError") refuse(say("table_failed"));
    return false;
  }
  if (answer.status === 404) {
    // The result has expired; the whole page tells so.
    location.assign(`?${wanted}`);
    return false;
  }
  if (!answer.ok) {
    refuse(detailOf(fragment) ?? say("table_failed"));
    return false;
  }
  section.removeAttribute("aria-busy");
  section.innerHTML = fragment;
  query = wanted;
  selected = query.get("select");
  keepAddress();
  mark();
  const rows = section.querySelector("[data-matching]")?.textContent.trim().replace(/\s+/g, " ");
  announce(say("table_loaded", { rows }));
  return true;
}

/** Says above the table, which stays as it is, why another one was not to be had. */
function refuse(text) {
  section.removeAttribute("aria-busy");
  section.querySelector(".alert")?.remove();
  const alert = document.createElement("p");
  alert.className = "alert";
  alert.setAttribute("role", "alert");
  alert.textContent = text;
  section.prepend(alert);
}

function detailOf(text) {
  try {
    return JSON.parse(text).detail ?? null;
  } catch {
    return null;
  }
}

/** Makes the page's address that of what is shown; switches of language and theme lead back there. */
function keepAddress() {
  const text = query.toString();
  const here = text ? `${location.pathname}?${text}` : location.pathname;
  history.replaceState(null, "", here);
  for (const link of document.querySelectorAll('a[href*="back="]')) {
    const address = new URL(link.href);
    address.searchParams.set("back", here);
    link.href = address.href;
  }
}

function rowOf(number) {
  return number === null ? null : section.querySelector(`tr[data-number="${CSS.escape(number)}"]`);
}

/** What the timeline needs to know of a row. */
function chosen(row) {
  const { number, anomalyTime, problemTime } = row.dataset;
  return { number: Number(number), anomaly: Number(anomalyTime), problem: Number(problemTime) };
}

/** Marks the selected row, if it is on this page. */
function mark() {
  for (const row of section.querySelectorAll("tr.selected")) {
    row.classList.remove("selected");
    row.removeAttribute("aria-current");
  }
  const row = rowOf(selected);
  row?.classList.add("selected");
  row?.setAttribute("aria-current", "true");
  return row;
}

/** A row was chosen in the table. */
function select(row) {
  selected = row.dataset.number;
  query.set("select", selected);
  keepAddress();
  mark();
  timeline?.select(chosen(row));
}

/** A link was chosen on the timeline: its page is shown, and its row. */
async function selectNumber(number) {
  if (!rowOf(String(number))) {
    const wanted = new URLSearchParams(query);
    wanted.delete("offset");
    wanted.set("select", number);
    if (!(await load(wanted))) return;
  }
  const row = rowOf(String(number));
  if (!row) return;
  select(row);
  row.scrollIntoView({ block: "center" });
  row.querySelector("a.evidence")?.focus({ preventScroll: true });
  announce(say("selected", { number: number + 1 }));
}

async function toggle(link) {
  const row = link.closest("tr");
  const open = row.nextElementSibling;
  if (open?.matches(".evidence-row")) {
    close(open);
    return;
  }
  if (link.getAttribute("aria-busy") === "true") return;
  link.setAttribute("aria-busy", "true");
  select(row);
  try {
    const address = new URL(link.href);
    address.searchParams.set("fragment", "1");
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${answer.status}`);
    show(link, row, await answer.text());
  } catch {
    // The page of the evidence tells what is wrong.
    location.assign(link.href);
  } finally {
    link.removeAttribute("aria-busy");
  }
}

function show(link, row, fragment) {
  const opened = document.createElement("tr");
  opened.className = "evidence-row";
  opened.id = `evidence-${row.dataset.number}`;
  const cell = document.createElement("td");
  cell.colSpan = row.cells.length;
  cell.innerHTML = fragment;
  opened.append(cell);
  row.after(opened);
  link.setAttribute("aria-expanded", "true");
  link.setAttribute("aria-controls", opened.id);
  announce(say("evidence_opened"));
}

function close(opened) {
  const link = opened.previousElementSibling.querySelector("a.evidence");
  const inside = opened.contains(document.activeElement);
  opened.remove();
  link.setAttribute("aria-expanded", "false");
  link.removeAttribute("aria-controls");
  if (inside) link.focus();
  announce(say("evidence_closed"));
}
