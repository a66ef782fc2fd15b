//! Open API v1, a file a noun.

pub(crate) mod account;
pub(crate) mod alarm;
pub(crate) mod company;
pub(crate) mod device_profile;
pub(crate) mod dispatch;
pub(crate) mod event;
pub(crate) mod live;
pub(crate) mod login;
pub(crate) mod me;
pub(crate) mod node;
pub(crate) mod pending;
pub(crate) mod position;
pub(crate) mod role;
pub(crate) mod server;
pub(crate) mod terminal;
pub(crate) mod vehicle;

use db::Page;

use crate::problem::{Outcome, Problem};

/// Refuses a text that is longer than the document allows.
fn bounded(field: &str, text: &str, chars_max: usize) -> Outcome<()> {
    if text.chars().nth(chars_max).is_none() {
        return Ok(());
    }
    Err(Problem::field(field, format!("at most {chars_max} characters")))
}

/// The page that a query asks for.
fn page(cursor: Option<String>, limit: Option<u32>) -> Outcome<Page> {
    Ok(Page::new(cursor, limit)?)
}
