//! The wire types of the HTTP API: what goes in, what comes out, with their place in the OpenAPI document.
//!
//! Inputs refuse unknown fields. Outputs that mirror a stored row are made by a `From` that destructures the
//! row without `..`: a new column stops compilation here until somebody decides whether it leaves. Knows
//! no HTTP server and asks no question of the database.

pub mod account;
pub mod alarm;
pub mod cmsv6;
pub mod company;
pub mod device_profile;
pub mod dispatch;
pub mod event;
pub mod live;
pub mod login;
pub mod node;
pub mod page;
pub mod pending;
pub mod position;
pub mod problem;
pub mod role;
pub mod server;
pub mod terminal;
pub mod vehicle;

/// Reads a field that may be absent (outer None: leave as it is) or null (inner None: clear it).
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}
