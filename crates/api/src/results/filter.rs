//! Which links of a result are asked for.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};
use utoipa::IntoParams;

use super::{Looked, check};
use crate::ApiError;

/// How events without a component are asked for, and their lane is called.
pub const NO_COMPONENT: &str = "–";

/// Which links are asked for: those that all of these hold for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only links with this in one of their messages, texts or file names, in any case.
    #[param(example = "replica")]
    pub q: Option<String>,
    /// Only links to this problem of the dictionary.
    #[param(minimum = 0, maximum = 18_446_744_073_709_551_615_u64, example = 1)]
    pub problem_id: Option<u64>,
    /// Only links of this anomaly of the dictionary.
    #[param(minimum = 0, maximum = 18_446_744_073_709_551_615_u64, example = 1)]
    pub anomaly_id: Option<u64>,
    /// Only links with an event in the file of this name.
    #[param(example = "db_server_log.txt")]
    pub file: Option<String>,
    /// Only links with an event of this component; `–` for events that name none.
    #[param(example = "database")]
    pub component: Option<String>,
    /// Only links whose problem came at this instant or later (RFC 3339).
    #[serde(default, deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime, example = "2025-10-06T00:00:00Z")]
    pub from: Option<Timestamp>,
    /// Only links whose problem came at this instant or earlier (RFC 3339).
    #[serde(default, deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime, example = "2025-10-07T00:00:00Z")]
    pub to: Option<Timestamp>,
    /// Only links both of whose scores reach this.
    #[param(minimum = 0, maximum = 1, example = 0.42)]
    pub min_score: Option<f32>,
}

fn instant<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|_| {
        de::Error::custom(format!(
            "{text:?} is no instant of RFC 3339, such as 2025-10-06T07:42:23Z (a + is written %2B)"
        ))
    })
}

impl Filter {
    /// Refuses what no link can have.
    pub fn checked(self) -> Result<Filter, ApiError> {
        if let Some(score) = self.min_score {
            check("min_score", score, 0.0, 1.0)?;
        }
        Ok(self)
    }

    /// The links that are asked for, by number.
    pub fn matching(&self, looked: Looked) -> Vec<u32> {
        let index = looked.index;
        let said = given(&self.q).map(|q| events_that_say(q, looked));
        let file = given(&self.file).map(|file| place(index.files(), file));
        let component = given(&self.component).map(|component| {
            let name = if component == NO_COMPONENT { "" } else { component };
            place(index.components(), name)
        });
        let rows = self.problem_id.is_some() || self.anomaly_id.is_some();
        let holds = |number: &u32| {
            let events = index.seen(*number);
            let [_, problem] = events;
            let either = |wanted: Option<Option<u32>>, of: [u32; 2]| {
                wanted.is_none_or(|wanted| wanted.is_some_and(|wanted| of.contains(&wanted)))
            };
            self.from.is_none_or(|from| from <= problem.time)
                && self.to.is_none_or(|to| problem.time <= to)
                && self.min_score.is_none_or(|least| events.iter().all(|it| it.score >= least))
                && either(file, events.map(|event| event.file))
                && either(component, events.map(|event| event.component))
                && (!rows || self.has_ids(looked, *number))
                && said.as_ref().is_none_or(|said| {
                    index.events_of(*number).iter().any(|event| said[*event as usize])
                })
        };
        (0..index.len() as u32).filter(holds).collect()
    }

    fn has_ids(&self, looked: Looked, number: u32) -> bool {
        let row = looked.link(number).row;
        self.problem_id.is_none_or(|id| row.problem_id == id)
            && self.anomaly_id.is_none_or(|id| row.anomaly_id == id)
    }
}

/// What was given; a field of a form that was left empty was not.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Where a name stands among sorted ones, if it does.
fn place<T: AsRef<str>>(names: &[T], name: &str) -> Option<u32> {
    names.binary_search_by(|other| other.as_ref().cmp(name)).ok().map(|place| place as u32)
}

/// For each event whether its message, text or file name holds `q`, in any case.
fn events_that_say(q: &str, looked: Looked) -> Vec<bool> {
    let mut sought = String::new();
    fold_into(q, &mut sought);
    let mut scratch = String::new();
    let mut holds = |text: &str| {
        fold_into(text, &mut scratch);
        scratch.contains(&sought)
    };
    let files: Vec<bool> = looked.index.files().iter().map(|file| holds(file)).collect();
    let events = looked.index.events().iter();
    events
        .map(|seen| {
            let matched = looked.event(seen);
            let text = looked.linked.dictionary().text(seen.side, matched.found.text);
            files[seen.file as usize] || holds(&matched.event.message) || holds(&text.text)
        })
        .collect()
}

