//! Results as people read them.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::Duration;

use analysis::Analysis;
use jiff::SignedDuration;
use linking::{Link, Matched};
use live::Told;
use parse::Counts;
use report::Judge;

/// Anomalies shown for each problem event.
const ANOMALIES_SHOWN: usize = 12;

/// Writes the summary and the first problem events with their anomalies.
pub fn analysis(
    analysis: &Analysis,
    limit: usize,
    took: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    let header = &analysis.header;
    let paint = Paint::for_stdout();
    let problems = analysis.linked.problems();
    for problem in problems.iter().take(limit) {
        problem_with_links(analysis, problem, paint, out)?;
    }
    if problems.len() > limit {
        let more = plural(problems.len() - limit, "more problem event", "more problem events");
        writeln!(out, "… and {more} (--show N, or -o FILE for all)\n")?;
    }
    let total = &header.total;
    writeln!(
        out,
        "{} of {} ERROR events say a known problem, {} of {} WARNING events a known anomaly",
        number(header.matched_problems as u64),
        number(total.errors),
        number(header.matched_anomalies as u64),
        number(total.warnings)
    )?;
    writeln!(
        out,
        "{} (within {:#}), {}",
        plural(header.link_count, "link", "links"),
        SignedDuration::from_secs(header.judge.window_seconds as i64),
        judge(&header.judge)
    )?;
    writeln!(
        out,
        "{}, {}, {}{} in {:.2} s",
        plural(header.files.len(), "file", "files"),
        plural(total.lines, "line", "lines"),
        plural(total.events(), "event", "events"),
        passed_over(total),
        took.as_secs_f64()
    )
}

/// `model all-MiniLM-L6-v2, matcher evidence, reference threshold 0.5`.
pub fn judge(judge: &Judge) -> String {
    let Judge { model, matcher, thresholds, .. } = judge;
    let pair = thresholds.pair.map_or(String::new(), |pair| format!(", pair {pair}"));
    format!("model {model}, matcher {matcher}, reference threshold {}{pair}", thresholds.reference)
}

/// `, 12 lines passed over (10 without a time, 2 blank)`, or nothing.
fn passed_over(counts: &Counts) -> String {
    if counts.skipped() == 0 && counts.cut == 0 {
        return String::new();
    }
    let reasons = [
        (counts.no_timestamp, "without a time"),
        (counts.no_level, "without a level"),
        (counts.bad_timestamp, "with an impossible time"),
        (counts.blank, "blank"),
    ];
    let reasons = reasons.iter().filter(|(count, _)| *count > 0);
    let reasons: Vec<String> =
        reasons.map(|(count, why)| format!("{} {why}", number(*count))).collect();
    let mut text = format!(", {} passed over", plural(counts.skipped(), "line", "lines"));
    if !reasons.is_empty() {
        text += &format!(" ({})", reasons.join(", "));
    }
    if counts.cut > 0 {
        text += &format!(", {} cut for their length", number(counts.cut));
    }
    text
}

fn problem_with_links(
    analysis: &Analysis,
    problem: &Matched,
    paint: Paint,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut links: Vec<Link> = analysis.linked.links_to(problem).collect();
    links.sort_by(|one, other| one.anomaly.event.by_time(&other.anomaly.event));
    let event = &problem.event;
    writeln!(
        out,
        "{}  {}  {}:{}  {}",
        paint.red("ERROR"),
        event.timestamp,
        printable(&event.file),
        event.line,
        paint.bold(&printable(&event.message))
    )?;
    if let Some(link) = links.first().filter(|_| !problem.found.exact) {
        writeln!(out, "       is {:?} ({:.3})", link.row.problem, problem.found.score)?;
    }
    let width = links.iter().map(|link| lag(link.lag()).len()).max().unwrap_or(0);
    let more = links.len().saturating_sub(ANOMALIES_SHOWN);
    for (index, link) in links.iter().take(ANOMALIES_SHOWN).enumerate() {
        anomaly(link, index + 1 == links.len(), width, paint, out)?;
    }
    if more > 0 {
        writeln!(out, "  └ … and {} more", number(more as u64))?;
    }
    writeln!(out)
}

