//! Which part of a node answers which call, and how a call is read and its answer written.
//!
//! Who calls is known by then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, MapOk, Ready};
use futures_util::{Stream, StreamExt as _, TryFutureExt as _, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use model::TerminalId;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tracing::warn;

use super::Desk;
use crate::trace;
use crate::wire::codec::{Json, Parcel, Wire};
use crate::wire::message::{
    Adopt, AskLink, AskStatus, BatchHead, Call, Disconnect, EVENTS_PER_MESSAGE, EventTold, Expect,
    FollowEvents, FollowLinks, GatewayOf, GiveOrder, Keep, LINKS_PER_MESSAGE, LinksTold, SendCommand,
    Snapshot, Stored, StoredUpTo,
};
use crate::{Batch, Bus, Epoch, Lagged, LinkChanges, LinkStamp, NodeId, OrderError};

/// Beyond the time in which the caller gives up; ends calls whose caller cannot even be told.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

impl Desk {
    /// Has the part that is meant answer.
    pub(super) async fn carry_out(&self, from: &NodeId, request: Request<Incoming>) -> Response<Body> {
        let served = &self.served;
        match request.uri().path() {
            AskStatus::PATH => {
                unary::<AskStatus, _, _>(request, |Json(())| async move { Ok(Json((served.status)())) }).await
            }
            AskLink::PATH => {
                unary::<AskLink, _, _>(request, |Json(terminal)| async move {
                    Ok(Json(has(&served.terminals, "terminals")?.link(terminal).await))
                })
                .await
            }
            SendCommand::PATH => {
                unary::<SendCommand, _, _>(request, |Json((terminal, command))| async move {
                    Ok(Json(has(&served.terminals, "terminals")?.send(terminal, command).await))
                })
                .await
            }
            Disconnect::PATH => {
                unary::<Disconnect, _, _>(request, |Json(terminal)| async move {
                    has(&served.terminals, "terminals")?.disconnect(terminal).await;
                    Ok(Json(()))
                })
                .await
            }
            GatewayOf::PATH => {
                unary::<GatewayOf, _, _>(request, |Json(terminal)| async move {
                    Ok(Json(has(&served.holders, "directory of terminals")?.holder_of(terminal)))
                })
                .await
            }
            Expect::PATH => {
                unary::<Expect, _, _>(request, |Json(terminal)| async move {
                    let expects = has(&served.expects, "gateway that traces")?;
                    if let Some(context) = trace::current() {
                        expects.expect(terminal, context);
                    }
                    Ok(Json(()))
                })
                .await
            }
            Snapshot::PATH => {
                unary::<Snapshot, _, _>(request, |Json(stream)| async move {
                    let picture = has(&served.media, "media server")?.snapshot(stream).await;
                    Ok(match picture {
                        Ok(jpeg) => Parcel { head: Ok(()), bytes: jpeg.into() },
                        Err(error) => Parcel { head: Err(error), bytes: bytes::Bytes::new() },
                    })
                })
                .await
            }
            GiveOrder::PATH => {
                unary::<GiveOrder, _, _>(request, |Json((epoch, order))| async move {
                    let orders = has(&served.orders, "part that takes orders")?;
                    Ok(Json(match self.let_pass(from, epoch) {
                        Ok(()) => orders.order(epoch, order).await,
                        Err(error) => Err(error),
                    }))
                })
                .await
            }
            Keep::PATH => {
                unary::<Keep, _, _>(request, |Parcel { head, bytes }| async move {
                    let BatchHead { origin, incarnation, number, follows } = head;
                    is_of(from, &origin)?;
                    let batch = Batch { origin, incarnation, number, follows, records: bytes };
                    Ok(Json(has(&served.copies, "room for copies")?.keep(batch).await))
                })
                .await
            }
            Stored::PATH => {
                unary::<Stored, _, _>(request, |Json(StoredUpTo { origin, incarnation, upto })| async move {
                    is_of(from, &origin)?;
                    Ok(Json(has(&served.copies, "room for copies")?.stored(&origin, incarnation, upto).await))
                })
                .await
            }
            Adopt::PATH => {
                unary::<Adopt, _, _>(request, |Json((epoch, origin))| async move {
                    let copies = has(&served.copies, "room for copies")?;
                    // Of its own copies a node disposes itself, whoever leads.
                    let may = if *from == origin { Ok(()) } else { self.let_pass(from, epoch) };
                    Ok(Json(match may {
                        Ok(()) => Ok(copies.adopt(&origin).await),
                        Err(error) => Err(error),
                    }))
                })
                .await
            }
            FollowLinks::PATH => {
                streaming::<FollowLinks, _, _>(request, |Json(())| {
                    let (links, changes) = has(&served.links, "links of terminals")?.follow();
                    Ok(links_told(links, changes))
                })
                .await
            }
            FollowEvents::PATH => {
                streaming::<FollowEvents, _, _>(request, |Json(())| {
                    Ok(events_told(has(&served.events, "events")?))
                })
                .await
            }
            path => Status::unimplemented(format!("no such call: {path}")).into_http(),
        }
    }

    /// Whether what `from` wants as the leader of `epoch` is to be done.
    fn let_pass(&self, from: &NodeId, epoch: Epoch) -> Result<(), OrderError> {
        self.served.fence.admit(epoch).map_err(|old| {
            warn!("order of {from} refused: {old}");
            OrderError::OldEpoch { seen: old.seen }
        })
    }
}

fn has<'a, T: ?Sized>(part: &'a Option<Arc<T>>, what: &str) -> Result<&'a T, Status> {
    part.as_deref().ok_or_else(|| lacks(what))
}

