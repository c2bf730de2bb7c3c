//! What holds of every embedder: the model in this process and the same model behind Triton.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use embed::Embedder;

use crate::common::*;

/// The cosine of two vectors of one text by one model, at least.
const SAME: f32 = 0.99999;

fn of_each(test: fn(&dyn Embedder)) {
    for embedder in [Box::new(onnx()) as Box<dyn Embedder>, Box::new(triton())] {
        println!("{}", embedder.fingerprint().unwrap());
        test(&embedder);
    }
}

#[test]
fn every_text_has_one_unit_vector_of_the_model_in_any_number_of_texts() {
    of_each(|embedder| {
        assert_eq!(embedder.model(), "all-MiniLM-L6-v2");
        for count in [0, 1, 62, 63, 64, 65, 200] {
            let texts = texts(count);
            let told = AtomicUsize::new(0);
            let tell = |count| {
                told.fetch_add(count, Ordering::Relaxed);
            };
            let vectors = embedder.embed(&slices(&texts), &tell).unwrap();
            assert_eq!(vectors.len(), count);
            assert_eq!(told.into_inner(), count);
            for vector in vectors {
                assert_eq!(vector.len(), 384);
                assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-3);
            }
        }
    });
}

#[test]
fn a_text_has_the_same_vector_alone_and_at_any_place_among_others() {
    of_each(|embedder| {
        let texts = texts(70);
        let together = embed(embedder, &slices(&texts));
        for place in [0, 33, 69] {
            let alone = embed(embedder, &[&texts[place]]);
            assert!(cosine(&alone[0], &together[place]) > SAME, "{}", texts[place]);
        }
        let mut reversed = slices(&texts);
        reversed.reverse();
        for (one, other) in embed(embedder, &reversed).iter().rev().zip(&together) {
            assert!(cosine(one, other) > SAME);
        }
    });
}

#[test]
fn long_and_strange_texts_have_vectors_and_of_a_long_one_the_beginning_counts() {
    of_each(|embedder| {
        let long = "disk failure on node ".repeat(200);
        let longer = format!("{long}with another end");
        let huge = "x".repeat(64 * 1024);
        let strange = ["ошибка чтения диска", "磁盘故障", "e\u{301}\u{200d}👩‍🚀", "\u{0}", " "];
        let long: [&str; 3] = [&long, &longer, &huge];
        let vectors = embed(embedder, &[&long[..], &strange].concat());
        assert!(cosine(&vectors[0], &vectors[1]) > SAME);
        assert_eq!(vectors.len(), 8);
    });
}

#[test]
fn the_twins_agree() {
    let texts = texts(130);
    let [here, there] = [embed(&onnx(), &slices(&texts)), embed(&triton(), &slices(&texts))];
    let agree = here.iter().zip(&there).map(|(one, other)| cosine(one, other));
    let worst = agree.fold(1.0, f32::min);
    println!("the smallest cosine is {worst}");
    assert!(worst > 0.999);
}

#[test]
fn a_fingerprint_is_the_same_for_every_client_and_another_for_each_twin() {
    let fingerprint = |embedder: &dyn Embedder| embedder.fingerprint().unwrap().to_owned();
    let all: Vec<String> = vec![
        fingerprint(&onnx()),
        fingerprint(&onnx()),
        fingerprint(&triton()),
        fingerprint(&triton()),
    ];
    assert!(all.iter().all(|one| one.starts_with("all-MiniLM-L6-v2@")), "{all:?}");
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 2, "{all:?}");
}

#[test]
fn many_threads_may_use_one_client() {
    of_each(|embedder| {
        let texts = texts(90);
        let expected = embed(embedder, &slices(&texts));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (texts, expected) = (&slices(&texts)[thread * 10..], &expected[thread * 10..]);
                let texts = texts.to_vec();
                scope.spawn(move || {
                    for (found, expected) in embed(embedder, &texts).iter().zip(expected) {
                        assert!(cosine(found, expected) > SAME);
                    }
                });
            }
        });
    });
}
