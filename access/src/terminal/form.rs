//! From the form of a device profile to that of the wire.

use model::RedirectForm;
use protocol::jt808::message::ControlForm;

/// How 0x8105 is written on the wire.
pub fn control_form(form: RedirectForm) -> ControlForm {
    match form {
        RedirectForm::Text => ControlForm::Text,
        RedirectForm::RawControl => ControlForm::RawControl,
        RedirectForm::RawWords => ControlForm::RawWords,
    }
}
