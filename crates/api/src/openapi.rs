//! The description of the API: `/openapi.json`, and the page at `/docs` that is made of it.
//!
//! The handlers describe themselves; here is what they share, what the crate `service` serves
//! beside them, and the page, which loads nothing from outside.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response as Answer;
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Header, KnownFormat, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
    Schema, SchemaFormat, SecurityRequirement, Type,
    encoding::Encoding,
    link::Link,
    path::{Operation, Parameter},
};
use utoipa::{IntoResponses, Number, OpenApi, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::answer::Format;
use crate::{Access, Limits};

/// Every failure.
#[derive(Serialize, ToSchema)]
pub struct Error {
    /// What is wrong and, where it can be told, what to do.
    pub detail: String,
}

/// One of the server-sent events that tell of a job.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is the description of what is written by hand")]
pub struct JobEvent {
    #[schema(example = "job")]
    event: String,
    /// The job as JSON, as `GET /jobs/{id}` tells it.
    data: String,
}

/// One of the server-sent events that tell of links.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
pub struct LinkEvent {
    /// What to ask for as `Last-Event-ID`, to go on behind this event.
    id: String,
    #[schema(example = "link")]
    event: String,
    /// The link as JSON, as `GET /links` tells it.
    data: String,
}

/// Failures that several endpoints share, each a status, what it means and an example.
macro_rules! failures {
    ($($name:ident = $status:literal, $description:literal, $example:literal;)*) => {$(
        #[doc = $description]
        pub enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let failure = failure($description, $example);
                BTreeMap::from([($status.to_owned(), RefOr::T(failure))])
            }
        }
    )*};
}

failures! {
    BadFile = "400", "A file cannot be used; it is named, with the row or the reason",
        "pairs.csv: row 7: the id \"x\" is no number";
    Unauthorized = "401", "The server wants a bearer token, and this is not it",
        "a bearer token is needed";
    NotFound = "404", "There is no such thing, or not any more",
        "0123456789abcdef0123456789abcdef: no such job; results are kept for a while only";
    Conflict = "409", "It is not finished, or has failed",
        "the analysis is still running";
    TooLarge = "413", "More than the limits allow: bytes, files, or what archives unpack to",
        "large.log: more than 4294967296 bytes in all. Pack the logs, or send them in parts";
    TooSlow = "408", "The upload stands still",
        "the upload stands still: less than 1024 bytes came in 60 seconds";
    NoRoom = "507", "The disk of the server is full",
        "this server has no room for the upload: its disk is full. Try again later, or ask who runs it";
    BadQuery = "422", "Something is missing, or has a value that it cannot have",
        "limit: must be from 1 to 1000";
    Broken = "500", "Nothing the client could do; the server's log says why",
        "something is wrong with this server; its log says what";
    NotReady = "503", "The model does not answer for now",
        "the model is not ready: Triton at triton:8002 cannot be used for now. Try again in a while";
}

/// There is no such job, or it is not done.
pub enum NotDone {}

impl IntoResponses for NotDone {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut failures = NotFound::responses();
        failures.extend(Conflict::responses());
        failures
    }
}

fn failure(description: &str, example: &str) -> Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Error")))
        .example(Some(json!({ "detail": example })))
        .build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

/// What the handlers share, before they are added to it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Foreshock",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "analysis", description = "Logs uploaded, their links sent back with the answer"),
        (name = "jobs", description = "The same as a job: started, watched, asked for its result \
            in parts and in every format, cancelled"),
        (name = "links", description = "All links found, in the stream of logs and in uploads"),
        (name = "dictionary", description = "The known pairs of the server, and what they match"),
        (name = "service", description = "How the server is")
    ),
    paths(service::health, service::ready, service::metrics),
    components(schemas(Error, Format))
)]
struct Shared;

/// What the server itself calls.
#[derive(OpenApi)]
#[openapi(paths(webhook::link), components(schemas(webhook::LinkAlert)))]
struct Called;

