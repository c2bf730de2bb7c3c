//! `foreshock evaluate`.

use crate::common::*;

const LABELS: &str = "level,message,kind,target_text,difficulty\n\
    WARNING,replica apply queue GROWING,anomaly,Replica apply queue growing,easy\n\
    WARNING,the apply queue of the replica keeps growing,anomaly,Replica apply queue growing,medium\n\
    ERROR,standby out of step with the primary replica,problem,Replica fell out of step with primary,medium\n\
    WARNING,toner of printer HP-4 is low,none,,easy\n\
    WARNING,replica apply queue is no longer growing,none,,hard\n";

#[test]
fn labelled_messages_are_measured() {
    let place = Place::new();
    place.write("labels.csv", LABELS);
    let json = place.run("evaluate labels.csv --json --matcher cosine --reference-threshold 0.5");
    let json = json.ok().json();
    assert_eq!(json["matcher"], "cosine");
    let all = &json["messages"]["all"];
    let value = |measure: &str| all[measure]["value"].as_f64().unwrap();
    assert_eq!((all["messages"].as_u64(), all["with_target"].as_u64()), (Some(5), Some(3)));
    assert_eq!((value("precision"), value("recall")), (0.75, 1.0), "{all}");
    assert_eq!((value("top1"), value("decoys_matched")), (1.0, 0.5));
    let confusion = &json["messages"]["confusions"][0];
    assert_eq!(confusion["message"], "replica apply queue is no longer growing");
    assert_eq!(confusion["taken_for"], "Replica apply queue growing");
    assert!(confusion["target"].is_null());
    assert_eq!(json["messages"]["by_difficulty"]["medium"]["messages"], 2);
}

#[test]
fn the_example_data_is_measured_for_people_too() {
    let place = Place::with_dictionary(DICTIONARY);
    let mut command = place.foreshock("evaluate --dictionary");
    command.arg(data().join("anomalies_problems.csv"));
    command.arg(data().join("labelled/own_messages.csv"));
    command.arg("--expected").arg(data().join("expected_links.csv"));
    command.arg("--logs").args(logs_of_data());
    run(&mut command).ok().shows(&[
        "all            448",
        "best F1:",
        "worst confusions",
        "incident: 19 of 19 expected rows found, of 19 in all",
    ]);
}

#[test]
fn missed_and_invented_links_are_named() {
    let place = Place::new();
    place.write(
        "expected.csv",
        "anomaly_id,problem_id,file_name,line_number\n1,10,app.log,3\n7,70,app.log,9\n",
    );
    place.run("evaluate --expected expected.csv --logs app.log").ok().shows(&[
        "incident: 1 of 2 expected rows found, of 2 in all",
        "missed: anomaly 7 → problem 70 at app.log:9",
        "invented: anomaly 2 → problem 20 at app.log:6",
    ]);
}

#[test]
fn labels_that_cannot_be_used_are_named_with_their_row() {
    let place = Place::new();
    for (labels, words) in [
        ("level,message,target_text\n", "has no rows"),
        ("level,message,target_text\nINFO,a,\n", "row 2: the level must be WARNING or ERROR"),
        ("level,message,target_text\nERROR,,\n", "row 2: no message"),
        ("level,message,target_text\nERROR,a,No such text\n", "no problem \"No such text\" in the"),
    ] {
        place.write("labels.csv", labels);
        place.run("evaluate labels.csv").fails(2, &["labels.csv", words]);
    }
    place.run("evaluate gone.csv").fails(2, &["gone.csv"]);
    place.run("evaluate").fails(2, &["required"]);
}
