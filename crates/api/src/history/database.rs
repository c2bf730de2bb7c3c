//! The file of links, in SQL.
//!
//! What links are chosen by is apart from their texts, so that looking through all of them reads
//! little. Of links that are added the oldest beyond what is kept go, in the same transaction.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params, params_from_iter};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::results::{Filter, NO_COMPONENT, folded};

/// The version of the tables. A file of another one is not touched.
const VERSION: i64 = 1;

/// Marks a file as one of ours: `Fsho`.
const OURS: i64 = 0x4673_686f;

/// How long another process that writes is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// What is read of links at once for one who follows them, in links and in bytes.
const PAGE: usize = 200;
const PAGE_BYTES: usize = 512 * 1024;

const SCHEMA: &str = "
    CREATE TABLE instance (id TEXT NOT NULL);
    CREATE TABLE links (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        found INTEGER NOT NULL,
        problem_time INTEGER NOT NULL,
        problem_id INTEGER NOT NULL,
        anomaly_id INTEGER NOT NULL,
        score REAL NOT NULL,
        problem_file TEXT NOT NULL,
        anomaly_file TEXT NOT NULL,
        problem_component TEXT NOT NULL,
        anomaly_component TEXT NOT NULL
    ) STRICT;
    CREATE INDEX links_found ON links (found);
    CREATE INDEX links_problem ON links (problem_id);
    CREATE INDEX links_anomaly ON links (anomaly_id);
    CREATE TABLE texts (
        seq INTEGER PRIMARY KEY REFERENCES links (seq),
        said TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
";

/// A link to keep: its JSON, and what it is chosen by.
pub struct Link<'a> {
    known: Known<'a>,
    found: i64,
    said: String,
    record: &'a RawValue,
}

#[derive(Deserialize)]
struct Known<'a> {
    id: String,
    #[serde(borrow)]
    anomaly: Side<'a>,
    #[serde(borrow)]
    problem: Side<'a>,
}

#[derive(Deserialize)]
struct Side<'a> {
    id: u64,
    #[serde(borrow)]
    text: Cow<'a, str>,
    score: f32,
    #[serde(borrow)]
    event: Event<'a>,
}

#[derive(Deserialize)]
struct Event<'a> {
    time: Timestamp,
    #[serde(borrow)]
    component: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    file: Cow<'a, str>,
}

impl<'a> Link<'a> {
    /// Reads the JSON of a link that was sent at this moment.
    pub fn read(payload: &'a [u8], found: i64) -> serde_json::Result<Link<'a>> {
        let record: &RawValue = serde_json::from_slice(payload)?;
        let known: Known = serde_json::from_str(record.get())?;
        let mut said = String::new();
        for side in [&known.anomaly, &known.problem] {
            for text in [&side.text, &side.event.message, &side.event.file] {
                said.push_str(&folded(text));
                said.push('\n');
            }
        }
        Ok(Link { known, found, said, record })
    }
}

/// A link that was kept.
pub struct Found {
    pub seq: i64,
    pub found: i64,
    pub record: Box<RawValue>,
}

/// The file, to be written.
pub struct Database {
    connection: Connection,
    instance: String,
    count: u64,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("is of version {0} and not {VERSION}: another Foreshock made it")]
    Version(i64),
    #[error("is a database of something else")]
    Foreign,
    #[error("cannot be used: {0}")]
    Database(#[from] rusqlite::Error),
}

impl OpenError {
    /// What a file is that is to be moved aside.
    pub fn unfit(&self) -> Option<&'static str> {
        match self {
            OpenError::Version(_) => Some("other-version"),
            OpenError::Foreign => Some("foreign"),
            OpenError::Database(error) => is_damage(error).then_some("damaged"),
        }
    }
}

/// Whether the file is damaged, and not only away.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            InvalidColumnType(..) | FromSqlConversionFailure(..) | IntegralValueOutOfRange(..)
        )
}