/// How webhooks are told.
const WEBHOOKS: &str = "\
Each address in `WEBHOOK_URLS` of the server gets every link by POST, one at a time and in order, until it answers \
2xx:

```
POST /your/path
Content-Type: application/json
X-Foreshock-Delivery: 5f0c…          the id of the link; the same when it comes again
X-Foreshock-Timestamp: 1760000000    when it was signed, in seconds since 1970
X-Foreshock-Signature: v1=9a31…      HMAC-SHA256(WEBHOOK_SECRET, timestamp + \".\" + body), hexadecimal

{\"type\": \"link\", \"id\": \"5f0c…\", \"found\": \"2025-10-06T07:42:24Z\",
 \"text\": \"🔴 Replica fell out … ← ⚠️ 47 min before: …\",
 \"link\": { … as in GET /links … }}
```

429 and 503 with `Retry-After` are waited for. 400, 413 and 422 say that this link will never be accepted, and it is \
passed over. Everything else is tried again, with growing pauses of a minute at most, for `ALERT_KEEP`. The example of \
`foreshock notify-test` has `\"test\": true` in its `link`. Check the signature over the raw bytes and refuse old \
timestamps:

```python
def genuine(secret: bytes, headers, body: bytes) -> bool:
    signed = headers[\"X-Foreshock-Timestamp\"].encode() + b\".\" + body
    expected = \"v1=\" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers[\"X-Foreshock-Signature\"])
```";

/// What is told of the API as a whole.
pub fn document(limits: &Limits) -> utoipa::openapi::OpenApi {
    let mut document = Shared::openapi();
    let called = Called::openapi();
    document.webhooks = Some(called.paths);
    document
        .components
        .get_or_insert_default()
        .schemas
        .extend(called.components.into_iter().flat_map(|components| components.schemas));
    document.info.contact = None;
    document.info.description = Some(format!(
        "Finds the warnings that come before the errors: in logs that are uploaded, and in the \
         stream of logs.\n\n\
         **To begin**, send logs to the server's own dictionary of known pairs:\n\n\
         ```sh\n\
         curl -F log_files=@app.log -F log_files=@db.log http://localhost:8000/analyze-logs/\n\
         ```\n\n\
         With a dictionary of your own, `-F anomalies_file=@pairs.csv`. The answer is CSV; \
         `?format=xlsx`, `?format=json` or the header `Accept` ask for another. What takes long \
         is better started by `POST /jobs`, which tells its progress.\n\n\
         **Formats.** A line of a log is \
         `2025-10-06T07:42:23 ERROR database: Index corruption on table`; files are .txt, .log, \
         or .zip and .gz of them, in UTF-8 or cp1251. A dictionary is a .csv of the columns \
         `anomaly_id;anomaly;problem_id;problem`.\n\n\
         **Limits.** At once {}, packed as they are, in {} files, which may unpack to {} and to \
         {} times their size.\n\n\
         **Errors** are JSON, `{{\"detail\": \"…\"}}`, with the status that fits.\n\n\
         **Webhooks.** {WEBHOOKS}",
        size(limits.bytes),
        limits.files,
        size(limits.archives.unpacked),
        limits.archives.ratio
    ));
    document
}

/// Bytes, in the largest unit that says it exactly.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let exact = units.iter().find(|(power, _)| bytes > 0 && bytes.trailing_zeros() >= *power);
    exact.map_or(format!("{bytes} bytes"), |(power, unit)| format!("{} {unit}", bytes >> power))
}

/// Adds what holds for every endpoint, once all are there.
pub fn complete(document: &mut utoipa::openapi::OpenApi, access: &Access) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Needed when the server was given an API_TOKEN"));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    let with = || SecurityRequirement::new("bearer", [""; 0]);
    document.security = Some(match access.token {
        Some(_) => vec![with()],
        None => vec![SecurityRequirement::default(), with()],
    });
    let of_jobs = of_jobs(document);
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            bound_integers(operation);
            name_files(operation);
            if path == "/jobs" {
                link(operation, &of_jobs);
            }
            if service::PATHS.contains(&path.as_str()) {
                operation.security = Some(vec![SecurityRequirement::default()]);
            } else {
                add(operation, Unauthorized::responses());
                add(operation, Broken::responses());
            }
        }
    }
}

