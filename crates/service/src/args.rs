//! Settings that several binaries share, and how people write them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use linking::{Method, Profile, Thresholds};
use thiserror::Error;

/// How time is read and compared.
#[derive(Args, Clone, Debug)]
pub struct TimeArgs {
    /// The largest time between a warning and an error that link, either way round, such as 24h,
    /// 90m or 1d12h
    #[arg(
        long,
        env = "WINDOW",
        default_value = "24h",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub window: Window,

    /// The zone of timestamps without offset, such as Europe/Moscow or +03:00
    #[arg(
        long,
        env = "LOG_TZ",
        default_value = "UTC",
        value_name = "ZONE",
        allow_hyphen_values = true
    )]
    pub log_tz: Zone,
}

/// Where the dictionary is.
#[derive(Args, Clone, Debug)]
pub struct DictionaryArgs {
    /// The dictionary of known pairs: a `;` separated CSV with the columns
    /// `ID аномалии;Аномалия;ID проблемы;Проблема` or `anomaly_id;anomaly;problem_id;problem`
    #[arg(
        short,
        long,
        env = "ANOMALIES_CSV_PATH",
        default_value = "data/anomalies_problems.csv",
        value_name = "FILE"
    )]
    pub dictionary: PathBuf,
}

impl DictionaryArgs {
    /// What people call it.
    pub fn name(&self) -> String {
        self.dictionary.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// How messages are matched, set by hand.
#[derive(Args, Clone, Debug)]
pub struct ThresholdArgs {
    /// How a message is compared with the texts of the dictionary: by several pieces of evidence,
    /// or by one cosine [default: the model's]
    #[arg(long, env = "MATCHER", value_name = "MATCHER", value_parser = method())]
    pub matcher: Option<Method>,

    /// The least score between a message and the text it is taken for: with the evidence matcher a
    /// confidence from 0 to 1, with the cosine matcher a cosine from -1 to 1 [default: the model's
    /// and the matcher's]
    #[arg(
        long,
        env = "REFERENCE_THRESHOLD",
        value_parser = cosine,
        allow_negative_numbers = true,
        value_name = "SCORE"
    )]
    pub reference_threshold: Option<f32>,

    /// The least cosine between the two messages of a link, from -1 to 1, or `off` [default: the
    /// model's]
    #[arg(long, env = "PAIR_THRESHOLD", allow_negative_numbers = true, value_name = "COSINE")]
    pub pair_threshold: Option<PairThreshold>,
}

impl ThresholdArgs {
    /// What is given, and what belongs to the model for the rest.
    ///
    /// # Errors
    /// When the model cannot be used with the matcher, or the matcher with the threshold.
    pub fn of(&self, model: &str) -> Result<(Method, Thresholds), Unfit> {
        let profile = Profile::of(model);
        let method = self.matcher.or(profile.map(|profile| profile.method));
        let method = method.unwrap_or(Method::Cosine);
        let mut thresholds = match (profile, method) {
            (Some(profile), method) => profile.thresholds(method),
            (None, Method::Cosine) => Profile::MINILM.thresholds(method),
            (None, Method::Evidence) => None,
        }
        .ok_or_else(|| Unfit::Model(model.to_owned()))?;
        if let Some(reference) = self.reference_threshold {
            if method == Method::Evidence && reference < 0.0 {
                return Err(Unfit::Reference(reference));
            }
            thresholds.reference = reference;
        }
        if let Some(PairThreshold(pair)) = self.pair_threshold {
            thresholds.pair = pair;
        }
        Ok((method, thresholds))
    }
}

fn method() -> impl TypedValueParser<Value = Method> {
    PossibleValuesParser::new(Method::ALL.map(Method::as_str)).try_map(|name| name.parse())
}

/// What does not go together.
#[derive(Debug, PartialEq, Error)]
pub enum Unfit {
    /// There are no weights for this model.
    #[error("the evidence matcher has no weights for the model {0}: use --matcher cosine")]
    Model(String),
    /// It is no confidence.
    #[error(
        "--reference-threshold {0}: with the evidence matcher it is a confidence from 0 to 1; \
         cosines are of --matcher cosine"
    )]
    Reference(f32),
}

