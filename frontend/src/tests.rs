//! Every page over HTTP, in front of an API that answers with hostile texts wherever it can.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::{Frontend, UploadLimits, routes};

/// Breaks out of text, attributes, scripts and comments, where it is not escaped.
const EVIL: &str =
    "\"'><img src=x onerror=alert(1)><script>alert(2)</script>--></script>{{7*7}}\u{202e}";

/// What must never be in a page.
const MARKUP: [&str; 3] = ["<img src=x", "<script>alert", "--></script>"];

const ID: &str = "0123456789abcdef0123456789abcdef";

/// What the API was sent, and what it answers to uploads.
struct Api {
    refuse: Option<StatusCode>,
    uploads: Mutex<Vec<(HeaderMap, Bytes)>>,
}

struct Site {
    base: String,
    client: Client,
    api: Arc<Api>,
}

impl Site {
    async fn new() -> Site {
        Site::with(None).await
    }

    async fn with(refuse: Option<StatusCode>) -> Site {
        let api = Arc::new(Api { refuse, uploads: Mutex::default() });
        let answers = Router::new().fallback(answer).with_state(Arc::clone(&api));
        let address = serve(answers.layer(axum::extract::DefaultBodyLimit::disable())).await;
        Site::of(&address, api).await
    }

    async fn of(api_base: &str, api: Arc<Api>) -> Site {
        let limits = UploadLimits { bytes: 1 << 30, files: 10 };
        let base: Url = api_base.parse().unwrap();
        let base = serve(routes(Frontend::new(base, None, limits).unwrap())).await;
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Site { base, client, api }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn answer(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let job = |status: &str| Json(job(status)).into_response();
    match path[..] {
        ["jobs"] => {
            api.uploads.lock().unwrap().push((headers, body));
            match api.refuse {
                Some(status) => (status, Json(json!({ "detail": EVIL }))).into_response(),
                None => (StatusCode::ACCEPTED, job("queued")).into_response(),
            }
        }
        ["jobs", "running"] => job("running"),
        ["jobs", "failed"] => job("failed"),
        ["jobs", "cancelled"] => job("cancelled"),
        ["jobs", "empty"] => {
            let mut empty = self::job("done");
            empty["summary"]["link_count"] = 0.into();
            Json(empty).into_response()
        }
        ["jobs", ID] => job("done"),
        ["jobs", ID, "links"] if uri.query().is_some_and(|it| it.contains("min_score")) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": EVIL }))).into_response()
        }
        ["jobs", ID, "links"] => {
            let mut link = link();
            link["number"] = 7.into();
            Json(json!({ "total": 9_000, "matching": 5_000, "offset": 200, "limit": 100,
                "complete": false, "links": [link] }))
            .into_response()
        }
        ["jobs", ID, "links", _] => {
            let context = json!({ "first": 3, "line": 4, "lines": [EVIL, EVIL, EVIL] });
            Json(json!({ "number": 7, "link": link(), "anomaly_context": context,
                "problem_context": null }))
            .into_response()
        }
        ["jobs", ID, "events"] | ["links", "stream"] => {
            ([("content-type", "text/event-stream")], Body::from("event: link\ndata: {}\n\n"))
                .into_response()
        }
        ["jobs", ID, "result"] => (
            [
                ("content-type", "text/csv"),
                ("content-disposition", "attachment; filename=\"correlation_results.csv\""),
            ],
            "a,b\n",
        )
            .into_response(),
        ["links"] => Json(json!({ "links": [link()], "next": null })).into_response(),
        ["status"] => Json(json!({
            "sources": [{ "topic": EVIL, "lines": 1, "events": 1, "last_event": EVIL }],
            "dependencies": [{ "name": EVIL, "need": "required", "ok": false, "reason": EVIL }],
        }))
        .into_response(),
        ["dictionary"] => Json(json!({ "name": EVIL, "pairs": 1, "matching": 100, "offset": 0,
            "limit": 50, "rows": [{ "row": 2, "anomaly_id": 1, "anomaly": EVIL, "problem_id": 1,
            "problem": EVIL }] }))
        .into_response(),
        ["dictionary", "findings"] => Json(json!({ "findings": [{ "check": EVIL,
            "severity": EVIL, "rows": [1], "found": EVIL, "consequence": EVIL }] }))
        .into_response(),
        ["match"] => {
            Json(json!({ "message": EVIL, "normalised": EVIL, "matcher": EVIL, "threshold": 0.4,
            "verdicts": [{ "side": "problem", "matched": true, "reason": "near",
            "nearest": [{ "text": EVIL, "score": 0.5, "pairs": [{ "id": 1, "text": EVIL }] }] }] }))
            .into_response()
        }
        _ => (StatusCode::NOT_FOUND, Json(json!({ "detail": EVIL }))).into_response(),
    }
}

fn judge() -> Value {
    json!({ "model": EVIL, "matcher": EVIL, "reference": 0.42, "pair": 0.1, "window_seconds": 86_400.0 })
}

fn job(status: &str) -> Value {
    let summary = json!({
        "judge": judge(), "files": [{ "name": EVIL, "lines": 2 }], "total": { "lines": 2 },
        "link_count": 9_000, "problem_count": 2, "notices": [EVIL], "seconds": 0.5,
        "dictionary": { "name": EVIL, "pairs": 3, "own": true },
    });
    let error = json!({ "status": 400, "detail": EVIL });
    json!({ "id": ID, "status": status, "expires": EVIL, "progress": { "bytes": 1 },
        "summary": if status == "done" { summary } else { Value::Null },
        "error": if status == "failed" { error } else { Value::Null } })
}

fn link() -> Value {
    let found = json!({
        "id": 1, "text": EVIL, "exact": false, "score": 0.7,
        "runner_up": { "text": EVIL, "score": 0.3 },
        "event": { "timestamp": EVIL, "time": EVIL, "level": "ERROR", "component": EVIL,
            "message": EVIL, "file": EVIL, "line": 4, "raw": EVIL },
    });
    json!({ "id": EVIL, "lag_seconds": 5.0, "cosine": 0.5, "dictionary_row": 2, "anomaly": found,
        "problem": found, "judge": judge() })
}

/// Every page, and the status it has.
fn pages() -> Vec<(String, u16)> {
    let evil: String = Url::parse_with_params("http://a/", [("q", EVIL), ("file", EVIL)])
        .unwrap()
        .query()
        .unwrap()
        .to_owned();
    let message = evil.replace("q=", "message=");
    vec![
        ("/".to_owned(), 200),
        ("/live".to_owned(), 200),
        (format!("/dictionary?{evil}"), 200),
        (format!("/dictionary/match?{message}"), 200),
        (format!("/results/{ID}?{evil}&sort=lag&order=desc&from={EVIL}"), 200),
        (format!("/results/{ID}?min_score=x&component=a"), 422),
        (format!("/results/{ID}/table?{evil}"), 200),
        (format!("/results/{ID}/links/7?{evil}"), 200),
        (format!("/results/{ID}/links/7?fragment=1"), 200),
        ("/results/running".to_owned(), 200),
        ("/results/failed".to_owned(), 200),
        ("/results/cancelled".to_owned(), 200),
        ("/results/empty".to_owned(), 200),
        (format!("/results/{EVIL}"), 404),
        (format!("/nowhere/{EVIL}?{evil}"), 404),
    ]
}

#[tokio::test]
async fn hostile_texts_stay_texts_on_every_page_in_both_languages() {
    let site = Site::new().await;
    for (path, status) in pages() {
        for language in ["en", "ru"] {
            let answer = site.get(&path).header("cookie", format!("lang={language}"));
            let answer = answer.send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            let page = answer.text().await.unwrap();
            for markup in MARKUP {
                assert!(!page.contains(markup), "{path}: {markup}");
            }
            let whole = !path.contains("/table") && !path.contains("fragment");
            let opened = format!("<html lang=\"{language}\" data-theme=\"auto\">");
            assert_eq!(page.contains(&opened), whole, "{path}");
            assert!(!page.contains(" style="), "{path}: the policy forbids inline styles");
        }
    }
}

#[tokio::test]
async fn texts_are_shown_and_addresses_keep_the_filter() {
    let site = Site::new().await;
    let page = site.get(&format!("/results/{ID}?q=disk+%26&sort=lag")).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("&#60;script&#62;alert(2)"), "the text itself is there, escaped");
    let next = format!("/results/{ID}?sort=lag&#38;q=disk+%26&#38;offset=300#links");
    assert!(page.contains(&format!("href=\"{next}\" data-page=\"next\"")), "{page}");
    assert!(page.contains("aria-sort=\"ascending\" class=\"c-lag\""));
    assert!(page.contains("first 100,000"), "that not all links are looked at is said");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
    let site = Site::new().await;
    let mut paths: Vec<String> = pages().into_iter().map(|(path, _)| path).collect();
    paths.push(crate::assets::address("foreshock.css"));
    paths.push(format!("/results/{ID}/download/csv"));
    paths.push("/live/stream".to_owned());
    paths.push("/theme/dark".to_owned());
    for path in paths {
        let answer = site.get(&path).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert!(!header("cache-control").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn an_upload_is_passed_on_as_it_is() {
    let site = Site::new().await;
    let kind = "multipart/form-data; boundary=xyz";
    let body = "--xyz\r\nContent-Disposition: form-data; name=\"log_files\"; filename=\"a.log\"\r\n\
                \r\nline\r\n--xyz--\r\n";
    let upload = || site.post("/analyze").header("content-type", kind).body(body);
    let answer = upload().send().await.unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], format!("/results/{ID}").as_str());
    let answer = upload().header("accept", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer, json!({ "id": ID, "url": format!("/results/{ID}") }));
    let uploads = site.api.uploads.lock().unwrap();
    for (headers, received) in &*uploads {
        assert_eq!(headers["content-type"], kind);
        assert_eq!(headers["content-length"], body.len().to_string().as_str());
        assert_eq!(received, body.as_bytes());
    }
    assert_eq!(uploads.len(), 2);
}

#[tokio::test]
async fn a_refused_upload_says_why_on_the_upload_page_and_to_scripts() {
    let site = Site::with(Some(StatusCode::PAYLOAD_TOO_LARGE)).await;
    let upload = || site.post("/analyze").header("content-type", "multipart/form-data; boundary=x");
    let page = upload().send().await.unwrap();
    assert_eq!(page.status(), 413);
    let page = page.text().await.unwrap();
    assert!(page.contains("id=\"upload\"") && page.contains("&#60;script&#62;"), "{page}");
    assert!(MARKUP.iter().all(|markup| !page.contains(markup)));
    let answer = upload().header("accept", "application/json").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "detail": EVIL }));
}