fn anomaly(
    link: &Link,
    last: bool,
    width: usize,
    paint: Paint,
    out: &mut impl Write,
) -> io::Result<()> {
    let (branch, trunk) = if last { ("└", " ") } else { ("├", "│") };
    let event = &link.anomaly.event;
    writeln!(
        out,
        "  {branch} {:>width$}  {}  {}:{}  {}",
        lag(link.lag()),
        event.timestamp,
        printable(&event.file),
        event.line,
        paint.yellow(&printable(&event.message))
    )?;
    if !link.anomaly.found.exact {
        let how = format!("is {:?} ({:.3})", link.row.anomaly, link.anomaly.found.score);
        writeln!(out, "  {trunk} {:>width$}  {}", "", paint.dim(&how))?;
    }
    Ok(())
}

/// Writes a link that was just found, in two lines.
pub fn live_link(link: &Told, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let (error, warning) = (&link.problem.event, &link.anomaly.event);
    writeln!(
        out,
        "{}  {}  {}:{}  {}\n  └ {}  {}  {}:{}  {}\n",
        paint.red("ERROR"),
        printable(&error.timestamp),
        printable(&error.file),
        error.line,
        paint.bold(&printable(&error.message)),
        lag(link.lag()),
        printable(&warning.timestamp),
        printable(&warning.file),
        warning.line,
        paint.yellow(&printable(&warning.message))
    )
}

/// `2h 14m before`, `33m after`: where the anomaly stands, seen from the problem.
fn lag(lag: SignedDuration) -> String {
    let (size, side) = (lag.unsigned_abs(), if lag.is_negative() { "after" } else { "before" });
    let seconds = size.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let size = match (days, hours, minutes) {
        (0, 0, 0) if seconds == 0 && !size.is_zero() => format!("{} ms", size.subsec_millis()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    };
    format!("{size} {side}")
}

/// Text from a log as a terminal may show it: control characters would move its cursor.
pub fn printable(text: &str) -> String {
    let harmless = |character: char| {
        let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns { '\u{fffd}' } else { character }
    };
    text.chars().map(harmless).collect()
}

/// A number with its thousands apart.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun.
pub fn plural(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// Standard output, buffered. What fails on it can be told from other failures: see
/// [`is_unwritable`].
pub struct Screen(BufWriter<StdoutLock<'static>>);

/// What a failure of [`Screen`] holds.
#[derive(Debug)]
struct Unwritable(io::Error);

impl fmt::Display for Unwritable {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "standard output: cannot be written: {}", self.0)
    }
}

impl std::error::Error for Unwritable {}

/// Whether an error came of [`Screen`].
pub fn is_unwritable(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Unwritable>())
}

impl Screen {
    /// Locks standard output.
    pub fn new() -> Screen {
        Screen(BufWriter::new(io::stdout().lock()))
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| io::Error::new(error.kind(), Unwritable(error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| io::Error::new(error.kind(), Unwritable(error)))
    }
}

/// Colours, where the reader is a terminal and did not forbid them.
#[derive(Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// Colours for standard output. `NO_COLOR` switches them off.
    pub fn for_stdout() -> Paint {
        Paint(io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Red.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Yellow.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Green.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Dim.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_read_from_the_problem() {
        let lag = |seconds| lag(SignedDuration::from_secs(seconds));
        assert_eq!(lag(45), "45 s before");
        assert_eq!(lag(-130), "2m 10s after");
        assert_eq!(lag(8040), "2h 14m before");
        assert_eq!(lag(-100_000), "1d 3h after");
        assert_eq!(lag(0), "0 s before");
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1000), "1,000");
        assert_eq!(number(1_234_567), "1,234,567");
    }

    #[test]
    fn a_terminal_is_never_given_control_characters() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
