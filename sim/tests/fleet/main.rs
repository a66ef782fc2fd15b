//! Fleets against the platform's side of the protocol, on real sockets.

mod driving;
mod platform;
mod streaming;