#[tokio::test]
async fn the_sample_is_sent_whole() {
    let site = Site::new().await;
    assert_eq!(site.post("/sample").send().await.unwrap().status(), 303);
    let uploads = site.api.uploads.lock().unwrap();
    let text = String::from_utf8_lossy(&uploads[0].1);
    assert_eq!(text.matches("name=\"log_files\"").count(), 9);
    assert_eq!(text.matches("name=\"anomalies_file\"").count(), 1);
}

#[tokio::test]
async fn pages_of_other_sites_cannot_send_forms() {
    let site = Site::new().await;
    for path in ["/analyze".to_owned(), "/sample".to_owned(), format!("/results/{ID}/cancel")] {
        let answer = site.post(&path).header("sec-fetch-site", "cross-site").send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        let answer = site.post(&path).header("origin", "http://evil.example").send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
    }
    assert!(site.api.uploads.lock().unwrap().is_empty());
    let origin = site.base.clone();
    let ours = site.post("/sample").header("origin", origin).send().await.unwrap();
    assert_eq!(ours.status(), 303);
}

#[tokio::test]
async fn choices_are_kept_and_one_goes_back_to_this_server_alone() {
    let site = Site::new().await;
    let answer = site.get("/language/ru?back=/results/1%3Fq%3Da%2520b").send().await.unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/results/1?q=a%20b");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("lang=ru;") && cookie.contains("SameSite=Lax"), "{cookie}");
    for back in ["//evil.example", "https://evil.example", "/%5Cevil.example", "/%0D%0Ax:y"] {
        let answer = site.get(&format!("/theme/dark?back={back}")).send().await.unwrap();
        assert_eq!(answer.headers()["location"], "/", "{back}");
    }
    assert_eq!(site.get("/language/de").send().await.unwrap().status(), 404);
    let page = site.get("/").header("cookie", "theme=dark").send().await.unwrap();
    assert!(page.text().await.unwrap().contains("data-theme=\"dark\""));
    let page = site.get("/").header("accept-language", "ru,en;q=0.5").send().await.unwrap();
    assert!(page.text().await.unwrap().contains("<html lang=\"ru\""));
}

