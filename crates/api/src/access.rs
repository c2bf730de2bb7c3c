//! Who may use the API: a bearer token, and the origins of pages that may call it from a browser.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::ApiError;

/// How long a browser may remember what it was permitted.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The place in a stream of events from which a client goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Who may use the API.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The bearer token that every request must carry; none is needed without.
    pub token: Option<String>,
    /// Origins whose pages may call the API from a browser; none by default, `*` for all.
    pub origins: Vec<String>,
}

impl Access {
    /// Lets through who may come in.
    pub(crate) fn guard(self, router: Router) -> Router {
        let cors = self.cors();
        let router = match self.token {
            Some(token) => router.layer(from_fn_with_state(Token::new(&token), check)),
            None => router,
        };
        match cors {
            // Outside of the token: a browser asks without it whether it may ask.
            Some(cors) => router.layer(cors),
            None => router,
        }
    }

    fn cors(&self) -> Option<CorsLayer> {
        let origins: Vec<&str> =
            self.origins.iter().map(|origin| origin.trim().trim_end_matches('/')).collect();
        let allowed = match origins.contains(&"*") {
            true => AllowOrigin::any(),
            false => {
                let origins: Vec<HeaderValue> =
                    origins.iter().filter_map(|origin| origin_value(origin)).collect();
                if origins.is_empty() {
                    return None;
                }
                AllowOrigin::list(origins)
            }
        };
        let cors = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::ACCEPT,
                header::CACHE_CONTROL,
                header::CONTENT_TYPE,
                LAST_EVENT_ID,
            ])
            .expose_headers([header::CONTENT_DISPOSITION, header::LOCATION])
            .max_age(REMEMBERED);
        Some(cors)
    }
}

fn origin_value(origin: &str) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(origin).ok().filter(|_| !origin.is_empty());
    if value.is_none() {
        tracing::warn!(origin, "CORS_ORIGINS: is no origin, and passed over");
    }
    value
}

/// The hash of a token. Hashes are compared, as the time that takes tells nothing of the token.
#[derive(Clone)]
struct Token(Arc<[u8]>);

impl Token {
    fn new(token: &str) -> Token {
        Token(hash(token.as_bytes()))
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let Some((scheme, token)) = given.and_then(|given| given.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && hash(token.trim_ascii()) == self.0
    }
}

fn hash(token: &[u8]) -> Arc<[u8]> {
    Sha256::digest(token).as_slice().into()
}

async fn check(State(token): State<Token>, request: Request, next: Next) -> Response {
    match token.is_in(request.headers()) {
        true => next.run(request).await,
        false => {
            let text = "a bearer token is needed: send the header `Authorization: Bearer TOKEN`";
            ApiError::Unauthorized(text.to_owned()).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_let_in() {
        let token = Token::new("secret");
        let is_in = |value: &'static str| {
            token.is_in(&HeaderMap::from_iter([(
                header::AUTHORIZATION,
                HeaderValue::from_static(value),
            )]))
        };
        assert!(is_in("Bearer secret") && is_in("bearer  secret "));
        for value in
            ["", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret"]
        {
            assert!(!is_in(value), "{value:?}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
    }
}
