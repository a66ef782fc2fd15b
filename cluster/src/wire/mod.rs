//! What nodes say to each other, byte by byte: the gRPC service `motorcade.Node` over mutual TLS.
//!
//! Messages, how they are written, and the side that answers. Who calls, and what for, is in [`remote`](crate::remote).

pub(crate) mod codec;
pub(crate) mod message;
mod serve;

pub use message::{NodeStatus, STAMP_HEADER, TRACE_HEADER};
pub(crate) use serve::{ALIVE_WITHIN, SILENT_FOR};
pub use serve::{NodeServer, Served, StatusFn};
