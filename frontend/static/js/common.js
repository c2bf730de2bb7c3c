// What all scripts share: texts in the page's language, numbers and times in words, announcements.
// Everything that is shown goes through `textContent`: nothing here makes markup.

const element = document.getElementById("texts");
const texts = element ? JSON.parse(element.textContent) : {};

/** The language of the page: "ru" or "en". */
export const language = document.documentElement.lang === "ru" ? "ru" : "en";

/** The text of a key, with `{name}` replaced by `values.name`. */
export function say(key, values = {}) {
  const text = texts[`js_${key}`] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Tells those who do not see the page what happened. */
export function announce(text) {
  const place = document.getElementById("announce");
  if (place) place.textContent = text;
}

// Numbers, sizes and spans are written as the server writes them, in src/format.rs.
const RU = language === "ru";
const SPACE = "\u00a0";

/** A whole number, its thousands apart. */
export function number(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, RU ? "\u202f" : ",");
}

/** A number with exactly so many decimals. */
export function decimal(value, decimals) {
  const text = value.toFixed(decimals);
  return RU ? text.replace(".", ",") : text;
}

/** A number of bytes in the unit that suits it. */
export function bytes(value) {
  const units = RU ? ["Б", "КиБ", "МиБ", "ГиБ"] : ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const decimals = unit > 0 && value < 10 && value % 1 >= 0.05 ? 1 : 0;
  return `${decimal(value, decimals)}${SPACE}${units[unit]}`;
}

/** A span of time in its two largest units: "32 min 35 s". */
export function span(seconds) {
  const units = RU ? ["д", "ч", "мин", "с"] : ["d", "h", "min", "s"];
  const all = Math.abs(seconds);
  if (all < 60) {
    const decimals = all < 1 ? 3 : all < 10 ? 2 : 1;
    const text = String(Number(all.toFixed(decimals)));
    return `${RU ? text.replace(".", ",") : text}${SPACE}${units[3]}`;
  }
  const whole = Math.round(all);
  const parts = [whole / 86400, (whole / 3600) % 24, (whole / 60) % 60, whole % 60].map(Math.floor);
  const first = parts.findIndex((part) => part > 0);
  const words = parts.map((part, index) => part > 0 && `${part}${SPACE}${units[index]}`);
  return words
    .slice(first, first + 2)
    .filter(Boolean)
    .join(" ");
}

/** A lag (problem − anomaly) in words: how long before the problem the anomaly was, or after. */
export function lag(seconds) {
  if (seconds === 0) return say("lag_same");
  return say(seconds > 0 ? "lag_before" : "lag_after", { span: span(seconds) });
}

/** An instant in UTC, as `{ date, time }`. */
export function moment(instant) {
  const at = new Date(instant);
  if (Number.isNaN(at.getTime())) return { date: String(instant), time: "" };
  const [year, month, day] = at.toISOString().slice(0, 10).split("-");
  const date = RU ? `${day}.${month}.${year}` : `${Number(day)} ${at.toUTCString().slice(8, 11)} ${year}`;
  const [clock, fraction] = at.toISOString().slice(11, 23).split(".");
  return { date, time: fraction === "000" ? clock : `${clock}.${fraction}` };
}

/** Calls `act` once nothing more was asked for `wait` milliseconds. */
export function debounced(wait, act) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), wait);
  };
}

/** Calls `act` once every `wait` milliseconds at most, the last time after the last call. */
export function rarely(wait, act) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      act();
    }, wait);
  };
}

/** Whether an address is one of our own pages: a path, not another host's. */
export function isLocal(address) {
  return typeof address === "string" && /^\/(?![/\\])/.test(address);
}
