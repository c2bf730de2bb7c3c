// A result of 50,000 links: the page is ready soon, and everything on it goes on working.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { drawn, later, logOf, open, picture, quiet, resultOf, serve } from "./support.mjs";

const SUBJECTS = (
  "array backup battery bridge bucket cabinet cache certificate cluster controller cooler database " +
  "disk domain driver exporter fabric gateway index journal kernel ledger mailbox mirror replica"
).split(" ");
const FAULTS = (
  "broken corrupted degraded detached exhausted expired flapping frozen full hanging lagging leaking " +
  "locked lost misaligned overheated rejected saturated starved unreachable"
).split(" ");
const PAIRS = SUBJECTS.flatMap((subject) => FAULTS.map((fault) => [subject, fault]));
const START = "2026-03-01T00:00:00";

let server;
let address; // of the result
before(async () => {
  server = await serve();
  const form = new FormData();
  form.append("anomalies_file", new Blob([dictionary()]), "pairs.csv");
  for (const [name, text] of logs()) form.append("log_files", new Blob([text]), name);
  const answer = await fetch(`${server.pages}/analyze`, {
    method: "POST",
    body: form,
    headers: { accept: "application/json" },
  });
  assert.equal(answer.status, 202, await answer.clone().text());
  address = `${server.pages}${(await answer.json()).url}`;
  const page = await open({ javaScriptEnabled: false });
  await page.goto(address);
  await resultOf(page);
  await page.close();
});

/** 500 pairs of a warning and an error, all exact texts. */
function dictionary() {
  const rows = PAIRS.map(([subject, fault], at) =>
    [at + 1, `${subject} nearly ${fault}`, at + 1001, `${subject} ${fault} stopped`].join(";"),
  );
  return ["anomaly_id;anomaly;problem_id;problem", ...rows].join("\n");
}

/** Ten warnings and ten errors of each pair within 20 hours: 500 × 100 links. */
function logs() {
  return ["alpha", "beta", "gamma", "delta", "epsilon"].map((name, file) => {
    const lines = [];
    PAIRS.forEach(([subject, fault], pair) => {
      for (let round = 0; round < 10; round += 1) {
        const second = ((pair * 7919 + round * 104729) % 70000) + pair % 7;
        if (round % 5 === file) lines.push([second, "WARNING", `${subject} nearly ${fault}`]);
        if ((round + 2) % 5 === file) lines.push([second + 900, "ERROR", `${subject} ${fault} stopped`]);
      }
    });
    lines.sort(([one], [other]) => one - other);
    const told = lines.map(([second, level, text]) => [later(START, second), level, text.split(" ")[0], text]);
    return [`${name}.log`, logOf(told)];
  });
}

test("the result page of 50,000 links is ready for use", async () => {
  const page = await open();
  await page.goto(`${server.pages}/dictionary`); // the browser is warm, the assets are not
  const started = Date.now();
  await page.goto(address, { waitUntil: "commit" });
  await page.waitForSelector("#links-table tr[data-number]");
  const table = Date.now() - started;
  await drawn(page);
  // Ready for use: the page reacts to a click.
  await page.locator("a.evidence").first().click();
  await page.waitForSelector(".evidence-row");
  console.log(`50,000 links: table after ${table} ms, timeline drawn and evidence open after ${Date.now() - started} ms`);

  assert.match(await page.textContent("main"), /50,000/);
  const rows = await page.locator("#links-table tr[data-number]").count();
  assert.ok(rows > 10 && rows <= 1000, `${rows} rows`);
  const shown = await page.evaluate(() => {
    const { data } = document.getElementById("timeline-chart");
    return { lines: data[0].x.filter((x) => x === null).length, marks: data[2].x.length + data[3].x.length };
  });
  assert.ok(shown.lines > 0 && shown.lines <= 1500, `${shown.lines} lines`);
  assert.ok(shown.marks > 0 && shown.marks <= 1500, `${shown.marks} marks`);
  assert.match(await page.textContent("#timeline-note"), /50,000.*together/s, "it is said that marks are grouped");
  await picture(page, "result-many-en-light");

  // A later page, another order, a filter, a zoom.
  const first = () => page.getAttribute("#links-table tr[data-number]", "data-number");
  const numbers = [await first()];
  const turned = async (act) => {
    const begun = Date.now();
    await act();
    await page.waitForFunction(
      (last) => document.querySelector("#links-table tr[data-number]")?.dataset.number !== last,
      numbers.at(-1),
    );
    numbers.push(await first());
    return Date.now() - begun;
  };
  const times = [
    await turned(() => page.locator("#links a[data-page]").last().click()),
    await turned(() => page.click('#links a[data-sort="lag"]')),
    await turned(() => page.fill("#filter [name=q]", "ledger frozen")),
  ];
  console.log(`last page, order, filter: ${times.join(", ")} ms`);
  await page.waitForFunction(() => /100 |100,|: 100\b/.test(document.getElementById("timeline-note").textContent));
  await page.fill("#filter [name=q]", "");
  await page.waitForFunction(() => /50,000/.test(document.getElementById("timeline-note").textContent));

  const counts = () => page.evaluate(() => {
    const { data } = document.getElementById("timeline-chart");
    return Math.max(...data[2].marker.size);
  });
  const grouped = await counts();
  const box = await page.locator("#timeline-chart .nsewdrag").boundingBox();
  await page.locator("#timeline-chart").scrollIntoViewIfNeeded();
  const here = await page.locator("#timeline-chart .nsewdrag").boundingBox();
  assert.ok(box && here);
  await page.mouse.move(here.x + here.width * 0.5, here.y + 10);
  await page.mouse.down();
  await page.mouse.move(here.x + here.width * 0.52, here.y + 40, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => !/50,000/.test(document.getElementById("timeline-note").textContent));
  assert.ok((await counts()) <= grouped, "finer in the zoom");
  await page.click("#timeline-reset");
  await page.waitForFunction(() => /50,000/.test(document.getElementById("timeline-note").textContent));

  // A mark far from this page of the table brings its page.
  const number = await page.evaluate(() => {
    const chart = document.getElementById("timeline-chart");
    const { customdata } = chart.data[3];
    const here = new Set([...document.querySelectorAll("#links-table tr[data-number]")].map((row) => row.dataset.number));
    const at = customdata.findIndex((one) => !here.has(String(one)));
    chart.emit("plotly_click", { points: [{ customdata: customdata[at] }] });
    return customdata[at];
  });
  await page.waitForSelector(`#link-${number}.selected`);
  quiet(page);
});
