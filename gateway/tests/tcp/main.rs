//! The crate on real parts: links over TCP, a database of its own for each test, a spool on disk.

mod acknowledged_and_lost;
mod admission;
mod bad_input;
mod before_authentication;
mod command;
mod copies;
mod links;
mod locked_out;
mod outage;
mod redirect;
mod report;
mod splice;
mod storing;
mod support;
