//! Logs that cannot be read, or not as given: named, with the way out.

use std::io::Write;

use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::common::*;

/// A line of `links_of_log` each, then much that packs badly.
fn log_with_noise() -> String {
    LOG.to_owned() + &noise(20_000)
}

#[test]
fn a_file_that_is_no_log_is_named_with_what_to_do() {
    let place = Place::new();
    let random: Vec<u8> =
        (0..4096u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (bytes, words) in [
        (&b"\x28\xb5\x2f\xfd\x04"[..], ["packed with zstd", "zstd -d"]),
        (b"\xfd7zXZ\0\0", ["packed with xz", "xz -d"]),
        (b"BZh91AY&SY", ["packed with bzip2", "bzip2 -d"]),
        (b"7z\xbc\xaf\x27\x1c", ["packed with 7-Zip", "7z x"]),
        (b"Rar!\x1a\x07", ["packed with RAR", "unrar x"]),
        (b"\x7fELF\x02\x01\x01\0", ["not text", "it is a program"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["not text", "control characters"]),
        (&random, ["not text", "leave this file out"]),
    ] {
        place.write("bad.log", bytes);
        place.refuses("app.log bad.log", 2, &["error: bad.log: is", words[0], words[1]]);
        let found = place.analyze("app.log bad.log --keep-going").says(&["warning: bad.log: is"]);
        assert_eq!(found.links(), links_of_log());
    }
}

#[test]
fn what_is_no_file_is_named() {
    let place = Place::new();
    place.refuses("gone.log", 2, &["error: gone.log: no such file", "Check the path"]);
    place.refuses("data", 2, &["error: data: is a folder", "data/*.log"]);
    let run =
        place.run("analyze gone.log --keep-going").ends(3).says(&["warning: gone.log: no such"]);
    assert!(!run.err.contains("the logs are empty"), "{}", run.err);
}

#[test]
fn several_broken_files_are_all_named_at_once() {
    let place = Place::new();
    place.write("cut.gz", &gz(log_with_noise())[..1000]);
    place.write("x.log", b"\xfd7zXZ\0\0");
    let words = ["data: is a folder", "gone.log: no such file", "x.log: is packed"];
    place.refuses("gone.log app.log data x.log", 2, &words);
    let all = place.run("analyze gone.log cut.gz app.log data x.log --keep-going").ok();
    all.says(&words).says(&["cut", ": ends in the middle"]);
}

#[test]
fn logs_without_an_event_say_what_their_lines_look_like() {
    let place = Place::new();
    let timed = "2025-10-06T07:42:23 database started\n2025-10-06T07:42:24 database stopped\n";
    for (bytes, words) in [
        ("", ["note: bad.log: is empty", "the logs are empty"]),
        ("Once upon a time\nthere was\na log\n", ["no event", "none of the 3 lines begins with a"]),
        (timed, ["no event", "no level such as ERROR or INFO"]),
        ("\n\n", ["no event", "A line looks like `2025-10-06T07:42:23 ERROR database"]),
    ] {
        place.write("bad.log", bytes);
        place.refuses("bad.log", 3, &words);
        assert_eq!(place.analyze("bad.log app.log").links(), links_of_log());
    }
}

#[test]
fn a_truncated_gz_names_the_file_and_says_to_copy_it_again() {
    let place = Place::new();
    let whole = gz(log_with_noise());
    place.write("app.log.gz", &whole[..whole.len() / 2]);
    let words = ["app.log", ": ends in the middle of its packed data", "Copy it again"];
    place.refuses("app.log.gz", 2, &words);
    let found = place.analyze("app.log.gz --keep-going").says(&["warning: "]).says(&words);
    assert_eq!(found.links(), links_of_log());
    for length in [3, 9, whole.len() - 4] {
        place.write("app.log.gz", &whole[..length]);
        place.refuses("app.log.gz", 2, &words);
    }
}

#[test]
fn a_damaged_gz_is_refused_wherever_it_is_damaged() {
    let place = Place::new();
    let whole = gz(log_with_noise());
    for (damaged, how) in [(whole.len() / 2, "data"), (whole.len() - 6, "checksum")] {
        let mut bytes = whole.clone();
        bytes[damaged..damaged + 2].iter_mut().for_each(|byte| *byte ^= 0xff);
        place.write("app.log.gz", bytes);
        let run = place.run("analyze app.log.gz").ends(2);
        // What is damaged may also look as if it ended too early.
        let told = ["is damaged", "ends in the middle"].iter().any(|word| run.err.contains(word));
        assert!(
            told && run.err.contains("again") && run.err.contains("app.log"),
            "{how}: {}",
            run.err
        );
    }
}

#[test]
fn a_damaged_zip_is_refused_wherever_it_is_damaged() {
    let place = Place::new();
    let whole = zip([("app.log", log_with_noise().as_bytes())]);
    let half = whole.len() / 2;
    let mut overwritten = whole.clone();
    overwritten[half..half + 64].fill(0x55);
    // The last 16 bytes tell where the list of members begins.
    let mut without_list = whole.clone();
    let end = whole.len();
    without_list[end - 6..end - 2].fill(0xff);
    for (bytes, how) in [(&whole[..half], "cut"), (&overwritten, "data"), (&without_list, "list")] {
        place.write("logs.zip", bytes);
        let run = place.run("analyze logs.zip").ends(2);
        let told = ["is damaged", "ends in the middle"].iter().any(|word| run.err.contains(word));
        assert!(told && run.err.contains("again"), "{how}: {}", run.err);
    }
}

#[test]
fn a_stored_member_with_a_wrong_checksum_is_refused() {
    let place = Place::new();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file("app.log", stored).unwrap();
    archive.write_all(LOG.as_bytes()).unwrap();
    let mut bytes = archive.finish().unwrap().into_inner();
    place.write("logs.zip", &bytes);
    assert_eq!(place.analyze("logs.zip").links(), links_of_log());
    let place_of_text = bytes.windows(7).position(|text| text == b"Replica").unwrap();
    bytes[place_of_text] = b'r';
    place.write("logs.zip", &bytes);
    place.refuses("logs.zip", 2, &["app.log: is damaged", "checksum"]);
}

#[test]
fn a_bomb_is_refused_by_its_ratio() {
    let place = Place::new();
    let zeros = vec![0; 200_000_000];
    place.write("logs.zip", zip([("app.log", &zeros[..])]));
    place.write("zeros.log.gz", gz(&zeros));
    for name in ["logs.zip", "zeros.log.gz"] {
        let words = ["over the limit of 400 times its size", "Refused", "raise the limit"];
        place.refuses(name, 2, &words);
    }
    // An honest file of that kind can still be read.
    let words = ["none of the 1 lines", "no event"];
    place.refuses("logs.zip --max-ratio 100000", 3, &words);
}

#[test]
fn what_fails_inside_an_archive_names_the_archive() {
    let place = Place::new();
    let zeros = vec![0; 100_000_000];
    place.write("bomb.zip", zip([("app.log", &zeros[..])]));
    let mut damaged = zip([("app.log", log_with_noise().as_bytes())]);
    let half = damaged.len() / 2;
    damaged[half..half + 64].fill(0x55);
    place.write("damaged.zip", damaged);
    place.write("deep/cut.log.gz", &gz(log_with_noise())[..half / 2]);
    for (path, name) in [
        ("bomb.zip", "bomb.zip"),
        ("damaged.zip", "damaged.zip"),
        ("deep/cut.log.gz", "cut.log.gz"),
    ] {
        place.refuses(path, 2, &[name]);
    }
}

#[test]
fn members_of_one_archive_share_its_limit() {
    let place = Place::new();
    let members = ["a.log", "b.log", "c.log"].map(|name| (name, LOG.as_bytes()));
    place.write("logs.zip", zip(members));
    let limit = LOG.len() * 2;
    let words = format!("over the limit of {limit} bytes");
    place.refuses(&format!("logs.zip --max-unpacked {limit}"), 2, &[&words, "Refused"]);
    let limit = LOG.len() * 3;
    place.run(&format!("analyze logs.zip --max-unpacked {limit}")).ok();
}

#[test]
fn a_short_log_of_one_repeated_line_is_no_bomb() {
    let place = Place::new();
    let line = LOG.lines().nth(1).unwrap().to_owned() + "\n";
    place.write("app.log.gz", gz(line.repeat(200_000)));
    assert_eq!(place.analyze("app.log.gz").json()["total"]["lines"], 200_000);
}

#[test]
fn a_member_whose_name_climbs_out_of_the_archive_is_read_and_written_nowhere() {
    let place = Place::new();
    let name = "../../etc/x.log";
    place.write("deep/down/here/logs.zip", zip([(name, LOG.as_bytes())]));
    let before = place.tree();
    let found = place.analyze("deep/down/here/logs.zip");
    assert_eq!(found.links()[0].1, "x.log");
    found.says(&["\"../../etc/x.log\" names a place outside", "nothing is written there"]);
    assert_eq!(place.tree(), before);
}

#[test]
fn members_of_one_name_are_told_apart_and_others_are_passed_over() {
    let place = Place::new();
    let lines: Vec<&[u8]> = LOG.lines().map(str::as_bytes).collect();
    let members = [
        ("a/app.log", lines[0]),
        ("b/app.log", lines[2]),
        ("photo.jpg", b"\xff\xd8"),
        ("__MACOSX/._app.log", b"\0\x05"),
    ];
    place.write("logs.zip", zip(members));
    let found = place.analyze("logs.zip").says(&["\"photo.jpg\" passed over: not .txt or .log"]);
    assert_eq!(found.links(), links(&[(1, "a/app.log", 1, 10, "b/app.log", 1)]));
}

#[test]
fn a_zip_without_logs_is_named() {
    let place = Place::new();
    for bytes in [zip([]), zip([("readme.md", &b"hello"[..])])] {
        place.write("logs.zip", bytes);
        place.refuses("logs.zip", 2, &["logs.zip: holds no .txt or .log file"]);
    }
}

#[test]
fn an_encrypted_zip_is_named_with_its_member() {
    let place = Place::new();
    let mut bytes = zip([("app.log", LOG.as_bytes())]);
    // The first flag of a member, here and in the list at the end, tells that it is encrypted.
    for (signature, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let header = bytes.windows(4).position(|four| four == signature).unwrap();
        bytes[header + flags] |= 1;
    }
    place.write("logs.zip", bytes);
    place.refuses("logs.zip", 2, &["logs.zip: app.log: is encrypted", "password"]);
}

#[test]
fn a_binary_member_is_named_like_a_binary_file() {
    let place = Place::new();
    place.write("logs.zip", zip([("app.log", &b"\x7fELF\x02\x01\x01\0\x01\x02\x03"[..])]));
    place.write("core.log.gz", gz(b"\x7fELF\x02\x01\x01\0\x01\x02\x03"));
    for (file, name) in [("logs.zip", "app.log"), ("core.log.gz", "core.log")] {
        let run = place.run(&format!("analyze {file}"));
        assert_ne!(run.code, Some(0));
        run.says(&[name]);
    }
}

#[test]
fn a_tar_is_named_and_not_read_as_one_log() {
    let place = Place::new();
    let mut tar = vec![0; 512];
    tar[..7].copy_from_slice(b"app.log");
    tar[257..265].copy_from_slice(b"ustar\x0000");
    tar.extend(LOG.as_bytes());
    tar.resize(4096, 0);
    place.write("packed.tgz", gz(&tar));
    place.write("logs.tar", tar);
    for name in ["logs.tar", "packed.tgz"] {
        place.refuses(name, 2, &[name, "tar", "Unpack it first"]);
    }
}

#[test]
fn an_archive_in_an_archive_is_named_not_counted_as_text() {
    let place = Place::new();
    place.write("logs.zip", zip([("app.log.gz", &gz(LOG)[..]), ("b.log", LOG.as_bytes())]));
    place.analyze("logs.zip").says(&["\"app.log.gz\" passed over"]);
}