#[tokio::test]
async fn without_the_api_pages_say_what_to_do() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let api = Arc::new(Api { refuse: None, uploads: Mutex::default() });
    let site = Site::of(&format!("http://{closed}"), api).await;
    for path in ["/", "/live", "/dictionary", "/results/1"] {
        let answer = site.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("API_BASE") && page.contains(&closed.to_string()), "{page}");
    }
    let answer = site.get("/live/status.json").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.json::<Value>().await.unwrap()["detail"].is_string());
    let answer = site.post("/sample").header("accept", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.json::<Value>().await.unwrap()["detail"].is_string());
}

#[tokio::test]
async fn texts_are_compressed_and_streams_are_not() {
    let site = Site::new().await;
    let encoding = async |path: &str| {
        let answer = site.get(path).header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.headers().get("content-encoding").is_some()
    };
    assert!(encoding("/").await);
    assert!(encoding(&crate::assets::address("foreshock.css")).await);
    assert!(!encoding("/live/stream?recent=5").await);
    assert!(!encoding(&format!("/results/{ID}/events")).await);
}

#[tokio::test]
async fn downloads_keep_their_names_and_only_known_formats_exist() {
    let site = Site::new().await;
    let answer = site.get(&format!("/results/{ID}/download/csv")).send().await.unwrap();
    let name = answer.headers()["content-disposition"].to_str().unwrap();
    assert!(name.contains("correlation_results.csv"), "{name}");
    assert_eq!(answer.text().await.unwrap(), "a,b\n");
    let other = site.get(&format!("/results/{ID}/download/exe")).send().await.unwrap();
    assert_eq!(other.status(), 404);
}

