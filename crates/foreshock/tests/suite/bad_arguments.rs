//! Arguments that are refused, and results that cannot be written.

use std::fs;

use crate::common::*;

#[test]
fn a_bad_value_is_refused_with_what_is_wanted() {
    let place = Place::new();
    for (arguments, words) in [
        ("", ["<LOGS>", "required"]),
        ("app.log --window soon", ["--window", "24h, 90m or 1d12h"]),
        ("app.log --window=-1h", ["--window", "must not be negative"]),
        ("app.log --window -1h", ["--window", "must not be negative"]),
        ("app.log --log-tz Mars/Olympus", ["--log-tz", "Europe/Moscow"]),
        ("app.log --log-tz +99:00", ["--log-tz", "+03:00"]),
        ("app.log --reference-threshold 1.5", ["--reference-threshold", "from -1 to 1"]),
        ("app.log --reference-threshold NaN", ["--reference-threshold", "from -1 to 1"]),
        ("app.log --reference-threshold -0.1", ["--reference-threshold -0.1", "from 0 to 1"]),
        ("app.log --matcher best", ["--matcher", "evidence, cosine"]),
        ("app.log --pair-threshold -1.01", ["--pair-threshold", "from -1 to 1"]),
        ("app.log --pair-threshold high", ["--pair-threshold", "from -1 to 1"]),
        ("app.log --threads 0", ["--threads", "0"]),
        ("app.log -o out.pdf", ["out.pdf", ".csv, .xlsx or .json"]),
        ("app.log -o out", ["out", ".csv, .xlsx or .json"]),
    ] {
        let before = place.tree();
        place.refuses(arguments, 2, &words);
        assert_eq!(place.tree(), before, "{arguments}");
    }
    let mut command = place.foreshock("analyze app.log");
    run(command.env("LOG_TZ", "Mars/Olympus")).fails(2, &["--log-tz", "Mars/Olympus"]);
}

#[test]
fn a_result_in_a_folder_that_is_not_there_is_refused_before_any_work() {
    let place = Place::new();
    // The model is not there either: it would be asked for first otherwise.
    let command = "analyze app.log -o there.csv -o gone/out.csv --model no-model";
    place.run(command).fails(5, &["gone/out.csv: cannot be written", "there is no folder gone"]);
    assert!(!place.path("there.csv").exists());
}

#[test]
fn a_failing_run_leaves_no_file_and_an_existing_one_as_it_was() {
    let place = Place::new();
    place.write("before.csv", "precious");
    let whole = gz(LOG.to_owned() + &noise(20_000));
    place.write("cut.log.gz", &whole[..whole.len() / 2]);
    let before = place.tree();
    for (files, code) in [
        ("gone.log app.log", 2),
        ("app.log cut.log.gz", 2),
        ("app.log --model no-model", 4),
        ("app.log --dictionary gone.csv", 2),
    ] {
        let outputs = "-o before.csv -o new.xlsx -o new.json";
        place.run(&format!("analyze {files} {outputs}")).ends(code);
        assert_eq!(place.tree(), before, "{files}");
        assert_eq!(place.text("before.csv"), "precious", "{files}");
    }
}

#[test]
fn an_existing_result_is_replaced() {
    let place = Place::new();
    place.write("out.csv", "old ".repeat(10_000));
    place.run("analyze app.log -o out.csv -o other.csv").ok();
    assert_eq!(place.text("out.csv"), place.text("other.csv"));
}

#[test]
fn a_result_over_a_folder_names_it() {
    let place = Place::new();
    fs::create_dir(place.path("out.csv")).unwrap();
    place.refuses("app.log -o out.csv", 5, &["out.csv: cannot be written"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_names_the_file() {
    let place = Place::new();
    for name in ["out.csv", "out.json", "out.xlsx"] {
        std::os::unix::fs::symlink("/dev/full", place.path(name)).unwrap();
        place.refuses(&format!("app.log -o {name}"), 5, &[name, "cannot be written", "space"]);
    }
}

#[test]
fn help_names_every_exit_code() {
    let place = Place::new();
    let help = place.run("--help").ok();
    for (code, words) in [(1, "linter"), (2, "usage"), (3, "no event"), (4, "model"), (5, "report")]
    {
        let line = help.out.lines().find(|line| line.starts_with(&format!("  {code}  ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{}", help.out);
    }
}
