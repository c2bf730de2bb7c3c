// Texts that would be run, if a page, a chart, an attribute or a spreadsheet took them for more
// than text. They stand in messages, components, dictionary texts, file names and addresses.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { before, test } from "node:test";

import ExcelJS from "exceljs";

import {
  csv, drawn, later, markOf, open, picture, quiet, serve, sleep, temporary, upload,
} from "./support.mjs";

const TEXTS = [
  "<script>alert(1)</script>",
  '"><img src=x onerror=alert(2)>',
  "{{7*7}} ${7*7} <%= 7*7 %>",
  '=HYPERLINK("http://evil.example","open")',
  "invoice \u202egpj.exe \u200fend",
  "%{x} %{customdata} <b>bold</b> &lt;i&gt; &amp;amp;",
  '<a href="javascript:alert(3)">here</a>',
  "' onmouseover='alert(4)' autofocus onfocus='alert(5)",
  "</script></textarea></title><svg/onload=alert(6)>",
  "<!-- ]]> <style>body{display:none}</style>",
];
const START = "2026-03-01T10:00:00";
const problemOf = (text) => `${text} is down`;
const dictionary = [
  "anomaly_id;anomaly;problem_id;problem",
  ...TEXTS.map((text, at) => [at + 1, field(text), at + 101, field(problemOf(text))].join(";")),
].join("\n");
const warnings = TEXTS.map(
  (text, at) => `${later(START, at)} WARNING <u>part</u>: ${text}\n`,
).join("");
const errors = TEXTS.map(
  (text, at) => `${later(START, 600 + at)} ERROR <u>part</u>: ${problemOf(text)}\n`,
).join("");
const WARNINGS_NAME = '"><img src=x onerror=alert(7)>.log';
const ERRORS_NAME = "<script>alert(8)<script> %{x} =1+1.txt";

function field(text) {
  return `"${text.replaceAll('"', '""')}"`;
}

let server;
before(async () => {
  const folder = temporary();
  const logs = path.join(folder, "logs");
  fs.mkdirSync(logs);
  fs.writeFileSync(path.join(folder, "pairs.csv"), dictionary);
  fs.writeFileSync(path.join(logs, "<i>warnings.log"), warnings);
  fs.writeFileSync(path.join(logs, "errors.log"), errors);
  server = await serve({ LOG_DIR: logs, ANOMALIES_CSV_PATH: path.join(folder, "pairs.csv"), SPEED: "0" });
});

/** Nothing of the texts became an element. */
async function assertHarmless(page) {
  const found = await page.evaluate(() => ({
    made: document.querySelectorAll("img[src=x], main script, main style, main u, a[href^=javascript]").length,
    handlers: [...document.querySelectorAll("*")].filter((element) =>
      [...element.attributes].some(({ name }) => name.startsWith("on")),
    ).length,
    foreign: [...document.links].filter(({ host }) => host !== location.host).length,
  }));
  assert.deepEqual(found, { made: 0, handlers: 0, foreign: 0 });
}

test("hostile texts in uploads are shown as they are", async (t) => {
  const page = await open();
  const file = (name, text) => ({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
  await upload(
    page,
    server.pages,
    [file(WARNINGS_NAME, warnings), file(ERRORS_NAME, errors)],
    file("pairs.csv", dictionary),
  );
  await drawn(page);

  await t.test("in the table and the evidence", async () => {
    const table = await page.textContent("#links-table");
    for (const text of TEXTS) assert.ok(table.includes(problemOf(text)), text);
    assert.ok(table.includes("<script>alert(8)"), "the name of the file");
    const links = page.locator("a.evidence");
    assert.equal(await links.count(), TEXTS.length);
    for (let at = 0; at < TEXTS.length; at += 1) await links.nth(at).click();
    await page.waitForFunction((all) => document.querySelectorAll(".evidence-row").length === all, TEXTS.length);
    const shown = (await page.locator(".evidence-row").allTextContents()).join("\n");
    for (const text of TEXTS) {
      assert.ok(shown.includes(`WARNING <u>part</u>: ${text}`), text);
      assert.ok(shown.includes(`ERROR <u>part</u>: ${problemOf(text)}`), text);
    }
    await assertHarmless(page);
    await picture(page, "hostile-result");
  });

  await t.test("in the timeline", async () => {
    const controls = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
    for (let at = 0; at < TEXTS.length; at += 1) {
      const mark = await page.evaluate((one) => {
        const trace = document.getElementById("timeline-chart").data.find(({ name }) => name === "Anomalies");
        const chart = document.getElementById("timeline-chart");
        window.Plotly.Fx.hover(chart, [{ curveNumber: chart.data.indexOf(trace), pointNumber: one }]);
        return chart.querySelector(".hoverlayer").textContent;
      }, at);
      const text = TEXTS.find((text) => mark.includes(text.replace(controls, "\ufffd").slice(0, 20)));
      assert.ok(text, mark);
      const words = text.replace(controls, "\ufffd").split(" ");
      for (const word of words) assert.ok(mark.includes(word), `${word} in ${mark}`);
    }
    const { x, y } = await markOf(page, "Problems", 0);
    await page.mouse.move(x, y);
    await sleep(200);
    await picture(page, "hostile-timeline");
    const lanes = await page.locator("#timeline-chart .ytick").allTextContents();
    assert.ok(lanes.some((lane) => lane.startsWith("<script>")), lanes.join());
    await page.selectOption("#timeline-by", "component");
    await page.waitForFunction(() =>
      document.getElementById("timeline-chart").textContent.includes("<u>part</u>"),
    );
    await assertHarmless(page);
  });

  await t.test("in the spreadsheet, where nothing is a formula", async () => {
    const fetched = async (format) => {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.click(`a[href*="/download/${format}"]`),
      ]);
      return download.path();
    };
    const book = new ExcelJS.Workbook();
    await book.xlsx.readFile(await fetched("xlsx"));
    const texts = [];
    book.worksheets[0].eachRow((row) =>
      row.eachCell((cell) => {
        assert.notEqual(cell.type, ExcelJS.ValueType.Formula, cell.address);
        assert.notEqual(cell.type, ExcelJS.ValueType.Hyperlink, cell.address);
        texts.push(String(cell.value));
      }),
    );
    for (const text of TEXTS) assert.ok(texts.some((cell) => cell.includes(problemOf(text))), text);
    const rows = csv(fs.readFileSync(await fetched("csv"), "utf8"), ",");
    for (const cell of rows.flat()) assert.doesNotMatch(cell, /^[=+\-@\t\r]/);
  });

  quiet(page);
});

