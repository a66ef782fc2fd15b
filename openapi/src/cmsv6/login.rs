//! `login`.

use serde::Serialize;

/// What a log-in gives.
#[derive(Clone, Serialize)]
pub struct Login {
    /// The session: 32 hexadecimal digits.
    pub jsession: String,
    /// The same again: some clients read this one.
    #[serde(rename = "JSESSIONID")]
    pub jsessionid: String,
    /// The account's name.
    pub account_name: String,
    /// Permission ids between commas, with a comma at either end.
    pub pri: String,
}
