//! What people read: one message a problem, the digest of a storm, and its file.
//!
//! Input: links. Output: HTML of at most [`LONGEST`] UTF-16 units, or CSV. Invariants: text of logs is
//! data, never markup, and inside `<code>`, so that Telegram makes no link, name or command of it; what
//! does not fit is visibly cut, or left for the next message; rows keep the order of the links.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use crate::record::{Event, Record, Side};
use crate::store::{Language, Millis, Queued};
use crate::text::{html, plain, width};

/// What Telegram takes as one message.
pub(crate) const LONGEST: usize = 4096;

/// Links that are told in one message at most, so that it stays readable.
pub(crate) const TOGETHER: usize = 20;

/// A field of a file is cut here, in characters.
const FIELD: usize = 2_000;

/// A file ends here, in bytes; the rest goes into the next.
const FILE: usize = 10 * 1024 * 1024;

/// The English or the Russian words.
pub(crate) fn say<'a>(language: Language, en: &'a str, ru: &'a str) -> &'a str {
    match language {
        Language::En => en,
        Language::Ru => ru,
    }
}

/// The message about a problem, from the links at the beginning of `records` (at least one, all of this
/// problem), and how many of them it tells.
pub(crate) fn message(records: &[Record], language: Language) -> (String, usize) {
    let Some(first) = records.first() else { return (String::new(), 0) };
    let mut message = head(first, language);
    let mut told = 0;
    for record in records.iter().take(TOGETHER) {
        let block = foretold(record, language);
        if told > 0 && width(&message) + width(&block) > LONGEST {
            break;
        }
        message.push_str(&block);
        told += 1;
    }
    (message, told)
}

fn head(record: &Record, language: Language) -> String {
    let mut message = String::new();
    if record.test {
        let test = say(
            language,
            "🧪 A test: this is what an alert looks like.\n\n",
            "🧪 Проверка: так выглядит оповещение.\n\n",
        );
        message.push_str(test);
    }
    let _ = writeln!(message, "🔴 <b>{}</b>", html(&record.problem.text, 400));
    message.push_str(&evidence(&record.problem, language, 900));
    message
}

/// The warning that foretold the problem, and how long before.
fn foretold(record: &Record, language: Language) -> String {
    let (side, lag) = lag(record, language);
    let mut block = format!("\n⚠️ <b>{lag} {side}:</b> {}\n", html(&record.anomaly.text, 300));
    block.push_str(&evidence(&record.anomaly, language, 500));
    if let Some(cosine) = record.cosine {
        let pair = say(language, "the pair", "пара");
        let _ = writeln!(block, "{pair} ≈ {cosine:.2}");
    }
    block
}

/// What the log says, when, where, and how near it is to the text of the dictionary.
fn evidence(side: &Side, language: Language, most: usize) -> String {
    let Side { event, text, exact, score, .. } = side;
    let mut shown = String::new();
    if event.message.trim().to_lowercase() != text.trim().to_lowercase() {
        let _ = writeln!(shown, "<code>{}</code>", html(&event.message, most));
    }
    let Event { timestamp, file, line, component, .. } = event;
    let _ = write!(shown, "{} · ", html(timestamp, 80));
    if !component.is_empty() {
        let _ = write!(shown, "<code>{}</code> · ", html(component, 80));
    }
    let _ = write!(shown, "<code>{}:{line}</code>", html(file, 200));
    match exact {
        true => shown.push_str(say(language, " · exact", " · точно")),
        false => {
            let _ = write!(shown, " · ≈ {score:.2}");
        }
    }
    shown.push('\n');
    shown
}

/// Before or after, and how long.
fn lag(record: &Record, language: Language) -> (&'static str, String) {
    let lag = SignedDuration::try_from_secs_f64(record.lag_seconds).unwrap_or_default();
    let side = match lag.is_negative() {
        false => say(language, "before", "до этого"),
        true => say(language, "after", "после этого"),
    };
    (side, span(SignedDuration::from_secs(lag.as_secs().saturating_abs()), language))
}

/// The two greatest units of a time.
pub(crate) fn span(time: SignedDuration, language: Language) -> String {
    let seconds = time.as_secs();
    let units = [
        (86_400, say(language, "d", "д")),
        (3_600, say(language, "h", "ч")),
        (60, say(language, "min", "мин")),
        (1, say(language, "s", "с")),
    ];
    let mut left = seconds;
    let mut told: Vec<String> = Vec::new();
    for (length, name) in units {
        let count = left / length;
        left %= length;
        if count > 0 {
            told.push(format!("{count} {name}"));
        } else if !told.is_empty() {
            break;
        }
        if told.len() == 2 {
            break;
        }
    }
    if told.is_empty() { format!("0 {}", units[3].1) } else { told.join(" ") }
}