fn add(operation: &mut Operation, responses: BTreeMap<String, RefOr<Response>>) {
    for (status, response) in responses {
        operation.responses.responses.entry(status).or_insert(response);
    }
}

/// Says how large a whole number may be that is asked for.
fn bound_integers(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(Parameter { schema: Some(RefOr::T(Schema::Object(schema))), .. }) =
            parameter
            && schema.format == Some(SchemaFormat::KnownFormat(KnownFormat::UInt64))
        {
            schema.maximum.get_or_insert(Number::UInt(usize::MAX));
        }
    }
}

/// Says that the parts of an upload have file names, which tell what they are.
fn name_files(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    let Some(RefOr::T(form)) = body.content.get_mut("multipart/form-data") else { return };
    for (part, name) in [("anomalies_file", "pairs.csv"), ("log_files", "app.log")] {
        let example = format!("form-data; name=\"{part}\"; filename=\"{name}\"");
        let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String));
        header.example = Some(example.into());
        let encoding = Encoding::builder().header("Content-Disposition", header).build();
        form.encoding.insert(part.to_owned(), encoding);
    }
}

/// What can be asked of a job: operations by id, and whether they want a link's number.
fn of_jobs(document: &utoipa::openapi::OpenApi) -> Vec<(String, bool)> {
    let of_job = document.paths.paths.iter().filter(|(path, _)| path.starts_with("/jobs/{id}"));
    let operations = of_job.flat_map(|(path, item)| {
        let operations = [&item.get, &item.delete].into_iter().flatten();
        operations.map(move |operation| (&operation.operation_id, path.contains("{number}")))
    });
    operations.filter_map(|(id, number)| Some((id.clone()?, number))).collect()
}

/// Says that the job that is started is the one to ask for.
fn link(start: &mut Operation, of_jobs: &[(String, bool)]) {
    let Some(RefOr::T(started)) = start.responses.responses.get_mut("202") else { return };
    for (operation, number) in of_jobs {
        let link = Link::builder().operation_id(operation).parameter("id", "$response.body#/id");
        let link = if *number { link.parameter("number", 0) } else { link };
        started.links.insert(operation.clone(), RefOr::T(link.build()));
    }
}

/// What the page may load: its own files only. It sets styles of elements, and shows its icons as
/// data.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// `/openapi.json` and the page at `/docs`.
pub fn routes(document: utoipa::openapi::OpenApi) -> Router {
    let config = Config::default()
        .use_base_layout()
        .validator_url("none")
        .try_it_out_enabled(true)
        .default_models_expand_depth(0);
    let page = SwaggerUi::new("/docs").config(config).url("/openapi.json", document);
    Router::from(page).layer(map_response(protect))
}

async fn protect(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// What the crate `notify` sends to webhooks.
#[expect(dead_code, reason = "it is sent elsewhere and described here")]
mod webhook {
    use report::LinkRecord;
    use serde::Serialize;
    use utoipa::ToSchema;

    /// What a webhook gets.
    #[derive(Serialize, ToSchema)]
    pub struct LinkAlert {
        /// `link`.
        #[serde(rename = "type")]
        kind: String,
        /// The id of the link.
        id: String,
        /// When it was found.
        #[schema(format = DateTime, example = "2025-10-06T07:42:24Z")]
        found: String,
        /// One line to be shown, as Slack and Mattermost do.
        text: String,
        #[schema(value_type = LinkRecord<'static>)]
        link: serde_json::Value,
    }

    /// A link was found
    #[utoipa::path(
        post,
        path = "link",
        tag = "links",
        params(
            ("X-Foreshock-Delivery" = String, Header, description = "The id of the link; the same when it comes again"),
            ("X-Foreshock-Timestamp" = String, Header, description = "When it was signed, in seconds since 1970"),
            (
                "X-Foreshock-Signature" = Option<String>, Header,
                description = "With a WEBHOOK_SECRET: `v1=` and HMAC-SHA256(WEBHOOK_SECRET, timestamp + \".\" + body), hexadecimal"
            )
        ),
        request_body = LinkAlert,
        responses(
            (status = "2XX", description = "It is accepted; anything else is tried again"),
            (status = 422, description = "It will never be accepted, as with 400 and 413"),
            (status = 429, description = "Not now, as with 503: after `Retry-After`")
        )
    )]
    pub fn link() {}
}

