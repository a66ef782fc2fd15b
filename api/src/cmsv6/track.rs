//! `queryTrackDetail`: the positions of a device between two times.

use actix_web::HttpRequest;
use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, Page, Track};
use model::{Position, Scope, TerminalId};
use openapi::cmsv6::envelope::{Code, Failure, Pagination};
use openapi::cmsv6::status::Tracks;

use super::coordinates::Map;
use super::online::device;
use super::parameters::Parameters;
use super::reply::{Reply, db_failure, failure, success};
use super::session::viewer;
use super::status::show;
use super::time;
use crate::state::State;

/// Most positions that a call may span, whether it asks for a page of them or for all: more is "too long".
const POSITIONS_MAX: usize = 100_000;
/// Most positions a page.
const PAGE_MAX: u32 = 10_000;
/// Positions a page where a page is asked for without a size.
const PAGE_DEFAULT: u32 = 10;

pub(super) async fn query_track_detail(
    request: &HttpRequest,
    state: &State,
    parameters: &Parameters,
) -> Reply {
    let scope = viewer(request, state, parameters).await?.scope;
    let number = parameters.text("devIdno").ok_or_else(|| failure(Code::Parameter, "devIdno is needed"))?;
    let (from, to) = range(state, parameters)?;
    let device = device(state, &scope, &number).await?;
    let device = device.ok_or_else(|| failure(Code::NoDevice, "no such device"))?;
    let positions = positions(state, &scope, device.id, from, to).await?;

    let pagination = pagination(parameters, positions.len());
    let map = Map::of(parameters.number("toMap"));
    let page = positions.get(pagination.start_record..pagination.end_record).unwrap_or_default();
    let tracks = page
        .iter()
        .map(|position| show(device.device_no.clone(), Some(position), map, state.cmsv6_zone))
        .collect();
    success(Tracks { tracks, pagination })
}

fn range(state: &State, parameters: &Parameters) -> Result<(DateTime<Utc>, DateTime<Utc>), Failure> {
    let read = |name: &str| {
        let time = parameters.text(name).and_then(|text| time::parse(&text, state.cmsv6_zone));
        time.ok_or_else(|| failure(Code::Parameter, &format!("{name}: YYYY-MM-DD HH:MM:SS")))
    };
    let (from, to) = (read("begintime")?, read("endtime")?);
    if from > to {
        return Err(failure(Code::Backwards, "begintime is later than endtime"));
    }
    // The end is meant to be included; ours is not.
    let to = to + TimeDelta::seconds(1);
    if to - from > TimeDelta::days(Db::TRACK_DAYS_MAX) {
        return Err(failure(Code::TooLong, "the time span is too long"));
    }
    Ok((from, to))
}

async fn positions(
    state: &State,
    scope: &Scope,
    terminal: TerminalId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<Position>, Failure> {
    let (mut all, mut page) = (Vec::new(), Page::largest());
    loop {
        let positions = state.db.track_between(scope, Track::Terminal(terminal), from, to, &page).await;
        let positions = positions.map_err(db_failure)?;
        all.extend(positions.items);
        if all.len() > POSITIONS_MAX {
            return Err(failure(Code::TooLong, "too many positions: ask for a shorter time"));
        }
        let Some(next) = positions.next_cursor else { return Ok(all) };
        page = page.at(next);
    }
}

/// Without page parameters everything is on one page.
fn pagination(parameters: &Parameters, total: usize) -> Pagination {
    let (current, records) = (parameters.number("currentPage"), parameters.number("pageRecords"));
    if current.is_none() && records.is_none() {
        return Pagination::new(total, 1, total);
    }
    let records = records.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    Pagination::new(total, current.unwrap_or(1) as usize, records as usize)
}