/// A link in one line of plain text.
pub(crate) fn line(record: &Record, language: Language) -> String {
    let (side, lag) = lag(record, language);
    let Record { problem, anomaly, .. } = record;
    let place = |side: &Side| format!("{}:{}", plain(&side.event.file, 200), side.event.line);
    format!(
        "{}🔴 {} ({}, {}) ← ⚠️ {lag} {side}: {} ({})",
        if record.test { "🧪 " } else { "" },
        plain(&problem.event.message, 500),
        plain(&problem.event.timestamp, 80),
        place(problem),
        plain(&anomaly.event.message, 500),
        place(anomaly),
    )
}

/// What a digest counts.
pub(crate) struct Counts {
    /// Links.
    pub links: u64,
    /// Problems with the number of their links, most first.
    pub most: Vec<(String, u64)>,
    /// When it began.
    pub since: Millis,
    /// Whether it is over.
    pub over: bool,
}

/// The digest of a storm.
pub(crate) fn digest(counts: &Counts, language: Language) -> String {
    let title = say(language, "Many links at once", "Много связей сразу");
    let since = say(language, "since", "с");
    let mut message =
        format!("🌩 <b>{title}: {}</b>\n{since} {}\n\n", counts.links, clock(counts.since));
    for (title, links) in &counts.most {
        let _ = writeln!(message, "• {} — {links}", html(title, 200));
    }
    let told: u64 = counts.most.iter().map(|(_, links)| links).sum();
    if told < counts.links {
        let _ = writeln!(message, "• … — {}", counts.links - told);
    }
    message.push('\n');
    message.push_str(match counts.over {
        false => say(
            language,
            "This message is kept up to date. A file with every link follows when it is calmer.",
            "Это сообщение обновляется. Когда станет спокойнее, придёт файл со всеми связями.",
        ),
        true => say(
            language,
            "It is calmer now; the file with every link follows.",
            "Стало спокойнее; следом файл со всеми связями.",
        ),
    });
    message
}

