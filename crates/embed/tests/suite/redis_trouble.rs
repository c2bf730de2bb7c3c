//! A Redis that is spoilt, emptied, stopped or silent: the vectors stay the same.

use std::sync::Arc;

use embed::{Cached, EmbedError, Embedder, Redis, RedisSettings};
use metrics_exporter_prometheus::PrometheusBuilder;
use redis::Commands;

use crate::common::*;

type Chain = Cached<Arc<Redis>, Arc<Hashes>>;

fn chain(redis: &Arc<Redis>) -> (Arc<Hashes>, Chain) {
    let model = Arc::new(Hashes::new());
    (Arc::clone(&model), Cached::new(Arc::clone(redis), model))
}

fn connect((host, port): (&str, u16)) -> redis::Connection {
    redis::Client::open((host, port)).unwrap().get_connection().unwrap()
}

fn same_vectors(chain: &Chain, texts: &[String]) {
    assert_eq!(embed(chain, &slices(texts)), embed(&Hashes::new(), &slices(texts)));
}

fn used_again(chain: &Chain, model: &Hashes) {
    until("Redis is used again", || {
        let texts = texts(20);
        same_vectors(chain, &texts);
        model.take();
        same_vectors(chain, &texts);
        model.take() == 0
    });
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn keys_and_values_are_as_documented_and_do_not_stay_for_ever() {
    let (model, chain) = chain(&Arc::new(redis(testing::redis())));
    same_vectors(&chain, &["disk failure".to_owned()]);
    let mut client = connect(testing::redis());
    let key = format!("embedding:{}:disk failure", model.name);
    let value: Vec<u8> = client.get(&key).unwrap();
    assert_eq!(value, bytes(&Hashes::vector("disk failure")));
    let left: i64 = client.ttl(&key).unwrap();
    assert!((1..=7 * 24 * 60 * 60).contains(&left), "{left}");
    let companion = format!("embedding-checksum:{}:disk failure", model.name);
    let left: i64 = client.ttl(&companion).unwrap();
    assert!((1..=7 * 24 * 60 * 60).contains(&left), "{left}");
}

#[test]
fn what_was_spoilt_is_a_miss_and_repaired() {
    let (model, chain) = chain(&Arc::new(redis(testing::redis())));
    let mut client = connect(testing::redis());
    let texts = ["one", "two", "three"].map(str::to_owned);
    let key = |text: &str| format!("embedding:{}:{text}", model.name);
    let companion = |text: &str| format!("embedding-checksum:{}:{text}", model.name);
    let swapped = |client: &mut redis::Connection, of: &dyn Fn(&str) -> String| {
        let other: Vec<u8> = client.get(of("two")).unwrap();
        let () = client.set(of("one"), other).unwrap();
    };
    let spoil = |client: &mut redis::Connection, number: usize| {
        let mut set = |key: String, value: &[u8]| client.set(key, value);
        let sound = bytes(&Hashes::vector("a text that nobody asked for"));
        let () = match number {
            0 => set(key("one"), b""),
            1 => set(key("one"), b"12345"),
            2 => set(key("one"), &sound[4..]),
            3 => set(key("one"), &bytes(&[f32::NAN; 8])),
            4 => set(key("one"), &bytes(&[0.0; 8])),
            5 => set(key("one"), &bytes(&[1e30; 8])),
            // A sound vector of another text, or of another model: nothing tells it but the checksum.
            6 => set(key("one"), &sound),
            7 => set(companion("one"), b"another checksum"),
            8 => client.del(companion("one")),
            9 => client.del(key("one")),
            10 => client.del(key("one")).and_then(|()| client.lpush(key("one"), "a list")),
            11 => {
                swapped(client, &key);
                Ok(())
            }
            _ => {
                swapped(client, &key);
                swapped(client, &companion);
                Ok(())
            }
        }
        .unwrap();
    };
    same_vectors(&chain, &texts);
    for number in 0..13 {
        model.take();
        spoil(&mut client, number);
        for expected in [1, 0] {
            same_vectors(&chain, &texts);
            assert_eq!(model.take(), expected, "spoilt by {number}");
        }
    }
}

#[test]
fn a_vector_that_would_break_the_arithmetic_is_not_believed_whatever_its_checksum() {
    // Writes what it is told, with a right checksum.
    let writer = redis(testing::redis());
    let (model, chain) = chain(&Arc::new(redis(testing::redis())));
    let origin = embed::Origin { model: &model.name, fingerprint: "hashes@1" };
    for vector in [&[1.0][..], &[0.0; 8], &[f32::NAN; 8], &[f32::INFINITY; 8]] {
        embed::VectorCache::put(&writer, origin, &["one"], &[vector.into()]);
        same_vectors(&chain, &["one".to_owned()]);
        assert_eq!(model.take(), 1, "{vector:?}");
    }
}

#[test]
fn two_models_of_one_name_that_share_a_redis_never_take_each_others_vectors() {
    struct Namesake(Arc<Hashes>);
    impl Embedder for Namesake {
        fn model(&self) -> &str {
            self.0.model()
        }
        fn fingerprint(&self) -> Result<&str, EmbedError> {
            Ok("hashes@2")
        }
        fn embed(
            &self,
            texts: &[&str],
            progress: &(dyn Fn(usize) + Sync),
        ) -> Result<Vec<domain::Vector>, EmbedError> {
            let turned = |vector: domain::Vector| vector.iter().map(|value| -value).collect();
            Ok(self.0.embed(texts, progress)?.into_iter().map(turned).collect())
        }
    }
    let redis = Arc::new(redis(testing::redis()));
    let (model, one) = chain(&redis);
    let other = Cached::new(redis, Namesake(model));
    for text in ["one", "two", "one", "one"] {
        let [found, turned] = [embed(&one, &[text]), embed(&other, &[text])];
        assert_eq!(found, [Hashes::vector(text)]);
        assert!(cosine(&found[0], &turned[0]) < -0.999);
    }
}

#[test]
fn a_redis_that_was_emptied_is_filled_again() {
    if !testing::own_services() {
        return;
    }
    let server = testing::Redis::start();
    let (model, chain) = chain(&Arc::new(redis(server.address())));
    let texts = texts(600);
    for _ in 0..3 {
        same_vectors(&chain, &texts);
        assert_eq!(model.take(), 600);
        same_vectors(&chain, &texts);
        assert_eq!(model.take(), 0);
        let () = redis::cmd("FLUSHALL").query(&mut connect(server.address())).unwrap();
    }
}

#[test]
fn a_redis_that_stops_is_done_without_and_used_again_when_it_is_back() {
    if !testing::own_services() {
        return;
    }
    let mut server = testing::Redis::start();
    let redis = Arc::new(redis(server.address()));
    let (model, chain) = chain(&redis);
    let texts = texts(20);
    same_vectors(&chain, &texts);
    for kill in [false, true] {
        if kill {
            server.kill()
        } else {
            server.stop()
        }
        for _ in 0..5 {
            same_vectors(&chain, &texts);
        }
        let error = redis.ping().unwrap_err();
        assert!(error.is_temporary());
        let address = format!("Redis at 127.0.0.1:{}", server.address().1);
        assert!(error.to_string().contains(&address), "{error}");
        server.start_again();
        used_again(&chain, &model);
        redis.ping().unwrap();
    }
}

#[test]
fn a_redis_that_is_silent_is_waited_for_once_and_used_again_when_it_speaks() {
    if !testing::own_services() {
        return;
    }
    let server = testing::Redis::start();
    let redis = Arc::new(redis(server.address()));
    let (model, chain) = chain(&redis);
    let texts = texts(700);
    same_vectors(&chain, &texts);
    server.pause();
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for _ in 0..20 {
            same_vectors(&chain, &texts);
        }
    });
    // The background, which tries it now and then, has no local recorder.
    let said = recorder.handle().render();
    assert!(said.contains("foreshock_cache_errors_total{tier=\"redis\"} 1\n"), "{said}");
    assert!(said.contains("foreshock_cache_misses_total{tier=\"redis\"} 14000\n"), "{said}");
    assert!(redis.ping().unwrap_err().is_temporary());
    server.resume();
    used_again(&chain, &model);
}

