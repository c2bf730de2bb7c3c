//! `GET /jobs/{id}/lags`: how long before their problems anomalies come.

use axum::extract::State as Extract;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Filter, JobId, answer, check, json};
use crate::extract::{Path, Query};
use crate::openapi::{BadQuery, NotDone};
use crate::work::Finished;
use crate::{ApiError, Shared};

/// The fewest bins: one on either side of zero.
const FEWEST: u32 = 2;
/// The most bins.
const MOST: u32 = 500;

/// How fine the histogram is.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The most bins.
    #[serde(default = "sixty")]
    #[param(required = false, default = 60, minimum = 2, maximum = 500, example = 60)]
    bins: u32,
}

fn sixty() -> u32 {
    60
}

/// A histogram of lags.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lags {
    /// How many links there are in it.
    total: usize,
    /// The lag in the middle, in seconds; null without links.
    median: Option<f64>,
    /// One beside the other, all of one width, which is a round one, with a border at zero.
    bins: Vec<Bin>,
}

/// Lags between two borders. A lag on a border belongs to the bin that is farther from zero, and
/// one of zero to that above.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bin {
    /// The lower border, in seconds.
    from: f64,
    /// The upper border, in seconds.
    to: f64,
    /// How many lags lie between.
    count: usize,
}

/// How long anomalies come before their problems: a histogram
///
/// A lag is the problem's time − the anomaly's time: negative when the anomaly came after it.
#[utoipa::path(
    get,
    path = "/jobs/{id}/lags",
    operation_id = "job_lags",
    tag = "jobs",
    params(JobId, Wanted, Filter),
    responses((status = OK, description = "The histogram", body = Lags), NotDone, BadQuery)
)]
pub async fn lags(
    Extract(state): Extract<Shared>,
    Path(JobId { id }): Path<JobId>,
    Query(wanted): Query<Wanted>,
    Query(filter): Query<Filter>,
) -> Result<Response, ApiError> {
    let bins = check("bins", wanted.bins, FEWEST, MOST)?;
    let filter = filter.checked()?;
    let make = move |finished: &Finished| {
        let looked = finished.looked_at();
        let links = filter.matching(looked);
        let lags = links.iter().map(|link| looked.index.lag(*link).as_nanos());
        json(&histogram(lags.collect(), bins as usize))
    };
    answer(&state, &id, make).await
}

const SECOND: i128 = 1_000_000_000;

/// The histogram of lags in nanoseconds, in at most so many bins, two at least.
fn histogram(mut lags: Vec<i128>, most: usize) -> Lags {
    let (Some(least), Some(greatest)) = (lags.iter().min(), lags.iter().max()) else {
        return Lags { total: 0, median: None, bins: Vec::new() };
    };
    let (least, greatest) = (*least, *greatest);
    // Where timestamps have no fractions, bins finer than a second would be empty.
    let whole = lags.iter().all(|lag| lag % SECOND == 0);
    let needed = |width: i128| bin(greatest, width) - bin(least, width) + 1;
    let fits = |width: &i128| {
        let fine_enough = *width >= SECOND || (!whole && least != greatest);
        fine_enough && needed(*width) <= most as i128
    };
    let width = widths().find(fits).unwrap_or(greatest - least + 1);
    let first = bin(least, width);
    let mut bins: Vec<Bin> = (first..=bin(greatest, width))
        .map(|bin| Bin { from: seconds(bin * width), to: seconds((bin + 1) * width), count: 0 })
        .collect();
    for lag in &lags {
        bins[(bin(*lag, width) - first) as usize].count += 1;
    }
    Lags { total: lags.len(), median: Some(median(&mut lags)), bins }
}

/// The bin of a lag, counted from that above zero. What lies on a border lies outwards, so that
/// lags of either sign make the same picture.
fn bin(lag: i128, width: i128) -> i128 {
    if lag >= 0 { lag / width } else { -1 - (-lag / width) }
}

/// Round widths in nanoseconds, growing: 1, 2, 5 of what is below a second or above a day, and
/// what divides minutes, hours and days between.
fn widths() -> impl Iterator<Item = i128> {
    let decades = |unit: i128| {
        (0..).flat_map(move |power| [1, 2, 5].map(|step| step * 10i128.pow(power) * unit))
    };
    let sixties = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800];
    let hours = [1, 2, 3, 6, 12].map(|hours| hours * 3600);
    decades(1)
        .take_while(|width| *width < SECOND)
        .chain(sixties.into_iter().chain(hours).map(|seconds| seconds * SECOND))
        .chain(decades(86_400 * SECOND))
}

