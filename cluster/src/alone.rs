//! Placement inside one process: there is one media server, or none.

use model::StreamKey;

use crate::{MediaServer, Placement};

/// The placement of a node that is alone.
#[derive(Debug)]
pub struct Alone {
    /// Its own media server, where it runs one.
    pub media: Option<MediaServer>,
}

impl Placement for Alone {
    fn media_for(&self, _stream: &StreamKey) -> Option<MediaServer> {
        self.media.clone()
    }
}
