// The labelled incident, from the upload to the downloads, in a real browser.

import assert from "node:assert/strict";
import fs from "node:fs";
import { before, test } from "node:test";

import ExcelJS from "exceljs";

import {
  csv, drawn, incident, markOf, open, picture, quiet, resultOf, serve, temporary, upload,
} from "./support.mjs";

let server;
before(async () => {
  server = await serve();
});

test("the labelled incident is uploaded, and its three links are seen", async (t) => {
  const made = incident(t);
  if (!made) return;
  const page = await open();
  await upload(page, server.pages, made.logs, made.dictionary);
  await drawn(page);

  await t.test("in the table", async () => {
    const rows = page.locator("#links-table tbody tr[data-number]");
    assert.equal(await rows.count(), 3);
    const text = await page.textContent("#links-table");
    for (const told of [
      "Index corruption on table",
      "web_server_log.txt:27744",
      "Slow query from index issue",
      "Query timeout warning",
      "Application crash on index",
    ]) {
      assert.ok(text.includes(told), told);
    }
  });

  await t.test("in the timeline", async () => {
    const data = await page.evaluate(() =>
      document.getElementById("timeline-chart").data.map(({ name, x, y }) => ({ name, x, y })),
    );
    const lines = data[0].x.filter((x) => x === null).length;
    assert.equal(lines, 3);
    const trace = (name) => data.find((one) => one.name === name);
    assert.deepEqual(trace("Problems").x, [Date.UTC(2025, 9, 6, 7, 42, 23)]);
    const expected = ["01:55:34", "05:09:49", "05:44:04"];
    const times = trace("Anomalies").x.map((x) => new Date(x).toISOString().slice(11, 19));
    assert.deepEqual(times.toSorted(), expected);
    const lanes = await page.evaluate(
      () => document.getElementById("timeline-chart").layout.yaxis.ticktext,
    );
    assert.equal(lanes.length, 4);
    assert.ok(lanes.includes("web_server_log.txt"), lanes);
    const bars = await page.evaluate(() =>
      document.getElementById("lags-chart").data[0].y.reduce((sum, count) => sum + count),
    );
    assert.equal(bars, 3, "the lags are those of the three links");
  });

  await t.test("a row opens its evidence and closes it", async () => {
    const link = page.locator("a.evidence").first();
    await link.click();
    const evidence = page.locator(".evidence-row");
    await evidence.waitFor();
    const text = await evidence.textContent();
    assert.match(text, /2025-10-06T07:42:23 ERROR database: Index corruption on table/);
    assert.match(text, /2025-10-06T07:42:22 INFO/, "the line before it");
    assert.match(text, /2025-10-06T07:42:24 INFO/, "the line after it");
    assert.match(text, /2025-10-06T0\d:\d\d:\d\d WARNING database:/);
    assert.equal(await link.getAttribute("aria-expanded"), "true");
    await picture(page, "result-evidence-en-light");
    await link.click();
    assert.equal(await evidence.count(), 0);
    assert.equal(await link.getAttribute("aria-expanded"), "false");
  });

  await t.test("table and timeline show each other's selection", async () => {
    for (const index of [2, 0]) {
      const mark = await markOf(page, "Anomalies", index);
      await page.mouse.click(mark.x, mark.y);
      const row = page.locator(`#link-${mark.number}.selected`);
      await row.waitFor();
      assert.equal(await page.locator("#links tr.selected").count(), 1);
      assert.match(page.url(), new RegExp(`select=${mark.number}\\b`));
    }
    // The other way round: the ring on the timeline is about the row's two events.
    await page.locator("#link-1 td").last().click();
    const rings = await page.evaluate(() => document.getElementById("timeline-chart").data.at(-1).x);
    const [mark] = await page.evaluate(() => {
      const trace = document.getElementById("timeline-chart").data[1];
      return trace.customdata.flatMap((number, at) => (number === 1 ? [trace.x[at]] : []));
    });
    assert.equal(rings.length, 2);
    assert.equal((rings[0] + rings[1]) / 2, mark);
  });

  await t.test("lanes can be components, and a brush zooms", async () => {
    await page.selectOption("#timeline-by", "component");
    await page.waitForFunction(
      () => document.getElementById("timeline-chart").layout.yaxis.ticktext.length === 1,
    );
    const before = await page.evaluate(() => document.getElementById("timeline-chart").layout.xaxis.range);
    const area = page.locator("#timeline-chart .nsewdrag");
    await area.scrollIntoViewIfNeeded();
    const box = await area.boundingBox();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 10);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 30, { steps: 5 });
    await page.mouse.up();
    await page.waitForSelector("#timeline-reset:visible");
    const zoomed = await page.evaluate(() => document.getElementById("timeline-chart").layout.xaxis.range);
    assert.ok(Date.parse(zoomed[0]) > Date.parse(before[0]));
    assert.ok(Date.parse(zoomed[1]) < Date.parse(before[1]));
    await page.click("#timeline-reset");
    await page.waitForSelector("#timeline-reset", { state: "hidden" });
    const after = await page.evaluate(() => document.getElementById("timeline-chart").layout.xaxis.range);
    assert.deepEqual(after, before);
    await page.selectOption("#timeline-by", "file");
  });

  await t.test("the filter and the order change the table without loading the page", async () => {
    await page.evaluate(() => { window.stays = true; });
    await page.fill("#filter [name=q]", "timeout");
    await page.waitForFunction(() => document.querySelectorAll("#links-table tr[data-number]").length === 1);
    assert.match(page.url(), /q=timeout/);
    assert.match(await page.textContent("#links-table"), /Query timeout warning/);
    await page.waitForFunction(() => document.getElementById("timeline-chart").data[1].x.length === 1);
    await page.fill("#filter [name=q]", "");
    await page.waitForFunction(() => document.querySelectorAll("#links-table tr[data-number]").length === 3);
    const numbers = () =>
      page.$$eval("#links-table tr[data-number]", (rows) => rows.map((row) => row.dataset.number));
    const orders = [await numbers()];
    for (const round of [1, 2]) {
      await page.click('#links a[data-sort="lag"]');
      await page.waitForURL(/sort=lag/);
      await page.waitForFunction(
        (last) => {
          const rows = [...document.querySelectorAll("#links-table tr[data-number]")];
          return rows.map((row) => row.dataset.number).join() !== last;
        },
        orders.at(-1).join(),
        { timeout: 5000 },
      ).catch(() => {});
      orders.push(await numbers());
      assert.equal(round, orders.length - 1);
    }
    assert.deepEqual(orders[1].toReversed(), orders[2], "up and down");
    assert.ok(await page.evaluate(() => window.stays));
  });

  await t.test("CSV and XLSX are downloaded with the expected rows", async () => {
    const folder = temporary();
    const fetched = async (format) => {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.click(`a[href*="/download/${format}"]`),
      ]);
      const place = `${folder}/links.${format}`;
      await download.saveAs(place);
      return place;
    };
    const rows = csv(fs.readFileSync(await fetched("csv"), "utf8"), ",");
    // anomaly_id, problem_id, file_name, line_number, log
    const taken = ([a, , p, , file, line, log]) => [a, p, file, line, log];
    assert.deepEqual(rows.slice(1).map(taken).toSorted(), made.expected.toSorted());

    const book = new ExcelJS.Workbook();
    await book.xlsx.readFile(await fetched("xlsx"));
    const cells = [];
    book.worksheets[0].eachRow((row) => cells.push(row.values.slice(1).map(String)));
    assert.deepEqual(cells.slice(1).map(taken).toSorted(), made.expected.toSorted());

    const json = JSON.parse(fs.readFileSync(await fetched("json"), "utf8"));
    assert.equal(json.links.length, 3);
  });

  await t.test("language and theme are switched, and stay", async () => {
    await page.click('a[href*="/language/ru"]');
    await page.waitForSelector("html[lang=ru]");
    await drawn(page);
    const names = await page.evaluate(() =>
      document.getElementById("timeline-chart").data.map(({ name }) => name).filter(Boolean),
    );
    assert.deepEqual(names, ["Аномалии", "Проблемы"]);
    const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.click('a[href*="/theme/dark"]');
    await page.waitForSelector("html[data-theme=dark]");
    await drawn(page);
    const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.notEqual(dark, light);
    await picture(page, "result-ru-dark");
    await page.goto(`${server.pages}/`);
    assert.equal(await page.getAttribute("html", "lang"), "ru");
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  });

  quiet(page);
});

