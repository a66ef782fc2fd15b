//! Times from people, made fit to be stored and compared.

use chrono::{DateTime, Datelike as _, Utc};

use crate::DbError;

/// A time from a person, of the years 1 to 9999: what RFC 3339 can write. PostgreSQL's own range is another
/// than chrono's, and a time beyond it would be an error of the server.
pub(crate) fn given(what: &str, at: DateTime<Utc>) -> Result<DateTime<Utc>, DbError> {
    if (1..=9999).contains(&at.year()) {
        return Ok(at);
    }
    Err(DbError::Invalid(format!("{what} must be in the years 1 to 9999")))
}

/// The time in a cursor, microseconds since 1970.
pub(crate) fn of_cursor(micros: i64) -> Result<DateTime<Utc>, DbError> {
    let at = DateTime::from_timestamp_micros(micros).and_then(|at| given("cursor", at).ok());
    at.ok_or_else(|| DbError::Invalid("unknown cursor".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_postgresql_or_rfc_3339_do_not_know_are_refused() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("chrono reads it");
        for good in ["0001-01-01T00:00:00Z", "2026-11-22T00:00:00Z", "9999-12-31T23:59:59Z"] {
            assert!(given("from", at(good)).is_ok(), "{good}");
        }
        for wrong in ["-4714-11-23T00:00:00Z", "0000-12-31T23:59:59Z", "+262142-12-31T23:59:59Z"] {
            assert!(matches!(given("from", at(wrong)), Err(DbError::Invalid(_))), "{wrong}");
        }
        assert!(of_cursor(0).is_ok());
        for wrong in [i64::MIN, i64::MAX, -62_167_219_200_000_001] {
            assert!(of_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
