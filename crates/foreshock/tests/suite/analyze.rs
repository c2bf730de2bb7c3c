//! The right links, whatever the files come in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use encoding_rs::WINDOWS_1251;

use crate::common::*;

fn analyze_data(place: &Place, logs: &[PathBuf], arguments: &str) -> Run {
    let dictionary = data().join("anomalies_problems.csv");
    let mut command = place.foreshock(&format!("analyze {arguments} --dictionary"));
    command.arg(dictionary);
    run_with(command, logs).ok()
}

#[test]
fn the_example_data_gives_exactly_its_expected_links_and_its_counts_add_up() {
    let found = analyze_data(&Place::new(), &logs_of_data(), "--json");
    let mut expected = csv::Reader::from_path(data().join("expected_links.csv")).unwrap();
    let mut expected: Vec<Link> = expected
        .deserialize()
        .map(|row| {
            type Row = (String, u64, u64, String, u64, String, u64);
            let (_, anomaly, problem, anomaly_file, anomaly_line, file, line): Row = row.unwrap();
            (anomaly, anomaly_file, anomaly_line, problem, file, line)
        })
        .collect();
    expected.sort();
    assert_eq!(found.links(), expected);

    let json = found.json();
    assert_eq!(json["link_count"], expected.len());
    let files = json["files"].as_array().unwrap();
    assert_eq!(files.len(), logs_of_data().len());
    let kinds =
        ["errors", "warnings", "others", "blank", "no_timestamp", "no_level", "bad_timestamp"];
    for counts in files.iter().chain([&json["total"]]) {
        let sum: u64 = kinds.iter().map(|kind| counts[kind].as_u64().unwrap()).sum();
        assert_eq!(counts["lines"], sum, "{counts}");
    }
    for (file, path) in files.iter().zip(logs_of_data()) {
        let bytes = fs::read(path).unwrap();
        assert_eq!(file["bytes"], bytes.len());
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
        assert_eq!(file["lines"], lines, "{file}");
    }
    let lines: u64 = files.iter().map(|file| file["lines"].as_u64().unwrap()).sum();
    assert_eq!(json["total"]["lines"], lines);
}

