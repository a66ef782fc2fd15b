//! How a model of devices reads the command that sends it to another server.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the numbers of JT/T 808's 0x8105 are written. The standard gives them the type WORD inside a text that is cut at
/// `;`, and devices read that in three ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedirectForm {
    /// All in decimal digits: what most devices read.
    #[default]
    Text,
    /// The connection control as a raw byte, the others in digits.
    RawControl,
    /// The connection control as a raw byte, the others as two raw bytes each.
    RawWords,
}

impl RedirectForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Text, Self::RawControl, Self::RawWords];

    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::RawControl => "raw_control",
            Self::RawWords => "raw_words",
        }
    }

    /// The form with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_stored_by_the_name_that_it_is_shown_by() {
        for form in RedirectForm::ALL {
            assert_eq!(RedirectForm::from_name(form.name()), Some(form));
            assert_eq!(serde_json::to_value(form).expect("JSON"), form.name());
        }
        assert_eq!(RedirectForm::from_name("TEXT"), None);
    }
}
