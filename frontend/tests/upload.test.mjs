// What the upload page checks, sends, tells and cancels.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { before, test } from "node:test";

import { later, logOf, open, picture, quiet, serious, serve, temporary } from "./support.mjs";

let server;
before(async () => {
  server = await serve({ UPLOAD_BYTES: String(50 << 20), UPLOAD_FILES: "5" });
});

const START = "2026-03-01T00:00:00";
const file = (name, text = "2026-03-01T00:00:00 INFO app: fine\n") => ({
  name,
  mimeType: "text/plain",
  buffer: Buffer.from(text),
});
const chosen = (page) => page.locator("#chosen > li").allTextContents();
const error = (page) => page.textContent("#upload-error");

async function uploadPage() {
  const page = await open();
  await page.goto(`${server.pages}/`);
  return page;
}

test("files are checked before they are sent", async () => {
  const page = await uploadPage();
  const sent = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
  await page.click("#send");
  assert.match(await error(page), /at least one log file/);

  await page.setInputFiles("#log_files", [file("a.log"), file("b.exe"), file("c.txt", "")]);
  const told = await chosen(page);
  assert.equal(told.length, 3);
  assert.match(told[1], /wrong kind/);
  assert.match(told[2], /empty/);
  await picture(page, "upload-faults-en-light");
  assert.deepEqual(await serious(page), []);
  await page.click("#send");
  assert.match(await error(page), /b\.exe/);

  await page.click('#chosen button[aria-label="Remove b.exe"]');
  await page.click('#chosen button[aria-label="Remove c.txt"]');
  assert.equal((await chosen(page)).length, 1);
  assert.equal(await page.$eval("#log_files", (input) => input.files.length), 1);

  // Another choice adds to the first one.
  await page.setInputFiles("#log_files", [file("d.log"), file("e.log"), file("f.log")]);
  assert.equal((await chosen(page)).length, 4);
  await page.setInputFiles("#log_files", [file("g.log"), file("h.log")]);
  await page.click("#send");
  assert.match(await error(page), /too many: at most 5/);
  assert.deepEqual(sent, []);
  quiet(page);
});

test("files are dropped on the page", async () => {
  const page = await uploadPage();
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["1;a;2;b\n"], "pairs.csv"));
    transfer.items.add(new File(["2026-03-01T00:00:00 INFO app: fine\n"], "dropped.log"));
    const drop = document.getElementById("drop");
    const event = (type) => new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
    drop.dispatchEvent(event("dragenter"));
    drop.dispatchEvent(event("drop"));
  });
  await page.waitForFunction(() => document.querySelectorAll("#chosen > li").length === 2);
  assert.equal(await page.$eval("#anomalies_file", (input) => input.files[0].name), "pairs.csv");
  assert.equal(await page.$eval("#log_files", (input) => input.files[0].name), "dropped.log");
  quiet(page);
});

test("what the server refuses is told, and the files are still chosen", async () => {
  const page = await uploadPage();
  await page.setInputFiles("#anomalies_file", file("pairs.csv", "no dictionary at all"));
  await page.setInputFiles("#log_files", [file("a.log")]);
  await page.click("#send");
  await page.waitForSelector("#upload-error:not([hidden]), .alert:not([hidden]), .failed");
  assert.match(await page.textContent("main"), /pairs\.csv/);
});

test("an upload is cancelled", async () => {
  const page = await uploadPage();
  const session = await page.context().newCDPSession(page);
  await session.send("Network.emulateNetworkConditions", {
    offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 200_000,
  });
  const big = path.join(temporary(), "big.log");
  fs.writeFileSync(big, "2026-03-01T00:00:00 INFO app: fine\n".repeat(300_000));
  await page.setInputFiles("#log_files", big);
  await page.click("#send");
  await page.waitForFunction(() => /of 10 MiB/.test(document.getElementById("sending-text").textContent.replace(/\s/g, " ")));
  assert.ok(await page.isDisabled("#send"));
  await picture(page, "upload-sending-en-light");
  await page.click("#cancel-sending");
  await page.waitForSelector("#sending", { state: "hidden" });
  assert.ok(await page.isEnabled("#send"));
  assert.equal(new URL(page.url()).pathname, "/");
  assert.equal((await chosen(page)).length, 1);
});

/**
 * A log whose messages take a while to be understood: each is another one, and none was ever seen
 * before, so that no cache has them.
 */
function slowLog(count) {
  const letters = "bcdfghjklmnprstvz";
  const word = () => Array.from({ length: 7 }, () => letters[Math.floor(Math.random() * letters.length)]).join("");
  const salt = word();
  const lines = Array.from({ length: count }, (_, at) => [
    later(START, at), at % 2 ? "ERROR" : "WARNING", "app", `${salt} ${word()} ${word()} ${word()} ${word()}`,
  ]);
  return logOf(lines);
}

test("the analysis tells its progress, and is cancelled", async () => {
  const page = await uploadPage();
  await page.setInputFiles("#log_files", file("slow.log", slowLog(60_000)));
  await page.click("#send");
  await page.waitForURL(/\/results\//);
  await page.waitForFunction(() => /messages: \d.* of /.test(document.getElementById("job-text")?.textContent ?? ""));
  const first = await page.textContent("#job-text");
  await page.waitForFunction((text) => document.getElementById("job-text").textContent !== text, first);
  const bar = await page.$eval("#job-progress", ({ value, max }) => value / max);
  assert.ok(bar > 0 && bar < 1, `${bar}`);
  await picture(page, "progress-en-light");
  assert.deepEqual(await serious(page), []);
  const result = page.url();
  await page.click("#job form button");
  await page.waitForSelector("#upload");
  assert.equal((await fetch(result)).status, 404, "nothing of it is kept");
  quiet(page);
});

test("the progress page becomes the result by itself", async () => {
  const page = await uploadPage();
  await page.setInputFiles("#log_files", file("slow.log", slowLog(1_500)));
  await page.click("#send");
  await page.waitForURL(/\/results\//);
  await page.waitForSelector("#job-progress");
  await page.waitForSelector("#job-progress", { state: "detached", timeout: 60_000 });
  await page.waitForSelector(".summary");
  quiet(page);
});

test("without JavaScript errors are told on the upload page", async () => {
  const page = await open({ javaScriptEnabled: false });
  await page.goto(`${server.pages}/`);
  await page.setInputFiles("#anomalies_file", file("pairs.csv", "no dictionary at all"));
  await page.setInputFiles("#log_files", [file("a.log")]);
  await page.click("#send");
  await page.waitForSelector(".alert:not([hidden]), [role=alert]:not([hidden]), .failed");
  assert.match(await page.textContent("main"), /pairs\.csv/);
});

test("a result without links says so", async () => {
  const page = await uploadPage();
  await page.setInputFiles("#log_files", [file("a.log")]);
  await page.click("#send");
  await page.waitForSelector(".summary");
  assert.match(await page.textContent("h1"), /No links found/);
  await picture(page, "result-none-en-light");
  assert.deepEqual(await serious(page), []);
  quiet(page);
});