#[tokio::test]
async fn an_upload_that_is_refused_before_its_end_hears_why() {
    // As the API does: it goes on reading for a while, so that the answer can be read.
    let refused = |body: Body| async {
        tokio::spawn(axum::body::to_bytes(body, usize::MAX));
        (StatusCode::PAYLOAD_TOO_LARGE, Json(json!({ "detail": "large" })))
    };
    let base = serve(Router::new().fallback(refused)).await;
    let site = Site::of(&base, Arc::new(Api { refuse: None, uploads: Mutex::default() })).await;
    let upload = site.post("/analyze").header("accept", "application/json");
    let answer = upload.body(vec![b'x'; 64 << 20]).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "detail": "large" }));
}

#[tokio::test]
async fn an_upload_whose_browser_goes_away_ends_at_the_api_too() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let read = move |body: Body| {
        let tell = tell.clone();
        async move {
            let whole = axum::body::to_bytes(body, usize::MAX).await;
            let _ = tell.send(whole.is_ok()).await;
            StatusCode::BAD_REQUEST
        }
    };
    let base = serve(Router::new().fallback(read)).await;
    let site = Site::of(&base, Arc::new(Api { refuse: None, uploads: Mutex::default() })).await;
    let begun = b"POST /analyze HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegun";
    let mut browser = TcpStream::connect(site.base.trim_start_matches("http://")).await.unwrap();
    browser.write_all(begun).await.unwrap();
    drop(browser);
    assert_eq!(told.recv().await, Some(false), "the API sees that it is not whole");
}