test("hostile texts in the stream are shown as they are", async () => {
  const page = await open();
  await page.goto(`${server.pages}/live`);
  await page.waitForFunction((all) => document.querySelectorAll("#live-links > li").length >= all, TEXTS.length);
  const list = await page.textContent("#live-links");
  for (const text of TEXTS) assert.ok(list.includes(problemOf(text)), text);
  await page.fill("#live-filter", "<script>alert(1)");
  await page.waitForFunction(() => {
    const items = [...document.querySelectorAll("#live-links > li")];
    return items.length > 0 && items.every((item) => item.textContent.includes("<script>alert(1)"));
  });
  await assertHarmless(page);
  await picture(page, "hostile-live");
  quiet(page);
});

test("hostile texts in the dictionary and in addresses are shown as they are", async () => {
  const page = await open();
  await page.goto(`${server.pages}/dictionary`);
  const pairs = await page.textContent("main");
  for (const text of TEXTS) assert.ok(pairs.includes(text), text);
  for (const text of TEXTS) {
    const encoded = encodeURIComponent(text);
    for (const address of [`/dictionary?q=${encoded}`, `/dictionary/match?message=${encoded}`]) {
      const answer = await page.goto(`${server.pages}${address}`);
      assert.ok(answer.ok(), `${answer.status()} ${address}`);
      await assertHarmless(page);
      const values = await page.$$eval("input, textarea", (fields) => fields.map(({ value }) => value));
      assert.ok(values.includes(text), address);
    }
  }
  const quietOf404 = page.faults.length;
  for (const text of TEXTS) {
    for (const place of ["/", "/results/", "/dictionary/", "/live/"]) {
      const answer = await page.goto(`${server.pages}${place}${encodeURIComponent(text)}`);
      assert.ok([400, 404, 422].includes(answer.status()), `${answer.status()} ${place}${text}`);
      await assertHarmless(page);
    }
  }
  // The browser tells of each 404; of nothing else.
  const others = page.faults.slice(quietOf404).filter((fault) => !/status of 4\d\d/.test(fault));
  assert.deepEqual(others, []);
  assert.equal(quietOf404, 0);
});

test("the language and theme switches lead nowhere else", async () => {
  for (const back of ["//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "javascript:alert(1)"]) {
    for (const place of ["/language/ru", "/theme/dark"]) {
      const address = `${server.pages}${place}?back=${encodeURIComponent(back)}`;
      const answer = await fetch(address, { redirect: "manual" });
      const to = new URL(answer.headers.get("location") ?? "/", server.pages);
      assert.equal(to.origin, server.pages, back);
    }
  }
});

test("every answer has the strict policy", async () => {
  for (const place of ["/", "/live", "/dictionary", "/nowhere", "/results/0", "/live/status.json"]) {
    const { headers } = await fetch(`${server.pages}${place}`);
    const policy = headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'/, place);
    assert.match(policy, /script-src 'self'(;|$)/, place);
    assert.match(policy, /style-src 'self'(;|$)/, place);
    assert.match(policy, /frame-ancestors 'none'/, place);
    assert.equal(headers.get("x-content-type-options"), "nosniff", place);
  }
});
