//! Dictionaries that are refused, with the row and the column.

use crate::common::*;

const HEADER: &str = "anomaly_id;anomaly;problem_id;problem\n";

#[test]
fn a_wrong_dictionary_is_refused_with_its_row_and_column() {
    let row = |row: &str| format!("{HEADER}1;Disk failing;2;Array offline\n{row}\n").into_bytes();
    for (bytes, words) in [
        (Vec::new(), ["d.csv: is empty", "ID аномалии;Аномалия;ID проблемы;Проблема"]),
        (HEADER.into(), ["d.csv: has a header and no rows", "pairs an anomaly"]),
        (HEADER.replace(';', ",").into(), ["row 1", "separated by `,`; a dictionary"]),
        (HEADER.replace(";problem\n", "\n1;a;2").into(), ["row 1", "no column `problem`"]),
        (row("x7;Fan stopped;3;Too hot"), ["row 3", "column `anomaly_id`: `x7` is not a whole"]),
        (row("7;Fan stopped;3.5;Too hot"), ["row 3", "column `problem_id`: `3.5` is not a"]),
        (row("7;Fan stopped;-3;Too hot"), ["row 3", "column `problem_id`: `-3` is not a"]),
        (row("7;Fan stopped;3"), ["row 3", "column `problem` is missing"]),
        (row("7; ;3;Too hot"), ["row 3", "column `anomaly` is empty"]),
        (b"\x7fELF\x02\0\0\0".to_vec(), ["d.csv: is not text", "save it as CSV"]),
        (zip([("sheet.xml", &b"<x/>"[..])]), ["d.csv: is not text", "from a spreadsheet"]),
    ] {
        let place = Place::new();
        place.write("d.csv", bytes);
        place.refuses("app.log -d d.csv", 2, &["error: d.csv: "]);
        place.refuses("app.log --dictionary d.csv", 2, &words);
        place.run("lint --no-model --dictionary d.csv").fails(2, &words);
        place.run("match hello --dictionary d.csv").fails(2, &words);
    }
}

#[test]
fn a_dictionary_that_is_no_file_is_named_with_the_way_to_name_another() {
    let place = Place::new();
    let words = ["gone.csv: no such file", "--dictionary", "ANOMALIES_CSV_PATH"];
    place.refuses("app.log -d gone.csv", 2, &words);
    place.refuses("app.log -d data", 2, &["data: is a folder", ".csv file"]);
    let mut command = place.foreshock("analyze app.log");
    run(command.env("ANOMALIES_CSV_PATH", "gone.csv")).fails(2, &words);
}
