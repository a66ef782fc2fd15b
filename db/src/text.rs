//! Texts from people and devices, made fit to be stored.

use crate::DbError;

/// A text from a person: trimmed, 1 to `chars_max` characters, none of them a control character.
pub(crate) fn given(what: &str, text: &str, chars_max: usize) -> Result<String, DbError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > chars_max {
        return Err(DbError::Invalid(format!("{what} must have 1 to {chars_max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(DbError::Invalid(format!("{what} must not contain control characters")));
    }
    Ok(text.to_owned())
}

/// A longer text from a person, which may be empty and have line breaks.
pub(crate) fn note(what: &str, text: &str, chars_max: usize) -> Result<String, DbError> {
    if text.chars().count() > chars_max {
        return Err(DbError::Invalid(format!("{what} must have at most {chars_max} characters")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(DbError::Invalid(format!("{what} must not contain control characters")));
    }
    Ok(text.to_owned())
}

/// A text from a device: whatever it is, trimmed, without control characters and cut to `chars_max`.
pub(crate) fn sent(text: &str, chars_max: usize) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(chars_max).collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_and_devices_are_cut() {
        assert_eq!(given("name", " a ", 1).ok().as_deref(), Some("a"));
        assert!(given("name", " ", 5).is_err() && given("name", "ab", 1).is_err());
        assert!(given("name", "a\0b", 5).is_err(), "PostgreSQL stores no zero byte");
        assert!(note("note", "a\nb", 5).is_ok() && note("note", "a\0", 5).is_err());
        assert_eq!(sent("\0 AB\0C ", 4), "ABC");
        assert_eq!(sent("ABCDEF", 3), "ABC");
    }
}
