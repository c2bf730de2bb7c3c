//! The body of an upload, watched as it comes.
//!
//! The parser of multipart keeps what stands between the contents of two parts in memory until it
//! ends, however long it is, and waits for ever. Here it is told when there is too much of it,
//! and when the client takes too long.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::ApiError;

/// The most bytes between the contents of two parts: their headers, with the name of the file.
const BETWEEN: u64 = 128 * 1024;

/// The fewest bytes that must come within [`crate::Limits::patience`], unless it is the end.
const PACE: u64 = 1024;

/// How much of an upload that was refused is still taken in, and for how long: a client that
/// sends while the connection is closed never sees why.
const LINGER: (u64, Duration) = (256 << 20, Duration::from_secs(20));

/// What stands for "as much as comes" in [`Shared::between`].
const CONTENT: u64 = u64::MAX;

/// The body of a request.
pub struct Incoming(Arc<Shared>);

struct Shared {
    body: Mutex<BodyDataStream>,
    /// Bytes that came since the last content, or [`CONTENT`] while content is read.
    between: AtomicU64,
    /// Why reading was ended here.
    trouble: Mutex<Option<ApiError>>,
    /// Whether the client waits for a word before it sends, and something was read.
    expects: bool,
    patience: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incoming {
    /// Puts the watch between a request and who reads its body.
    pub fn watch(request: Request, patience: Duration) -> (Request, Incoming) {
        let (parts, body) = request.into_parts();
        let shared = Arc::new(Shared {
            body: Mutex::new(body.into_data_stream()),
            between: AtomicU64::new(0),
            trouble: Mutex::default(),
            expects: parts.headers.contains_key(header::EXPECT),
            patience,
        });
        let watched = Watched {
            shared: Arc::clone(&shared),
            late: Box::pin(sleep(patience)),
            since: 0,
            handed: false,
        };
        (Request::from_parts(parts, Body::from_stream(watched)), Incoming(shared))
    }

    /// From here on there is content of a part, as much as comes, or there is none.
    pub fn is_content(&self, content: bool) {
        self.0.between.store(if content { CONTENT } else { 0 }, Ordering::Relaxed);
    }

    /// Why reading was ended by the watch, if it was.
    pub fn trouble(&self) -> Option<ApiError> {
        lock(&self.0.trouble).take()
    }

    /// Takes in some of what still comes, so that a client that is still sending gets to read its
    /// answer.
    pub fn linger(self) {
        if self.0.expects && self.0.between.load(Ordering::Relaxed) == 0 {
            // It sends nothing until it is told to.
            return;
        }
        tokio::spawn(timeout(LINGER.1, async move {
            let mut left = LINGER.0;
            while let Some(Ok(chunk)) =
                std::future::poll_fn(|cx| lock(&self.0.body).poll_next_unpin(cx)).await
            {
                left = left.saturating_sub(chunk.len() as u64);
                if left == 0 {
                    return;
                }
            }
        }));
    }
}

/// The body, as it is read.
struct Watched {
    shared: Arc<Shared>,
    late: Pin<Box<Sleep>>,
    /// Bytes since `late` was set.
    since: u64,
    /// Whether the last poll handed something over.
    handed: bool,
}

impl Watched {
    fn end(&self, error: ApiError) -> Poll<Option<Result<Bytes, axum::Error>>> {
        let told = axum::Error::new(error.to_string());
        *lock(&self.shared.trouble) = Some(error);
        Poll::Ready(Some(Err(told)))
    }

    /// Counts what came; returns what is handed over.
    fn hand_over(&mut self, chunk: Bytes) -> Poll<Option<Result<Bytes, axum::Error>>> {
        self.handed = true;
        self.since += chunk.len() as u64;
        if self.since >= PACE {
            self.since = 0;
            self.late.as_mut().reset(Instant::now() + self.shared.patience);
        }
        let count = |between: u64| (between != CONTENT).then(|| between + chunk.len() as u64);
        let _ = self.shared.between.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let between = self.shared.between.load(Ordering::Relaxed);
        if between != CONTENT {
            // The parser asks for more before it looks at what it has: it is made to look first.
            if std::mem::take(&mut self.handed) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if between > BETWEEN {
                return self.end(ApiError::TooLarge(format!(
                    "the header of a part, or what stands before it, is over {BETWEEN} bytes"
                )));
            }
        }
        let polled = lock(&self.shared.body).poll_next_unpin(cx);
        match polled {
            Poll::Ready(Some(Ok(chunk))) => self.hand_over(chunk),
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending if self.late.as_mut().poll(cx).is_ready() => {
                let seconds = self.shared.patience.as_secs_f64();
                self.end(ApiError::TooSlow(format!(
                    "the upload stands still: less than {PACE} bytes came in {seconds} seconds"
                )))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
