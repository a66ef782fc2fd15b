//! The crate on real parts: requests over HTTP, a database of its own for each test, simulated terminals.

mod bad_bodies;
mod before_authentication;
mod cmsv6;
mod cmsv6_fleet;
mod database_away;
mod device_profiles;
mod dispatch;
mod document;
mod events;
mod foreign_ids;
mod latest;
mod live;
mod login;
mod nodes;
mod permissions;
mod servers;
mod support;