#[test]
fn a_redis_that_refuses_is_done_without() {
    if !testing::own_services() {
        return;
    }
    let server = testing::Redis::start();
    let redis = Arc::new(redis(server.address()));
    let (model, chain) = chain(&redis);
    let texts = texts(20);
    same_vectors(&chain, &texts);
    let mut client = connect(server.address());
    // Full: it can be read, and takes nothing new.
    let () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).query(&mut client).unwrap();
    model.take();
    same_vectors(&chain, &texts);
    assert_eq!(model.take(), 0);
    same_vectors(&chain, &["something new".to_owned()]);
    same_vectors(&chain, &texts);
    assert_eq!(model.take(), 1);
    // Closed to those without password.
    let () =
        redis::cmd("CONFIG").arg(&["SET", "requirepass", "secret"]).query(&mut client).unwrap();
    let () = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).query(&mut client).unwrap();
    for _ in 0..3 {
        same_vectors(&chain, &texts);
    }
    assert!(redis.ping().unwrap_err().is_temporary());
    let mut settings = RedisSettings::new(server.address().0, server.address().1);
    settings.password = Some("secret".to_owned());
    Redis::new(&settings).unwrap().ping().unwrap();
    // Open again.
    for setting in [["SET", "requirepass", ""], ["SET", "maxmemory", "0"]] {
        let () = redis::cmd("CONFIG").arg(&setting).query(&mut client).unwrap();
    }
    used_again(&chain, &model);
}

#[test]
fn where_no_redis_is_everything_is_a_miss() {
    for (host, port) in [("127.0.0.1", 9), ("no-such-host.invalid", 6379)] {
        let redis = Arc::new(redis((host, port)));
        let (model, chain) = chain(&redis);
        for _ in 0..3 {
            same_vectors(&chain, &texts(20));
        }
        assert_eq!(model.take(), 60);
        let error = redis.ping().unwrap_err();
        assert!(error.to_string().contains(&format!("Redis at {host}:{port}")), "{error}");
    }
}

#[test]
fn its_owner_may_be_dropped_in_asynchronous_work() {
    let redis = redis(testing::redis());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move { drop(redis) });
}
