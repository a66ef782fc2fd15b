//! `queryTrackDetail`: the positions of a device between two times.

use std::ops::RangeInclusive;

use actix_web::HttpRequest;
use chrono::{DateTime, TimeDelta, Utc};
use db::{CountedTrack, Db, Limit, TrackPart, TrackPosition};
use openapi::cmsv6::envelope::{Code, Failure, Pagination};
use openapi::cmsv6::status::{DeviceStatus, Tracks};

use super::coordinates::Map;
use super::online::device;
use super::parameters::Parameters;
use super::reply::{Reply, db_failure, failure, success};
use super::session::viewer;
use super::status::show;
use super::time;
use crate::state::State;

/// Most positions in a reply that is not paged, some 80 MB: of more only pages are given.
const WHOLE_MAX: u32 = 50_000;
/// Most positions a page; `pageRecords` of the reply says what was given.
const PAGE_MAX: u32 = 10_000;
/// Positions up to which a page is no large reply, some 1.6 MB.
const SMALL_MAX: u32 = 1_000;

pub(super) async fn query_track_detail(
    request: &HttpRequest,
    state: &State,
    parameters: &Parameters,
) -> Reply {
    let scope = viewer(request, state, parameters).await?.scope;
    let number = parameters.text("devIdno").ok_or_else(|| failure(Code::Parameter, "devIdno is needed"))?;
    let (from, to) = range(state, parameters)?.into_inner();
    let (every_km, parked_s) = (parameters.number("distance")?, parameters.number("parkTime")?);
    let wanted = Wanted::of(parameters)?;
    let map = Map::of(parameters.number("toMap")?);

    let device = device(state, &scope, &number).await?;
    let _turn = if wanted.is_large() { Some(state.large_replies.turn().await?) } else { None };
    let part = TrackPart { from, to, every_km, parked_s, offset: wanted.offset(), limit: wanted.limit() };
    let track = state.db.track_part(&scope, device.terminal_id, part).await.map_err(db_failure)?;
    let pagination = wanted.pagination(&track)?;
    let tracks = track.positions.iter().map(|TrackPosition { position, parked_s }| DeviceStatus {
        pk: *parked_s as i32,
        ..show(device.device_no.clone(), Some(position), map, state.cmsv6_zone)
    });
    success(Tracks { tracks: tracks.collect(), pagination })
}

/// From `begintime` to `endtime`, both included.
fn range(state: &State, parameters: &Parameters) -> Result<RangeInclusive<DateTime<Utc>>, Failure> {
    let read = |name: &str| {
        let time = parameters.text(name).and_then(|text| time::parse(&text, state.cmsv6_zone));
        time.ok_or_else(|| failure(Code::Parameter, &format!("{name}: YYYY-MM-DD HH:MM:SS")))
    };
    let (from, to) = (read("begintime")?, read("endtime")?);
    if from > to {
        return Err(failure(Code::Backwards, "begintime is later than endtime"));
    }
    if to - from > TimeDelta::days(Db::TRACK_DAYS_MAX) {
        return Err(failure(Code::TooLong, "the time span is too long"));
    }
    Ok(from..=to)
}

/// What of the track is wanted. Where either parameter is absent or 0, the original does not page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// From 1, positions a page.
    Page(u32, u32),
}

impl Wanted {
    fn of(parameters: &Parameters) -> Result<Self, Failure> {
        let given = |name| Ok::<_, Failure>(parameters.number::<u32>(name)?.filter(|number| *number > 0));
        Ok(match (given("currentPage")?, given("pageRecords")?) {
            (Some(page), Some(records)) => Self::Page(page, records.min(PAGE_MAX)),
            _ => Self::Whole,
        })
    }

    fn offset(self) -> u32 {
        match self {
            Self::Whole => 0,
            // Beyond four thousand million no terminal has a position in 31 days.
            Self::Page(page, records) => (page - 1).saturating_mul(records),
        }
    }

    fn limit(self) -> Limit {
        match self {
            Self::Whole => Limit::AllOrNone(WHOLE_MAX),
            Self::Page(_, records) => Limit::Page(records),
        }
    }

    fn is_large(self) -> bool {
        !matches!(self, Self::Page(_, records) if records <= SMALL_MAX)
    }

    fn pagination(self, track: &CountedTrack) -> Result<Pagination, Failure> {
        let total = usize::try_from(track.total).unwrap_or(usize::MAX);
        match self {
            Self::Page(page, records) => Ok(Pagination::new(total, page as usize, records as usize)),
            Self::Whole if total == track.positions.len() => Ok(Pagination::new(total, 1, total)),
            Self::Whole => Err(failure(
                Code::TooLong,
                &format!(
                    "{total} positions: ask for a shorter time, or for pages (currentPage, pageRecords)"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_wanted_where_both_its_parameters_are_given() {
        let wanted = |query: &str| Wanted::of(&Parameters::of(query, b""));
        assert_eq!(wanted("currentPage=3&pageRecords=50"), Ok(Wanted::Page(3, 50)));
        assert_eq!(Wanted::Page(3, 50).offset(), 100);
        for whole in [
            "",
            "currentPage=2",
            "pageRecords=50",
            "currentPage=0&pageRecords=0",
            "currentPage=&pageRecords=",
        ] {
            assert_eq!(wanted(whole), Ok(Wanted::Whole), "{whole}");
        }
        assert_eq!(wanted("currentPage=1&pageRecords=4000000000"), Ok(Wanted::Page(1, PAGE_MAX)));
        assert!(
            Wanted::Whole.is_large()
                && Wanted::Page(1, 1_001).is_large()
                && !Wanted::Page(9, 1_000).is_large()
        );
        assert_eq!(Wanted::Page(u32::MAX, PAGE_MAX).offset(), u32::MAX);
        for wrong in ["currentPage=x&pageRecords=5", "currentPage=1&pageRecords=-5"] {
            assert_eq!(wanted(wrong).map_err(|failure| failure.result), Err(7), "{wrong}");
        }
    }

    #[test]
    fn a_whole_track_that_is_too_long_is_an_error_and_not_cut() {
        let track = CountedTrack { total: u64::from(WHOLE_MAX) + 1, positions: Vec::new() };
        assert_eq!(Wanted::Whole.pagination(&track).map_err(|failure| failure.result), Err(10));
        assert!(Wanted::Page(1, 5).pagination(&track).is_ok_and(|pages| pages.total_records == 50_001));
    }
}