/// A time of the clock, in UTC.
pub(crate) fn clock(time: Millis) -> String {
    let time = Timestamp::from_millisecond(time).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The file of a storm, as it is written: CSV, UTF-8 with a byte order mark, comma separated.
pub(crate) struct Table {
    writer: csv::Writer<Vec<u8>>,
    /// The last link in it.
    pub upto: i64,
    /// Its rows.
    pub rows: u64,
}

const COLUMNS: [&str; 14] = [
    "link_id",
    "problem_time",
    "problem_text",
    "problem_file",
    "problem_line",
    "problem_log",
    "problem_score",
    "lag_seconds",
    "anomaly_time",
    "anomaly_text",
    "anomaly_file",
    "anomaly_line",
    "anomaly_log",
    "anomaly_score",
];

impl Table {
    /// The header.
    pub fn new() -> Result<Table, csv::Error> {
        let mut writer = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
        writer.write_record(COLUMNS)?;
        Ok(Table { writer, upto: 0, rows: 0 })
    }

    /// Adds a link; false when the file is long enough.
    pub fn add(&mut self, link: &Queued) -> Result<bool, csv::Error> {
        // What cannot be read was never put into the outbox.
        if let Ok(record) = Record::read(&link.json) {
            self.writer.write_record(row(&record))?;
            self.rows += 1;
        }
        self.upto = link.seq;
        Ok(self.writer.get_ref().len() < FILE)
    }

    /// The bytes of the file.
    pub fn finish(self) -> Result<Vec<u8>, csv::Error> {
        Ok(self.writer.into_inner().map_err(csv::IntoInnerError::into_error)?)
    }
}

fn row(record: &Record) -> [String; COLUMNS.len()] {
    let Record { problem, anomaly, .. } = record;
    let side = |side: &Side| {
        let Side { event, text, score, .. } = side;
        let (file, log) = (field(&event.file), field(&event.raw));
        [event.time.clone(), field(text), file, event.line.to_string(), log, score.to_string()]
    };
    let [problem_time, problem_text, problem_file, problem_line, problem_log, problem_score] =
        side(problem);
    let [anomaly_time, anomaly_text, anomaly_file, anomaly_line, anomaly_log, anomaly_score] =
        side(anomaly);
    [
        field(&record.id),
        problem_time,
        problem_text,
        problem_file,
        problem_line,
        problem_log,
        problem_score,
        record.lag_seconds.to_string(),
        anomaly_time,
        anomaly_text,
        anomaly_file,
        anomaly_line,
        anomaly_log,
        anomaly_score,
    ]
}

/// Text of bounded length that no spreadsheet runs as a formula.
fn field(text: &str) -> String {
    const RUNS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    let inert: Cow<str> =
        if text.starts_with(RUNS) { format!("'{text}").into() } else { text.into() };
    plain(&inert, FIELD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::text::tests::seen;
    use proptest::prelude::*;

    #[test]
    fn a_message_says_what_happened_what_foretold_it_and_where() {
        let (message, told) = message(&[record("a", "Disk gone")], Language::En);
        assert_eq!(told, 1);
        assert_eq!(
            message,
            "🔴 <b>Replica fell out of step with primary</b>\n<code>Disk gone</code>\n\
             1970-01-01T00:00:00 · <code>database</code> · <code>Disk gone.log:107</code> · exact\n\
             \n⚠️ <b>47 min before:</b> Log volume is nearly full\n\
             1969-12-31T23:13:00 · <code>storage</code> · <code>storage_log.txt:74</code> · exact\n\
             the pair ≈ 0.91\n"
        );
    }

    #[test]
    fn several_warnings_of_a_problem_share_its_message_as_far_as_they_fit() {
        let mut records: Vec<Record> = (0..30).map(|_| record("a", "Disk gone")).collect();
        let (short, told) = message(&records, Language::Ru);
        assert_eq!(told, TOGETHER);
        assert_eq!(short.matches("47 мин до этого").count(), TOGETHER);
        for record in &mut records {
            record.anomaly.event.message = "<&>".repeat(5_000);
        }
        let (long, told) = message(&records, Language::En);
        assert!((2..TOGETHER).contains(&told), "{told}");
        assert!(width(&long) <= LONGEST);
        seen(&long);
    }

    #[test]
    fn times_are_told_in_their_two_greatest_units() {
        let told = |seconds| span(SignedDuration::from_secs(seconds), Language::En);
        let all = [0, 59, 60, 3_599, 3_600, 3_601, 90_000, 86_400 * 3 + 59].map(told);
        assert_eq!(all, ["0 s", "59 s", "1 min", "59 min 59 s", "1 h", "1 h", "1 d 1 h", "3 d"]);
    }

    #[test]
    fn a_digest_counts_everything() {
        let most = vec![("<Disk>".to_owned(), 7), ("Net".to_owned(), 2)];
        let digest = digest(&Counts { links: 12, most, since: 0, over: false }, Language::En);
        assert!(
            digest.starts_with("🌩 <b>Many links at once: 12</b>\nsince 1970-01-01 00:00:00 UTC")
        );
        assert!(digest.contains("• &lt;Disk&gt; — 7\n• Net — 2\n• … — 3\n"), "{digest}");
        seen(&digest);
    }

    fn queued(seq: i64, message: &str) -> Queued {
        let json = crate::record::example(&format!("id{seq}"), Timestamp::UNIX_EPOCH);
        let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["problem"]["event"]["raw"] = message.into();
        Queued { seq, found: 0, json: json.to_string().into_bytes() }
    }

    #[test]
    fn the_file_has_every_link_in_order_and_runs_no_formula() {
        let links = [queued(4, "=1+1"), queued(5, "a,\"b\"\nc"), queued(6, "x")];
        let mut table = Table::new().unwrap();
        assert!(links.iter().all(|link| table.add(link).unwrap()));
        assert_eq!((table.upto, table.rows), (6, 3));
        let csv = table.finish().unwrap();
        let text = csv.strip_prefix("\u{feff}".as_bytes()).unwrap();
        let mut reader = csv::Reader::from_reader(text);
        assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        let read: Vec<(String, String)> = reader
            .records()
            .map(|row| row.unwrap())
            .map(|row| (row[0].into(), row[5].into()))
            .collect();
        let expected = [("id4", "'=1+1"), ("id5", "a,\"b\" c"), ("id6", "x")];
        assert_eq!(read, expected.map(|(id, log)| (id.to_owned(), log.to_owned())));
    }

    #[test]
    fn a_file_that_is_large_enough_leaves_the_rest_for_the_next() {
        let long = "x".repeat(FIELD);
        let mut table = Table::new().unwrap();
        let full = (1..=6_000).find(|seq| !table.add(&queued(*seq, &long)).unwrap());
        assert_eq!(full, Some(table.upto));
        assert!(table.finish().unwrap().len() < FILE + 20_000);
    }

    proptest! {
        #[test]
        fn any_log_gives_messages_that_are_valid_and_short_enough(
            text in "(\\PC|[<>&\"\u{0}-\u{1f}]|👩\u{200d}💻){0,60}",
            times in 1usize..400,
            count in 1usize..25,
            lag in prop::num::f64::ANY,
        ) {
            let mut one = record("a", "x");
            let long = text.repeat(times);
            for side in [&mut one.problem, &mut one.anomaly] {
                side.text = long.clone();
                side.event.message = format!("{long}!");
                side.event.file = long.clone();
                side.event.timestamp = long.clone();
                side.event.component = long.clone();
            }
            one.lag_seconds = lag;
            for language in [Language::En, Language::Ru] {
                let (message, told) = message(&vec![one.clone(); count], language);
                prop_assert!(told >= 1 && told <= count);
                prop_assert!(width(&message) <= LONGEST);
                seen(&message);
            }
        }
    }
}