/// What the crate `service` serves beside the API.
#[expect(dead_code, reason = "it is served elsewhere and described here")]
mod service {
    use serde::Serialize;
    use utoipa::ToSchema;

    /// Where it is; no token is needed there.
    pub const PATHS: [&str; 3] = ["/health", "/ready", "/metrics"];

    /// How a process is.
    #[derive(Serialize, ToSchema)]
    pub struct Health {
        /// `alive`.
        status: String,
        /// Whether every required dependency works.
        ready: bool,
        dependencies: Vec<Dependency>,
    }

    /// Whether a process can do its work.
    #[derive(Serialize, ToSchema)]
    pub struct Readiness {
        /// Whether every required dependency works.
        ready: bool,
        dependencies: Vec<Dependency>,
    }

    /// What the process depends on.
    #[derive(Serialize, ToSchema)]
    pub struct Dependency {
        #[schema(example = "model")]
        name: String,
        need: Need,
        /// Whether it works.
        ok: bool,
        /// Why it does not.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }

    /// Whether the process can do its work without it.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Need {
        /// It cannot.
        Required,
        /// It can, more slowly.
        Optional,
    }

    /// Is the process alive?
    #[utoipa::path(
        get,
        path = "/health",
        tag = "service",
        responses((status = OK, description = "It is, with the state of what it depends on", body = Health))
    )]
    pub fn health() {}

    /// Can the process do its work?
    #[utoipa::path(
        get,
        path = "/ready",
        tag = "service",
        responses(
            (status = OK, description = "It can", body = Readiness),
            (
                status = SERVICE_UNAVAILABLE,
                description = "Something it depends on does not work",
                body = Readiness
            )
        )
    )]
    pub fn ready() {}

    /// Measures of the process, as Prometheus reads them
    #[utoipa::path(
        get,
        path = "/metrics",
        tag = "service",
        responses((status = OK, description = "All of them", content_type = "text/plain", body = String))
    )]
    pub fn metrics() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_described_with_the_link_they_carry() {
        let document = serde_json::to_value(document(&Limits::default())).unwrap();
        let body = &document["webhooks"]["link"]["post"]["requestBody"]["content"];
        let of = "#/components/schemas/LinkAlert";
        assert_eq!(body["application/json"]["schema"]["$ref"], of, "{}", document["webhooks"]);
        let link = &document["components"]["schemas"]["LinkAlert"]["properties"]["link"];
        assert_eq!(link["$ref"], "#/components/schemas/Link");
        let parameters = document["webhooks"]["link"]["post"]["parameters"].as_array().unwrap();
        let names: Vec<&str> = parameters.iter().map(|it| it["name"].as_str().unwrap()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_lowercase).collect();
        let sent = [notify::DELIVERY_HEADER, notify::TIMESTAMP_HEADER, notify::SIGNATURE_HEADER];
        assert_eq!(names, sent);
        let words = document["info"]["description"].as_str().unwrap();
        assert!(words.contains("X-Foreshock-Signature: v1="), "{words}");
    }

    #[test]
    fn a_token_is_needed_where_the_server_has_one() {
        let security = |token: Option<&str>| {
            let access = Access { token: token.map(str::to_owned), ..Access::default() };
            let mut document = document(&Limits::default());
            complete(&mut document, &access);
            serde_json::to_value(&document).unwrap()["security"].clone()
        };
        assert_eq!(security(None), json!([{}, { "bearer": [] }]));
        assert_eq!(security(Some("secret")), json!([{ "bearer": [] }]));
    }
}
