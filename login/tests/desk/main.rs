//! The login server on real parts: links over TCP, a database of its own for each test, gateways that are as small as
//! can be.

mod before_authentication;
mod clients;
mod locked_out;
mod redirect;
mod splice;
mod support;
mod trace;
