//! No secret is seen, whatever goes wrong and however much is logged.

use std::sync::PoisonError;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use notify::{Secret, webhook_urls};
use testing::telegram::{Fault, Server, until};

use crate::harness::{LOG, Running, settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_every_library_at_its_chattiest_and_all_metrics_are_free_of_secrets() {
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut calls = 0;
    let server = Server::start(20, move |_, text, _| {
        use Fault::{Hang, Refused, Reset, ServerError, TooMany, Truncated, Unauthorised, Works};
        let faults =
            [ServerError, Reset, Truncated, TooMany(1), Refused, Works, Hang, Unauthorised];
        if !text.contains('🔴') {
            return Works;
        }
        calls += 1;
        faults[(calls - 1).min(7)]
    })
    .await;
    let mut settings = settings(folder.path(), Some(&server.url), 20);
    // Nobody listens there.
    settings.webhooks = webhook_urls("http://127.0.0.1:9/SECRETaddressSECRET").unwrap();
    settings.webhook_secret = Some(Secret::from("SECRETwebhookSECRET"));
    settings.pace.patience = Duration::from_secs(2);
    settings.storm = 0;
    let running = Running::start(settings.clone());
    server.subscribe([5]).await;
    running.tell(0..12);
    let refused = || format!("{:?}", running.notifier.summary().unwrap().bot).contains("Refused");
    until("all went wrong", refused).await;
    let told = format!("{:?} {settings:?}", running.notifier.summary().unwrap());
    running.stop().await;
    // Telegram cannot be reached at all.
    settings.telegram = Some(settings.telegram.unwrap().at("http://127.0.0.1:9/").unwrap());
    let running = Running::start(settings);
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.stop().await;
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("is tried again") && log.contains("TRACE"), "it is logged at all");
    let metrics = metrics.render();
    assert!(metrics.contains("foreshock_alerts_sent_total"), "{metrics}");
    for text in [&*log, &told, &metrics] {
        let at =
            text.find("SECRET").map(|at| &text[at.saturating_sub(300)..(at + 100).min(text.len())]);
        assert_eq!(at, None);
    }
}
