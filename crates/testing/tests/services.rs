//! Each service starts, stops, and is what it was when it starts again; none is left behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testing::{Kafka, Redis, Triton, unique};

fn connects(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_kafka_comes_and_goes() {
    if !testing::own_services() {
        return;
    }
    let mut kafka = Kafka::start();
    let bootstrap = kafka.bootstrap().to_owned();
    assert!(connects(&bootstrap));
    kafka.stop();
    assert!(!connects(&bootstrap));
    kafka.start_again();
    assert_eq!(kafka.bootstrap(), bootstrap);
    kafka.kill();
    assert!(!connects(&bootstrap));
    kafka.start_again();
    assert!(connects(&bootstrap));
    drop(kafka);
    assert!(!connects(&bootstrap));
}

#[test]
fn a_redis_comes_and_goes() {
    if !testing::own_services() {
        return;
    }
    let mut redis = Redis::start();
    let address = address(&redis);
    assert_eq!(ask(&address, "PING\r\n"), "+PONG\r\n");
    redis.pause();
    assert_eq!(ask(&address, "PING\r\n"), "", "silent while it is paused");
    redis.resume();
    assert_eq!(ask(&address, "PING\r\n"), "+PONG\r\n");
    redis.pause();
    redis.stop();
    assert!(!connects(&address));
    redis.start_again();
    assert_eq!(ask(&address, "PING\r\n"), "+PONG\r\n");
}

#[test]
fn a_triton_comes_and_goes() {
    if !testing::own_services() {
        return;
    }
    let mut triton = Triton::start();
    let (grpc, http) = (triton.grpc().to_owned(), triton.http().to_owned());
    assert!(connects(&grpc) && connects(&http));
    triton.stop();
    assert!(!connects(&grpc) && !connects(&http));
    triton.start_again();
    triton.pause();
    sleep(Duration::from_secs(2));
    triton.resume();
    triton.kill();
    assert!(!connects(&grpc) && !connects(&http));
}

#[test]
fn those_shared_are_started_once() {
    assert_eq!(testing::redis(), testing::redis());
    let (host, port) = testing::redis();
    assert!(connects(&format!("{host}:{port}")));
}

#[test]
fn names_are_unique() {
    assert_ne!(unique("topic"), unique("topic"));
}

/// The helper process of the test below: it starts a Redis, tells its address, and waits to be killed.
#[test]
#[ignore = "run by the test below"]
fn holds_a_redis() {
    let redis = Redis::start();
    println!("\naddress {}", address(&redis));
    sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_test_leaves_nothing_behind() {
    if !testing::own_services() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["holds_a_redis", "--exact", "--ignored", "--nocapture"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stdout = child.stdout.take().unwrap();
    let address = loop {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        said.push(byte[0].into());
        let line = said.strip_suffix('\n').and_then(|said| said.lines().last());
        if let Some(address) = line.and_then(|line| line.strip_prefix("address ")) {
            break address.to_owned();
        }
    };
    assert!(connects(&address));
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    while connects(&address) {
        assert!(began.elapsed() < Duration::from_secs(10), "the Redis of a killed test lives");
        sleep(Duration::from_millis(20));
    }
}

fn address(redis: &Redis) -> String {
    let (host, port) = redis.address();
    format!("{host}:{port}")
}

/// What is answered within half a second.
fn ask(address: &str, question: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(question.as_bytes()).unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
