// What all tests share: the real all-in-one binary, a real browser, and logs made on the spot.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.resolve(here, "../..");
const output = path.join(here, "output");
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
const binary = path.join(target, "release", "foreshock");

const CHROMIUM_FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// What was begun last ends first. Registered here, so that it is done once all tests of the file
// are over, and not after the test that began it.
const endings = [];
after(async () => {
  for (const end of endings.reverse()) await end();
});

/** A folder that goes when the tests of this file are over. */
export function temporary() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "foreshock-pages-"));
  endings.push(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Folder with one quiet log, for a server whose stream is of no interest. */
function quietLogs() {
  const folder = temporary();
  fs.writeFileSync(path.join(folder, "quiet.log"), "2026-03-01T00:00:00 INFO app: started\n");
  return folder;
}

/**
 * Starts `foreshock live` and waits until it serves. `settings` are environment variables.
 * Resolves to `{ api, pages, stop }`, the first two being addresses.
 */
export async function serve(settings = {}, args = []) {
  const given = {
    HTTP_PORT: "0",
    FRONTEND_PORT: "0",
    LINKS_DB: path.join(temporary(), "links.db"),
    LOG_DIR: settings.LOG_DIR ?? quietLogs(),
    ...settings,
  };
  const child = spawn(binary, ["live", ...args], {
    cwd: root,
    env: { ...process.env, ...given },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let told = "";
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  endings.push(stop);
  const addresses = await new Promise((resolve, reject) => {
    const look = (piece) => {
      told += piece;
      const found = addressesIn(told);
      if (found) resolve(found);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.once("error", reject);
    ended.then((code) => reject(new Error(`foreshock live ended with ${code}:\n${told}`)));
  });
  await answers(`${addresses.api}/ready`);
  await answers(`${addresses.pages}/`);
  return { ...addresses, stop, told: () => told };
}

/** The two addresses, as `foreshock live` tells them when it starts, or null. */
function addressesIn(told) {
  const api = told.match(/^API http:\/\/localhost:(\d+)/m)?.[1];
  const pages = told.match(/^pages http:\/\/localhost:(\d+)/m)?.[1];
  const at = (port) => `http://127.0.0.1:${port}`;
  return api && pages ? { api: at(api), pages: at(pages) } : null;
}

/** Waits until an address answers well. */
export async function answers(address) {
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      const answer = await fetch(address);
      await answer.arrayBuffer();
      if (answer.ok) return;
    } catch {
      // Not yet.
    }
    await sleep(100);
  }
  throw new Error(`${address} does not answer`);
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

let browser = null;

/**
 * A page of a fresh profile. What the browser complains of is gathered in `page.faults`: script
 * errors, refusals by the policy, dialogs, requests to other hosts.
 */
export async function open(options = {}) {
  if (!browser) {
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS });
    endings.push(() => browser.close());
  }
  const context = await browser.newContext({
    locale: "en-GB",
    viewport: { width: 1280, height: 900 },
    acceptDownloads: true,
    ...options,
  });
  const page = await context.newPage();
  page.faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.faults.push(message.text());
  });
  page.on("pageerror", (error) => page.faults.push(String(error.stack)));
  page.on("dialog", (dialog) => {
    page.faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol.startsWith("http") && hostname !== "127.0.0.1") {
      page.faults.push(`request to ${hostname}`);
    }
  });
  return page;
}

/** Keeps a picture of the whole page, to be looked at. */
export async function picture(page, name) {
  fs.mkdirSync(output, { recursive: true });
  await page.screenshot({ path: path.join(output, `${name}.png`), fullPage: true });
}

/** Chooses the files and sends them; resolves when the result page is there. */
export async function upload(page, address, logs, dictionary) {
  await page.goto(`${address}/`);
  if (dictionary) await page.setInputFiles("#anomalies_file", dictionary);
  await page.setInputFiles("#log_files", logs);
  await page.click("#send");
  await resultOf(page);
}

/** Waits for the result page, timeline included. */
export async function resultOf(page) {
  await page.waitForURL(/\/results\/[0-9a-f]{32}/);
  await page.waitForSelector("#links-table, .failed, [role=alert]:not([hidden])");
}

/** Waits until the timeline is drawn. */
export async function drawn(page) {
  await page.waitForSelector("#timeline[data-drawn]");
}

/** The lines of a CSV as arrays; quoted fields and line breaks within them are understood. */
export function csv(text, separator) {
  const rows = [[""]];
  let quoted = false;
  const letters = text.replace(/^\ufeff/, "");
  for (let at = 0; at < letters.length; at += 1) {
    const letter = letters[at];
    const row = rows.at(-1);
    if (letter === '"' && quoted && letters[at + 1] === '"') {
      row[row.length - 1] += letter;
      at += 1;
    } else if (letter === '"') {
      quoted = !quoted;
    } else if (letter === separator && !quoted) {
      row.push("");
    } else if (letter === "\n" && !quoted) {
      rows.push([""]);
    } else if (letter !== "\r" || quoted) {
      row[row.length - 1] += letter;
    }
  }
  return rows.filter((row) => row.length > 1 || row[0] !== "");
}

/** A log of lines `[ISO time, level, component, message]`. */
export function logOf(lines) {
  return lines.map(([time, level, part, text]) => `${time} ${level} ${part}: ${text}\n`).join("");
}

/** The instant so many seconds after an instant, as logs write it. */
export function later(start, seconds) {
  return new Date(Date.parse(`${start}Z`) + seconds * 1000).toISOString().slice(0, 19);
}

/**
 * The labelled incident: ten files with 32 MB, and the links that belong in it. Null, with a
 * message, where the test data is not at hand.
 */
export function incident(test) {
  const data = process.env.FORESHOCK_TEST_DATA;
  const script = data && path.join(data, "make_case.py");
  if (!script || !fs.existsSync(script)) {
    test.skip("FORESHOCK_TEST_DATA names no folder with make_case.py");
    return null;
  }
  const out = temporary();
  execFileSync("python3", [script, out]);
  const folder = path.join(out, "case2");
  const names = fs.readdirSync(folder).filter((name) => name.endsWith(".txt"));
  assert.equal(names.length, 10);
  const expected = csv(fs.readFileSync(path.join(out, "case2.expected.csv"), "utf8"), ",");
  return {
    logs: names.map((name) => path.join(folder, name)),
    dictionary: path.join(folder, "anomalies_problems.csv"),
    expected: expected.slice(1),
  };
}

/** Where a mark of the timeline is on the screen: the index in the trace with this name. */
export async function markOf(page, trace, index) {
  await page.locator("#timeline-chart").scrollIntoViewIfNeeded();
  let last = null;
  for (;;) {
    const mark = await page.evaluate(
      ([name, at]) => {
        const chart = document.getElementById("timeline-chart");
        const { left, top } = chart.getBoundingClientRect();
        const { xaxis, yaxis } = chart._fullLayout;
        const { x, y, customdata } = chart.data.find((one) => one.name === name);
        return {
          x: left + xaxis._offset + xaxis.d2p(x[at]),
          y: top + yaxis._offset + yaxis.d2p(y[at]),
          number: customdata[at],
        };
      },
      [trace, index],
    );
    // The page may still be scrolling.
    if (mark.x === last?.x && mark.y === last?.y) return mark;
    last = mark;
    await sleep(100);
  }
}

const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core finds on a page that keeps somebody from using it. */
export async function serious(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => ({
      id,
      nodes: nodes.map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary}`),
    }));
}

/** Asserts that the browser had nothing to complain of. */
export function quiet(page) {
  assert.deepEqual(page.faults, []);
}
