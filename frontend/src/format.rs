//! Numbers, sizes, times and spans of time, as each language writes them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::texts::{Lang, Noun};

/// Between the thousands of a Russian number, and between a number and its unit: no line breaks
/// there.
const NARROW: char = '\u{202f}';
const SPACE: char = '\u{a0}';

/// A whole number, its thousands apart.
pub fn number(lang: Lang, value: u64) -> String {
    let digits = value.to_string();
    let mut told = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            told.push(lang.pick(',', NARROW));
        }
        told.push(digit);
    }
    told
}

/// A number with some decimals.
pub fn decimal(lang: Lang, value: f64, decimals: usize) -> String {
    let told = format!("{value:.decimals$}");
    lang.pick(told.clone(), told.replace('.', ","))
}

/// A cosine.
pub fn score(lang: Lang, value: f64) -> String {
    decimal(lang, value, 3)
}

/// A threshold: as many decimals as it has.
pub fn threshold(lang: Lang, value: f64) -> String {
    let told = decimal(lang, value, 3);
    let short = told.trim_end_matches('0');
    short.trim_end_matches(['.', ',']).to_owned()
}

/// `19 links`.
pub fn count(lang: Lang, value: u64, noun: Noun) -> String {
    format!("{}{SPACE}{}", number(lang, value), noun.form(lang, value))
}

/// `1.2 MiB`.
pub fn bytes(lang: Lang, value: u64) -> String {
    let units = lang.pick(["B", "KiB", "MiB", "GiB"], ["Б", "КиБ", "МиБ", "ГиБ"]);
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit < units.len() - 1 {
        scaled /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && scaled < 10.0 && scaled.fract() >= 0.05);
    format!("{}{SPACE}{}", decimal(lang, scaled, decimals), units[unit])
}

/// A span of time in its two largest units: `32 min 35 s`, `1 d 3 h`.
pub fn span(lang: Lang, seconds: f64) -> String {
    let units = lang.pick(["d", "h", "min", "s"], ["д", "ч", "мин", "с"]);
    let seconds = seconds.abs();
    if seconds < 60.0 {
        let decimals = match seconds {
            whole if whole.fract() == 0.0 => 0,
            small if small < 1.0 => 3,
            small if small < 10.0 => 2,
            _ => 1,
        };
        let told = format!("{seconds:.decimals$}");
        let told =
            if decimals > 0 { told.trim_end_matches('0').trim_end_matches('.') } else { &told };
        return format!(
            "{}{SPACE}{}",
            lang.pick(told.to_owned(), told.replace('.', ",")),
            units[3]
        );
    }
    let whole = seconds.round() as u64;
    let parts = [whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60];
    let first = parts.iter().position(|part| *part > 0).unwrap_or(3);
    let told = parts.iter().zip(units).skip(first).take(2).filter(|(part, _)| **part > 0);
    told.map(|(part, unit)| format!("{part}{SPACE}{unit}")).collect::<Vec<_>>().join(" ")
}

/// A window: whole hours up to three days, as people set it.
pub fn window(lang: Lang, seconds: f64) -> String {
    let hours = seconds / 3_600.0;
    if hours.fract() == 0.0 && (1.0..=72.0).contains(&hours) {
        return format!("{hours}{SPACE}{}", lang.pick("h", "ч"));
    }
    span(lang, seconds)
}

/// How far the anomaly lies from its problem, in words.
pub fn lag(lang: Lang, seconds: f64) -> String {
    let span = span(lang, seconds);
    if seconds > 0.0 {
        lang.pick(format!("{span} before"), format!("за {span} до"))
    } else if seconds < 0.0 {
        lang.pick(format!("{span} after"), format!("через {span} после"))
    } else {
        lang.pick("at the same time", "в тот же момент").to_owned()
    }
}

/// An instant in UTC as a date and a time of day. What is no instant comes back as the date.
pub fn moment(lang: Lang, instant: &str) -> Moment {
    let Ok(time) = instant.parse::<Timestamp>() else {
        return Moment { date: instant.to_owned(), time: String::new() };
    };
    let time = time.to_zoned(TimeZone::UTC);
    let date = lang.pick("%-d %b %Y", "%d.%m.%Y");
    let clock = if time.subsec_nanosecond() == 0 { "%H:%M:%S" } else { "%H:%M:%S%.f" };
    Moment { date: time.strftime(date).to_string(), time: time.strftime(clock).to_string() }
}

/// A date and a time of day, as people read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    pub date: String,
    pub time: String,
}

impl Moment {
    /// The time of day without its seconds.
    pub fn minute(&self) -> &str {
        self.time.get(..5).unwrap_or(&self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_language_writes_them() {
        assert_eq!(number(Lang::En, 1_234_567), "1,234,567");
        assert_eq!(number(Lang::Ru, 1_234), "1\u{202f}234");
        assert_eq!(number(Lang::Ru, 999), "999");
        assert_eq!(score(Lang::Ru, 0.5), "0,500");
        assert_eq!(threshold(Lang::En, 0.420000), "0.42");
        assert_eq!(threshold(Lang::En, 1.0), "1");
        assert_eq!(bytes(Lang::En, 4 << 30), "4\u{a0}GiB");
        assert_eq!(bytes(Lang::Ru, 1_300_000), "1,2\u{a0}МиБ");
    }

    #[test]
    fn lags_are_told_in_words() {
        let plain = |text: String| text.replace(SPACE, " ");
        assert_eq!(plain(lag(Lang::En, 1955.0)), "32 min 35 s before");
        assert_eq!(plain(lag(Lang::En, -1955.0)), "32 min 35 s after");
        assert_eq!(plain(lag(Lang::Ru, 90_000.0)), "за 1 д 1 ч до");
        assert_eq!(plain(lag(Lang::Ru, -3600.0)), "через 1 ч после");
        assert_eq!(plain(lag(Lang::En, 0.25)), "0.25 s before");
        assert_eq!(plain(lag(Lang::Ru, 0.0)), "в тот же момент");
        assert_eq!(plain(span(Lang::En, 0.0)), "0 s");
        assert_eq!(plain(window(Lang::Ru, 86_400.0)), "24 ч");
        assert_eq!(plain(window(Lang::En, 5_400.0)), "1 h 30 min");
    }

    #[test]
    fn moments_are_in_utc() {
        let moment = moment(Lang::En, "2026-03-04T13:05:27.250+03:00");
        assert_eq!((&*moment.date, &*moment.time), ("4 Mar 2026", "10:05:27.25"));
        assert_eq!(super::moment(Lang::Ru, "2026-03-04T13:05:27Z").date, "04.03.2026");
        assert_eq!(super::moment(Lang::Ru, "<b>").date, "<b>");
    }
}
