//! An upload → its links: the batch analysis, off the asynchronous threads.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use analysis::{Analysis, Progress, Settings};
use domain::Dictionary;
use live::{MOST_LINKS, Published, Publisher};
use parse::{Opened, Source};
use tempfile::TempDir;

use crate::results::Index;
use crate::upload::Upload;
use crate::{Api, ApiError, State};

/// An analysis that was done, and what it was made of.
pub struct Finished {
    pub analysis: Analysis,
    /// What the dictionary is called.
    pub dictionary_name: String,
    /// Whether it was uploaded.
    pub own_dictionary: bool,
    /// The logs, to read lines of them again.
    pub sources: Vec<Source>,
    /// Problem events that have links.
    pub problem_count: usize,
    /// How many links were told to who follows the links found.
    pub published: u64,
    /// How long it took, without the upload.
    pub took: Duration,
    /// What was uploaded, gone from the disk with this.
    pub folder: TempDir,
    /// What is known of the links once they are looked at.
    pub index: OnceLock<Index>,
}

/// Analyses an upload and publishes its links; blocks.
pub fn work(state: &State, upload: Upload, progress: &dyn Progress) -> Result<Finished, ApiError> {
    let started = Instant::now();
    let api = &state.api;
    let Upload { folder, dictionary, logs, .. } = upload;
    let clean = |error: ApiError| error.without(folder.path());
    let own_dictionary = dictionary.is_some();
    let (dictionary, dictionary_name) = read(api, dictionary).map_err(clean)?;
    let opened = Opened::new(&logs, api.limits.archives);
    let sources = opened.sources.clone();
    let settings = Settings {
        method: api.method,
        thresholds: api.thresholds,
        window: api.window,
        zone: api.zone.clone(),
        keep_going: false,
    };
    let embedder = api.embedder.as_ref();
    let analysis = analysis::analyze(opened, &dictionary, embedder, &settings, progress);
    let mut analysis = analysis.map_err(ApiError::from).map_err(clean)?;
    if analysis.header.total.events() == 0 {
        return Err(ApiError::BadFile(
            "no event in the logs. A line looks like \
             `2025-10-06T07:42:23 ERROR database: Index corruption on table`"
                .to_owned(),
        ));
    }
    metrics::counter!("foreshock_analyses_total").increment(1);
    let problem_count = analysis.linked.problems().len();
    let published = publish(&state.publisher, &mut analysis);
    Ok(Finished {
        analysis,
        dictionary_name,
        own_dictionary,
        sources,
        problem_count,
        published,
        took: started.elapsed(),
        folder,
        index: OnceLock::new(),
    })
}

/// Hands the links to who tells of them, and says in the report what was not handed over.
fn publish(publisher: &Publisher, analysis: &mut Analysis) -> u64 {
    let Analysis { linked, header, .. } = analysis;
    let published = publisher.publish(linked, &header.judge, header.link_count);
    let Published { accepted, too_large, left } = published;
    if left > 0 {
        header.notices.push(format!(
            "{accepted} of {} links are told to alerts and to the live view, no more than \
             {MOST_LINKS} of one upload",
            header.link_count
        ));
    }
    if too_large > 0 {
        header.notices.push(format!(
            "{too_large} links are not told to alerts and to the live view: their lines are too \
             long"
        ));
    }
    accepted
}

/// The dictionary that was uploaded, or else the server's.
fn read(api: &Api, uploaded: Option<PathBuf>) -> Result<(Arc<Dictionary>, String), ApiError> {
    let Some(path) = uploaded else {
        return Ok((Arc::clone(&api.dictionary), api.dictionary_name.clone()));
    };
    let read = parse::dictionary::read(&path);
    let dictionary = read.map_err(|error| ApiError::BadFile(error.to_string()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((Arc::new(dictionary), name))
}