/// The lag in the middle, or between the two that are, in seconds.
fn median(lags: &mut [i128]) -> f64 {
    let middle = lags.len() / 2;
    let is_even = lags.len().is_multiple_of(2);
    let (below, upper, _) = lags.select_nth_unstable(middle);
    match below.iter().max() {
        Some(lower) if is_even => (seconds(*lower) + seconds(*upper)) / 2.0,
        _ => seconds(*upper),
    }
}

fn seconds(nanoseconds: i128) -> f64 {
    nanoseconds as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_seconds(lags: &[f64], most: usize) -> Lags {
        let nanoseconds = lags.iter().map(|lag| (lag * SECOND as f64).round() as i128);
        histogram(nanoseconds.collect(), most)
    }

    fn told(lags: &Lags) -> Vec<(f64, f64, usize)> {
        lags.bins.iter().map(|bin| (bin.from, bin.to, bin.count)).collect()
    }

    #[test]
    fn nothing_gives_nothing_and_one_lag_one_bin() {
        let none = histogram(Vec::new(), 60);
        assert_eq!((none.total, none.median, none.bins.len()), (0, None, 0));
        assert_eq!(told(&of_seconds(&[0.0], 60)), [(0.0, 1.0, 1)]);
        assert_eq!(told(&of_seconds(&[-7.0, -7.0], 60)), [(-8.0, -7.0, 2)]);
    }

    #[test]
    fn borders_are_round_and_no_finer_than_the_timestamps() {
        let lags = of_seconds(&[0.0, 86_400.0], 60);
        assert_eq!((lags.bins[0].to, lags.bins.len()), (1800.0, 49));
        let lags = of_seconds(&[1.0, 3.0], 60);
        assert_eq!(told(&lags), [(1.0, 2.0, 1), (2.0, 3.0, 0), (3.0, 4.0, 1)]);
        let lags = of_seconds(&[0.25, 0.5], 60);
        assert_eq!((lags.bins[0].from, lags.bins[0].to), (0.25, 0.255));
        let lags = of_seconds(&[-1e9, 1e9], 60);
        assert_eq!((lags.bins[0].from, lags.bins.len()), (-1_036_800_000.0, 48));
    }

    #[test]
    fn the_median_is_exact() {
        assert_eq!(of_seconds(&[3.0, 1.0, 2.0], 60).median, Some(2.0));
        assert_eq!(of_seconds(&[4.0, 1.0, 2.0, 3.0], 60).median, Some(2.5));
        assert_eq!(of_seconds(&[-1.0, 1.0], 60).median, Some(0.0));
    }

    proptest! {
        #[test]
        fn every_lag_is_in_its_bin_once_and_bins_are_few(
            lags in prop::collection::vec(-90_000_000..90_000_000i64, 1..60), whole in any::<bool>(),
            most in 2..100usize,
        ) {
            let unit = if whole { SECOND } else { SECOND / 1000 };
            let lags: Vec<i128> = lags.into_iter().map(|lag| i128::from(lag) * unit).collect();
            let made = histogram(lags.clone(), most);
            prop_assert!(made.bins.len() <= most);
            prop_assert_eq!(made.total, lags.len());
            prop_assert_eq!(made.bins.iter().map(|bin| bin.count).sum::<usize>(), lags.len());
            for two in made.bins.windows(2) {
                prop_assert_eq!(two[0].to, two[1].from);
            }
            for bin in &made.bins {
                let holds = |lag: &&i128| {
                    let lag = seconds(**lag);
                    if lag < 0.0 { bin.from < lag && lag <= bin.to } else { bin.from <= lag && lag < bin.to }
                };
                prop_assert_eq!(bin.count, lags.iter().filter(holds).count());
            }
            let mut sorted = lags.clone();
            sorted.sort_unstable();
            let (low, high) = (sorted[(lags.len() - 1) / 2], sorted[lags.len() / 2]);
            prop_assert_eq!(made.median, Some((seconds(low) + seconds(high)) / 2.0));
        }

        #[test]
        fn lags_of_the_other_sign_make_the_mirrored_picture(
            lags in prop::collection::vec(prop_oneof![-500..0i128, 1..500i128], 1..60),
        ) {
            let lags: Vec<i128> = lags.into_iter().map(|lag| lag * SECOND).collect();
            let mirrored = histogram(lags.iter().map(|lag| -lag).collect(), 60);
            let mut mirrored: Vec<_> =
                told(&mirrored).into_iter().map(|(from, to, count)| (-to, -from, count)).collect();
            mirrored.reverse();
            prop_assert_eq!(told(&histogram(lags, 60)), mirrored);
        }
    }
}
