//! Calls that are answered by a stream, and the keep-alives.

use std::sync::Arc;

use chrono::Utc;
use cluster::{
    Bus, Events, Lagged, LinkChange, LinkChanges, LinkListener, LinkStamp, Links, Lookout, NodeId,
    RemoteEvents, RemoteLinks, Role,
};
use futures_util::StreamExt as _;
use model::{Event, Filter, Presence, TerminalId};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::support::{SOON, Stage, name, status, until};

fn presence(terminal: i64) -> Event {
    Event::Presence { terminal: TerminalId(terminal), presence: Presence::Online }
}

type Told = Result<Event, Lagged>;

async fn next(events: &mut cluster::EventStream) -> Told {
    timeout(SOON, events.next()).await.expect("soon").expect("no end")
}

#[tokio::test]
async fn what_happens_on_one_node_is_told_on_the_others_and_no_further() {
    let stage = Stage::new();
    let [first, second] = [(); 2].map(|()| Arc::new(Bus::default()));
    let served = [Arc::clone(&first), Arc::clone(&second)];
    let [one, other] = served;
    let roles = [Role::Gateway, Role::Api];
    let gw1 = stage.node("gw1", &roles, |served| served.events = Some(one)).await;
    let gw2 = stage.node("gw2", &roles, |served| served.events = Some(other)).await;
    let (mut on_first, mut on_second) =
        (first.subscribe(Filter::default()), second.subscribe(Filter::default()));
    let _relays = [
        RemoteEvents::relay(Arc::clone(&gw1.peers), Arc::clone(&first)),
        RemoteEvents::relay(Arc::clone(&gw2.peers), Arc::clone(&second)),
    ];
    // Each is told that it is connected by what it may have missed.
    assert_eq!(next(&mut on_first).await, Err(Lagged(1)));
    assert_eq!(next(&mut on_second).await, Err(Lagged(1)));
    for terminal in 1..=2_000 {
        first.publish(presence(terminal));
    }
    second.publish(presence(9_000));
    // What each hears until the other one's last event; that comes behind whatever would have come back.
    for (events, last, own_last) in [(&mut on_second, 5_000, &first), (&mut on_first, 9_001, &second)] {
        own_last.publish(presence(last));
        let mut heard = Vec::new();
        loop {
            match next(events).await.expect("nothing missed").terminal() {
                TerminalId(terminal) if terminal == last => break,
                TerminalId(terminal) => heard.push(terminal),
            }
        }
        heard.sort_unstable();
        let expected = (1..=2_000).chain([5_000, 9_000].into_iter().filter(|terminal| *terminal != last));
        assert_eq!(heard, expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_the_leader_says_of_terminals_is_heard_where_people_ask() {
    let stage = Stage::new();
    let bus = Arc::new(Bus::default());
    let served = Arc::clone(&bus);
    let login1 = stage.node("login1", &[Role::Login], |parts| parts.events = Some(served)).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let here = Arc::new(Bus::default());
    let mut events = here.subscribe(Filter::default());
    let _relay = RemoteEvents::relay(Arc::clone(&api1.peers), here);
    assert_eq!(next(&mut events).await, Err(Lagged(1)));
    let offline = Event::Presence { terminal: TerminalId(4), presence: Presence::Offline };
    bus.publish(offline.clone());
    assert_eq!(next(&mut events).await, Ok(offline));
    stage.leave(login1.id());
}

#[tokio::test]
async fn a_node_that_cannot_keep_up_is_told_what_it_missed() {
    let stage = Stage::new();
    let bus = Arc::new(Bus::default());
    let served = Arc::clone(&bus);
    let gw1 = stage.node("gw1", &[Role::Gateway], |parts| parts.events = Some(served)).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let here = Arc::new(Bus::default());
    let mut events = here.subscribe(Filter::default());
    let _relay = RemoteEvents::relay(Arc::clone(&api1.peers), here);
    assert_eq!(next(&mut events).await, Err(Lagged(1)));
    // More at once than a bus holds: nothing is sent meanwhile.
    let last = 20_000;
    for terminal in 1..=last {
        bus.publish(presence(terminal));
    }
    let mut was_told = false;
    loop {
        match next(&mut events).await {
            Ok(event) if event.terminal() == TerminalId(last) => break,
            Ok(event) => assert!(was_told, "{event:?} before those that are missing"),
            Err(Lagged(missed)) => was_told |= missed > 0,
        }
    }
    assert!(was_told);
    stage.leave(gw1.id());
}

#[tokio::test]
async fn a_broken_subscription_is_told_when_it_is_back() {
    let stage = Stage::new();
    let bus = Arc::new(Bus::default());
    let served = Arc::clone(&bus);
    let mut m1 = stage.node("m1", &[Role::Media], |parts| parts.events = Some(served)).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let here = Arc::new(Bus::default());
    let mut events = here.subscribe(Filter::default());
    let _relay = RemoteEvents::relay(Arc::clone(&api1.peers), Arc::clone(&here));
    assert_eq!(next(&mut events).await, Err(Lagged(1)));
    bus.publish(presence(1));
    assert_eq!(next(&mut events).await, Ok(presence(1)));

    let addr = m1.addr();
    m1.stop().await;
    bus.publish(presence(2));
    let served = Arc::clone(&bus);
    let m1 = stage.life("m1", 1, &addr, &[Role::Media], |parts| parts.events = Some(served)).await;
    assert_eq!(next(&mut events).await, Err(Lagged(1)));
    bus.publish(presence(3));
    assert_eq!(next(&mut events).await, Ok(presence(3)));

    stage.leave(m1.id());
    assert_eq!(next(&mut events).await, Err(Lagged(1)));
}

struct Held {
    links: Vec<(TerminalId, LinkStamp)>,
    changes: Mutex<Option<mpsc::UnboundedReceiver<LinkChange>>>,
}

impl Links for Held {
    fn follow(&self) -> (Vec<(TerminalId, LinkStamp)>, LinkChanges) {
        let changes = self.changes.lock().take();
        let changes: LinkChanges = match changes {
            Some(changes) => Box::pin(UnboundedReceiverStream::new(changes)),
            None => Box::pin(futures_util::stream::pending()),
        };
        (self.links.clone(), changes)
    }
}

#[derive(Debug, PartialEq)]
enum Heard {
    All(NodeId, Vec<(TerminalId, LinkStamp)>),
    Change(NodeId, LinkChange),
    Gone(NodeId),
}

struct Ear(mpsc::UnboundedSender<Heard>);

impl LinkListener for Ear {
    fn told_all(&self, node: &NodeId, links: Vec<(TerminalId, LinkStamp)>) {
        let _ = self.0.send(Heard::All(node.clone(), links));
    }

    fn told(&self, node: &NodeId, change: LinkChange) {
        let _ = self.0.send(Heard::Change(node.clone(), change));
    }

    fn gone(&self, node: &NodeId) {
        let _ = self.0.send(Heard::Gone(node.clone()));
    }
}

#[tokio::test]
async fn links_are_told_whole_and_then_as_they_change() {
    let stage = Stage::new();
    let (change, changes) = mpsc::unbounded_channel();
    let stamp = |since_ms| LinkStamp { epoch: Some(-1), since_ms };
    let links: Vec<_> = (0..10_000).map(|terminal| (TerminalId(terminal), stamp(terminal))).collect();
    let held = Arc::new(Held { links: links.clone(), changes: Mutex::new(Some(changes)) });
    let gw1 = stage.node("gw1", &[Role::Gateway], |served| served.links = Some(held)).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let (ear, mut heard) = mpsc::unbounded_channel();
    let _links = RemoteLinks::tell(Arc::clone(&api1.peers), Arc::new(Ear(ear)));
    let mut hear = async || timeout(SOON, heard.recv()).await.expect("soon").expect("no end");

    assert!(hear().await == Heard::All(name("gw1"), links.clone()));
    let down = LinkChange {
        terminal: TerminalId(3),
        stamp: LinkStamp { epoch: None, since_ms: i64::MIN },
        is_up: false,
        trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok(),
    };
    change.send(down).expect("followed");
    assert_eq!(hear().await, Heard::Change(name("gw1"), down));
    // The gateway cannot tell any more what changed: everything is told anew.
    drop(change);
    assert!(hear().await == Heard::All(name("gw1"), links));
    stage.leave(gw1.id());
    assert_eq!(hear().await, Heard::Gone(name("gw1")));
}

#[tokio::test]
async fn a_node_is_in_sight_while_it_answers() {
    let stage = Stage::new();
    let mut gw1 = stage.node("gw1", &[Role::Gateway], |_| {}).await;
    let login1 = stage.node("login1", &[Role::Login], |_| {}).await;
    let lookout = Lookout::begin(Arc::clone(&login1.peers), status(login1.info.incarnation));
    let mut seen = lookout.sightings();
    let mut wait = async |is_so: &dyn Fn(&cluster::Sightings) -> bool| {
        timeout(SOON, seen.wait_for(|seen| is_so(seen))).await.expect("soon").expect("no end").clone()
    };
    let both = wait(&|seen| seen.len() == 2).await;
    for node in [gw1.id(), login1.id()] {
        let sighting = &both[node];
        assert!(sighting.is_in_sight() && sighting.has_right_clock() && sighting.load.terminals == 7);
    }
    let addr = gw1.addr();
    gw1.stop().await;
    wait(&|seen| !seen[&name("gw1")].is_in_sight()).await;
    let mut gw1 = stage.life("gw1", 2, &addr, &[Role::Gateway], |_| {}).await;
    let back = wait(&|seen| seen.get(&name("gw1")).is_some_and(|gw1| gw1.is_in_sight())).await;
    assert_eq!(back[gw1.id()].incarnation, gw1.info.incarnation);
    stage.leave(gw1.id());
    until(|| login1.peers.peer(gw1.id()).is_err()).await;
    // It answers, whatever became of its lease: nobody takes it for lost.
    let measured_at_ms = |seen: &cluster::Sightings| seen[&name("gw1")].measured_at_ms;
    let asked_ms = Utc::now().timestamp_millis();
    let still = wait(&|seen| measured_at_ms(seen) > asked_ms + 2_000).await;
    assert!(still[gw1.id()].is_in_sight());
    gw1.stop().await;
    wait(&|seen| seen.len() == 1).await;
}
