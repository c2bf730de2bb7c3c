//! Everything that is known of one link: both events among their lines, scores, and why it passed.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use crate::App;
use crate::format;
use crate::page::{Page, fault, html};
use crate::query::{Query, pairs};
use crate::records::{Context, Evidence, Found, Link};
use crate::texts::{Lang, Texts};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "evidence.html")]
struct Whole {
    page: Page,
    t: &'static Texts,
    evidence: Fragment,
    back: String,
}

#[derive(Template)]
#[template(path = "evidence_fragment.html")]
struct Fragment {
    page: Page,
    t: &'static Texts,
    sides: [Side; 2],
    link: Link,
    why: Vec<String>,
}

/// One of the two events.
struct Side {
    class: &'static str,
    title: &'static str,
    found: Found,
    context: Option<Context>,
    number: u64,
}

/// `GET /results/{id}/links/{number}`, with `fragment=1` for the table.
pub async fn show(
    State(app): App,
    Path((id, number)): Path<(String, String)>,
    uri: Uri,
    query: Query,
    visitor: Visitor,
) -> Response {
    let alone = !pairs(uri.query().unwrap_or_default()).iter().any(|(name, _)| name == "fragment");
    let evidence: Evidence = match app.api.get(&["jobs", &id, "links", &number], &[]).await {
        Ok(evidence) => evidence,
        Err(error) => {
            let visitor = Visitor { wants_json: visitor.wants_json || !alone, ..visitor };
            return fault(&visitor, &app, &error);
        }
    };
    let fragment = Fragment::new(&visitor, evidence);
    if !alone {
        return html(StatusCode::OK, &fragment);
    }
    let page = Page::new(&visitor, "upload", "content");
    let t = page.texts();
    let back = query.with(&[("select", &number), ("offset", "")]);
    // The number is what was asked for, so it stands for itself in the address only if it is one.
    let place = number.parse::<u64>().map_or(String::new(), |number| format!("#link-{number}"));
    let back = format!("/results/{id}{}{place}", back.address());
    html(StatusCode::OK, &Whole { page, t, evidence: fragment, back })
}

impl Fragment {
    fn new(visitor: &Visitor, evidence: Evidence) -> Fragment {
        let page = Page::new(visitor, "upload", "content");
        let t = page.texts();
        let Evidence { link, anomaly_context, problem_context, number } = evidence;
        let why = why(page.lang, &link);
        let side = |class, title, found: &Found, context| Side {
            class,
            title,
            found: found.clone(),
            context,
            number,
        };
        let sides = [
            side("anomaly", t.anomaly, &link.anomaly, anomaly_context),
            side("problem", t.problem, &link.problem, problem_context),
        ];
        Fragment { page, t, sides, link, why }
    }
}

/// Why a link passed, in sentences.
fn why(lang: Lang, link: &Link) -> Vec<String> {
    let judge = &link.judge;
    let mut why = vec![
        matched(lang, &link.problem, judge.reference, lang.pick("error", "ошибки")),
        matched(lang, &link.anomaly, judge.reference, lang.pick("warning", "предупреждения")),
        lang.pick(
            format!(
                "Row {} of the dictionary pairs anomaly {} with problem {}.",
                link.dictionary_row, link.anomaly.id, link.problem.id
            ),
            format!(
                "Строка {} справочника ставит аномалию {} в пару с проблемой {}.",
                link.dictionary_row, link.anomaly.id, link.problem.id
            ),
        ),
    ];
    let apart = format::span(lang, link.lag_seconds);
    let window = format::window(lang, judge.window_seconds);
    why.push(lang.pick(
        format!("The two events are {apart} apart, within the window of {window}."),
        format!("Между событиями {apart} — это в пределах окна {window}."),
    ));
    why.extend(pair(lang, link));
    why
}

fn matched(lang: Lang, found: &Found, threshold: f64, what: &str) -> String {
    if found.exact {
        return lang.pick(
            format!("The {what} is the dictionary's text word for word."),
            format!("Сообщение {what} слово в слово совпадает с текстом справочника."),
        );
    }
    let (score, threshold) = (format::score(lang, found.score), format::threshold(lang, threshold));
    lang.pick(
        format!(
            "The {what} is nearest to this text of the dictionary: its score {score} reaches the \
             threshold {threshold}."
        ),
        format!(
            "Сообщение {what} ближе всего к этому тексту справочника: оценка {score} достигает \
             порога {threshold}."
        ),
    )
}

fn pair(lang: Lang, link: &Link) -> Option<String> {
    let cosine = format::score(lang, link.cosine?);
    Some(match link.judge.pair {
        Some(threshold) => {
            let threshold = format::threshold(lang, threshold);
            lang.pick(
                format!(
                    "The two messages are alike: their cosine {cosine} reaches the pair threshold \
                     {threshold}."
                ),
                format!(
                    "Сообщения похожи друг на друга: их косинус {cosine} достигает порога пары \
                     {threshold}."
                ),
            )
        }
        None => lang.pick(
            format!("The cosine of the two messages is {cosine}; no pair threshold asks for it."),
            format!("Косинус двух сообщений — {cosine}; порог пары не задан, так что он не важен."),
        ),
    })
}
