//! The files that -o names.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use calamine::{Data, Reader, Xlsx};
use serde_json::Value;

use crate::common::*;

const HEADER: [&str; 7] =
    ["anomaly_id", "anomaly_text", "problem_id", "problem_text", "file_name", "line_number", "log"];

fn csv_rows(place: &Place, name: &str) -> Vec<Vec<String>> {
    let text = place.text(name);
    let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| row.iter().map(str::to_owned).collect()).collect()
}

fn xlsx_rows(place: &Place, name: &str) -> Vec<Vec<String>> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(place.read(name))).unwrap();
    let sheet = book.sheet_names()[0].clone();
    assert!(book.worksheet_formula(&sheet).unwrap().is_empty(), "a formula");
    let range = book.worksheet_range(&sheet).unwrap();
    let text = |cell: &Data| match cell {
        Data::Float(number) => number.to_string(),
        Data::String(text) => text.clone(),
        other => panic!("neither a number nor a text: {other:?}"),
    };
    range.rows().map(|row| row.iter().map(text).collect()).collect()
}

#[test]
fn the_spreadsheet_holds_the_rows_of_the_csv_under_a_frozen_filtered_header() {
    let place = Place::new();
    let mut command = place.foreshock("analyze -o out.csv -o out.xlsx --dictionary");
    command.arg(data().join("anomalies_problems.csv"));
    run_with(command, logs_of_data()).ok();
    let rows = csv_rows(&place, "out.csv");
    assert_eq!(rows[0], HEADER);
    assert_eq!(xlsx_rows(&place, "out.xlsx"), rows);
    // Distinct, and sorted by problem text, file, line and anomaly id.
    let key = |row: &Vec<String>| {
        let number = |column: usize| row[column].parse::<u64>().unwrap();
        (row[3].clone(), row[4].clone(), number(5), number(0))
    };
    assert!(rows[1..].is_sorted_by_key(key));
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len());

    let mut book = zip::ZipArchive::new(Cursor::new(place.read("out.xlsx"))).unwrap();
    let mut sheet = String::new();
    book.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut sheet).unwrap();
    let filter = format!("<autoFilter ref=\"A1:G{}\"", rows.len());
    for part in ["state=\"frozen\"", &filter, "<cols>"] {
        assert!(sheet.contains(part), "no {part}");
    }
}

#[test]
fn without_links_the_reports_are_whole_and_empty() {
    let place = Place::new();
    let arguments = "analyze app.log --window 1s -o out.csv -o out.xlsx -o out.json";
    place.run(arguments).ok().shows(&["0 links"]);
    assert_eq!(csv_rows(&place, "out.csv"), [HEADER]);
    assert_eq!(xlsx_rows(&place, "out.xlsx"), [HEADER]);
    let json: Value = serde_json::from_str(&place.text("out.json")).unwrap();
    assert_eq!(json["links"], Value::Array(Vec::new()));
}

#[test]
fn one_row_stands_for_all_links_that_read_the_same() {
    let place = Place::new();
    // A second warning of the same text: one more link, no more row.
    let first = LOG.lines().next().unwrap();
    place.write("app.log", format!("{LOG}{first}\n"));
    place.run("analyze app.log -o out.csv -o out.json").ok().shows(&["3 links"]);
    assert_eq!(csv_rows(&place, "out.csv").len(), 3);
    let json: Value = serde_json::from_str(&place.text("out.json")).unwrap();
    assert_eq!((json["links"].as_array().unwrap().len(), &json["link_count"]), (3, &3.into()));
}

#[test]
fn text_that_a_spreadsheet_would_run_stays_text() {
    let place = Place::with_dictionary(
        "anomaly_id;anomaly;problem_id;problem\n\
         1;\"=HYPERLINK(\"\"http://evil.example\"\";\"\"open\"\")\";10;\"=cmd|' /C calc'!A0\"\n\
         2;+SUM(1+1) is growing;20;+49 30 1234 unreachable\n\
         3;-2+3 disks are slow;30;-1 returned by driver\n\
         4;@import of schema slow;40;@SUM(1+1)*cmd failed\n",
    );
    let pairs: Vec<(String, String)> = [
        ("=HYPERLINK(\"http://evil.example\";\"open\")", "=cmd|' /C calc'!A0"),
        ("+SUM(1+1) is growing", "+49 30 1234 unreachable"),
        ("-2+3 disks are slow", "-1 returned by driver"),
        ("@import of schema slow", "@SUM(1+1)*cmd failed"),
    ]
    .map(|(anomaly, problem)| (anomaly.to_owned(), problem.to_owned()))
    .into();
    let lines = pairs.iter().map(|(anomaly, problem)| {
        format!("2025-10-06T07:00:00 WARN x: {anomaly}\n2025-10-06T07:00:01 ERROR x: {problem}\n")
    });
    place.write("=1+1.log", lines.collect::<String>());
    place.run("analyze =1+1.log -o out.csv -o out.xlsx").ok();

    let texts = |rows: Vec<Vec<String>>| -> BTreeSet<(String, String, String)> {
        let rows = rows.into_iter().skip(1);
        rows.map(|row| (row[1].clone(), row[3].clone(), row[4].clone())).collect()
    };
    let expected = |mark: &str| {
        let text = |text: &str| format!("{mark}{text}");
        pairs.iter().map(|(one, other)| (text(one), text(other), text("=1+1.log"))).collect()
    };
    let found: BTreeSet<_> = texts(csv_rows(&place, "out.csv"));
    assert_eq!(found, expected("'"));
    assert_eq!(texts(xlsx_rows(&place, "out.xlsx")), expected(""));
}

