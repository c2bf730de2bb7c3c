//! Positions as Kafka keeps them, and topics as it finds them.

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{Partition, Position, Topics};

/// What goes before the offset in the metadata of a committed one.
const REBUILD: &str = "rebuild=";

pub(super) fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}

/// Adds a position. What is rebuilt from goes along as metadata, which Kafka keeps for us.
pub(super) fn add(list: &mut TopicPartitionList, position: &Position) {
    let Position { partition, next, rebuild } = position;
    let mut element = list.add_partition(&partition.topic, partition.number);
    // Only an offset below zero is refused, and none is.
    let _ = element.set_offset(Offset::Offset(*next));
    if rebuild < next {
        element.set_metadata(format!("{REBUILD}{rebuild}"));
    }
}

pub(super) fn rebuild_of(metadata: &str, next: i64) -> i64 {
    let offset = metadata.strip_prefix(REBUILD).and_then(|offset| offset.parse().ok());
    offset.filter(|offset| (0..=next).contains(offset)).unwrap_or(next)
}

/// Where to go on, as `(next, rebuild)`, within what the broker still keeps.
pub(super) fn within(committed: Option<(i64, i64)>, (low, high): (i64, i64)) -> (i64, i64) {
    match committed {
        // A position behind the end is one in a topic that was deleted and made again.
        Some((next, rebuild)) if next <= high => (next.max(low), rebuild.max(low)),
        _ => (low, low),
    }
}

/// What to subscribe to. librdkafka takes what begins with `^` for a pattern.
pub(super) fn subscribed(topics: &Topics) -> Vec<String> {
    match topics {
        Topics::Named(names) => names.clone(),
        Topics::WithPrefix(prefix) => {
            let mut pattern = String::from("^");
            for letter in prefix.chars() {
                if r".+*?^$()[]{}|\".contains(letter) {
                    pattern.push('\\');
                }
                pattern.push(letter);
            }
            pattern.push_str(".*");
            vec![pattern]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_not_read_as_a_pattern() {
        let pattern = subscribed(&Topics::WithPrefix("a.b+c_1".to_owned()));
        assert_eq!(pattern, [r"^a\.b\+c_1.*"]);
    }

    #[test]
    fn metadata_of_others_means_nothing_to_rebuild() {
        assert_eq!(rebuild_of("rebuild=12", 20), 12);
        for metadata in ["", "12", "rebuild=", "rebuild=x", "rebuild=-1", "rebuild=21"] {
            assert_eq!(rebuild_of(metadata, 20), 20, "{metadata:?}");
        }
    }

    #[test]
    fn positions_stay_within_what_is_kept() {
        assert_eq!(within(None, (3, 9)), (3, 3));
        assert_eq!(within(Some((7, 5)), (3, 9)), (7, 5));
        assert_eq!(within(Some((7, 1)), (3, 9)), (7, 3), "deleted by retention");
        assert_eq!(within(Some((2, 1)), (3, 9)), (3, 3), "deleted by retention");
        assert_eq!(within(Some((12, 10)), (3, 9)), (3, 3), "made again");
    }
}
