// The timeline of a result: anomalies and problems on lanes, the links between them as lines, and
// the histogram of their lags.
//
// Plotly reads texts as a small markup of its own, so every text that comes from logs or file names
// goes through `literal` first. Of that markup only `<br>` is used: for others Plotly sets style
// attributes, which the pages' policy forbids. Times are milliseconds of UTC, as Plotly takes them.

import { debounced, lag, language, moment, number, say, span } from "./common.js";

/** The filters of the table that the timeline and the lags share. */
const FILTERS = "q problem_id anomaly_id file component from to min_score".split(" ");
const LANE_PX = 44;
/** The least height, for which the page keeps room. */
const LEAST_PX = 320;
/** Below this width the names of lanes stand above them rather than beside. */
const NARROW_PX = 640;
const PROBLEM_ABOVE = 0.16;

/**
 * Draws the timeline into its section, as soon as data and Plotly are here. `onSelect` gets the number of the link
 * that was clicked. Returns `{ filter(params), select(link) }`.
 */
export function startTimeline(section, onSelect) {
  const chart = section.querySelector("#timeline-chart");
  const lags = section.querySelector("#lags-chart");
  const by = section.querySelector("#timeline-by");
  const reset = section.querySelector("#timeline-reset");
  const note = section.querySelector("#timeline-note");
  const plotly = loadPlotly();
  let filters = new URLSearchParams();
  let data = null; // as the server sent it
  let histogram = null;
  let zoom = null; // [from, to] in ms
  let selected = null; // { number, anomaly, problem }: a link and its two times
  let asked = null; // the request under way

  const zoomed = debounced(150, () => {
    // Grouped marks become finer; those that stand alone are here already.
    if (data?.grouped || narrowed(data)) loadTimeline();
    else draw();
  });
  by.addEventListener("change", loadTimeline);
  reset.addEventListener("click", unzoom);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.addEventListener("resize", debounced(200, redraw));

  async function loadTimeline() {
    asked?.abort();
    asked = new AbortController();
    const query = new URLSearchParams(filters);
    query.set("by", by.value);
    if (zoom) narrow(query, zoom);
    try {
      const answer = await get(section.dataset.timeline, query, asked.signal);
      await plotly;
      data = { ...answer, zoom };
      await draw();
    } catch (error) {
      if (error.name !== "AbortError") fail(error);
    }
  }

  async function loadLags() {
    try {
      const answer = await get(section.dataset.lags, filters);
      await plotly;
      histogram = answer;
      await drawLags();
    } catch (error) {
      fail(error);
    }
  }

  function fail(error) {
    console.warn(error);
    note.textContent = say("timeline_failed");
  }

  async function draw() {
    const empty = data.events.length === 0;
    chart.hidden = empty;
    reset.hidden = zoom === null;
    note.textContent = empty ? say("timeline_empty") : noteOf(data, zoom);
    if (empty) return;
    const first = chart.data === undefined;
    const plotted = { by: by.value, selected, zoom, width: chart.clientWidth };
    await Plotly.react(chart, traces(data, selected), layout(data, plotted), CONFIG);
    if (first) listen();
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", summary(data));
    section.dataset.drawn = Number(section.dataset.drawn ?? 0) + 1;
  }

  async function drawLags() {
    lags.hidden = histogram.total === 0;
    if (lags.hidden) return;
    await Plotly.react(lags, lagTraces(histogram), lagLayout(histogram), CONFIG);
    lags.setAttribute("role", "img");
    lags.setAttribute("aria-label", lagSummary(histogram));
  }

  function redraw() {
    if (data) draw();
    if (histogram) drawLags();
  }

  function listen() {
    chart.on("plotly_click", ({ points }) => {
      const link = points.find((point) => point.customdata !== undefined)?.customdata;
      if (link !== undefined) onSelect(link);
    });
    chart.on("plotly_relayout", (change) => {
      const ends = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (ends[0] === undefined) return;
      zoom = ends.map(instant);
      zoomed();
    });
    chart.on("plotly_doubleclick", unzoom);
  }

  function unzoom() {
    if (zoom === null) return;
    zoom = null;
    if (narrowed(data)) loadTimeline();
    else draw();
  }

  return {
    filter(params) {
      const wanted = FILTERS.filter((name) => params.get(name));
      filters = new URLSearchParams(wanted.map((name) => [name, params.get(name)]));
      zoom = null;
      return Promise.all([loadTimeline(), loadLags()]);
    },
    select(link) {
      selected = link;
      if (data && data.events.length > 0) draw();
    },
  };
}

