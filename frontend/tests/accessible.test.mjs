// Every page for everybody: no serious fault that axe-core finds, in both themes, both languages
// and at phone width; and all of it by keyboard alone.

import assert from "node:assert/strict";
import path from "node:path";
import { before, test } from "node:test";

import { drawn, open, picture, quiet, resultOf, root, serious, serve } from "./support.mjs";

let server;
let result; // the path of a result with links
before(async () => {
  server = await serve({ LOG_DIR: path.join(root, "data/logs"), SPEED: "0" });
  const answer = await fetch(`${server.pages}/sample`, {
    method: "POST",
    headers: { accept: "application/json" },
  });
  assert.equal(answer.status, 202);
  result = (await answer.json()).url;
  const page = await open();
  await page.goto(server.pages + result);
  await resultOf(page);
  await page.context().close();
});

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const LOOKS = [
  { name: "en-light", lang: "en", theme: "light", options: {} },
  { name: "ru-dark", lang: "ru", theme: "dark", options: {} },
  { name: "phone-ru-light", lang: "ru", theme: "light", options: PHONE },
  { name: "phone-en-dark", lang: "en", theme: "dark", options: PHONE },
];

/** Each page: its name, its path, what is done on it. */
const PAGES = [
  ["upload", () => "/", async () => {}],
  ["result", () => result, drawn],
  [
    "result-open",
    () => result,
    async (page) => {
      await drawn(page);
      await page.locator("a.evidence").first().click();
      await page.waitForSelector(".evidence-row");
    },
  ],
  ["result-sorted", () => `${result}?sort=lag&order=desc&q=replica&limit=25`, drawn],
  ["evidence", () => `${result}/links/0`, async () => {}],
  [
    "live",
    () => "/live",
    async (page) => {
      await page.waitForSelector('#live[data-state="connected"]');
      await page.waitForSelector("#live-links > li");
    },
  ],
  ["dictionary", () => "/dictionary", async () => {}],
  [
    "match",
    () => `/dictionary/match?message=${encodeURIComponent("replica db-3: apply queue growing, 48211 entries")}`,
    async () => {},
  ],
];

for (const { name: look, lang, theme, options } of LOOKS) {
  test(`no serious fault of accessibility: ${look}`, async (t) => {
    const page = await open(options);
    await page.goto(`${server.pages}/language/${lang}?back=/`);
    await page.goto(`${server.pages}/theme/${theme}?back=/`);
    for (const [name, place, act] of PAGES) {
      await t.test(name, async () => {
        await page.goto(server.pages + place());
        await act(page);
        await picture(page, `${name}-${look}`);
        assert.deepEqual(await serious(page), []);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `the page is ${wide} px wider than the window`);
      });
    }
    quiet(page);
    await t.test("missing", async () => {
      await page.goto(`${server.pages}/nowhere`);
      await picture(page, `missing-${look}`);
      assert.deepEqual(await serious(page), []);
    });
  });
}

test("the theme is the system's, unless one is chosen", async () => {
  const background = async (colorScheme) => {
    const page = await open({ colorScheme });
    await page.goto(server.pages + result);
    await drawn(page);
    quiet(page);
    return page.evaluate(() => [
      getComputedStyle(document.body).backgroundColor,
      document.getElementById("timeline-chart").layout.font.color,
    ]);
  };
  const [light, dark] = [await background("light"), await background("dark")];
  assert.notEqual(light[0], dark[0], "the page");
  assert.notEqual(light[1], dark[1], "the chart");
});

test("a changed system theme changes the chart", async () => {
  const page = await open({ colorScheme: "light" });
  await page.goto(server.pages + result);
  await drawn(page);
  const color = () => page.evaluate(() => document.getElementById("timeline-chart").layout.font.color);
  const light = await color();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForFunction((last) => document.getElementById("timeline-chart").layout.font.color !== last, light);
  quiet(page);
});

/** Presses Tab until an element that matches has the focus. */
async function tabTo(page, selector, most = 80) {
  for (let presses = 0; presses < most; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) {
      const outline = await page.evaluate(() => {
        const style = getComputedStyle(document.activeElement);
        return style.outlineStyle !== "none" || style.boxShadow !== "none";
      });
      assert.ok(outline, `the focus on ${selector} is seen`);
      return;
    }
  }
  assert.fail(`${selector} is not reached by Tab`);
}

test("by keyboard alone: upload, table, evidence, filter, live, language", async () => {
  const page = await open();
  const { keyboard } = page;
  // From the start, so that no dialog of the browser's own comes up before this is listened for.
  page.on("filechooser", () => {});
  await page.goto(`${server.pages}/`);
  await keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".skip")), "first the way to the content");

  await tabTo(page, "#log_files");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), keyboard.press("Enter")]);
  await chooser.setFiles([
    path.join(root, "data/logs/db_server_log.txt"),
    path.join(root, "data/logs/core_switch_log.txt"),
  ]);
  await tabTo(page, "#chosen button");
  await tabTo(page, "#send");
  await keyboard.press("Enter");
  await resultOf(page);
  await drawn(page);

  await tabTo(page, "#filter [name=q]");
  await keyboard.type("replica");
  await page.waitForURL(/q=replica/);
  await tabTo(page, 'a[data-sort="lag"]');
  await keyboard.press("Enter");
  await page.waitForURL(/sort=lag/);
  await page.waitForFunction(() => document.activeElement.matches('a[data-sort="lag"]'));
  await tabTo(page, "a.evidence");
  await keyboard.press("Enter");
  await page.waitForSelector(".evidence-row");
  assert.ok(await page.evaluate(() => document.activeElement.matches("a.evidence")), "the focus stays");
  assert.match(await page.textContent("#announce"), /evidence is open/i);
  await keyboard.press(" ");
  await page.waitForSelector(".evidence-row", { state: "detached" });
  await keyboard.press(" ");
  await page.waitForSelector(".evidence-row");
  await tabTo(page, ".evidence-row [tabindex]");
  await keyboard.press("Escape");
  await page.waitForSelector(".evidence-row", { state: "detached" });
  assert.ok(await page.evaluate(() => document.activeElement.matches("a.evidence")), "the focus comes back");

  await page.goto(`${server.pages}/live`);
  await tabTo(page, "#pause");
  await keyboard.press(" ");
  assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
  await page.goto(`${server.pages}/`);
  await tabTo(page, 'a[href*="/language/ru"]');
  await keyboard.press("Enter");
  await page.waitForSelector("html[lang=ru]");
  quiet(page);
});
