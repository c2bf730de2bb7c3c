//! What strangers send to do harm: the right status, served on, nothing left, nothing executed.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use api::Limits;
use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::common::{LOG, Served, wait_until};

/// What could be run, shown wrongly or taken for something else, where it is not only text.
const TEXTS: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://evil.example\";\"click\")",
    "=cmd|'/c calc'!A1",
    "+1+1",
    "@SUM(1;1)",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "\u{202e}gol.exe\u{202c} \u{200f}x",
];

impl Served {
    /// Sends bytes as they are, and reads the status and the content of the answer.
    fn raw(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        // It may be refused before all is sent.
        let _ = send(&mut stream, head, body);
        answer(stream)
    }

    /// Serves on, and keeps nothing.
    fn is_well(&self) {
        let log = format!("log_files=@{}", self.write("well.log", LOG));
        let (status, _, body) = self.curl("/analyze-logs/", &["-F", &log]);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        self.is_clean();
    }
}

fn send(stream: &mut TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("POST /analyze-logs/?format=json HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() >= length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, body.to_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => read.extend(&buffer[..count]),
            other => panic!("no answer, but {other:?} after {text:?}"),
        }
    }
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=xyz";

fn with_length(length: usize) -> String {
    format!("{FORM}\r\nContent-Length: {length}")
}