#[test]
fn a_line_with_every_sign_that_separates_survives_in_every_format() {
    let raw = "2025-10-06T07:42:23 ERROR db: \"Replica\", it's said; fell <b>out</b> of\tstep &amp; \
               \\n with primary 🔥 _x0041_ {\"a\":1}";
    let place = Place::new();
    let first = LOG.lines().next().unwrap();
    place.write("app.log", format!("{first}\n{raw}\n"));
    let arguments = "analyze app.log --reference-threshold 0.2 -o out.csv -o out.xlsx -o out.json";
    place.run(arguments).ok();
    assert_eq!(csv_rows(&place, "out.csv")[1][6], raw);
    assert_eq!(xlsx_rows(&place, "out.xlsx")[1][6], raw);
    let json: Value = serde_json::from_str(&place.text("out.json")).unwrap();
    assert_eq!(json["links"][0]["problem"]["event"]["raw"], raw);
}

#[test]
fn a_line_with_control_characters_gives_a_spreadsheet_that_opens() {
    let place = Place::new();
    let log = LOG.replace("out of step with primary", "out of step with primary \u{1}\u{1b}[0m\0");
    place.write("app.log", log);
    place.run("analyze app.log -o out.csv -o out.xlsx").ok();
    let rows = xlsx_rows(&place, "out.xlsx");
    assert_eq!(rows.len(), 3);
    assert!(csv_rows(&place, "out.csv").iter().any(|row| row[6].contains("primary \u{1}")));
}

#[test]
fn a_link_carries_all_its_evidence() {
    let place = Place::new();
    let log = log_in_other_words().replace("07:42:23", "06:42:23.5");
    place.write("app.log", log);
    let arguments = "app.log --window 2h --pair-threshold -0.5 --reference-threshold 0.3";
    let json = place.analyze(arguments).json();
    let by_id = |link: &&Value| link["anomaly"]["id"] == 1;
    let link = json["links"].as_array().unwrap().iter().find(by_id).unwrap();

    let id = link["id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(link["lag_seconds"], -1056.5);
    let is_cosine = |value: &Value| value.as_f64().is_some_and(|it| (-1.0..=1.0).contains(&it));
    assert!(is_cosine(&link["cosine"]), "{link}");
    assert_eq!(link["dictionary_row"], 2);
    let judge = &link["judge"];
    assert_eq!(
        (&judge["model"], &judge["window_seconds"]),
        (&embed::DEFAULT_MODEL.into(), &7200.0.into())
    );
    let close = |value: &Value, to: f64| value.as_f64().is_some_and(|it| (it - to).abs() < 1e-6);
    assert!(close(&judge["reference"], 0.3) && close(&judge["pair"], -0.5), "{judge}");

    let (anomaly, problem) = (&link["anomaly"], &link["problem"]);
    assert_eq!((&anomaly["exact"], &problem["exact"]), (&false.into(), &true.into()));
    assert!(is_cosine(&anomaly["score"]) && anomaly["score"].as_f64() < Some(1.0));
    assert_eq!(problem["score"], 1.0);
    assert_eq!(anomaly["text"], "Replica apply queue growing");
    for side in [anomaly, problem] {
        assert!(is_cosine(&side["runner_up"]["score"]) && side["runner_up"]["text"].is_string());
    }
    let expected = serde_json::json!({
        "timestamp": "2025-10-06T06:42:23.5",
        "time": "2025-10-06T06:42:23.5Z",
        "level": "ERROR",
        "component": "db",
        "message": "Replica fell out of step with primary",
        "file": "app.log",
        "line": 3,
        "raw": "2025-10-06T06:42:23.5 ERROR db: Replica fell out of step with primary",
    });
    assert_eq!(problem["event"], expected);
    assert_eq!(anomaly["event"]["line"], 1);
}

#[test]
fn json_on_standard_output_is_the_json_file() {
    let place = Place::new();
    let found = place.analyze("app.log -o out.json");
    assert_eq!(found.out, place.text("out.json"));
}

#[test]
fn the_id_of_a_link_does_not_depend_on_what_else_is_analysed() {
    let place = Place::new();
    let ids = |files: &str| -> BTreeSet<String> {
        let json = place.analyze(files).json();
        let links = json["links"].as_array().unwrap().iter();
        links.map(|link| link["id"].as_str().unwrap().to_owned()).collect()
    };
    let alone = ids("app.log");
    assert_eq!(alone.len(), 2);
    place.write("more.log", LOG.replace("T0", "T1"));
    let together = ids("more.log app.log --window 48h --threads 1");
    assert_eq!(together.len(), 8);
    assert!(alone.is_subset(&together));
}