test("the browser's language is the pages' language", async () => {
  const russian = await open({ locale: "ru-RU" });
  await russian.goto(`${server.pages}/`);
  assert.equal(await russian.getAttribute("html", "lang"), "ru");
  quiet(russian);
});

test("sample data shows a result at one click", async () => {
  const page = await open();
  await page.goto(`${server.pages}/`);
  await page.click("#sample button");
  await resultOf(page);
  await drawn(page);
  assert.equal(await page.locator("#links-table tr[data-number]").count(), 19);
  const lines = await page.evaluate(
    () => document.getElementById("timeline-chart").data[0].x.filter((x) => x === null).length,
  );
  assert.equal(lines, 19);
  quiet(page);
});

test("without JavaScript: upload, table, evidence, download", async (t) => {
  const made = incident(t);
  if (!made) return;
  const page = await open({ javaScriptEnabled: false });
  await page.goto(`${server.pages}/`);
  await page.setInputFiles("#anomalies_file", made.dictionary);
  await page.setInputFiles("#log_files", made.logs);
  await page.click("#send");
  // The progress page loads itself again.
  await page.waitForSelector("#links-table");
  assert.equal(await page.locator("#links-table tbody tr[data-number]").count(), 3);
  await picture(page, "result-without-scripts");
  await page.click('#links a[data-sort="lag"]');
  await page.waitForURL(/sort=lag/);
  assert.equal(await page.locator("#links-table tbody tr[data-number]").count(), 3);
  await page.locator("a.evidence").first().click();
  await page.waitForURL(/\/links\/\d+/);
  assert.match(await page.textContent("main"), /ERROR database: Index corruption on table/);
  await page.goBack();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.click('a[href*="/download/csv"]'),
  ]);
  const rows = csv(fs.readFileSync(await download.path(), "utf8"), ",");
  assert.equal(rows.length, 4);
  quiet(page);
});
