//! The media role: terminals' video in, viewers' video out.
//!
//! A viewer pulls: the hub, the one owner of a stream's state, asks the terminal to send only when somebody
//! watches. Bytes of a terminal become units in a ring of shared frames; every way out reads the ring with a
//! cursor of its own and never slows the way in. Knows no database and no password: who may watch is asked
//! of [`Viewers`], terminals are reached by [`cluster::Terminals`].

mod answer;
mod cmsv6;
mod flv;
mod hls;
mod hub;
mod ingest;
mod outlet;
mod picture;
mod port;
mod readiness;
mod ring;
mod routes;
mod segmenter;
mod server;
mod settings;
mod socket;
mod sound;
mod source;
mod stats;
mod stream;
mod unit;
mod view;
mod viewers;

pub use readiness::Unready;
pub use server::{Deps, MediaServer, StartError};
pub use settings::Settings;
pub use stats::Stats;
pub use viewers::{Refusal, Viewers};
