//! The event stream (SSE): what happens, as it happens, to those who may see it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use access::{Login, Principal};
use actix_web::http::header::ContentEncoding;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, get};
use cluster::{EventStream, Lagged};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use model::{Event, Filter, Permission, VehicleId};
use openapi::event::{EventQuery, StreamedEvent, VehicleEvent};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep, timeout};

use crate::caller::{Caller, View, bearer};
use crate::problem::{OrNotFound as _, Outcome, Problem};
use crate::query::Query;
use crate::state::State;
use crate::subscribers::Subscriber;
use crate::v1::bounded;

/// How often a comment shows a silent subscriber that the link lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often the subscriber's rights are asked for again.
const RECHECK: Duration = Duration::from_secs(1);
/// The longest stream that can be asked for, seconds.
const SECONDS_MAX: u32 = 86_400;

/// The kinds of events, as `types` names them.
const TYPES: [&str; 4] = ["position", "alarm", "presence", "stream"];
/// The longest `types`, characters: all of them have 30.
const TYPES_CHARS_MAX: usize = 100;

/// What happens to the vehicles in the caller's scope, from now on, as Server-Sent Events: `event:` is the
/// type, `data:` a VehicleEvent. `event: lagged` says that the caller missed some: it was too slow, or the
/// database was away and could not say whose they were. A comment comes every 15 s. The stream ends with its
/// log-in and with the right to see.
#[utoipa::path(tag = "event", security(("bearer" = ["view"])), params(EventQuery), responses(
    (status = 200, description = "Events as they come", content_type = "text/event-stream", body = StreamedEvent),
    (status = 404, description = "No such vehicle"),
    (status = 503, description = "Too many event streams (50 of an account, 1,000 in all), or the database is away: see Retry-After"),
))]
#[get("/events")]
pub(crate) async fn events(
    caller: Caller<View>,
    request: HttpRequest,
    state: Data<State>,
    query: Query<EventQuery>,
) -> Outcome<HttpResponse> {
    let EventQuery { types, vehicle_id, max_seconds } = query.into_inner();
    if let Some(types) = &types {
        bounded("types", types, TYPES_CHARS_MAX)?;
    }
    let types = wanted_types(types.as_deref())?;
    if max_seconds.is_some_and(|seconds| !(1..=SECONDS_MAX).contains(&seconds)) {
        return Err(Problem::field("max_seconds", format!("1 to {SECONDS_MAX}")));
    }
    if let Some(id) = vehicle_id {
        state.db.vehicle(&caller.scope, id).await.or_no_such("vehicle")?;
    }
    let login = bearer(&request).map(|token| state.access.login_of_token(token));
    let login = login.ok_or_else(Problem::unauthenticated)??;
    let subscriber = state.subscribers.admit(caller.account.id, login);
    let subscriber = subscriber.ok_or_else(|| Problem::unavailable("too many event streams are open"))?;
    let subscription = Subscription {
        subscriber,
        events: state.events.subscribe(Filter::default()),
        types,
        vehicle_id,
        login,
        principal: (*caller).clone(),
        checked: Instant::now(),
        unplaced: 0,
        recheck: ticks(RECHECK),
        keep_alive: ticks(KEEP_ALIVE),
        end: Box::pin(sleep(Duration::from_secs(max_seconds.map_or(u64::from(SECONDS_MAX), u64::from)))),
        state,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(ContentEncoding::Identity)
        .streaming(subscription.stream()))
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn wanted_types(types: Option<&str>) -> Outcome<BTreeSet<&'static str>> {
    let Some(types) = types else { return Ok(TYPES.into()) };
    types
        .split(',')
        .map(|wanted| {
            let known = TYPES.into_iter().find(|known| *known == wanted.trim());
            known.ok_or_else(|| Problem::field("types", format!("each one of {}", TYPES.join(", "))))
        })
        .collect()
}

struct Subscription {
    subscriber: Subscriber,
    state: Data<State>,
    events: EventStream,
    types: BTreeSet<&'static str>,
    vehicle_id: Option<VehicleId>,
    login: Login,
    principal: Principal,
    checked: Instant,
    /// Events that may have been theirs, while the database could not say whose: told as missed.
    unplaced: u64,
    recheck: Interval,
    keep_alive: Interval,
    end: std::pin::Pin<Box<Sleep>>,
}

impl Subscription {
    fn stream(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        stream::unfold(self, |mut subscription| async move {
            let bytes = subscription.next().await?;
            Some((Ok(bytes), subscription))
        })
    }

    /// The next piece for the subscriber; None ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.state.stopping.cancelled() => return None,
                () = &mut self.end => return None,
                _ = self.keep_alive.tick() => return Some(Bytes::from_static(b": keep-alive\n\n")),
                _ = self.recheck.tick() => {
                    self.check().await?;
                    let missed = std::mem::take(&mut self.unplaced);
                    if missed > 0 {
                        return Some(line("lagged", &openapi::event::Lagged { missed }));
                    }
                }
                event = self.events.next() => match event? {
                    Ok(event) => {
                        if self.checked.elapsed() > RECHECK {
                            self.check().await?;
                        }
                        if let Some(text) = self.show(event).await {
                            return Some(text);
                        }
                    }
                    Err(Lagged(missed)) => return Some(line("lagged", &openapi::event::Lagged { missed })),
                },
            }
        }
    }

    /// Asks again who the subscriber is; None where their log-in is over or they may not see any more. While
    /// the database is away the last answer holds.
    async fn check(&mut self) -> Option<()> {
        let turn = self.subscriber.turn();
        let asked = async {
            // The first of the login's streams asks; the others come when its answer is kept. Where it hangs, nobody
            // waits for it.
            let _turn = timeout(RECHECK, turn.lock()).await.ok()?;
            Some(self.state.access.principal_of_login(self.login).await)
        };
        match self.state.stopping.run_until_cancelled(asked).await? {
            Some(Ok(principal)) if principal.may(Permission::View) => self.principal = principal,
            Some(Ok(_) | Err(access::AccessError::Unauthenticated)) => return None,
            Some(Err(_)) | None => {}
        }
        self.checked = Instant::now();
        Some(())
    }

    /// The event as text, if the subscriber wants and may see it.
    async fn show(&mut self, event: Event) -> Option<Bytes> {
        let kind = kind(&event);
        if !self.types.contains(kind) {
            return None;
        }
        let Ok(place) = self.state.latest.place(event.terminal()).await else {
            // Whether the subscriber may see it, nobody can say now.
            self.unplaced += 1;
            return None;
        };
        let place = place?;
        let wanted = self.vehicle_id.is_none() || self.vehicle_id == place.vehicle_id;
        if !wanted || !self.principal.scope.sees(place.company_id) {
            return None;
        }
        Some(line(kind, &VehicleEvent { event, vehicle_id: place.vehicle_id }))
    }
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Position(_) => "position",
        Event::Alarm { .. } => "alarm",
        Event::Presence { .. } => "presence",
        Event::Stream { .. } => "stream",
    }
}

fn line(event: &str, data: &impl Serialize) -> Bytes {
    // JSON without line breaks: one data line is enough.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {event}\ndata: {data}\n\n").into()
}
