//! Who may do what: passwords, log-ins, tokens, sessions of the CMSV6 face, play tickets, permissions.
//!
//! Everything that stands for a person ends as a [`Principal`] here. Knows no HTTP; what it stores, it
//! stores through `db`.

mod key;
mod login;
mod password;
mod principal;
mod throttle;
mod ticket;

use std::sync::Arc;

use chrono::Utc;
use model::{AccountId, StreamKey, TerminalId};

pub use key::{Keys, NumberedSecret, Secret};
pub use login::{LoginError, Tokens};
pub use password::{PASSWORD_BYTES_MAX, PasswordHashes, PasswordsBusy};
pub use principal::{AccessError, Principal};
pub use ticket::{PlayTicket, TicketError};

/// Answers every question of who may do what. Cheap to clone; clones share their caches.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Keys,
}

impl Access {
    /// A ticket for `account` to open `stream`, valid from now for [`PlayTicket::LIFETIME_S`], and when it
    /// expires. Whether the account may view the stream was checked by the caller.
    pub fn issue_ticket(&self, account: AccountId, stream: StreamKey) -> (String, PlayTicket) {
        let ticket = PlayTicket::new(account, stream, Utc::now());
        (ticket.sign(&self.inner.keys.tickets[0]), ticket)
    }

    /// The ticket that `text` is, if it is one for `stream` and its time is not over.
    pub fn check_ticket(&self, text: &str, stream: &StreamKey) -> Result<PlayTicket, TicketError> {
        PlayTicket::verify(text, &self.inner.keys.tickets, stream, Utc::now())
    }

    /// Whether `account` may, as of some two seconds ago at most, view live video of `terminal`. Asked again
    /// while a view runs, so that a revoked right ends it.
    pub async fn may_view(&self, account: AccountId, terminal: TerminalId) -> Result<bool, AccessError> {
        let _ = (account, terminal);
        todo!()
    }

    /// The person behind a CMSV6 session (32 hexadecimal digits); each use extends it.
    pub async fn principal_of_session(&self, jsession: &str) -> Result<Principal, AccessError> {
        let _ = jsession;
        todo!()
    }

    /// The terminal with this device number, as far as `principal` may see it (the CMSV6 face names
    /// terminals by device number).
    pub async fn terminal_by_device_no(
        &self,
        principal: &Principal,
        device_no: &str,
    ) -> Result<Option<TerminalId>, AccessError> {
        let _ = (principal, device_no);
        todo!()
    }
}
