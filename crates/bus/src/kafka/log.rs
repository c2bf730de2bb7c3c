//! What librdkafka has to say, without the repetitions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// How often one message is told.
const PAUSE: Duration = Duration::from_secs(10);

/// Different messages that are remembered, above which all are passed over.
const MESSAGES: usize = 64;

/// A log that tells each message at most every ten seconds: librdkafka says several times a second
/// that a broker is away.
#[derive(Default)]
pub(super) struct Log {
    told: Mutex<HashMap<String, Instant>>,
}

impl Log {
    /// A line of librdkafka's log.
    pub(super) fn line(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        use RDKafkaLogLevel::{Debug, Info, Notice};
        if matches!(level, Notice | Info | Debug) {
            tracing::debug!(facility, "librdkafka: {text}");
        } else if self.is_news(text) {
            tracing::warn!(facility, "librdkafka: {text}");
        }
    }

    /// An error that librdkafka goes on after.
    pub(super) fn error(&self, error: &KafkaError, text: &str) {
        let line = format!("{text}: {}", super::reason(error));
        if self.is_news(&line) {
            tracing::warn!("Kafka: {line}");
        }
    }

    fn is_news(&self, text: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        told.retain(|_, at| now - *at < PAUSE);
        let kind = kind(text);
        if told.contains_key(&kind) || told.len() >= MESSAGES {
            return false;
        }
        told.insert(kind, now);
        true
    }
}

/// A message without what differs each time: the thread that says it and all numbers.
fn kind(text: &str) -> String {
    let text =
        text.strip_prefix("[thrd:").and_then(|text| text.split_once("]: ")).map_or(text, |it| it.1);
    text.chars().filter(|letter| !letter.is_ascii_digit()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_told_once() {
        let log = Log::default();
        assert!(log.is_news("[thrd:127.0.0.1:9092/1]: refused (after 3ms in state CONNECT)"));
        assert!(
            !log.is_news("[thrd:127.0.0.1:9092/bootstrap]: refused (after 12ms in state CONNECT)")
        );
        assert!(log.is_news("[thrd:127.0.0.1:9092/1]: disconnected"));
    }
}
