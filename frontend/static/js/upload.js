// The upload page: files by dialog or by drag and drop, checked before they are sent, sent with
// progress and cancel.
//
// The two inputs hold the files chosen, whatever way they came, so that the form says the same with
// and without this script.

import { announce, bytes, isLocal, number, say } from "./common.js";

const form = document.getElementById("upload");
const dictionary = document.getElementById("anomalies_file");
const logs = document.getElementById("log_files");
const drop = document.getElementById("drop");
const chosen = document.getElementById("chosen");
const send = document.getElementById("send");
const sending = document.getElementById("sending");
const sent = document.getElementById("sent");
const sendingText = document.getElementById("sending-text");
const cancelSending = document.getElementById("cancel-sending");
const error = document.getElementById("upload-error");

const maxBytes = Number(form.dataset.maxBytes) || Infinity;
const maxFiles = Number(form.dataset.maxFiles) || Infinity;
const LOG_ENDINGS = [".txt", ".log", ".zip", ".gz"];
const DICTIONARY_ENDINGS = [".csv"];

// What an input held before its dialog was opened; the dialog replaces it, people mean to add.
let logsBefore = [];
let request = null;

// What is wrong is said on the page, in its language.
form.noValidate = true;
dictionary.addEventListener("change", () => refresh());
logs.addEventListener("change", () => {
  put(logs, merged(logsBefore, logs.files));
  refresh();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (request) return;
  const fault = firstFault();
  if (fault) showError(fault);
  else upload();
});
cancelSending.addEventListener("click", () => request?.abort());
// A page that comes back out of the browser's memory starts anew.
window.addEventListener("pageshow", () => {
  showSending(false);
  refresh();
});

// A file dropped beside the zone must not replace the page.
for (const type of ["dragover", "drop"]) {
  window.addEventListener(type, (event) => event.preventDefault());
}
let inside = 0;
drop.addEventListener("dragenter", () => {
  inside += 1;
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => {
  inside -= 1;
  if (inside <= 0) leaveDrop();
});
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  leaveDrop();
  if (request) return;
  add(await filesOf(event.dataTransfer));
});

function leaveDrop() {
  inside = 0;
  drop.classList.remove("over");
}

/** The files of a drop. Of folders, only those that can be used. */
async function filesOf(transfer) {
  // Entries must be asked for before the first wait: afterwards the transfer is empty.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const roots = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files = [];
  for (const root of roots) {
    if (root instanceof File) files.push(root);
    else if (root?.isFile) files.push(await fileOf(root));
    else if (root) await walk(root, files);
  }
  return files;
}

function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function walk(folder, files) {
  const reader = folder.createReader();
  for (;;) {
    // A reader gives its entries in portions, the last of which is empty.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return;
    for (const entry of entries) {
      // One more than allowed is enough to say that they are too many.
      if (files.length > maxFiles) return;
      if (entry.isDirectory) await walk(entry, files);
      else if (ends(entry.name, LOG_ENDINGS)) files.push(await fileOf(entry));
    }
  }
}

/** Adds dropped files: the last CSV is the dictionary, the others are logs. */
function add(files) {
  const tables = files.filter((file) => ends(file.name, DICTIONARY_ENDINGS));
  if (tables.length > 0) put(dictionary, tables.slice(-1));
  const others = files.filter((file) => !ends(file.name, DICTIONARY_ENDINGS));
  put(logs, merged(logsBefore, others));
  refresh();
}

function ends(name, endings) {
  return endings.some((ending) => name.toLowerCase().endsWith(ending));
}

function same(one, other) {
  return (
    one.name === other.name &&
    one.size === other.size &&
    one.lastModified === other.lastModified
  );
}

function merged(before, added) {
  const fresh = [...added].filter((file) => !before.some((known) => same(known, file)));
  return [...before, ...fresh];
}

function put(input, files) {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
}

