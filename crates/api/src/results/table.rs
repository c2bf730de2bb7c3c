//! `GET /jobs/{id}/links`: the links of a result, sorted, page by page.

use axum::extract::State as Extract;
use axum::response::Response;
use jiff::Timestamp;
use report::{Header, LinkRecord};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Filter, JobId, Looked, answer, check, json};
use crate::extract::{Path, Query};
use crate::openapi::{BadQuery, NotDone};
use crate::{ApiError, Shared};

/// The most links of a page.
const LONGEST_PAGE: u32 = 1000;

/// Which page is asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// What links are sorted by; those that are equal in it by the problem's time. The text of
    /// the problem or the anomaly is that of the dictionary, the file is the problem's, and the
    /// score is the lower of the two.
    #[serde(default)]
    #[param(inline, required = false, example = "lag")]
    sort: Sort,
    /// From the least to the greatest, or the other way round.
    #[serde(default)]
    #[param(inline, required = false, example = "desc")]
    order: Order,
    /// How many links to pass over.
    #[serde(default)]
    #[param(required = false, default = 0, minimum = 0, maximum = 4_294_967_295_u32, example = 0)]
    offset: u32,
    /// The most links of a page.
    #[serde(default = "hundred")]
    #[param(required = false, default = 100, minimum = 1, maximum = 1000, example = 100)]
    limit: u32,
    /// The number of a link: the page that holds it is answered, whatever `offset` says, unless
    /// no page does.
    #[param(minimum = 0, maximum = 4_294_967_295_u32, example = 7)]
    select: Option<u32>,
}

fn hundred() -> u32 {
    100
}

/// What links are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    #[default]
    ProblemTime,
    AnomalyTime,
    Lag,
    Problem,
    Anomaly,
    File,
    Score,
}

/// The direction of sorting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Asc,
    Desc,
}

/// A page of links.
#[derive(Serialize, ToSchema)]
pub struct LinksPage<'a> {
    /// How many links the result has.
    total: u64,
    /// How many of those that are looked at are as asked.
    matching: usize,
    /// How many of these stand before the page.
    offset: u32,
    /// The most links of a page.
    limit: u32,
    /// Whether all links of the result are looked at, and not its first 100,000 only.
    complete: bool,
    /// The page.
    links: Vec<NumberedLink<'a>>,
}

/// A link of a result.
#[derive(Serialize, ToSchema)]
pub struct NumberedLink<'a> {
    /// Its place in the result's own order, from 0.
    number: u32,
    #[serde(flatten)]
    link: LinkRecord<'a>,
}

/// The links of a job, sorted and filtered, page by page
///
/// Sorting and filtering look at the first 100,000 links of a result; `complete` says whether
/// these are all. The files of `/jobs/{id}/result` always hold all links.
#[utoipa::path(
    get,
    path = "/jobs/{id}/links",
    operation_id = "job_links",
    tag = "jobs",
    params(JobId, Wanted, Filter),
    responses((status = OK, description = "A page of the links", body = LinksPage), NotDone, BadQuery)
)]
pub async fn links(
    Extract(state): Extract<Shared>,
    Path(JobId { id }): Path<JobId>,
    Query(wanted): Query<Wanted>,
    Query(filter): Query<Filter>,
) -> Result<Response, ApiError> {
    check("limit", wanted.limit, 1, LONGEST_PAGE)?;
    let filter = filter.checked()?;
    let make = move |finished: &crate::work::Finished| {
        json(&page(finished.looked_at(), &finished.analysis.header, &wanted, &filter))
    };
    answer(&state, &id, make).await
}

fn page<'a>(
    looked: Looked<'a>,
    header: &'a Header,
    wanted: &Wanted,
    filter: &Filter,
) -> LinksPage<'a> {
    let sorted = sorted(looked, filter.matching(looked), wanted.sort, wanted.order);
    let offset = wanted.start(&sorted);
    let shown = sorted.iter().skip(offset as usize);
    let record = |number: &u32| NumberedLink {
        number: *number,
        link: LinkRecord::new(looked.link(*number), looked.linked.dictionary(), &header.judge),
    };
    LinksPage {
        total: header.link_count,
        matching: sorted.len(),
        offset,
        limit: wanted.limit,
        complete: header.link_count == looked.index.len() as u64,
        links: shown.take(wanted.limit as usize).map(record).collect(),
    }
}

impl Wanted {
    /// How many links stand before the page.
    fn start(&self, sorted: &[u32]) -> u32 {
        match sorted.iter().position(|number| Some(*number) == self.select) {
            Some(place) => place as u32 / self.limit * self.limit,
            None => self.offset,
        }
    }
}

/// Links in the order asked for. No two are equal in it, so pages share none.
fn sorted(looked: Looked, links: Vec<u32>, by: Sort, order: Order) -> Vec<u32> {
    let key = |number: u32| -> (i128, Timestamp, u32) {
        let [anomaly, problem] = looked.index.seen(number);
        let key = match by {
            Sort::ProblemTime => 0,
            Sort::AnomalyTime => anomaly.time.as_nanosecond(),
            Sort::Lag => looked.index.lag(number).as_nanos(),
            Sort::Problem => problem.text.into(),
            Sort::Anomaly => anomaly.text.into(),
            Sort::File => problem.file.into(),
            // Scores have six decimals.
            Sort::Score => (f64::from(anomaly.score.min(problem.score)) * 1e6).round() as i128,
        };
        (key, problem.time, number)
    };
    let mut keys: Vec<_> = links.into_iter().map(key).collect();
    keys.sort_unstable();
    if order == Order::Desc {
        keys.reverse();
    }
    keys.into_iter().map(|(_, _, number)| number).collect()
}

