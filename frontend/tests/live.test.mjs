// The live page, over the real stream of `foreshock live`.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { later, logOf, open, picture, quiet, serve, sleep, temporary } from "./support.mjs";

const START = "2026-03-01T00:00:00";
const DICTIONARY = `anomaly_id;anomaly;problem_id;problem
1;cache nearly full;2;cache full, writes stopped
3;battery nearly empty;4;battery empty, shut down
`;

/** A folder with a dictionary and the logs of so many warnings and errors, a minute apart. */
function stream(warnings, errors) {
  const folder = temporary();
  const logs = path.join(folder, "logs");
  fs.mkdirSync(logs);
  fs.writeFileSync(path.join(folder, "pairs.csv"), DICTIONARY);
  const at = (minute) => later(START, minute * 60);
  const warned = Array.from({ length: warnings }, (_, index) => [
    later(START, index), "WARNING", "cache", "cache nearly full",
  ]);
  const failed = Array.from({ length: errors }, (_, index) => [
    at(10 + index), "ERROR", "cache", "cache full, writes stopped",
  ]);
  fs.writeFileSync(path.join(logs, "warnings.log"), logOf(warned));
  fs.writeFileSync(path.join(logs, "errors.log"), logOf(failed));
  return { LOG_DIR: logs, ANOMALIES_CSV_PATH: path.join(folder, "pairs.csv") };
}

const entries = (page) => page.locator("#live-links > li").count();
const ids = (page) => page.$$eval("#live-links > li", (items) => items.map((item) => item.dataset.id));
test("a link appears while replay runs, and the figures with it", async () => {
  // An error a second.
  const server = await serve({ ...stream(1, 600), SPEED: "60" });
  const page = await open();
  await page.goto(`${server.pages}/live`);
  await page.waitForSelector('#live[data-state="connected"]');
  const before = await entries(page);
  await page.waitForFunction((count) => document.querySelectorAll("#live-links > li").length > count, before, { timeout: 60_000 });
  const [newest] = await page.locator("#live-links > li").allTextContents();
  assert.match(newest, /cache full, writes stopped/);
  assert.match(newest, /cache nearly full/);
  assert.match(newest, /errors\.log/);
  await page.waitForFunction(() => /warnings|errors/.test(document.querySelector("#live-sources tbody").textContent));
  await page.waitForFunction(() => Number(document.querySelector("[data-figure=links]").textContent) > 0);
  await picture(page, "live-running-en-light");

  // Paused, it stays as it is and counts; then it shows what came.
  await page.click("#pause");
  const still = await ids(page);
  await page.waitForFunction(() => /[2-9]\d*\s*$/.test(document.getElementById("live-state").textContent));
  assert.deepEqual(await ids(page), still);
  assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
  await page.click("#pause");
  await page.waitForFunction((count) => document.querySelectorAll("#live-links > li").length > count + 1, still.length);
  const now = await ids(page);
  assert.deepEqual(now.slice(-still.length), still, "the new ones are above the old ones");
  assert.equal(new Set(now).size, now.length, "each once");

  // The filter is the server's: old links are found as well.
  await page.fill("#live-filter", "battery");
  await page.waitForFunction(() => document.querySelectorAll("#live-links > li").length === 0);
  await page.fill("#live-filter", "writes stopped");
  await page.waitForFunction((count) => document.querySelectorAll("#live-links > li").length >= count, now.length);
  quiet(page);
});

test("it reconnects by itself, and misses nothing", async () => {
  const settings = { ...stream(1, 30), SPEED: "0", LINKS_DB: path.join(temporary(), "links.db") };
  const first = await serve(settings);
  const page = await open();
  await page.goto(`${first.pages}/live`);
  await page.waitForFunction(() => document.querySelectorAll("#live-links > li").length === 30);
  await first.stop();
  await page.waitForSelector('#live[data-state="reconnecting"]');
  // The same ports, the same history, and more logs.
  const more = stream(1, 200);
  const ports = { HTTP_PORT: new URL(first.api).port, FRONTEND_PORT: new URL(first.pages).port };
  await serve({ ...settings, ...more, ...ports });
  await page.waitForSelector('#live[data-state="connected"]', { timeout: 60_000 });
  await page.waitForFunction(() => document.querySelectorAll("#live-links > li").length >= 200, null, { timeout: 60_000 });
  const shown = await ids(page);
  assert.equal(new Set(shown).size, shown.length, "each once");
});

test("after 2,000 links it holds no more than it did", async () => {
  // 50 links with each error, of which there are ten a second.
  const server = await serve({ ...stream(50, 120), SPEED: "600" });
  const page = await open();
  const session = await page.context().newCDPSession(page);
  const nodes = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Memory.getDOMCounters")).nodes;
  };
  await page.goto(`${server.pages}/live`);
  const reached = async (count) => {
    await page.waitForFunction(
      (least) => Number(document.querySelector("[data-figure=links]").textContent.replace(/\D/g, "")) >= least,
      count,
      { timeout: 120_000 },
    );
    await sleep(500);
  };
  await reached(1000);
  assert.ok((await entries(page)) <= 500);
  const early = await nodes();
  // What waits while paused is bounded as well.
  await page.click("#pause");
  await reached(3000);
  await page.click("#pause");
  await reached(5500);
  assert.equal(await entries(page), 500);
  const late = await nodes();
  console.log(`DOM nodes after 1,000 links: ${early}, after 5,500: ${late}`);
  assert.ok(late < early * 2 + 1000, `${early} nodes, then ${late}`);
  quiet(page);
});