/// A text in lower case, letter by letter.
pub fn folded(text: &str) -> String {
    let mut folded = String::new();
    fold_into(text, &mut folded);
    folded
}

/// Replaces `folded` by a text in lower case, letter by letter.
fn fold_into(text: &str, folded: &mut String) {
    folded.clear();
    match text.is_ascii() {
        true => {
            folded.push_str(text);
            folded.make_ascii_lowercase();
        }
        false => folded.extend(text.chars().flat_map(char::to_lowercase)),
    }
}

#[cfg(test)]
mod tests {
    use linking::{Link, Matched};
    use proptest::prelude::*;

    use super::super::made::{COMPONENTS, events, made, many};
    use super::*;

    fn filters() -> impl Strategy<Value = Filter> {
        let words = ["disk", "СБОЙ", "питания", "1/0/1", "файл3", "array", "ЖУРНАЛ", "none", ""];
        let time = || {
            prop::option::of(
                (0..100_000i64)
                    .prop_map(|seconds| Timestamp::from_second(1_759_708_800 + seconds).unwrap()),
            )
        };
        let components = COMPONENTS.map(|name| if name.is_empty() { NO_COMPONENT } else { name });
        (
            prop::option::of(prop::sample::select(words.to_vec())),
            prop::option::weighted(0.2, 20..23u64),
            prop::option::weighted(0.2, 10..13u64),
            prop::option::weighted(0.2, (0..41u8).prop_map(|file| format!("Файл{file}.log"))),
            prop::option::weighted(0.2, prop::sample::select(components.to_vec())),
            time(),
            time(),
            prop::option::weighted(0.3, 0.0..1.0f32),
        )
            .prop_map(
                |(q, problem_id, anomaly_id, file, component, from, to, min_score)| Filter {
                    q: q.map(str::to_owned),
                    problem_id,
                    anomaly_id,
                    file,
                    component: component.map(str::to_owned),
                    from,
                    to,
                    min_score,
                },
            )
    }

    /// The words of the contract, taken literally.
    fn holds(filter: &Filter, link: &Link) -> bool {
        let both = [link.anomaly, link.problem];
        let either = |holds: &dyn Fn(&Matched) -> bool| both.iter().any(|matched| holds(matched));
        let texts = [&link.row.anomaly, &link.row.problem];
        let q = filter.q.clone().unwrap_or_default().to_lowercase();
        let says = |text: &str| text.to_lowercase().contains(&q);
        let says = texts.iter().any(|text| says(text))
            || either(&|it| says(&it.event.message) || says(&it.event.file));
        let component = filter.component.as_deref().map(|name| name.trim_matches('–'));
        let time = link.problem.event.time;
        says && filter.problem_id.is_none_or(|id| id == link.row.problem_id)
            && filter.anomaly_id.is_none_or(|id| id == link.row.anomaly_id)
            && filter.file.as_deref().is_none_or(|name| either(&|it| *it.event.file == *name))
            && component.is_none_or(|name| either(&|it| *it.event.component == *name))
            && filter.from.is_none_or(|from| time >= from)
            && filter.to.is_none_or(|to| time <= to)
            && filter.min_score.is_none_or(|least| both.iter().all(|it| it.found.score >= least))
    }

    proptest! {
        #[test]
        fn a_filter_gives_what_its_words_say(events in events(80), filter in filters()) {
            let made = made(&events, usize::MAX);
            let expected = made.linked.links().enumerate().filter(|(_, link)| holds(&filter, link));
            let expected: Vec<u32> = expected.map(|(number, _)| number as u32).collect();
            prop_assert_eq!(filter.matching(made.looked()), expected);
        }
    }

    #[test]
    fn nothing_asked_for_is_everything_in_any_case_and_alphabet() {
        let made = made(&many(1000), usize::MAX);
        assert_eq!(Filter::default().matching(made.looked()), made.all());
        let said = |q: &str| {
            let filter = Filter { q: Some(q.to_owned()), ..Filter::default() };
            filter.matching(made.looked())
        };
        assert_eq!(said(""), made.all());
        assert_eq!(said("сБОЙ дИСКА"), said("Сбой Диска"));
        assert!(!said("сБОЙ дИСКА").is_empty() && said("сбой сети").is_empty());
        assert_eq!(said("РЕПЛИКА").len(), 1000, "the text of every problem");
    }

    #[test]
    fn a_score_that_none_can_have_is_refused() {
        for score in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let filter = Filter { min_score: Some(score), ..Filter::default() };
            let error = filter.checked().unwrap_err().to_string();
            assert_eq!(error, "min_score: must be from 0 to 1");
        }
    }
}
