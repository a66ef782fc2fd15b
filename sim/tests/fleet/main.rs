//! Fleets against the platform's side of the protocol, on real sockets.

mod driving;
mod moving;
mod parameters;
mod platform;
mod proxied;
mod streaming;
