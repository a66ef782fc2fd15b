//! The events of one node: its own, and those that other nodes told it.
//!
//! Knows not how events come from other nodes.

use futures_util::{StreamExt, future};
use model::{Event, Filter};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::{EventStream, Events, Lagged};

/// How many events a subscriber may lag behind before it loses the oldest: some seconds of a large
/// fleet, at about 300 bytes each.
const CAPACITY: usize = 16_384;

/// Carries events between the roles of one process. A slow subscriber loses the oldest and is told.
#[derive(Debug)]
pub struct Bus {
    sender: broadcast::Sender<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    /// It happened on this node.
    Own(Event),
    /// Another node told of it.
    Relayed(Event),
    /// Another node could not tell of so many.
    Missed(u64),
}

impl Default for Bus {
    fn default() -> Self {
        Self { sender: broadcast::channel(CAPACITY).0 }
    }
}

impl Bus {
    /// What will happen on this node alone from now on: what other nodes ask for. They are told nothing that came
    /// from a node, or two nodes that tell each other would never end.
    pub fn own(&self) -> EventStream {
        let items = BroadcastStream::new(self.sender.subscribe());
        Box::pin(items.filter_map(|item| {
            future::ready(match item {
                Ok(Item::Own(event)) => Some(Ok(event)),
                Ok(Item::Relayed(_) | Item::Missed(_)) => None,
                Err(BroadcastStreamRecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            })
        }))
    }

    /// Tells every subscriber of this node of something that happened on another one.
    pub fn relay(&self, event: Event) {
        // An error only says that nobody listens.
        let _ = self.sender.send(Item::Relayed(event));
    }

    /// Tells every subscriber of this node that at least `missed` events of another one are missing here.
    pub fn relay_missed(&self, missed: u64) {
        let _ = self.sender.send(Item::Missed(missed));
    }
}

impl Events for Bus {
    fn publish(&self, event: Event) {
        let _ = self.sender.send(Item::Own(event));
    }

    fn subscribe(&self, filter: Filter) -> EventStream {
        let items = BroadcastStream::new(self.sender.subscribe());
        Box::pin(items.filter_map(move |item| {
            future::ready(match item {
                Ok(Item::Own(event) | Item::Relayed(event)) => filter.wants(&event).then_some(Ok(event)),
                Ok(Item::Missed(missed)) | Err(BroadcastStreamRecvError::Lagged(missed)) => {
                    Some(Err(Lagged(missed)))
                }
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use model::{Presence, TerminalId};

    use super::*;

    fn presence(terminal: i64) -> Event {
        Event::Presence { terminal: TerminalId(terminal), presence: Presence::Online }
    }

    #[tokio::test]
    async fn a_subscriber_gets_what_it_asked_for_and_is_told_what_it_missed() {
        let bus = Bus::default();
        bus.publish(presence(1));
        let mut one = bus.subscribe(Filter { terminal: Some(TerminalId(1)) });
        bus.publish(presence(2));
        bus.publish(presence(1));
        assert_eq!(one.next().await, Some(Ok(presence(1))));
        for _ in 0..CAPACITY + 5 {
            bus.publish(presence(1));
        }
        assert_eq!(one.next().await, Some(Err(Lagged(5))));
        assert_eq!(one.next().await, Some(Ok(presence(1))));
    }

    #[tokio::test]
    async fn what_other_nodes_told_is_told_to_no_other_node() {
        let bus = Bus::default();
        let (mut all, mut own) = (bus.subscribe(Filter::default()), bus.own());
        bus.relay(presence(1));
        bus.relay_missed(3);
        bus.publish(presence(2));
        assert_eq!(all.next().await, Some(Ok(presence(1))));
        assert_eq!(all.next().await, Some(Err(Lagged(3))));
        assert_eq!(all.next().await, Some(Ok(presence(2))));
        assert_eq!(own.next().await, Some(Ok(presence(2))));
    }
}
