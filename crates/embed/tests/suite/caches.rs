//! What holds of every cache: in memory, on disk, in Redis.

use std::sync::Arc;

use domain::Vector;
use embed::{Cached, Embedder, Memory, Origin, SingleFlight, Store, VectorCache};
use tempfile::TempDir;

use crate::common::*;

/// A cache that is empty for whoever asks under a name of its own.
struct Case {
    cache: Arc<dyn VectorCache>,
    _folder: TempDir,
}

fn of_each(test: fn(&Arc<dyn VectorCache>)) {
    let folder = || tempfile::tempdir().unwrap();
    let disk = folder();
    let store = Store::open(&disk.path().join("vectors.db"));
    let cases = [
        Case { cache: Arc::new(Memory::default()), _folder: folder() },
        Case { cache: Arc::new(store), _folder: disk },
        Case { cache: Arc::new(redis(testing::redis())), _folder: folder() },
    ];
    for case in cases {
        println!("{}", case.cache.tier());
        test(&case.cache);
    }
}

fn filled(cache: &dyn VectorCache, origin: Origin<'_>, texts: &[String]) -> Vec<Vector> {
    let vectors: Vec<Vector> = texts.iter().map(|text| Hashes::vector(text)).collect();
    cache.put(origin, &slices(texts), &vectors);
    vectors
}

#[test]
fn what_was_put_is_found_in_the_order_asked_for() {
    of_each(|cache| {
        let model = testing::unique("model");
        let origin = Origin { model: &model, fingerprint: "m@1" };
        let texts = texts(1500);
        let vectors = filled(cache, origin, &texts);
        let mut asked = slices(&texts);
        asked.reverse();
        asked.insert(0, "never put");
        asked.push("never put either");
        let found = cache.get(origin, &asked);
        assert_eq!(found.len(), 1502);
        assert_eq!((&found[0], &found[1501]), (&None, &None));
        let found: Vec<&Vector> = found[1..1501].iter().rev().flatten().collect();
        assert_eq!(found, vectors.iter().collect::<Vec<_>>());
        assert_eq!(cache.get(origin, &[]), []);
    });
}

#[test]
fn another_model_has_vectors_of_its_own_even_under_the_same_name() {
    of_each(|cache| {
        let model = testing::unique("model");
        let origin = Origin { model: &model, fingerprint: "m@1" };
        filled(cache, origin, &texts(3));
        let texts = texts(3);
        let asked = slices(&texts);
        let namesake = Origin { fingerprint: "m@2", ..origin };
        assert_eq!(cache.get(namesake, &asked), [None, None, None]);
        let other = testing::unique("other");
        let other = Origin { model: &other, fingerprint: "other@1" };
        assert_eq!(cache.get(other, &asked), [None, None, None]);
    });
}

#[test]
fn the_vectors_are_the_same_with_and_without_it_and_embedded_once() {
    of_each(|cache| {
        let model = Arc::new(Hashes::new());
        let cached = Cached::new(Arc::clone(cache), Arc::clone(&model));
        let texts = texts(300);
        for expected in [300, 0] {
            assert_eq!(embed(&cached, &slices(&texts)), embed(&Hashes::new(), &slices(&texts)));
            assert_eq!(model.take(), expected);
        }
    });
}

#[test]
fn a_vector_that_was_put_again_is_the_newer_one() {
    of_each(|cache| {
        let model = testing::unique("model");
        let origin = Origin { model: &model, fingerprint: "m@1" };
        for number in 0..3 {
            let vector = Hashes::vector(&number.to_string());
            cache.put(origin, &["text"], std::slice::from_ref(&vector));
            assert_eq!(cache.get(origin, &["text"]), [Some(vector)]);
        }
    });
}

#[test]
fn all_tiers_together_give_what_the_model_gives() {
    let folder = tempfile::tempdir().unwrap();
    let model = Arc::new(Hashes::new());
    let chain = || {
        let disk = Cached::new(Store::open(&folder.path().join("v.db")), Arc::clone(&model));
        let redis = Cached::new(redis(testing::redis()), disk);
        SingleFlight::new(Cached::new(Memory::default(), redis))
    };
    let texts = texts(100);
    let first = chain();
    for (chain, expected) in [(&first, 100), (&first, 0), (&chain(), 0)] {
        assert_eq!(embed(chain, &slices(&texts)), embed(&Hashes::new(), &slices(&texts)));
        assert_eq!(model.take(), expected);
    }
    assert_eq!(first.model(), model.name);
    assert_eq!(first.fingerprint().unwrap(), "hashes@1");
}

#[test]
fn memory_holds_no_more_than_it_was_given() {
    let memory = Memory::new(100_000);
    let origin = Origin { model: "m", fingerprint: "m@1" };
    let vectors = filled(&memory, origin, &texts(5000));
    assert!(memory.bytes() <= 100_000, "{} bytes", memory.bytes());
    let texts = texts(5000);
    let found = memory.get(origin, &slices(&texts));
    assert!(found.iter().any(Option::is_some));
    for (found, vector) in found.iter().zip(&vectors) {
        assert!(found.is_none() || found.as_ref() == Some(vector));
    }
}

/// What stands on disk is no vector of the text any more.
fn spoil_disk(sql: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.db");
    let model = Arc::new(Hashes::new());
    let cached = Cached::new(Store::open(&path), Arc::clone(&model));
    let texts = texts(10);
    embed(&cached, &slices(&texts));
    model.take();
    let changed = rusqlite::Connection::open(&path).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
    for expected in [changed, 0] {
        assert_eq!(embed(&cached, &slices(&texts)), embed(&Hashes::new(), &slices(&texts)));
        assert_eq!(model.take(), expected, "{sql}");
    }
}

#[test]
fn what_was_spoilt_on_disk_is_computed_again_and_repaired() {
    for sql in [
        "UPDATE vectors SET vector = zeroblob(32) WHERE age < 5",
        "UPDATE vectors SET vector = substr(vector, 1, 28)",
        "UPDATE vectors SET vector = x'', sum = x''",
        // NaN in all places.
        "UPDATE vectors SET vector = unhex(replace(hex(zeroblob(8)), '00', '0000C07F'))",
        // A sound vector with a sound checksum, of another text.
        "UPDATE vectors SET (vector, sum) = (SELECT vector, sum FROM vectors AS other \
         WHERE other.age = vectors.age % 10 + 1)",
    ] {
        spoil_disk(sql);
    }
}
