//! The server's dictionary: its pairs, what is wrong in it, and what a message would match.
//!
//! The vectors of its texts and the findings are made when they are first asked for, and kept.

use std::collections::HashMap;
use std::sync::Arc;

use analysis::{Embedded, NoProgress};
use axum::Json as Answer;
use axum::extract::{DefaultBodyLimit, State as Extract};
use domain::{Dictionary, Level, Row, Side, TextId, Vector};
use jiff::tz::TimeZone;
use linking::{Explanation, Finding, Matcher, Method, Scored, Verdict};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Json, Query};
use crate::openapi::{BadQuery, NotReady};
use crate::{Api, ApiError, Shared};

/// The longest message that is judged, in characters; lines of logs are cut far above.
const LONGEST: usize = 64 * 1024;

/// The longest body that may hold one: JSON may write a character in twelve bytes.
const LONGEST_BODY: usize = 1 << 20;

/// How many of the nearest texts are told.
const NEAREST: usize = 5;

/// What is known of the server's dictionary, once it was asked for.
#[derive(Default)]
pub struct Knowledge {
    vectors: OnceCell<HashMap<String, Vector>>,
    findings: OnceCell<Arc<Vec<Finding>>>,
}

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(pairs))
        .routes(routes!(findings))
        .routes(routes!(judge))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
}

/// Which pairs are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only pairs with this in one of their texts, in any case, or with this very id.
    #[serde(default)]
    #[param(required = false, example = "disk")]
    q: String,
    /// How many to pass over.
    #[serde(default)]
    #[param(required = false, default = 0)]
    offset: u64,
    /// The most that are answered.
    #[serde(default = "hundred")]
    #[param(required = false, default = 100, minimum = 1, maximum = 1000)]
    limit: u64,
}

fn hundred() -> u64 {
    100
}

/// A page of the dictionary.
#[derive(Serialize, ToSchema)]
struct DictionaryPage {
    /// The name of its file.
    #[schema(example = "anomalies_problems.csv")]
    name: String,
    /// How many pairs it holds.
    pairs: usize,
    /// How many of them are as asked.
    matching: usize,
    offset: u64,
    limit: u64,
    /// The pairs, in the order of the file.
    rows: Vec<DictionaryRow>,
}

/// A known pair.
#[derive(Serialize, ToSchema)]
struct DictionaryRow {
    /// The line of the file that the row begins in; the header is line 1.
    row: u64,
    anomaly_id: u64,
    /// What warns.
    #[schema(example = "Replica apply queue growing")]
    anomaly: String,
    problem_id: u64,
    /// What breaks.
    #[schema(example = "Replica fell out of step with primary")]
    problem: String,
}

/// The pairs of the server's dictionary
#[utoipa::path(
    get,
    path = "/dictionary",
    operation_id = "dictionary",
    tag = "dictionary",
    params(Wanted),
    responses((status = OK, description = "A page of them", body = DictionaryPage), BadQuery)
)]
async fn pairs(
    Extract(state): Extract<Shared>,
    Query(Wanted { q, offset, limit }): Query<Wanted>,
) -> Result<Answer<DictionaryPage>, ApiError> {
    if !(1..=1000).contains(&limit) {
        return Err(ApiError::BadRequest("limit: must be from 1 to 1000".to_owned()));
    }
    let rows = state.api.dictionary.rows();
    let sought = domain::key(&q);
    let matching: Vec<&Row> = rows.iter().filter(|row| holds(row, &sought)).collect();
    let page = matching.iter().skip(offset.try_into().unwrap_or(usize::MAX)).take(limit as usize);
    Ok(Answer(DictionaryPage {
        name: state.api.dictionary_name.clone(),
        pairs: rows.len(),
        matching: matching.len(),
        offset,
        limit,
        rows: page.map(|row| DictionaryRow::from(*row)).collect(),
    }))
}

/// Whether a row has `sought`, which is in lower case, in a text or for an id.
fn holds(row: &Row, sought: &str) -> bool {
    let in_text = |text: &str| text.to_lowercase().contains(sought);
    let is_id = |id: u64| sought.parse() == Ok(id);
    in_text(&row.anomaly) || in_text(&row.problem) || is_id(row.anomaly_id) || is_id(row.problem_id)
}

impl From<&Row> for DictionaryRow {
    fn from(row: &Row) -> DictionaryRow {
        DictionaryRow {
            row: row.line,
            anomaly_id: row.anomaly_id,
            anomaly: row.anomaly.clone(),
            problem_id: row.problem_id,
            problem: row.problem.clone(),
        }
    }
}

/// What the linter says of the dictionary.
#[derive(Serialize, ToSchema)]
struct Findings {
    /// The gravest first.
    #[schema(value_type = Vec<Finding>)]
    findings: Arc<Vec<Finding>>,
}

