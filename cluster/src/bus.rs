//! Events inside one process.

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
    sender: broadcast::Sender<Event>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { sender: broadcast::channel(CAPACITY).0 }
    }
}

impl Events for Bus {
    fn publish(&self, event: Event) {
        // An error only says that nobody listens.
        let _ = self.sender.send(event);
    }

    fn subscribe(&self, filter: Filter) -> EventStream {
        let events = BroadcastStream::new(self.sender.subscribe());
        Box::pin(events.filter_map(move |item| {
            future::ready(match item {
                Ok(event) => filter.wants(&event).then_some(Ok(event)),
                Err(BroadcastStreamRecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
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
}
