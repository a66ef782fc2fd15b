//! What a gateway tells of its links, and what becomes of one that another gateway has anew.

use access::terminal::Admission;
use cluster::{LinkChange, LinkChanges, LinkStamp};
use db::NodeLife;
use futures_util::{FutureExt as _, StreamExt as _};
use gateway::Trouble;
use model::{Event, Presence};

use crate::support::{Device, WITHIN, World, wait_for, wait_for_trouble};

const SIM: &str = "13900000025";
/// Of a terminal that shows that what was asked for has been done.
const WITNESS: &str = "13900000026";

async fn next(changes: &mut LinkChanges) -> LinkChange {
    tokio::time::timeout(WITHIN, changes.next()).await.expect("a change within the limit").expect("one more")
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_told_as_they_come_are_opened_and_go() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let (snapshot, mut changes) = gateway.links().follow();
    assert!(snapshot.is_empty());
    let device = Device::online(gateway.addr(), SIM).await;
    let up = next(&mut changes).await;
    assert_eq!((up.terminal, up.stamp.epoch, up.is_up), (terminal, None, true));
    let opened = next(&mut changes).await;
    assert_eq!(opened, LinkChange { stamp: LinkStamp { epoch: Some(1), ..up.stamp }, ..up });
    assert_eq!(gateway.links().follow().0, [(terminal, opened.stamp)]);
    drop(device);
    assert_eq!(next(&mut changes).await, LinkChange { is_up: false, ..opened });
    assert!(gateway.links().follow().0.is_empty());
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_another_gateway_has_anew_is_closed_as_replaced() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let stamp = wait_for("its epoch", async || {
        gateway.links().follow().0.first().map(|(_, stamp)| *stamp).filter(|stamp| stamp.epoch.is_some())
    })
    .await;
    let mut events = world.events();
    assert!(!gateway.control().close_stale(terminal, stamp), "its own");
    assert!(!gateway.control().close_stale(terminal, LinkStamp { epoch: Some(0), since_ms: i64::MAX }));
    assert!(!gateway.control().close_stale(terminal, LinkStamp { epoch: None, since_ms: 0 }));
    device.assert_alive().await;
    assert!(gateway.control().close_stale(terminal, LinkStamp { epoch: Some(2), since_ms: 0 }));
    device.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::Replaced, 1).await;
    assert!(
        !gateway.control().close_stale(terminal, LinkStamp { epoch: Some(9), since_ms: 0 }),
        "it is gone"
    );
    gateway.shutdown().await;
    while let Some(Some(event)) = events.next().now_or_never() {
        let offline = Event::Presence { terminal, presence: Presence::Offline };
        assert_ne!(event, Ok(offline), "it is online elsewhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_for_lost_says_who_is_online_once_it_is_a_member_again() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    gateway.control().stands(true);
    let mut device = Device::online(gateway.addr(), SIM).await;
    let is = async |online: bool| (world.read(terminal).await.online == online).then_some(());
    wait_for("its session", async || is(true).await).await;

    gateway.control().stands(false);
    let mut events = world.events();
    let life = NodeLife { node: world.settings.node.clone(), incarnation: 1 };
    let lost = world.database.db().node_lost(1, &life).await.expect("written");
    assert_eq!(lost, [terminal]);
    assert_eq!(is(false).await, Some(()));
    gateway.control().stands(true);
    wait_for("its session to stand", async || is(true).await).await;
    let event = tokio::time::timeout(WITHIN, events.next()).await.expect("within the limit");
    assert_eq!(event, Some(Ok(Event::Presence { terminal, presence: Presence::Online })));
    device.assert_alive().await;

    // what another node has opened since is its own; the one beside it stands again
    let witness = world.terminal(WITNESS).await.id;
    let _witness = Device::online(gateway.addr(), WITNESS).await;
    let stands = async || world.read(witness).await.online.then_some(());
    wait_for("the session beside it", stands).await;
    gateway.control().stands(false);
    let mut lost = world.database.db().node_lost(1, &life).await.expect("written");
    lost.sort();
    assert_eq!(lost, [terminal, witness]);
    let opened = world.database.db().sessions_opened("other", &[(terminal, "192.0.2.9".to_owned())]).await;
    let epoch = opened.expect("opened")[&terminal].epoch;
    world.database.db().sessions_closed(&[(terminal, epoch)]).await.expect("closed");
    gateway.control().stands(true);
    wait_for("the session beside it to stand", stands).await;
    assert_eq!(is(false).await, Some(()));
    gateway.shutdown().await;
}
