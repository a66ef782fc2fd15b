//! `motorcade openapi`: prints the OpenAPI document of v1.

use std::io::Write as _;

use anyhow::{Context, Result};

/// The same document as `/openapi.json`, indented.
pub(crate) fn run() -> Result<()> {
    let document = serde_json::to_string_pretty(&api::document()).context("write the document")?;
    writeln!(std::io::stdout().lock(), "{document}").context("print the document")
}