/// What is wrong or doubtful in the server's dictionary
///
/// As `foreshock lint` tells it: ids and texts that are mixed up, texts without meaning, texts
/// that the model hardly tells apart, anomalies that belong to too many problems.
#[utoipa::path(
    get,
    path = "/dictionary/findings",
    operation_id = "dictionary_findings",
    tag = "dictionary",
    responses((status = OK, description = "All findings", body = Findings), NotReady)
)]
async fn findings(Extract(state): Extract<Shared>) -> Result<Answer<Findings>, ApiError> {
    // On a task of its own, so that the work is not lost with a client that goes away.
    let found = tokio::spawn(async move { state.knowledge.findings(&state).await }).await;
    Ok(Answer(Findings { findings: found.map_err(ApiError::internal)?? }))
}

/// A message, or a whole line of a log.
#[derive(Deserialize, ToSchema)]
struct Question {
    /// At most 65,536 characters.
    #[schema(
        max_length = 65_536,
        example = "2025-10-06T07:42:23 ERROR db: Replica is out of step"
    )]
    message: String,
    /// What wrote a bare message; a line of a log names it itself.
    #[serde(default)]
    #[schema(required = false, example = "database")]
    component: String,
    /// The level of a bare message, which is else judged as both; a line of a log names it itself.
    #[serde(default)]
    #[schema(required = false, example = "ERROR")]
    level: Option<String>,
}

/// What a message would match.
#[derive(Serialize, ToSchema)]
struct Judged {
    /// The message; of a line of a log, its message.
    message: String,
    /// What wrote it; empty when that is not known.
    component: String,
    /// Its level; null for a bare message without one.
    #[schema(value_type = Option<String>, example = "ERROR")]
    level: Option<Level>,
    /// What the model is given: with the evidence matcher numbers are masked, with the cosine
    /// matcher digits, signs and short words are left out.
    normalised: String,
    /// How it was compared with the texts of the dictionary.
    matcher: Method,
    /// The least score of a match that is not the text itself.
    threshold: f32,
    /// By side: of a message without a level both, else its level's (ERROR: problem, WARNING:
    /// anomaly), of another level none, since it takes no part in links.
    verdicts: Vec<SideVerdict>,
}

/// What one side of the dictionary says of a message.
#[derive(Serialize, ToSchema)]
struct SideVerdict {
    side: Side,
    /// Whether the nearest text is what the message says.
    matched: bool,
    reason: Reason,
    /// The nearest texts, at most five, the nearest first.
    nearest: Vec<Near>,
    /// Why it is the nearest text, or not; null when nothing has a meaning.
    explain: Option<Explanation>,
}

/// Why a message matches, or not.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Reason {
    /// It is the text itself.
    Exact,
    /// The nearest text reaches the threshold.
    Near,
    /// The nearest text does not.
    TooFar,
    /// Nothing of it is left for the model, or the side has no text with a meaning.
    NoMeaning,
}

/// A text near to the message.
#[derive(Serialize, ToSchema)]
struct Near {
    text: String,
    /// The confidence that the message says it, or their cosine, by the matcher; 1 for the text
    /// itself.
    #[schema(minimum = -1, maximum = 1)]
    score: f32,
    /// The texts of the other side that it is paired with.
    pairs: Vec<Paired>,
}

/// A text of the other side.
#[derive(Serialize, ToSchema)]
struct Paired {
    id: u64,
    text: String,
}

/// What would this message match?
///
/// Judges a message by the server's dictionary, as a line of an uploaded log is judged, and tells
/// the nearest texts of each side with what they are paired with.
#[utoipa::path(
    post,
    path = "/match",
    operation_id = "match_message",
    tag = "dictionary",
    request_body(content = Question, description = "The message"),
    responses(
        (status = OK, description = "What it would match", body = Judged),
        (
            status = PAYLOAD_TOO_LARGE,
            description = "The body is larger than a megabyte",
            body = crate::openapi::Error
        ),
        BadQuery,
        NotReady
    )
)]
async fn judge(
    Extract(state): Extract<Shared>,
    Json(question): Json<Question>,
) -> Result<Answer<Judged>, ApiError> {
    for (name, text) in [("message", &question.message), ("component", &question.component)] {
        if text.chars().count() > LONGEST {
            return Err(ApiError::BadRequest(format!("{name}: longer than {LONGEST} characters")));
        }
    }
    let level = match &question.level {
        Some(word) => Some(Level::from_word(word.trim().as_bytes()).ok_or_else(|| {
            ApiError::BadRequest(format!("level: {word:?} is none, such as ERROR or WARNING"))
        })?),
        None => None,
    };
    let judged = tokio::spawn(async move {
        state.knowledge.vectors(&state).await?;
        let judge = move || state.knowledge.judge(&state.api, &question, level);
        tokio::task::spawn_blocking(judge).await.map_err(ApiError::internal)?
    });
    Ok(Answer(judged.await.map_err(ApiError::internal)??))
}