/// A span of time that is not negative.
#[derive(Clone, Copy, Debug)]
pub struct Window(pub SignedDuration);

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let span: Span =
            text.parse().map_err(|_| "give a time such as 24h, 90m or 1d12h".to_owned())?;
        let days = SpanRelativeTo::days_are_24_hours();
        let window = span.to_duration(days).map_err(|error| error.to_string())?;
        if window.is_negative() {
            Err("must not be negative".to_owned())
        } else {
            Ok(Window(window))
        }
    }
}

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone(pub TimeZone);

impl Zone {
    /// Its name, or its offset from UTC.
    pub fn name(&self) -> String {
        let offset = || self.0.to_fixed_offset().map_or("?".to_owned(), |it| it.to_string());
        self.0.iana_name().map_or_else(offset, str::to_owned)
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Zone, String> {
        if let Ok(zone) = TimeZone::get(text) {
            return Ok(Zone(zone));
        }
        let offset = parse::parse_timestamp(format!("2000-01-01T00:00{text}").as_bytes())
            .and_then(|stamp| stamp.offset);
        let offset: Offset =
            offset.ok_or("give a zone such as Europe/Moscow, an offset such as +03:00, or UTC")?;
        Ok(Zone(TimeZone::fixed(offset)))
    }
}

/// A cosine, or no threshold.
#[derive(Clone, Copy, Debug)]
pub struct PairThreshold(pub Option<f32>);

impl FromStr for PairThreshold {
    type Err = String;

    fn from_str(text: &str) -> Result<PairThreshold, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(PairThreshold(None));
        }
        cosine(text).map(Some).map(PairThreshold)
    }
}

fn cosine(text: &str) -> Result<f32, String> {
    let cosine = text.parse().ok().filter(|cosine| (-1.0..=1.0).contains(cosine));
    cosine.ok_or_else(|| "give a number from -1 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_and_thresholds_go_by_the_model() {
        let of = |matcher, reference_threshold, model: &str| {
            ThresholdArgs { matcher, reference_threshold, pair_threshold: None }.of(model)
        };
        let (evidence, cosine) = (Some(Method::Evidence), Some(Method::Cosine));
        let told = |matcher, model| {
            let (method, Thresholds { reference, pair }) = of(matcher, None, model).unwrap();
            (method, reference, pair)
        };
        let (minilm, codebert) = (Profile::MINILM.model, Profile::CODEBERT.model);
        let weighed = Profile::MINILM.thresholds(Method::Evidence).unwrap();
        assert_eq!(told(None, minilm), (Method::Evidence, weighed.reference, None));
        assert_eq!(told(cosine, minilm), (Method::Cosine, 0.42, None));
        assert_eq!(told(None, codebert), (Method::Cosine, 0.9, Some(0.9)));
        assert_eq!(told(None, "mine"), (Method::Cosine, 0.42, None));
        assert_eq!(of(evidence, Some(0.7), minilm).unwrap().1.reference, 0.7);
        for model in [codebert, "mine"] {
            let refused = of(evidence, None, model).unwrap_err().to_string();
            assert!(refused.contains(model) && refused.ends_with("--matcher cosine"), "{refused}");
        }
        assert_eq!(of(None, Some(-0.1), minilm), Err(Unfit::Reference(-0.1)));
        assert!(of(cosine, Some(-0.1), minilm).is_ok());
    }

    #[test]
    fn windows_and_zones_read_as_people_write_them() {
        let seconds = |text: &str| text.parse::<Window>().map(|window| window.0.as_secs());
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("1d12h"), Ok(129_600));
        assert_eq!(seconds("90 minutes"), Ok(5_400));
        assert!(seconds("-1h").is_err() && seconds("soon").is_err());
        for zone in ["UTC", "Europe/Moscow", "+03:00", "-0530", "Z"] {
            assert!(zone.parse::<Zone>().is_ok(), "{zone}");
        }
        assert!("Mars/Olympus".parse::<Zone>().is_err());
    }
}
