//! Uploads, answered at once.

use std::io::{Cursor, Write};
use std::process::Command;

use api::Limits;
use serde_json::Value;

use crate::common::{LOG, Served, data, example, forms};

#[test]
fn the_clients_of_the_original_get_the_csv_of_the_links() {
    let server = Served::new(Limits::default());
    let mut parts = example();
    parts.push(format!("anomalies_file=@{}", data().join("anomalies_problems.csv").display()));
    let (status, headers, csv) = server.curl("/analyze-logs/", &forms(&parts));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&csv));
    assert!(headers.contains("content-type: text/csv"), "{headers}");
    assert!(headers.contains("attachment; filename=correlation_results.csv"), "{headers}");
    assert!(csv.starts_with(b"\xef\xbb\xbfanomaly_id,anomaly_text,problem_id,problem_text,"));
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(&csv[3..]).records().map(Result::unwrap).collect();
    let mut expected = csv::Reader::from_path(data().join("expected_links.csv")).unwrap();
    assert_eq!(rows.len(), expected.records().count());
    server.is_clean();
}

#[test]
fn the_format_is_that_of_the_address_or_of_the_accept_header() {
    let server = Served::new(Limits::default());
    let parts = example();
    let mut asked = forms(&parts);
    let (status, _, json) = server.curl("/analyze-logs?format=json", &asked);
    let report: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((status, report["links"].as_array().unwrap().len()), (200, 19));
    assert_eq!(report["judge"]["model"], "all-MiniLM-L6-v2");
    asked.extend(["-H", "Accept: application/json"]);
    assert_eq!(server.curl("/analyze-logs/", &asked).2, json, "the same bytes");
    let (_, headers, xlsx) = server.curl("/analyze-logs/?format=xlsx", &asked);
    assert!(headers.contains("correlation_results.xlsx") && xlsx.starts_with(b"PK"), "{headers}");
}

#[test]
fn what_cannot_be_used_is_refused_by_its_name() {
    let server = Served::new(Limits::default());
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let with = |name: &str, bytes: &[u8]| format!("log_files=@{}", server.write(name, bytes));
    server.refuses(&["-F", "other=1"], 422, &["log_files: missing"]);
    server.refuses(&["-F", "log_files=text"], 422, &["log_files: a part without a file name"]);
    server.refuses(&["-F", &with("a.exe", b"x")], 400, &["a.exe", "does not end in .txt, .log"]);
    server.refuses(&["-F", &with("b.log", b"\x7fELF\x02\x01")], 400, &["b.log: is not text"]);
    server.refuses(&["-F", &with("c.gz", b"\x1f\x8bxx")], 400, &["c.gz"]);
    server.refuses(&["-F", &with("d.log", b"hello\n")], 400, &["no event in the logs"]);
    let pairs = format!("anomalies_file=@{}", server.write("pairs.csv", "a;b\n1;2\n"));
    server.refuses(&["-F", &log, "-F", &pairs], 400, &["pairs.csv"]);
    let twice = ["-F", &log, "-F", &pairs, "-F", &pairs];
    server.refuses(&twice, 422, &["anomalies_file: sent twice"]);
    let not_csv = format!("anomalies_file=@{}", server.write("pairs.txt", "x"));
    server.refuses(&["-F", &log, "-F", &not_csv], 400, &["pairs.txt", "does not end in .csv"]);
    let (status, _, body) = server.curl("/analyze-logs/?format=pdf", &["-F", &log]);
    let body = String::from_utf8(body).unwrap();
    assert!(status == 422 && body.contains("expected one of `csv`, `xlsx`, `json`"), "{body}");
}

#[test]
fn hostile_names_are_only_names() {
    let server = Served::new(Limits::default());
    let path = server.write("app.log", LOG);
    let long = format!("{}.log", "я".repeat(20_000));
    for name in ["../../etc/passwd.log", "<script>alert(1)</script>.log", "=cmd|'x'!A1.log", &long]
    {
        let part = format!("log_files=@{path};filename=\"{name}\"");
        let (status, _, json) = server.curl("/analyze-logs/?format=json", &["-F", &part]);
        let text = String::from_utf8_lossy(&json).into_owned();
        assert_eq!(status, 200, "{name:.40}: {text}");
        let report: Value = serde_json::from_slice(&json).unwrap();
        let file = report["links"][0]["problem"]["event"]["file"].as_str().unwrap();
        assert!(!file.contains('/') && file.len() <= 120, "{file}");
    }
    let both = [format!("log_files=@{path}"), format!("log_files=@{path}")];
    let (status, _, json) = server.curl("/analyze-logs/?format=json", &forms(&both));
    let report: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(status, 200);
    assert_eq!(report["files"].as_array().unwrap().len(), 2, "two files of one name are two");
    server.is_clean();
}

#[test]
fn limits_hold_before_anything_is_worked_on() {
    let archives = parse::Limits { unpacked: 1 << 20, ..parse::Limits::default() };
    let server = Served::new(Limits { bytes: 100_000, files: 3, archives, ..Limits::default() });
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let large = format!("log_files=@{}", server.write("large.log", vec![b'x'; 200_000]));
    server.refuses(&["-F", &large], 413, &["the upload", "100000 bytes"]);
    let chunked = ["-H", "Transfer-Encoding: chunked", "-F", &large];
    server.refuses(&chunked, 413, &["large.log", "100000 bytes"]);
    let many = ["-F", &log, "-F", &log, "-F", &log, "-F", &log];
    server.refuses(&many, 413, &["more than 3 parts"]);
    let mut bomb = zip::ZipWriter::new(Cursor::new(Vec::new()));
    bomb.start_file("bomb.log", zip::write::SimpleFileOptions::default()).unwrap();
    bomb.write_all(&vec![b'x'; 4 << 20]).unwrap();
    let bomb = bomb.finish().unwrap().into_inner();
    let bomb = format!("log_files=@{}", server.write("bomb.zip", bomb));
    server.refuses(&["-F", &bomb], 413, &["bomb.zip", "over the limit"]);
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    let server = Served::new(Limits::default());
    let large = server.write("large.log", LOG.repeat(200_000));
    let part = format!("log_files=@{large}");
    for seconds in ["0.02", "0.1", "0.3"] {
        let _ = Command::new("curl")
            .args(["--silent", "--max-time", seconds, "-F", &part])
            .arg(format!("{}/analyze-logs/?format=json", server.address))
            .output();
    }
    server.is_clean();
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    assert_eq!(server.curl("/analyze-logs/", &["-F", &log]).0, 200, "it serves on");
}

#[test]
fn many_at_once_wait_their_turn() {
    let server = Served::new(Limits::default());
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let address = format!("{}/analyze-logs/", server.address);
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let mut command = Command::new("curl");
            command.args(["--silent", "--fail", "-F", &log, &address]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    }
    server.is_clean();
}