impl Knowledge {
    /// The vectors of the texts by the form that matching gives them, made on a thread of its own.
    async fn vectors(&self, state: &Shared) -> Result<&HashMap<String, Vector>, ApiError> {
        self.vectors
            .get_or_try_init(|| async {
                let state = Arc::clone(state);
                let make = move || vectors(&state.api, state.api.method);
                tokio::task::spawn_blocking(make).await.map_err(ApiError::internal)?
            })
            .await
    }

    async fn findings(&self, state: &Shared) -> Result<Arc<Vec<Finding>>, ApiError> {
        let found = self.findings.get_or_try_init(|| async {
            let state = Arc::clone(state);
            let lint = move || {
                let vectors = vectors(&state.api, Method::Cosine)?;
                Ok(linking::lint(&state.api.dictionary, |text| vectors.get(text).cloned()))
            };
            let found: Result<_, ApiError> =
                tokio::task::spawn_blocking(lint).await.map_err(ApiError::internal)?;
            found.map(Arc::new)
        });
        found.await.cloned()
    }

    /// Vectors that are there already.
    fn lookup(&self) -> impl Fn(&str) -> Option<Vector> {
        |text| self.vectors.get()?.get(text).cloned()
    }

    /// Blocks.
    fn judge(
        &self,
        api: &Api,
        question: &Question,
        level: Option<Level>,
    ) -> Result<Judged, ApiError> {
        let asked = &question.message;
        let (message, component, level) =
            match parse::plain::parse_line(asked.trim(), &TimeZone::UTC) {
                Some(event) => (event.message, event.component, Some(event.level)),
                None => (&**asked, question.component.trim(), level),
            };
        let messages = [(component, message)].into_iter();
        let embedded = analysis::embed_messages(messages, api.embedder.as_ref(), api.method)?;
        let embedded = embedded.into_iter().next().unwrap_or_default();
        let matcher = Matcher::new(&api.dictionary, api.method, api.thresholds, self.lookup());
        let sides: Vec<Side> = match level {
            None => Side::BOTH.to_vec(),
            Some(level) => Side::of(level).into_iter().collect(),
        };
        let verdict = |side| SideVerdict::new(side, &api.dictionary, &matcher, message, &embedded);
        Ok(Judged {
            message: message.to_owned(),
            component: component.to_owned(),
            level,
            verdicts: sides.into_iter().map(verdict).collect(),
            normalised: embedded.form,
            matcher: api.method,
            threshold: api.thresholds.reference,
        })
    }
}

fn vectors(api: &Api, method: Method) -> Result<HashMap<String, Vector>, ApiError> {
    Ok(analysis::vectors(&api.dictionary, api.embedder.as_ref(), method, &NoProgress)?)
}

impl SideVerdict {
    fn new(
        side: Side,
        dictionary: &Dictionary,
        matcher: &Matcher,
        text: &str,
        embedded: &Embedded,
    ) -> SideVerdict {
        let message = embedded.message();
        let verdict = matcher.judge(side, text, message);
        let mut nearest = matcher.nearest(side, message, NEAREST);
        // The text itself comes first, though others may be as near.
        if let Verdict::Matched(found) = verdict {
            nearest.retain(|near| near.text != found.text);
            nearest.insert(0, Scored { text: found.text, score: found.score });
            nearest.truncate(NEAREST);
        }
        let near = |scored: Scored| Near {
            text: dictionary.text(side, scored.text).text.clone(),
            score: scored.score,
            pairs: paired(dictionary, side, scored.text),
        };
        SideVerdict {
            side,
            matched: verdict.matched().is_some(),
            reason: Reason::of(&verdict),
            nearest: nearest.into_iter().map(near).collect(),
            explain: matcher.explain(side, text, message),
        }
    }
}

fn paired(dictionary: &Dictionary, side: Side, text: TextId) -> Vec<Paired> {
    let pairs = dictionary.pairs_of(side, text).map(|pair| {
        let row = &dictionary.rows()[pair.row];
        let (id, text) = match side {
            Side::Anomaly => (row.problem_id, &row.problem),
            Side::Problem => (row.anomaly_id, &row.anomaly),
        };
        Paired { id, text: text.clone() }
    });
    pairs.collect()
}

impl Reason {
    fn of(verdict: &Verdict) -> Reason {
        match verdict {
            Verdict::Matched(found) if found.exact => Reason::Exact,
            Verdict::Matched(_) => Reason::Near,
            Verdict::TooFar(_) => Reason::TooFar,
            Verdict::NoMeaning => Reason::NoMeaning,
        }
    }
}