#[cfg(test)]
mod tests {
    use linking::Link;
    use proptest::prelude::*;

    use super::super::made::{Made, events, made, many};
    use super::*;

    const SORTS: [Sort; 7] = [
        Sort::ProblemTime,
        Sort::AnomalyTime,
        Sort::Lag,
        Sort::Problem,
        Sort::Anomaly,
        Sort::File,
        Sort::Score,
    ];

    fn wanted(sort: Sort, order: Order, offset: u32, limit: u32) -> Wanted {
        Wanted { sort, order, offset, limit, select: None }
    }

    fn numbers(page: &LinksPage) -> Vec<u32> {
        page.links.iter().map(|link| link.number).collect()
    }

    fn page_of<'a>(made: &'a Made, wanted: &Wanted) -> LinksPage<'a> {
        page(made.looked(), &made.header, wanted, &Filter::default())
    }

    /// Whether two neighbours stand in the order they should.
    fn in_order(by: Sort, one: &Link, other: &Link) -> bool {
        let text = |link: &Link| match by {
            Sort::Problem => link.row.problem.clone(),
            Sort::Anomaly => link.row.anomaly.clone(),
            Sort::File => link.problem.event.file.to_string(),
            _ => String::new(),
        };
        let time = |link: &Link| match by {
            Sort::ProblemTime => link.problem.event.time.as_nanosecond(),
            Sort::AnomalyTime => link.anomaly.event.time.as_nanosecond(),
            Sort::Lag => link.lag().as_nanos(),
            _ => 0,
        };
        let score = |link: &Link| match by {
            Sort::Score => link.anomaly.found.score.min(link.problem.found.score),
            _ => 0.0,
        };
        let key = |link: &Link| (text(link), time(link));
        let problem = |link: &Link| link.problem.event.time;
        let ahead = key(one).cmp(&key(other)).then(score(one).total_cmp(&score(other)));
        ahead.then(problem(one).cmp(&problem(other))).is_le()
    }

    proptest! {
        #[test]
        fn pages_cover_each_link_once_in_the_order_asked_for(
            events in events(60), limit in 1..20u32, by in 0..7usize,
        ) {
            let made = made(&events, usize::MAX);
            let mut all = Vec::new();
            while let page = page_of(&made, &wanted(SORTS[by], Order::Asc, all.len() as u32, limit))
                && !page.links.is_empty()
            {
                prop_assert!(page.links.len() as u32 <= limit);
                prop_assert_eq!(page.matching, made.index.len());
                all.extend(numbers(&page));
            }
            let links: Vec<Link> = made.linked.links().collect();
            for two in all.windows(2) {
                let [one, other] = [links[two[0] as usize], links[two[1] as usize]];
                prop_assert!(in_order(SORTS[by], &one, &other), "{:?} {:?}", one, other);
            }
            let reverse = page_of(&made, &wanted(SORTS[by], Order::Desc, 0, u32::MAX));
            let mut reverse = numbers(&reverse);
            reverse.reverse();
            prop_assert_eq!(&reverse, &all);
            all.sort_unstable();
            prop_assert_eq!(all, made.all());
        }

        #[test]
        fn a_link_is_on_the_page_that_is_asked_for_by_it(
            events in events(60), limit in 1..20u32, by in 0..7usize, select in 0..400u32,
        ) {
            let made = made(&events, usize::MAX);
            let wanted =
                Wanted { select: Some(select), ..wanted(SORTS[by], Order::Desc, 1, limit) };
            let page = page_of(&made, &wanted);
            if select < made.index.len() as u32 {
                prop_assert!(numbers(&page).contains(&select));
                prop_assert_eq!(page.offset % limit, 0);
            } else {
                prop_assert_eq!(page.offset, 1, "as asked");
            }
        }
    }

    #[test]
    fn more_links_than_are_looked_at_are_told() {
        let made = made(&many(1000), 300);
        let page = page_of(&made, &wanted(Sort::Lag, Order::Asc, 299, 100));
        assert_eq!((page.total, page.matching, page.complete), (1000, 300, false));
        assert_eq!(page.links.len(), 1);
        let page = page_of(&made, &wanted(Sort::Lag, Order::Asc, u32::MAX, 100));
        assert!(page.links.is_empty());
    }

    /// Prints how long things take: `cargo test --release -p api how_long -- --nocapture`.
    #[test]
    fn how_long_looking_at_many_links_takes() {
        for count in [50_000, 100_000] {
            let events = many(count);
            let start = std::time::Instant::now();
            let made = made(&events, super::super::LOOKED_AT);
            println!("{count} links: joined and indexed in {:?}", start.elapsed());
            let start = std::time::Instant::now();
            let index = super::super::Index::new(&made.linked, super::super::LOOKED_AT);
            println!("  indexed in {:?}", start.elapsed());
            assert_eq!(index.len(), count);
            for sort in SORTS {
                let start = std::time::Instant::now();
                let page = page_of(&made, &wanted(sort, Order::Desc, 0, 100));
                let bytes = json(&page).unwrap().len();
                println!("  by {sort:?}: {:?}, {bytes} bytes", start.elapsed());
            }
            let filter = serde_json::from_str(r#"{"q": "ОШИБКА"}"#).unwrap();
            let start = std::time::Instant::now();
            let page =
                page(made.looked(), &made.header, &wanted(Sort::File, Order::Asc, 0, 100), &filter);
            println!("  by file with q: {:?}, {} match", start.elapsed(), page.matching);
        }
    }
}