async function get(address, query, signal) {
  const answer = await fetch(`${address}?${query}`, { signal });
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

/** Whether the server was asked for a part of the time only. */
function narrowed(data) {
  return Boolean(data?.zoom);
}

/** Asks for the links whose problem lies in the zoomed time, and in the filter's. */
function narrow(query, [from, to]) {
  const start = Math.max(from, filtered(query, "from") ?? from);
  const end = Math.min(to, filtered(query, "to") ?? to);
  query.set("from", new Date(start).toISOString());
  query.set("to", new Date(Math.max(start, end)).toISOString());
}

/** An end of the filter's time. Fields of forms say no zone, and mean UTC. */
function filtered(query, name) {
  const text = query.get(name) ?? "";
  const time = Date.parse(/(z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`);
  return Number.isNaN(time) ? null : time;
}

/** The instant of a place on Plotly's axis, which says it as a date without zone, or a number. */
function instant(value) {
  if (typeof value === "number") return value;
  return Date.parse(`${value.replace(" ", "T")}${value.includes(" ") ? "Z" : ""}`);
}

/** A text as Plotly must write it for people to read just that text. */
export function literal(text) {
  return String(text)
    .replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;");
}

const HOVER_CHARS = 64;

/** A text in lines that a hover label has room for. */
function wrapped(text) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last && last.length + word.length >= HOVER_CHARS) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines.map(literal).join("<br>");
}

function clock(instant) {
  const { date, time } = moment(instant);
  return `${date} ${time}`;
}

/** The middle of a group of events. */
function middle(event) {
  return (event.time + event.until) / 2;
}

/** Problems stand a little above their lane, anomalies below: links within a lane are seen. */
function height(event) {
  return event.lane + (event.side === "problem" ? -PROBLEM_ABOVE : PROBLEM_ABOVE);
}

function size(event) {
  return Math.min(10 + 2 * Math.log2(event.count), 22);
}

function hoverOf(event) {
  const title = say(event.side);
  const many = event.count > 1 ? say("group_of", { count: number(event.count) }) : "";
  const time =
    event.count > 1 ? `${clock(event.time)} – ${clock(event.until)}` : clock(event.time);
  const lines = [
    literal(many ? `${title}: ${many}` : title),
    wrapped(event.text),
    literal(time),
    literal(`${event.file}:${event.line}`),
  ];
  return lines.join("<br>");
}

function hoverOfLink({ count, anomaly, problem }) {
  const title = count > 1 ? say("links_group", { count: number(count) }) : say("link");
  const apart = (middle(problem) - middle(anomaly)) / 1000;
  return [
    literal(title),
    wrapped(problem.text),
    literal(lag(apart)),
    wrapped(anomaly.text),
  ].join("<br>");
}

function traces(data, selected) {
  const colour = colours();
  const links = data.links.map((link) => ({
    ...link,
    anomaly: data.events[link.anomaly],
    problem: data.events[link.problem],
  }));
  const side = (name) => data.events.filter((event) => event.side === name);
  return [
    lines(links, colour.link, 1.2),
    middles(links),
    marks(side("anomaly"), "circle", colour.anomaly, colour.surface, say("anomalies")),
    marks(side("problem"), "diamond", colour.problem, colour.surface, say("problems")),
    ...highlight(links, selected, colour),
  ];
}

/** One trace of all lines, with gaps between them. */
function lines(links, color, width) {
  return {
    type: "scatter",
    mode: "lines",
    x: links.flatMap(({ anomaly, problem }) => [middle(anomaly), middle(problem), null]),
    y: links.flatMap(({ anomaly, problem }) => [height(anomaly), height(problem), null]),
    line: { color, width },
    opacity: links.length > 300 ? 0.35 : 0.8,
    hoverinfo: "skip",
    showlegend: false,
  };
}

/** More lines than this are too close to each other to be pointed at. */
const MOST_MIDDLES = 300;

/** Marks nobody sees on the middles of the lines, so that lines can be hovered and clicked. */
function middles(all) {
  const links = all.length > MOST_MIDDLES ? [] : all;
  return {
    type: "scatter",
    mode: "markers",
    x: links.map(({ anomaly, problem }) => (middle(anomaly) + middle(problem)) / 2),
    y: links.map(({ anomaly, problem }) => (height(anomaly) + height(problem)) / 2),
    customdata: links.map((link) => link.number),
    hovertext: links.map(hoverOfLink),
    hoverinfo: "text",
    marker: { size: 14, opacity: 0 },
    showlegend: false,
  };
}

function marks(events, symbol, color, edge, name) {
  return {
    type: "scatter",
    mode: "markers",
    name,
    x: events.map(middle),
    y: events.map(height),
    customdata: events.map((event) => event.number),
    hovertext: events.map(hoverOf),
    hoverinfo: "text",
    marker: { symbol, color, opacity: 0.9, size: events.map(size), line: { color: edge, width: 1 } },
  };
}

/** The selected link, or the group it is in. */
function highlight(links, selected, colour) {
  const link = selected && (links.find(({ number }) => number === selected.number) ?? group());
  const chosen = link ? [link] : [];
  const events = chosen.flatMap(({ anomaly, problem }) => [anomaly, problem]);
  const rings = {
    type: "scatter",
    mode: "markers",
    x: events.map(middle),
    y: events.map(height),
    marker: {
      symbol: "circle-open",
      size: events.map((event) => size(event) + 10),
      color: colour.selected,
      line: { width: 2.5 },
    },
    hoverinfo: "skip",
    showlegend: false,
  };
  return [{ ...lines(chosen, colour.selected, 3), opacity: 1 }, rings];

  function group() {
    const holds = (event, time) => event.time <= time && time <= event.until;
    return links.find(
      ({ anomaly, problem }) =>
        holds(anomaly, selected.anomaly) && holds(problem, selected.problem),
    );
  }
}

/** The colours of the page, as its style sheet has them. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const dark = getComputedStyle(document.body).colorScheme === "dark";
  const of = (name, light, night) =>
    style.getPropertyValue(`--${name}`).trim() || (dark ? night : light);
  return {
    anomaly: of("anomaly", "#0072b2", "#56b4e9"),
    problem: of("problem", "#d55e00", "#ff9e4a"),
    link: of("link-line", "#8a8f98", "#7d8590"),
    selected: of("selected", "#111111", "#ffffff"),
    text: of("text", "#1f2328", "#e6edf3"),
    grid: of("line", "#d0d7de", "#30363d"),
    surface: of("surface", "#ffffff", "#0d1117"),
  };
}

/** What `locales` leaves out, Plotly takes from its English; so English has a name of its own. */
const LOCALE = language === "ru" ? "ru" : "en-GB";

const CONFIG = {
  displayModeBar: false,
  displaylogo: false,
  showSendToCloud: false,
  plotlyServerURL: "",
  showTips: false,
  doubleClick: false,
  responsive: true,
  locale: LOCALE,
};

function frame(colour) {
  const family = getComputedStyle(document.body).fontFamily;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family, size: 13, color: colour.text },
    hoverlabel: {
      align: "left",
      namelength: 0,
      bgcolor: colour.surface,
      bordercolor: colour.text,
      font: { family, size: 13, color: colour.text },
    },
  };
}

function layout(data, { zoom, width }) {
  const colour = colours();
  const narrow = width < NARROW_PX;
  // Dragging is scrolling where fingers point.
  const touch = matchMedia("(pointer: coarse)").matches;
  const axis = { gridcolor: colour.grid, zeroline: false, linecolor: colour.grid };
  return {
    ...frame(colour),
    height: Math.max(96 + data.lanes.length * LANE_PX, LEAST_PX),
    margin: { l: narrow ? 8 : 24, r: 16, t: 36, b: 44 },
    hovermode: "closest",
    hoverdistance: 12,
    dragmode: touch ? false : "zoom",
    legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" },
    xaxis: {
      ...axis,
      type: "date",
      range: (zoom ?? padded(data.from, data.to)).map((time) => new Date(time).toISOString()),
      tickformatstops: TIME_FORMATS,
      nticks: narrow ? 4 : 10,
      tickangle: 0,
      hoverformat: "",
    },
    yaxis: {
      ...axis,
      fixedrange: true,
      range: [data.lanes.length - 0.5, -0.6],
      tickvals: data.lanes.map((_, lane) => lane),
      ticktext: data.lanes.map((name) => literal(shortened(name, 32))),
      showticklabels: !narrow,
      automargin: !narrow,
      ticklen: 6,
      tickcolor: "rgba(0,0,0,0)",
    },
    annotations: narrow ? data.lanes.map((name, lane) => laneName(name, lane, colour)) : [],
  };
}

/** The name of a lane above it, where there is no room beside it. */
function laneName(name, lane, colour) {
  return {
    text: literal(shortened(name, 40)),
    xref: "paper",
    x: 0,
    xanchor: "left",
    y: lane - 0.4,
    yanchor: "middle",
    showarrow: false,
    font: { size: 11, color: colour.text },
    bgcolor: colour.surface,
    opacity: 0.85,
  };
}

/** A name with its middle left out: files differ at both ends. */
function shortened(name, most) {
  const letters = [...name];
  if (letters.length <= most) return name;
  const half = Math.floor((most - 1) / 2);
  return `${letters.slice(0, half).join("")}…${letters.slice(-half).join("")}`;
}

/** Some room beside the first and the last mark. */
function padded(from, to) {
  const room = Math.max((to - from) * 0.04, 1000);
  return [from - room, to + room];
}

function noteOf(data, zoom) {
  const values = { links: number(data.total_links), events: number(data.total_events) };
  const parts = [say(data.grouped ? "timeline_grouped" : "timeline_all", values)];
  if (narrowed(data)) {
    const [from, to] = zoom.map(clock);
    parts.push(say("timeline_zoomed", { from, to }));
  }
  return parts.join(" ");
}

/** The chart in one sentence, for those who do not see it. */
function summary(data) {
  return say("timeline_summary", {
    links: number(data.total_links),
    events: number(data.total_events),
    lanes: number(data.lanes.length),
    from: clock(data.from),
    to: clock(data.to),
  });
}

// Lags in the largest unit of which the histogram spans a few.
function lagUnit({ bins }) {
  const span = bins.at(-1).to - bins[0].from;
  const units = [
    [86400, "days"],
    [3600, "hours"],
    [60, "minutes"],
  ];
  return units.find(([seconds]) => span >= 3 * seconds) ?? [1, "seconds"];
}

function lagTraces(histogram) {
  const { bins } = histogram;
  const [unit] = lagUnit(histogram);
  const text = ({ from, to, count }) =>
    literal(`${signed(from)} – ${signed(to)}. ${say("links_group", { count: number(count) })}`);
  return [
    {
      type: "bar",
      x: bins.map(({ from, to }) => (from + to) / 2 / unit),
      y: bins.map(({ count }) => count),
      width: bins.map(({ from, to }) => ((to - from) / unit) * 0.92),
      hovertext: bins.map(text),
      hoverinfo: "text",
      marker: { color: colours().anomaly },
      showlegend: false,
    },
  ];
}

/** A lag as a number of time units, negative when the anomaly came after its problem. */
function signed(seconds) {
  return `${seconds < 0 ? "−" : ""}${span(seconds)}`;
}

function lagLayout(histogram) {
  const colour = colours();
  const [unit, name] = lagUnit(histogram);
  const axis = { gridcolor: colour.grid, linecolor: colour.grid, zerolinecolor: colour.grid };
  const { bins, median } = histogram;
  // A bar by itself is to look like a bar.
  const room = bins.length < 4 ? 4 * (bins[0].to - bins[0].from) : 0;
  return {
    ...frame(colour),
    height: 240,
    margin: { l: 48, r: 16, t: 28, b: 52 },
    dragmode: false,
    bargap: 0,
    xaxis: {
      ...axis,
      title: { text: literal(say(`lag_axis_${name}`)), standoff: 12, font: { size: 13 } },
      range: [(bins[0].from - room) / unit, (bins.at(-1).to + room) / unit],
      fixedrange: true,
    },
    yaxis: {
      ...axis,
      fixedrange: true,
      rangemode: "tozero",
      tickformat: ",d",
      nticks: 5,
      // Halves of links would be written as whole ones.
      dtick: Math.max(...bins.map(({ count }) => count)) <= 5 ? 1 : undefined,
    },
    shapes: [
      {
        type: "line",
        x0: median / unit,
        x1: median / unit,
        y0: 0,
        y1: 1,
        yref: "paper",
        line: { color: colour.problem, width: 2, dash: "dot" },
      },
    ],
    annotations: [
      {
        text: literal(say("lag_median", { lag: signed(median) })),
        x: median / unit,
        y: 1,
        yref: "paper",
        yanchor: "bottom",
        showarrow: false,
        font: { color: colour.text },
      },
    ],
  };
}

function lagSummary({ total, median }) {
  return say("lag_summary", { links: number(total), median: signed(median) });
}

const TIME_FORMATS = [
  { dtickrange: [null, 1000], value: "%H:%M:%S.%L\n%x" },
  { dtickrange: [1000, 60000], value: "%H:%M:%S\n%x" },
  { dtickrange: [60000, 86400000], value: "%H:%M\n%x" },
  { dtickrange: [86400000, null], value: "%x" },
];

/** How Plotly writes dates and numbers in the languages of the pages. */
function locales() {
  const names = (width, count, of) =>
    Array.from({ length: count }, (_, index) =>
      new Intl.DateTimeFormat(language, { [width[0]]: width[1], timeZone: "UTC" }).format(of(index)),
    );
  const month = (index) => Date.UTC(2023, index, 15);
  const day = (index) => Date.UTC(2023, 0, 1 + index); // a Sunday
  return {
    moduleType: "locale",
    name: LOCALE,
    dictionary: {},
    format: {
      days: names(["weekday", "long"], 7, day),
      shortDays: names(["weekday", "short"], 7, day),
      months: names(["month", "long"], 12, month),
      shortMonths: names(["month", "short"], 12, month),
      date: language === "ru" ? "%d.%m.%Y" : "%-d %b %Y",
      time: "%H:%M:%S",
      dateTime: language === "ru" ? "%d.%m.%Y %H:%M:%S" : "%-d %b %Y %H:%M:%S",
      decimal: language === "ru" ? "," : ".",
      thousands: language === "ru" ? "\u00a0" : ",",
    },
  };
}

/**
 * Loads Plotly, which lies beside this script. It writes the few style rules it needs into the sheet with this id; an element
 * `style` of its own would not be allowed by the pages' policy.
 */
function loadPlotly() {
  const address = new URL("plotly-basic.min.js", import.meta.url).href;
  const sheet = document.querySelector('link[rel="stylesheet"]');
  if (!document.getElementById("plotly.js-style-global") && sheet) {
    sheet.id = "plotly.js-style-global";
  }
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", () => {
      Plotly.register(locales());
      resolve();
    });
    script.addEventListener("error", () => reject(new Error(address)));
    document.head.append(script);
  });
}
