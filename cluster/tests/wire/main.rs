//! Nodes that call each other over real sockets, with real certificates.

mod calls;
mod faults;
mod refusals;
mod streams;
mod support;