/// Whether a database could be called so.
pub fn is_instance(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A connection to the file.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The last moments may be gone after a power cut: their positions, kept elsewhere, may not.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

impl Database {
    /// Opens a file, or makes it.
    pub fn open(path: &Path) -> Result<Database, OpenError> {
        if let Some(folder) = path.parent() {
            // If this fails, opening says so.
            let _ = std::fs::create_dir_all(folder);
        }
        Database::new(connect(path)?)
    }

    /// One that is gone with the process.
    pub fn in_memory() -> Database {
        let connection = Connection::open_in_memory().expect("a database in memory needs nothing");
        Database::new(connection).expect("a new database is as it should be")
    }

    fn new(mut connection: Connection) -> Result<Database, OpenError> {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = transaction.query_row(tables, [], |row| row.get(0))?;
        match (tables, pragma("application_id")?, pragma("user_version")?) {
            (0, ..) => {
                transaction.execute_batch(SCHEMA)?;
                let instance = format!("{:016x}", RandomState::new().hash_one(live::now()));
                transaction.execute("INSERT INTO instance (id) VALUES (?1)", [instance])?;
                transaction.pragma_update(None, "application_id", OURS)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            (_, OURS, VERSION) => {}
            (_, OURS, version) => return Err(OpenError::Version(version)),
            _ => return Err(OpenError::Foreign),
        }
        let instance: String =
            transaction.query_row("SELECT id FROM instance", [], |row| row.get(0))?;
        if !is_instance(&instance) {
            return Err(OpenError::Foreign);
        }
        let count: i64 =
            transaction.query_row("SELECT count(*) FROM links", [], |row| row.get(0))?;
        transaction.commit()?;
        Ok(Database { connection, instance, count: count as u64 })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// How many links there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds links that are not there yet, and removes the oldest beyond `kept`. Returns how many
    /// were added and how many there are.
    pub fn add(&mut self, links: &[Link], kept: u64) -> rusqlite::Result<(u64, u64)> {
        let transaction = self.connection.transaction()?;
        let mut added = 0;
        for link in links {
            added += u64::from(add(&transaction, link)?);
        }
        let mut count = self.count + added;
        if count > kept {
            let first = "(SELECT seq FROM links ORDER BY seq LIMIT 1 OFFSET ?1)";
            let beyond = [(count - kept).cast_signed()];
            transaction.execute(&format!("DELETE FROM texts WHERE seq < {first}"), beyond)?;
            let sql = format!("DELETE FROM links WHERE seq < {first}");
            count -= transaction.execute(&sql, beyond)? as u64;
        }
        transaction.commit()?;
        self.count = count;
        Ok((added, count))
    }
}

fn add(connection: &Connection, link: &Link) -> rusqlite::Result<bool> {
    let Link { known: Known { id, anomaly, problem }, found, said, record } = link;
    let mut insert = connection.prepare_cached(
        "INSERT INTO links (id, found, problem_time, problem_id, anomaly_id, score, problem_file, \
         anomaly_file, problem_component, anomaly_component) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
    )?;
    let is_new = insert.execute(params![
        id,
        found,
        problem.event.time.as_microsecond(),
        number(problem.id),
        number(anomaly.id),
        f64::from(problem.score.min(anomaly.score)),
        problem.event.file,
        anomaly.event.file,
        problem.event.component,
        anomaly.event.component,
    ])? == 1;
    if is_new {
        let seq = connection.last_insert_rowid();
        connection
            .prepare_cached("INSERT INTO texts (seq, said, record) VALUES (?1, ?2, ?3)")?
            .execute(params![seq, said, in_one_line(record.get())])?;
    }
    Ok(is_new)
}

/// JSON in one line, as events want it: line ends stand in it between values only.
fn in_one_line(json: &str) -> Cow<'_, str> {
    match json.contains(['\n', '\r']) {
        true => json.replace(['\n', '\r'], " ").into(),
        false => json.into(),
    }
}

/// SQLite's integers have a sign.
fn number(id: u64) -> i64 {
    id.cast_signed()
}

/// The conditions of a filter, each with a leading AND, and their values.
fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let (mut sql, mut values) = (String::new(), Vec::new());
    let mut holds = |condition: &str, value: Value| {
        values.push(value);
        let number = format!("?{}", values.len());
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('?', &number));
    };
    if let Some(id) = filter.problem_id {
        holds("problem_id = ?", number(id).into());
    }
    if let Some(id) = filter.anomaly_id {
        holds("anomaly_id = ?", number(id).into());
    }
    if let Some(from) = filter.from {
        holds("problem_time >= ?", from.as_microsecond().into());
    }
    if let Some(to) = filter.to {
        holds("problem_time <= ?", to.as_microsecond().into());
    }
    if let Some(score) = filter.min_score {
        holds("score >= ?", f64::from(score).into());
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(file) = given(&filter.file) {
        holds("? IN (problem_file, anomaly_file)", file.into());
    }
    if let Some(component) = given(&filter.component) {
        let component = if component == NO_COMPONENT { String::new() } else { component };
        holds("? IN (problem_component, anomaly_component)", component.into());
    }
    if let Some(q) = given(&filter.q) {
        holds("instr(said, ?) > 0", folded(&q).into());
    }
    (sql, values)
}

fn found(row: &Row) -> rusqlite::Result<Found> {
    let record: String = row.get(2)?;
    // It was JSON when it was kept.
    let record = RawValue::from_string(record).map_err(|_| {
        rusqlite::Error::InvalidColumnType(2, "record".to_owned(), rusqlite::types::Type::Text)
    })?;
    Ok(Found { seq: row.get(0)?, found: row.get(1)?, record })
}

/// The newest links with numbers below `before`.
pub fn before(
    connection: &Connection,
    filter: &Filter,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Found>> {
    let (conditions, mut values) = conditions(filter);
    values.extend([before.into(), (limit as i64).into()]);
    let (seq, limit) = (values.len() - 1, values.len());
    let mut select = connection.prepare_cached(&format!(
        "SELECT links.seq, found, record FROM links JOIN texts ON texts.seq = links.seq \
         WHERE links.seq < ?{seq}{conditions} ORDER BY links.seq DESC LIMIT ?{limit}"
    ))?;
    select.query_map(params_from_iter(values), found)?.collect()
}

/// Links with numbers above `seq`, the oldest first, and whether there may be more.
pub fn after(
    connection: &Connection,
    filter: &Filter,
    seq: i64,
) -> rusqlite::Result<(Vec<Found>, bool)> {
    let (conditions, mut values) = conditions(filter);
    values.push(seq.into());
    let mut select = connection.prepare_cached(&format!(
        "SELECT links.seq, found, record FROM links JOIN texts ON texts.seq = links.seq \
         WHERE links.seq > ?{}{conditions} ORDER BY links.seq LIMIT {PAGE}",
        values.len()
    ))?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    for link in select.query_map(params_from_iter(values), found)? {
        let link = link?;
        bytes += link.record.get().len();
        page.push(link);
        if bytes > PAGE_BYTES {
            return Ok((page, true));
        }
    }
    let more = page.len() == PAGE;
    Ok((page, more))
}

/// Number and moment of the newest link but `count` − 1 that is as asked.
pub fn nth_newest(
    connection: &Connection,
    filter: &Filter,
    count: usize,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let (conditions, mut values) = conditions(filter);
    values.push((count as i64 - 1).into());
    let mut select = connection.prepare_cached(&format!(
        "SELECT links.seq, found FROM links JOIN texts ON texts.seq = links.seq \
         WHERE TRUE{conditions} ORDER BY links.seq DESC LIMIT 1 OFFSET ?{}",
        values.len()
    ))?;
    select.query_row(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Number and moment of the newest link.
pub fn last(connection: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut select =
        connection.prepare_cached("SELECT seq, found FROM links ORDER BY seq DESC LIMIT 1")?;
    select.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// The number of the newest link, 0 without one.
pub fn end(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(last(connection)?.map_or(0, |(seq, _)| seq))
}

/// The number behind which every link stands that was found at this moment or later, in
/// milliseconds since 1970.
pub fn before_moment(connection: &Connection, moment: i64) -> rusqlite::Result<i64> {
    let mut select = connection.prepare_cached("SELECT min(seq) FROM links WHERE found >= ?1")?;
    let first: Option<i64> = select.query_row([moment], |row| row.get(0))?;
    first.map_or_else(|| end(connection), |first| Ok(first - 1))
}

/// How many links were found at this moment or later.
pub fn found_since(connection: &Connection, moment: i64) -> rusqlite::Result<u64> {
    let mut select = connection.prepare_cached("SELECT count(*) FROM links WHERE found >= ?1")?;
    let count: i64 = select.query_row([moment], |row| row.get(0))?;
    Ok(count as u64)
}