/// Writes a labelled incident with the script of FORESHOCK_TEST_DATA, a folder.
#[test]
fn a_labelled_incident_gives_exactly_its_rows() {
    let Some(folder) = std::env::var_os("FORESHOCK_TEST_DATA") else {
        eprintln!("skipped: FORESHOCK_TEST_DATA names no folder with make_case.py");
        return;
    };
    let place = Place::new();
    let script = Path::new(&folder).join("make_case.py");
    let made = Command::new("python3").arg(script).arg(place.path("out")).status().unwrap();
    assert!(made.success());
    let logs: Vec<PathBuf> = fs::read_dir(place.path("out/case2"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    assert_eq!(logs.len(), 10);
    let command = "analyze --dictionary out/case2/anomalies_problems.csv -o out.csv";
    run_with(place.foreshock(command), logs).ok();
    let rows = |name: &str, columns: [usize; 5]| -> BTreeSet<Vec<String>> {
        let text = place.text(name);
        let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let rows = reader.records().map(Result::unwrap);
        rows.map(|row| columns.iter().map(|column| row[*column].to_owned()).collect()).collect()
    };
    assert_eq!(rows("out.csv", [0, 2, 4, 5, 6]), rows("out/case2.expected.csv", [0, 1, 2, 3, 4]));
}

#[test]
fn every_order_packing_and_number_of_threads_gives_the_same_bytes() {
    let place = Place::new();
    let logs = logs_of_data();
    let read: Vec<(String, Vec<u8>)> = logs
        .iter()
        .map(|log| {
            let name = log.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(log).unwrap())
        })
        .collect();
    let members = read.iter().rev().map(|(name, bytes)| (&name[..], &bytes[..]));
    let archive = place.write("logs.zip", zip(members));
    let gzipped: Vec<PathBuf> =
        read.iter().map(|(name, bytes)| place.write(&format!("{name}.gz"), gz(bytes))).collect();
    let reversed: Vec<PathBuf> = logs.iter().rev().cloned().collect();

    let outputs = "-o out.csv -o out.xlsx -o out.json --threads";
    let reports = |logs: &[PathBuf], threads| {
        analyze_data(&place, logs, &format!("{outputs} {threads}"));
        ["out.csv", "out.xlsx", "out.json"].map(|name| place.read(name))
    };
    let expected = reports(&logs, 2);
    assert!(expected[0].len() > 1000);
    for (how, logs, threads) in [
        ("reversed", &reversed, 2),
        ("one thread", &logs, 1),
        ("one zip", &vec![archive], 2),
        ("each as gz", &gzipped, 2),
    ] {
        assert!(reports(logs, threads) == expected, "{how}");
    }
}

fn utf16(bytes_of: fn(u16) -> [u8; 2], text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(bytes_of).collect()
}

#[test]
fn every_encoding_is_recognised_in_an_archive_too() {
    let place = Place::new();
    for (how, bytes) in [
        ("UTF-8 with a mark", format!("\u{feff}{LOG}").into_bytes()),
        ("cp1251", WINDOWS_1251.encode(LOG).0.into_owned()),
        ("UTF-16LE", utf16(u16::to_le_bytes, LOG)),
        ("UTF-16BE", utf16(u16::to_be_bytes, LOG)),
    ] {
        place.write("app.log.gz", gz(&bytes));
        place.write("logs.zip", zip([("app.log", &bytes[..])]));
        for file in ["app.log.gz", "logs.zip"] {
            assert_eq!(
                place.run(&format!("analyze --json {file}")).links(),
                links_of_log(),
                "{how} in {file}"
            );
        }
    }
}

#[test]
#[cfg(unix)]
fn a_pipe_is_read_like_a_file() {
    let place = Place::new();
    let mut command = place.foreshock("analyze --json /dev/stdin");
    let found = run(command.write_stdin(LOG)).ok();
    assert_eq!(found.links().len(), 2);
    assert_eq!(found.json()["total"]["lines"], 6);
}

#[test]
fn every_encoding_and_line_end_gives_the_same_links() {
    for (how, bytes) in [
        ("UTF-8", LOG.as_bytes().to_vec()),
        ("UTF-8 with a mark", format!("\u{feff}{LOG}").into_bytes()),
        ("cp1251", WINDOWS_1251.encode(LOG).0.into_owned()),
        ("UTF-16LE", utf16(u16::to_le_bytes, LOG)),
        ("UTF-16BE", utf16(u16::to_be_bytes, LOG)),
        ("CRLF", LOG.replace('\n', "\r\n").into_bytes()),
        ("no last line end", LOG.trim_end().as_bytes().to_vec()),
        ("cp1251 with CRLF in gz", gz(WINDOWS_1251.encode(&LOG.replace('\n', "\r\n")).0)),
    ] {
        let place = Place::new();
        place.write("app.log", bytes);
        let found = place.analyze("app.log");
        assert_eq!(found.links(), links_of_log(), "{how}");
        let json = found.json();
        let raw = &json["links"][1]["problem"]["event"]["raw"];
        assert_eq!(raw, "2025-10-06T08:30:00 CRITICAL net: Отказ внешней сети", "{how}");
        assert_eq!(json["total"]["lines"], 6, "{how}");
    }
}

#[test]
fn a_dictionary_in_cp1251_with_the_russian_header_gives_the_same_links() {
    let russian = DICTIONARY.replace(
        "anomaly_id;anomaly;problem_id;problem",
        "ID аномалии;Аномалия;ID проблемы;Проблема",
    );
    let place = Place::new();
    for bytes in [WINDOWS_1251.encode(&russian).0.into_owned(), format!("\u{feff}{russian}").into()]
    {
        place.write("data/anomalies_problems.csv", bytes);
        assert_eq!(place.analyze("app.log").links(), links_of_log());
    }
}

#[test]
fn a_line_of_a_gigabyte_is_cut_and_the_next_line_is_read() {
    let place = Place::new();
    let mut file = File::create(place.path("huge.log")).unwrap();
    file.write_all(b"2025-10-06T07:42:23 ERROR x: ").unwrap();
    // A hole takes no room on disk.
    file.set_len(1 << 30).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    let (_, behind) = LOG.split_once('\n').unwrap();
    write!(file, "\n2025-10-06T07:00:00 WARN db: Replica apply queue growing\n{behind}").unwrap();
    let found = place.analyze("huge.log");
    let expected =
        links(&[(1, "huge.log", 2, 10, "huge.log", 4), (2, "huge.log", 5, 20, "huge.log", 7)]);
    assert_eq!(found.links(), expected);
    let total = &found.json()["total"];
    assert_eq!((&total["cut"], &total["lines"]), (&1.into(), &7.into()));
    place.run("analyze huge.log").ok().shows(&["1 cut for their length"]);
}

#[test]
fn only_the_level_of_a_line_makes_it_an_anomaly_or_a_problem() {
    let place = Place::new();
    for (levels, count) in [
        (("WARN", "ERR"), 1),
        (("WARNING", "ERROR"), 1),
        (("warning", "Critical"), 1),
        (("WARNING", "FATAL"), 1),
        (("WARNING", "INFO"), 0),
        (("ERROR", "ERROR"), 0),
        (("ERROR", "WARNING"), 0),
        (("INFO", "DEBUG"), 0),
    ] {
        let log = LOG.replace("WARNING", levels.0).replace(" ERROR", &format!(" {}", levels.1));
        let log: Vec<&str> = log.lines().take(3).collect();
        place.write("app.log", log.join("\n"));
        assert_eq!(place.analyze("app.log").links().len(), count, "{levels:?}");
    }
}

#[test]
fn the_window_holds_its_own_length_in_both_directions_and_no_nanosecond_more() {
    let place = Place::new();
    for (anomaly, window, count) in [
        ("2025-10-05T12:00:00", "24h", 1),
        ("2025-10-05T11:59:59.999999999", "24h", 0),
        ("2025-10-07T12:00:00.0", "1d", 1),
        ("2025-10-07T12:00:00.000000001", "1d", 0),
        ("2025-10-06T12:00:00", "0s", 1),
        ("2025-10-06T12:00:01", "0s", 0),
        ("2025-10-06T10:30:00", "90m", 1),
    ] {
        place.write(
            "app.log",
            format!(
                "{anomaly} WARN db: Replica apply queue growing\n\
                 2025-10-06T12:00:00 ERROR db: Replica fell out of step with primary\n"
            ),
        );
        let found = place.analyze(&format!("app.log --window {window}"));
        assert_eq!(found.links().len(), count, "{anomaly} in {window}");
    }
}

#[test]
fn log_tz_moves_timestamps_without_offset_only_and_the_argument_wins() {
    let place = Place::new();
    place.write(
        "app.log",
        "2025-10-06T07:00:00 WARN db: Replica apply queue growing\n\
         2025-10-06T07:00:00+00:00 ERROR db: Replica fell out of step with primary\n",
    );
    for (variable, argument, lag) in [
        (None, "", 0.0),
        (Some("UTC"), "", 0.0),
        (Some("+03:00"), "", 10_800.0),
        (Some("Europe/Moscow"), "", 10_800.0),
        (Some("+03:00"), "--log-tz -01:00", -3_600.0),
    ] {
        let mut command = place.foreshock(&format!("analyze app.log --json {argument}"));
        if let Some(zone) = variable {
            command.env("LOG_TZ", zone);
        }
        let found = run(&mut command).ok().says(&["1 of 2 ERROR and WARNING timestamps have an"]);
        let link = &found.json()["links"][0];
        assert_eq!(link["lag_seconds"], lag, "{variable:?} {argument}");
        assert_eq!(link["problem"]["event"]["time"], "2025-10-06T07:00:00Z");
        assert_eq!(link["anomaly"]["event"]["timestamp"], "2025-10-06T07:00:00");
    }
}

#[test]
fn files_of_one_name_are_told_apart_by_their_folder() {
    let place = Place::new();
    let lines: Vec<&str> = LOG.lines().collect();
    place.write("a/app.log", lines[0]);
    place.write("b/app.log", lines[2]);
    let expected = links(&[(1, "a/app.log", 1, 10, "b/app.log", 1)]);
    assert_eq!(place.analyze("b/app.log a/app.log").links(), expected);
}

#[test]
fn a_log_and_a_packed_one_of_its_name_are_told_apart_in_any_order() {
    let place = Place::new();
    let lines: Vec<&str> = LOG.lines().collect();
    place.write("app.log", lines[0]);
    place.write("app.log.gz", gz(lines[2]));
    let found = place.analyze("app.log app.log.gz");
    assert_eq!(found.links().len(), 1);
    assert_ne!(found.links()[0].1, found.links()[0].4);
    assert!(place.analyze("app.log.gz app.log").out == found.out, "the order decides who is who");
}

#[test]
fn a_file_given_twice_is_read_once() {
    let place = Place::new();
    let found =
        place.analyze("app.log ./app.log data/../app.log").says(&["given twice, read once"]);
    assert_eq!(found.links(), links_of_log());
    assert_eq!(found.json()["total"]["lines"], 6);
}

#[test]
fn ids_come_from_the_row_that_pairs_the_two_texts() {
    let place = Place::with_dictionary(
        "anomaly_id;anomaly;problem_id;problem\n\
         1;Disk failing;10;Array offline\n\
         7;Fan stopped;30;Server too hot\n\
         5;Disk failing;30;Server too hot\n\
         4;Disk failing;31;Server too hot\n",
    );
    place.write(
        "app.log",
        "2025-10-06T07:00:00 WARN hw:  disk FAILING \n2025-10-06T07:01:00 ERROR hw: Server too hot",
    );
    let found = place.analyze("app.log");
    assert_eq!(found.links(), links(&[(5, "app.log", 1, 30, "app.log", 2)]));
    assert_eq!(found.json()["links"][0]["dictionary_row"], 4);
}

#[test]
fn the_pair_threshold_is_off_unless_given() {
    let place = Place::new();
    for (threshold, count) in [("", 2), ("--pair-threshold off", 2), ("--pair-threshold 1", 0)] {
        let found = place.analyze(&format!("app.log {threshold}"));
        assert_eq!(found.links().len(), count, "{threshold}");
    }
}

#[test]
fn the_summary_says_what_was_found_and_what_was_passed_over() {
    let place = Place::new();
    place.run("analyze app.log -o out.csv").ok().shows(&[
        "ERROR  2025-10-06T07:42:23  app.log:3  Replica fell out of step with primary",
        "└ 42m 23s before  2025-10-06T07:00:00  app.log:1  Replica apply queue growing",
        "2 of 2 ERROR events say a known problem, 2 of 2 WARNING events a known anomaly",
        "2 links (within 24h)",
        "1 file, 6 lines, 5 events, 1 line passed over (1 without a time)",
        "written: out.csv",
    ]);
    let shown = place.run("analyze app.log --show 1").ok();
    shown.shows(&["07:42:23", "… and 1 more problem event"]);
}