fn part(disposition: &str, content: &str) -> String {
    format!("--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

fn form(parts: &[String]) -> Vec<u8> {
    format!("{}--xyz--\r\n", parts.concat()).into_bytes()
}

fn log_part(content: &str) -> String {
    part("name=\"log_files\"; filename=\"a.log\"", content)
}

fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn hostile_text_in_logs_and_dictionaries_stays_text() {
    let mut pairs = "ID аномалии;Аномалия;ID проблемы;Проблема\n".to_owned();
    let mut log = String::new();
    for (id, text) in (1..).zip(TEXTS) {
        let quoted = text.replace('"', "\"\"");
        pairs.push_str(&format!("{id};\"{quoted} a\";{id};\"{quoted} p\"\n"));
        log.push_str(&format!(
            "2025-10-06T07:00:0{id} WARNING {text} a\n2025-10-06T07:42:0{id} ERROR {text} p\n"
        ));
    }
    let server = Served::new(Limits::default());
    let pairs = format!("anomalies_file=@{}", server.write("pairs.csv", pairs));
    let log = format!("log_files=@{};filename=\"=x<b>{{{{1}}}}.log\"", server.write("x.log", log));
    let parts = ["-F", &pairs, "-F", &log];
    let (status, headers, json) = server.curl("/analyze-logs/?format=json", &parts);
    let report: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(status, 200, "{report}");
    assert!(headers.contains("content-type: application/json"), "{headers}");
    let links = report["links"].as_array().unwrap();
    for text in TEXTS {
        let is_its = |link: &&Value| {
            link["problem"]["text"] == format!("{text} p")
                && link["anomaly"]["text"] == format!("{text} a")
        };
        let link = links.iter().find(is_its).unwrap_or_else(|| panic!("no link of {text:?}"));
        let raw = link["problem"]["event"]["raw"].as_str().unwrap();
        assert!(raw.ends_with(&format!("ERROR {text} p")), "the line is intact: {raw:?}");
        assert_eq!(link["problem"]["event"]["file"], "=x<b>{{1}}.log");
    }
    let (_, _, csv) = server.curl("/analyze-logs/?format=csv", &parts);
    let mut csv = csv::Reader::from_reader(&csv[3..]);
    for cell in
        csv.records().flat_map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
    {
        assert!(!cell.starts_with(['=', '+', '@', '\t', '\r']), "a formula: {cell:?}");
    }
    let (_, _, xlsx) = server.curl("/analyze-logs/?format=xlsx", &parts);
    let mut xlsx = zip::ZipArchive::new(Cursor::new(xlsx)).unwrap();
    let mut sheet = String::new();
    xlsx.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut sheet).unwrap();
    assert!(!sheet.contains("<f>") && !sheet.contains("<hyperlink"), "no formula, no link");
    assert!(!sheet.contains("<script>") && sheet.contains("&lt;script&gt;"));
    server.is_clean();
}

#[test]
fn hostile_names_never_leave_the_folder() {
    let server = Served::new(Limits::default());
    let long = "n".repeat(64 * 1024 - 4);
    for (name, status) in [
        ("../../etc/passwd", 400),
        ("../../etc/passwd.log", 200),
        ("/etc/cron.d/x.log", 200),
        ("..\\\\..\\\\x.log", 200),
        ("..", 400),
        (".log", 400),
        ("CON.log", 200),
        ("%2e%2e%2fx.log", 200),
        ("a;b=c.log", 200),
        ("\u{202e}gol.x\u{2066}.log", 200),
        ("-rf.log", 200),
        (&format!("{long}.log"), 200),
        (&format!("../{long}.zip"), 200),
        (&long, 400),
    ] {
        let body = form(&[part(&format!("name=\"log_files\"; filename=\"{name}\""), LOG)]);
        let (code, answer) = server.raw(&with_length(body.len()), &body);
        assert_eq!(code, status, "{name:.60}: {answer:.300}");
        assert!(answer.len() < 10_000 && !answer.contains("/tmp"), "{answer:.300}");
        if status == 200 {
            let report: Value = serde_json::from_str(&answer).unwrap();
            let file = report["links"][0]["problem"]["event"]["file"].as_str().unwrap();
            let harmful = |it: char| it.is_control() || ['/', '\\', '\u{202e}'].contains(&it);
            assert!(file.len() <= 120 && !file.contains(harmful), "{file:?}");
        }
    }
    assert!(!std::path::Path::new("/etc/cron.d/x.log").exists());
    server.is_well();
}

#[test]
fn parts_that_are_not_as_they_should_be_are_refused_by_their_reason() {
    let server = Served::new(Limits::default());
    for (parts, status, words) in [
        (vec![part("filename=\"a.log\"", LOG)], 422, "a part without a name"),
        (vec![part("name=\"log_files\"", LOG)], 422, "a part without a file name"),
        (vec!["--xyz\r\nX: y\r\n\r\nx\r\n".to_owned()], 422, "a part without a name"),
        // So sends a page what was left empty in its form.
        (vec![part("name=\"log_files\"; filename=\"\"", "")], 422, "log_files: missing"),
        (vec![], 422, "log_files: missing"),
    ] {
        let body = form(&parts);
        let (code, answer) = server.raw(&with_length(body.len()), &body);
        assert!(code == status && answer.contains(words), "{words}: {code} {answer}");
    }
    let empty = part("name=\"anomalies_file\"; filename=\"\"", "");
    let body = form(&[empty, log_part(LOG), part("name=\"note\"", "passed over")]);
    let (code, answer) = server.raw(&with_length(body.len()), &body);
    assert!(code == 200 && answer.contains("\"link_count\": 1"), "{answer}");
    server.is_well();
}

#[test]
fn what_is_no_whole_form_is_refused() {
    let server = Served::new(Limits::default());
    let body = form(&[log_part(LOG)]);
    let cut = &body[..body.len() - 30];
    let (code, answer) = server.raw(&with_length(cut.len()), cut);
    assert!(code == 400 && answer.contains("cannot be read"), "cut short: {code} {answer}");
    let wrong = "Content-Type: multipart/form-data; boundary=other";
    let (code, answer) = server.raw(&format!("{wrong}\r\nContent-Length: {}", body.len()), &body);
    assert!(code == 400 && answer.contains("cannot be read"), "boundary: {code} {answer}");
    for kind in ["text/plain", "multipart/form-data", "application/json"] {
        let (code, answer) =
            server.raw(&format!("Content-Type: {kind}\r\nContent-Length: {}", body.len()), &body);
        assert!(code == 422 && answer.contains("multipart/form-data"), "{kind}: {code} {answer}");
    }
    let (code, _) = server.raw(&format!("{FORM}\r\nContent-Length: x"), &body);
    assert_eq!(code, 400, "a length that is no number");
    // It says that less comes than does: what is more is not looked at.
    let (code, answer) = server.raw(&with_length(body.len() - 20), &body);
    assert!(code == 400 && answer.contains("cannot be read"), "{code} {answer}");
    // It says that more comes, and hangs up.
    let mut stream = server.connect();
    send(&mut stream, &with_length(body.len() + 100), &body[..body.len() - 10]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    drop(stream);
    server.is_well();
}

#[test]
fn chunks_are_put_together() {
    let server = Served::new(Limits::default());
    let body = form(&[log_part(LOG)]);
    let mut chunked = Vec::new();
    for byte in &body {
        chunked.extend([b"1\r\n", &[*byte][..], b"\r\n"].concat());
    }
    chunked.extend(b"0\r\n\r\n");
    let (code, answer) = server.raw(&format!("{FORM}\r\nTransfer-Encoding: chunked"), &chunked);
    assert!(code == 200 && answer.contains("\"link_count\": 1"), "{code} {answer}");
    let (code, _) = server.raw(&format!("{FORM}\r\nTransfer-Encoding: chunked"), b"zz\r\n");
    assert_eq!(code, 400, "no chunk");
    server.is_well();
}

#[test]
fn a_hundred_thousand_parts_are_refused_early() {
    let server = Served::new(Limits::default());
    let parts: Vec<String> = (0..100_000).map(|_| log_part("x")).collect();
    let body = form(&parts);
    let (code, answer) = server.raw(&with_length(body.len()), &body);
    assert!(code == 413 && answer.contains("more than 1000 parts"), "{code} {answer}");
    server.is_well();
}

#[test]
fn memory_stays_bounded_whatever_is_sent() {
    // Other tests have memory of their own, so this is measured in a process of its own.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "hostile::in_a_process_of_its_own", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}

#[test]
#[ignore = "run by the test before"]
fn in_a_process_of_its_own() {
    let server = Served::new(Limits::default());
    server.is_well();
    let line = "2025-10-06T07:42:23 INFO db: nothing that anybody would want to know of\n";
    let block = line.repeat((1 << 20) / line.len());
    let start = "--xyz\r\nContent-Disposition: form-data; name=\"log_files\"; filename=\"";
    let end = format!("\r\n{}--xyz--\r\n", log_part(LOG));
    let before = memory();
    for (start, end, status, words) in [
        (format!("{start}a.log\"\r\n\r\n"), end, 200, "\"link_count\": 1"),
        (start.to_owned(), String::new(), 413, "the header of a part"),
        ("x".to_owned(), String::new(), 413, "what stands before it"),
    ] {
        let mut stream = server.connect();
        let length = start.len() + 400 * block.len() + end.len();
        send(&mut stream, &with_length(length), start.as_bytes()).unwrap();
        // It may be refused before all is sent.
        let sent = (0..400).try_for_each(|_| stream.write_all(block.as_bytes()));
        let grown = memory().saturating_sub(before);
        assert!(sent.is_ok() || status == 413, "{sent:?}");
        let _ = stream.write_all(end.as_bytes());
        let (code, answer) = answer(stream);
        assert!(code == status && answer.contains(words), "{code} {answer:.300}");
        assert!(grown < 100 << 20, "{grown} bytes more");
    }
    server.is_well();
}

#[test]
fn bombs_are_refused() {
    let server = Served::new(Limits::default());
    let zipped = |size: usize| {
        let mut bomb = zip::ZipWriter::new(Cursor::new(Vec::new()));
        bomb.start_file("bomb.log", SimpleFileOptions::default()).unwrap();
        let block = vec![b'x'; 1 << 20];
        (0..size >> 20).for_each(|_| bomb.write_all(&block).unwrap());
        bomb.finish().unwrap().into_inner()
    };
    let bomb = server.write("bomb.zip", zipped(200 << 20));
    server.refuses(&["-F", &format!("log_files=@{bomb}")], 413, &["bomb.zip", "over the limit"]);
    let text = vec![b'x'; 65 << 20];
    let pairs = server.write("pairs.csv", text);
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    let arguments = ["-F", &format!("anomalies_file=@{pairs}"), "-F", &log];
    server.refuses(&arguments, 413, &["pairs.csv", "a dictionary has at most"]);
    server.is_well();
}

#[test]
fn clients_that_hang_up_or_stand_still_leave_nothing() {
    let limits = Limits { patience: Duration::from_secs(2), ..Limits::default() };
    let server = Served::new(limits);
    let body = form(&[log_part(&LOG.repeat(1000))]);
    for length in [10, 60, 110, 1000, 60_000, body.len() - 1] {
        let mut stream = server.connect();
        send(&mut stream, &with_length(body.len()), &body[..length]).unwrap();
        drop(stream);
    }
    server.is_clean();
    // A byte now and then, and away.
    let mut stream = server.connect();
    send(&mut stream, &with_length(body.len()), b"").unwrap();
    for byte in &body[..20] {
        stream.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(stream);
    server.is_clean();
    for length in [0, 60, 5000] {
        let mut stream = server.connect();
        send(&mut stream, &with_length(body.len()), &body[..length]).unwrap();
        let (code, answer) = answer(stream);
        assert!(code == 408 && answer.contains("stands still"), "{code} {answer}");
    }
    // Whoever sends a byte a second stands still.
    let mut stream = server.connect();
    send(&mut stream, &with_length(body.len()), &body[..200]).unwrap();
    let mut slow = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for byte in &body[200..210] {
            if slow.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    assert_eq!(answer(stream).0, 408);
    sender.join().unwrap();
    server.is_well();
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let folder = tempfile::tempdir().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "foreshock-test"])
        .arg(folder.path())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("passed over: no small disk can be mounted here");
        return;
    }
    let server = Served::with(|api| api.folder = folder.path().to_owned());
    let large = format!("log_files=@{}", server.write("large.log", LOG.repeat(20_000)));
    let (status, _, body) = server.curl("/analyze-logs/", &["-F", &large]);
    let body = String::from_utf8(body).unwrap();
    let log = format!("log_files=@{}", server.write("app.log", LOG));
    wait_until("there is room again", || server.curl("/analyze-logs/", &["-F", &log]).0 == 200);
    drop(server);
    let left = fs::read_dir(folder.path()).unwrap().count();
    let _ = std::process::Command::new("umount").arg(folder.path()).status();
    assert!(status == 507 && body.contains("its disk is full"), "{status} {body}");
    assert_eq!(left, 0);
}