/** Shows what is chosen, and what is wrong with it. */
function refresh() {
  logsBefore = [...logs.files];
  const items = [
    ...[...dictionary.files].map((file) => [dictionary, file]),
    ...logsBefore.map((file) => [logs, file]),
  ];
  chosen.replaceChildren(...items.map(([input, file]) => item(input, file)));
  error.hidden = true;
  if (items.length > 0) {
    announce(say("chosen", { count: number(items.length), size: bytes(total()) }));
  }
}

function item(input, file) {
  const line = document.createElement("li");
  const name = part("bdi", "name", file.name);
  const kind = part("span", "kind", say(input === dictionary ? "dictionary" : "log"));
  const size = part("span", "size", bytes(file.size));
  const remove = part("button", "remove", say("remove"));
  remove.type = "button";
  remove.setAttribute("aria-label", say("remove_file", { name: file.name }));
  remove.addEventListener("click", () => removeFile(input, file));
  line.append(name, " ", kind, " ", size);
  const fault = faultOf(input, file);
  if (fault) {
    line.classList.add("faulty");
    line.append(" ", part("strong", "wrong", fault));
  }
  line.append(" ", remove);
  return line;
}

function part(tag, name, text) {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function removeFile(input, file) {
  put(input, [...input.files].filter((other) => other !== file));
  refresh();
  // The button is gone; the next one, or the input, takes its place for the keyboard.
  (chosen.querySelector("button") ?? input).focus();
  announce(say("removed", { name: file.name }));
}

function faultOf(input, file) {
  const endings = input === dictionary ? DICTIONARY_ENDINGS : LOG_ENDINGS;
  if (!ends(file.name, endings)) return say("fault_kind", { endings: endings.join(", ") });
  if (file.size === 0) return say("fault_empty");
  if (file.size > maxBytes) return say("fault_large", { size: bytes(maxBytes) });
  return null;
}

function total() {
  return [...dictionary.files, ...logs.files].reduce((sum, file) => sum + file.size, 0);
}

/** Why the chosen files cannot be sent, or null. */
function firstFault() {
  if (logs.files.length === 0) return say("fault_none");
  for (const input of [dictionary, logs]) {
    for (const file of input.files) {
      const fault = faultOf(input, file);
      if (fault) return `${file.name}: ${fault}`;
    }
  }
  if (logs.files.length > maxFiles) {
    return say("fault_count", { count: number(logs.files.length), most: number(maxFiles) });
  }
  if (total() > maxBytes) {
    return say("fault_total", { size: bytes(total()), most: bytes(maxBytes) });
  }
  return null;
}

function showError(text) {
  error.textContent = text;
  error.hidden = false;
}

function showSending(on) {
  sending.hidden = !on;
  send.disabled = on;
  form.setAttribute("aria-busy", String(on));
  for (const button of chosen.querySelectorAll("button")) button.disabled = on;
  if (!on) request = null;
}

function upload() {
  const data = new FormData();
  // A part without a file would be a faulty one.
  for (const file of dictionary.files) data.append(dictionary.name, file);
  for (const file of logs.files) data.append(logs.name, file);
  error.hidden = true;
  request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.upload.addEventListener("progress", showProgress);
  request.addEventListener("load", answered);
  request.addEventListener("error", () => failed(say("sending_failed")));
  request.addEventListener("abort", () => {
    showSending(false);
    announce(say("sending_cancelled"));
    send.focus();
  });
  showSending(true);
  sent.removeAttribute("value");
  sendingText.textContent = say("sending_starts");
  request.send(data);
  cancelSending.focus();
}

function showProgress({ loaded, total: all }) {
  sent.max = all;
  sent.value = loaded;
  sendingText.textContent =
    loaded < all
      ? say("sending", { sent: bytes(loaded), total: bytes(all) })
      : say("sending_done");
}

function answered() {
  const { status, response } = request;
  if (status === 202 && isLocal(response?.url)) {
    location.assign(response.url);
    return;
  }
  failed(response?.detail ?? say("sending_refused", { status }));
}

function failed(text) {
  showSending(false);
  showError(text);
  send.focus();
}