fn lacks(what: &str) -> Status {
    Status::unimplemented(format!("this node has no {what}"))
}

/// A node asks for its own records alone.
fn is_of(from: &NodeId, origin: &NodeId) -> Result<(), Status> {
    if from == origin {
        return Ok(());
    }
    Err(Status::permission_denied(format!("{from} asked for the records of {origin}")))
}

fn links_told(
    links: Vec<(TerminalId, LinkStamp)>,
    changes: LinkChanges,
) -> impl Stream<Item = Result<Json<LinksTold>, Status>> + Send + 'static {
    let mut links = links.into_iter();
    let parts = std::iter::from_fn(move || {
        let part: Vec<_> = links.by_ref().take(LINKS_PER_MESSAGE).collect();
        (!part.is_empty()).then_some(LinksTold::Some(part))
    });
    stream::iter(parts)
        .chain(stream::iter([LinksTold::All]))
        .chain(changes.ready_chunks(LINKS_PER_MESSAGE).map(LinksTold::Changes))
        .map(|told| Ok(Json(told)))
}

fn events_told(
    bus: &Bus,
) -> impl Stream<Item = Result<Json<Vec<EventTold>>, Status>> + Send + 'static + use<> {
    bus.own().ready_chunks(EVENTS_PER_MESSAGE).map(|events| {
        let told = events.into_iter().map(|event| match event {
            Ok(event) => EventTold::Event(event),
            Err(Lagged(missed)) => EventTold::Lagged(missed),
        });
        Ok(Json(told.collect()))
    })
}

/// Reads the request, has it answered, writes the reply; within a bounded time.
async fn unary<C, F, A>(request: Request<Incoming>, answer: F) -> Response<Body>
where
    C: Call,
    F: FnMut(C::Request) -> A,
    A: Future<Output = Result<C::Reply, Status>>,
{
    let mut grpc = Grpc::new(Wire::<C::Reply, C::Request>::default())
        .max_decoding_message_size(C::REQUEST_BYTES_MAX)
        .max_encoding_message_size(C::REPLY_BYTES_MAX);
    timeout(C::WITHIN + ANSWER_MARGIN, grpc.unary(Answer(answer), request))
        .await
        .unwrap_or_else(|_| Status::deadline_exceeded(format!("{} took too long", C::PATH)).into_http())
}

/// Reads the request and writes what follows, as it comes.
async fn streaming<C, F, S>(request: Request<Incoming>, begin: F) -> Response<Body>
where
    C: Call,
    F: FnMut(C::Request) -> Result<S, Status>,
    S: Stream<Item = Result<C::Reply, Status>> + Send + 'static,
{
    let mut grpc = Grpc::new(Wire::<C::Reply, C::Request>::default())
        .max_decoding_message_size(C::REQUEST_BYTES_MAX)
        .max_encoding_message_size(C::REPLY_BYTES_MAX);
    timeout(C::WITHIN + ANSWER_MARGIN, grpc.server_streaming(Begin(begin), request))
        .await
        .unwrap_or_else(|_| Status::deadline_exceeded(format!("{} took too long", C::PATH)).into_http())
}

/// A function as tonic's server wants it.
struct Answer<F>(F);

impl<F, A, Q, R> UnaryService<Q> for Answer<F>
where
    F: FnMut(Q) -> A,
    A: Future<Output = Result<R, Status>>,
{
    type Response = R;
    type Future = MapOk<A, fn(R) -> tonic::Response<R>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        (self.0)(request.into_inner()).map_ok(tonic::Response::new)
    }
}

/// A function that begins a stream, as tonic's server wants it.
struct Begin<F>(F);

impl<F, Q, S, R> ServerStreamingService<Q> for Begin<F>
where
    F: FnMut(Q) -> Result<S, Status>,
    S: Stream<Item = Result<R, Status>>,
{
    type Response = R;
    type ResponseStream = S;
    type Future = Ready<Result<tonic::Response<S>, Status>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        future::ready((self.0)(request.into_inner()).map(tonic::Response::new))
    }
}
