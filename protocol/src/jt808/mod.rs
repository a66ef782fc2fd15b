//! JT/T 808: what a terminal and its platform say to each other (editions 2011, 2013 and 2019).
//!
//! From the wire upwards: [`Deframer`] cuts the stream into [`Frame`]s, [`Reassembler`] puts split messages
//! together, [`message`] reads the bodies, of which [`LocationReport`] is the hot one. [`id`] names every
//! message. Bodies of JT/T 1078, which share the link, are read elsewhere.

pub mod bcd;
pub mod frame;
pub mod gbk;
pub mod header;
pub mod id;
pub mod item;
pub mod location;
pub mod message;
pub mod phone;
pub mod reassembly;
pub mod server;
pub mod terminal;

pub use bcd::BcdTime;
pub use frame::{Deframer, Frame, FrameCounts, FrameError, FrameErrorKind, FrameSettings};
pub use gbk::Text;
pub use header::{Edition, Header, Package};
pub use item::{Item, ItemValue, Items};
pub use location::LocationReport;
pub use message::Message;
pub use phone::Phone;
pub use reassembly::{Reassembler, ReassemblySettings};
