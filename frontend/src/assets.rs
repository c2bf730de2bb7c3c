//! The files that browsers load, embedded in the binary.
//!
//! Every address holds the hash of all of them, so that they may be kept for ever.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

/// The hash of all files, which the build script worked out.
const HASH: &str = env!("ASSETS_HASH");

/// A year: as good as ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/assets"]
struct Assets;

/// The address of a file.
pub fn address(name: &str) -> String {
    format!("/static/{HASH}/{name}")
}

/// `GET /static/{hash}/{name}`. A page of before an update still gets a file, that of now, and
/// does not keep it.
pub async fn serve(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some(file) = Assets::get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let caching = if hash == HASH { FOR_EVER } else { "no-store" };
    let headers = [(header::CONTENT_TYPE, kind(&name)), (header::CACHE_CONTROL, caching)];
    (headers, file.data).into_response()
}

/// `GET /favicon.ico`, for browsers that do not read pages first.
pub async fn favicon() -> Response {
    serve(Path((HASH.to_owned(), "logo.svg".to_owned()))).await
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_kept_for_ever_under_the_hash_of_now_alone() {
        let get = |hash: &str, name: &str| serve(Path((hash.to_owned(), name.to_owned())));
        let caching = |response: Response| response.headers()[header::CACHE_CONTROL].clone();
        assert_eq!(caching(get(HASH, "foreshock.css").await), FOR_EVER);
        assert_eq!(caching(get("0000", "foreshock.css").await), "no-store");
        assert_eq!(get(HASH, "Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_pages_need_is_there() {
        for name in ["foreshock.css", "logo.svg", "plotly-basic.min.js"] {
            assert!(Assets::get(name).is_some(), "{name}");
        }
    }
}
