//! The dictionary: its pairs, its findings, and what a message would match.

use api::Limits;
use linking::{Method, Profile};
use serde_json::{Value, json};

use crate::common::{Served, read};

fn get(server: &Served, path: &str) -> (u16, Value) {
    let (status, _, body) = server.curl(path, &[]);
    (status, serde_json::from_slice(&body).expect("the answer is JSON"))
}

fn ask(server: &Served, body: &Value) -> (u16, Value) {
    let (status, _, body) = server.curl("/match", &["--data-binary", &body.to_string()]);
    (status, serde_json::from_slice(&body).expect("the answer is JSON"))
}

#[test]
fn pairs_are_listed_in_the_order_of_the_file() {
    let server = Served::new(Limits::default());
    let (status, page) = get(&server, "/dictionary?limit=2&offset=1");
    assert_eq!(status, 200, "{page}");
    assert_eq!((&page["pairs"], &page["matching"]), (&json!(358), &json!(358)));
    assert_eq!(page["name"], "anomalies_problems.csv");
    let rows: Vec<u64> =
        page["rows"].as_array().unwrap().iter().map(|row| row["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [3, 4]);
    assert_eq!(get(&server, "/dictionary").1["rows"].as_array().unwrap().len(), 100);
    let beyond = get(&server, &format!("/dictionary?offset={}", u64::MAX)).1;
    assert_eq!(beyond["rows"], json!([]));
}

#[test]
fn pairs_are_found_by_text_in_any_case_and_by_id() {
    let server = Served::new(Limits::default());
    let (_, page) = get(&server, "/dictionary?q=FELL%20out%20of%20STEP&limit=1000");
    let rows = page["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row["problem"].as_str().unwrap().contains("fell out of step")));
    let (_, page) = get(&server, "/dictionary?q=126&limit=1000");
    let rows = page["rows"].as_array().unwrap();
    let holds = |row: &Value| {
        let ids = [&row["anomaly_id"], &row["problem_id"]];
        ids.iter().any(|id| **id == json!(126)) || row.to_string().contains("126")
    };
    assert!(!rows.is_empty() && rows.iter().all(holds), "{page}");
    assert_eq!(get(&server, "/dictionary?q=%D0%AFqqq").1["matching"], 0);
}

#[test]
fn cyrillic_texts_are_found_in_any_case() {
    let server = Served::with_dictionary(
        "ID аномалии;Аномалия;ID проблемы;Проблема\n1;Диск замедлился;1;Отказ массива\n",
    );
    let (_, page) = get(&server, "/dictionary?q=%D0%9E%D0%A2%D0%9A%D0%90%D0%97");
    assert_eq!(page["rows"][0]["problem"], "Отказ массива");
    assert_eq!(page["matching"], 1);
}

#[test]
fn what_the_linter_finds_is_told() {
    let server = Served::with_dictionary(
        "anomaly_id;anomaly;problem_id;problem\n1;Disk slow;1;Array dead\n1;Fan loud;2;1/0/1\n",
    );
    let (status, told) = get(&server, "/dictionary/findings");
    assert_eq!(status, 200, "{told}");
    let first = &told["findings"][0];
    assert_eq!(
        (&first["check"], &first["severity"]),
        (&json!("one-id-two-texts"), &json!("error"))
    );
    assert_eq!(first["rows"], json!([2, 3]));
    let checks: Vec<&Value> =
        told["findings"].as_array().unwrap().iter().map(|finding| &finding["check"]).collect();
    assert!(checks.contains(&&json!("no-meaning")), "{told}");
}

#[test]
fn a_message_is_judged_on_both_sides() {
    let server = Served::new(Limits::default());
    let message = "Replica fell out of step with primary";
    let (status, judged) = ask(&server, &json!({ "message": message }));
    assert_eq!(status, 200, "{judged}");
    assert_eq!((&judged["message"], &judged["level"]), (&json!(message), &Value::Null));
    let [anomaly, problem] = &judged["verdicts"].as_array().unwrap()[..] else {
        panic!("{judged}")
    };
    assert_eq!((&anomaly["side"], &problem["side"]), (&json!("anomaly"), &json!("problem")));
    for verdict in [anomaly, problem] {
        let nearest = verdict["nearest"].as_array().unwrap();
        let scores: Vec<f64> = nearest.iter().map(|near| near["score"].as_f64().unwrap()).collect();
        assert!(scores.len() == 5 && scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
        assert!(nearest.iter().all(|near| !near["pairs"].as_array().unwrap().is_empty()));
    }
}

#[test]
fn a_line_is_judged_on_the_side_of_its_level() {
    let server = Served::new(Limits::default());
    let sides = |level: &str| {
        let line = format!("2025-10-06T07:42:23 {level} db: Replica apply queue growing\n");
        let (_, judged) = ask(&server, &json!({ "message": line }));
        assert_eq!(judged["message"], "Replica apply queue growing");
        let verdicts = judged["verdicts"].as_array().unwrap().clone();
        verdicts.into_iter().map(|verdict| verdict["side"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(sides("WARN"), [json!("anomaly")]);
    assert_eq!(sides("ERROR"), [json!("problem")]);
    assert!(sides("INFO").is_empty());
}

#[test]
fn the_reason_of_each_verdict_is_told() {
    let server = Served::with(|api| {
        api.dictionary = read(
            "anomaly_id;anomaly;problem_id;problem\n7;Disk is slow;9;1/0/1\n\
             7;Disk is slow;8;Array lost\n",
        );
        api.method = Method::Cosine;
        api.thresholds = Profile::MINILM.thresholds(Method::Cosine).unwrap();
    });
    let reasons = |message: &str| {
        let (_, judged) = ask(&server, &json!({ "message": message }));
        let verdicts = judged["verdicts"].as_array().unwrap().clone();
        verdicts.into_iter().map(|verdict| verdict["reason"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(reasons("DISK IS SLOW"), ["exact", "too-far"]);
    assert_eq!(reasons("the disk became slow")[0], "near");
    assert_eq!(reasons("1/0/1"), ["no-meaning", "exact"]);
    assert_eq!(reasons(""), ["no-meaning", "no-meaning"]);
    let (_, judged) = ask(&server, &json!({ "message": "disk is slow" }));
    let pairs = &judged["verdicts"][0]["nearest"][0]["pairs"];
    assert_eq!(*pairs, json!([{ "id": 9, "text": "1/0/1" }, { "id": 8, "text": "Array lost" }]));
    let (_, judged) = ask(&server, &json!({ "message": "1/0/1" }));
    let nearest = &judged["verdicts"][1]["nearest"][0];
    assert_eq!((&nearest["text"], &nearest["score"]), (&json!("1/0/1"), &json!(1.0)));
}

#[test]
fn each_verdict_is_explained() {
    let server = Served::new(Limits::default());
    let message = "the apply queue of the replica keeps growing";
    let asked = json!({ "message": message, "component": "db", "level": "warn" });
    let (_, judged) = ask(&server, &asked);
    let told = [&judged["matcher"], &judged["component"], &judged["level"]];
    assert_eq!(told, [&json!("evidence"), &json!("db"), &json!("WARNING")]);
    let [verdict] = &judged["verdicts"].as_array().unwrap()[..] else { panic!("{judged}") };
    let (nearest, explain) = (&verdict["nearest"], &verdict["explain"]);
    assert_eq!(explain["text"], nearest[0]["text"]);
    assert_eq!(explain["confidence"], nearest[0]["score"]);
    assert!(!explain["pieces"].as_array().unwrap().is_empty(), "{explain}");
    assert_eq!(explain["change"]["threshold"], judged["threshold"]);
    let status = server.json("/status");
    assert_eq!(
        (&status["matcher"], &status["reference"]),
        (&judged["matcher"], &judged["threshold"])
    );
    let (_, line) =
        ask(&server, &json!({ "message": format!("2025-10-06T07:42:23 WARN db: {message}") }));
    assert_eq!(line, judged, "a line names its component and its level itself");
    let (status, refused) = ask(&server, &json!({ "message": message, "level": "loud" }));
    assert_eq!(status, 422, "{refused}");
    assert!(refused["detail"].as_str().unwrap().starts_with("level: "), "{refused}");
    let (_, nothing) = ask(&server, &json!({ "message": "" }));
    assert!(nothing["verdicts"][0]["explain"].is_null(), "{nothing}");
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let server = Served::new(Limits::default());
    for bad in ["limit=0", "limit=1001", "limit=ten", "offset=-1", "limit=1&limit=2"] {
        let (status, answer) = get(&server, &format!("/dictionary?{bad}"));
        assert_eq!(status, 422, "{bad}: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    for bad in [json!({}), json!({ "message": 1 }), json!("text"), Value::Null] {
        assert_eq!(ask(&server, &bad).0, 422, "{bad}");
    }
    let ask_long = |message: String| {
        let body = server.write("body", json!({ "message": message }).to_string());
        let (status, _, body) = server.curl("/match", &["--data-binary", &format!("@{body}")]);
        (status, serde_json::from_slice::<Value>(&body).expect("the answer is JSON"))
    };
    assert_eq!(ask_long("🦀".repeat(65_536)).0, 200);
    assert_eq!(ask_long("x".repeat(65_537)).0, 422);
    let (status, answer) = ask_long("x".repeat(2 << 20));
    assert_eq!((status, &answer["detail"]), (413, &json!("the body is too large")));
}
