//! The HTTP face: Open API v1, the CMSV6 face, documentation, console assets.
//!
//! Handlers extract, check, make one call and convert. Default-deny: every route of v1 stands inside one
//! scope that asks who calls; what needs no log-in is listed by name in `route`. Knows no wire protocol of
//! terminals and opens no stream itself.

mod body;
mod caller;
mod certificate;
mod cmsv6;
mod coding;
mod console;
mod docs;
mod document;
mod fields;
mod health;
mod host;
mod latest;
mod problem;
mod query;
mod request_log;
mod route;
mod server;
mod settings;
mod state;
mod subscribers;
mod v1;

pub use certificate::{Certificate, CertificateError};
pub use document::document;
pub use server::{Api, Deps, StartError};
pub use settings::{Map, Settings};
