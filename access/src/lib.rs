//! Who may do what: passwords, logins, tokens, play tickets, permissions.
//!
//! Everything that stands for a person ends as a [`Principal`] here; what lets terminals in is [`terminal`].
//! Knows no HTTP; what it stores, it stores through `db`.

mod key;
mod login;
mod logins;
mod password;
mod principal;
pub mod terminal;
mod throttle;
mod ticket;
mod token;

use std::sync::Arc;

use chrono::Utc;
use db::{Db, DbError};
use model::{AccountId, Permission, StreamKey, TerminalId};
use uuid::Uuid;

use logins::Logins;
use password::Passwords;
use principal::Principals;
use throttle::Throttle;

pub use key::{Keys, NumberedSecret, Secret};
pub use login::{Login, LoginError, Tokens};
pub use password::{PASSWORD_BYTES_MAX, PasswordHashes, PasswordsBusy};
pub use principal::{AccessError, Principal};
pub use ticket::{PlayTicket, TicketError};

/// Answers every question of who may do what. Cheap to clone; clones share their caches.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    keys: Keys,
    passwords: Passwords,
    throttle: Throttle,
    principals: Principals,
    logins: Logins<Uuid, ()>,
    /// By the digest of their value.
    opaque_logins: Logins<[u8; 32], AccountId>,
}

/// Whether an account may watch a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayView {
    /// It may.
    Yes,
    /// It has no right to live video, of whatever terminal.
    NoRight,
    /// It sees no such terminal: there is none, or it is another company's.
    NotVisible,
}

impl Access {
    /// Over `db`, signing with `keys`.
    pub fn new(db: Db, keys: Keys) -> Self {
        Self {
            inner: Arc::new(Inner {
                db,
                keys,
                passwords: Passwords::new(),
                throttle: Throttle::default(),
                principals: Principals::default(),
                logins: Logins::default(),
                opaque_logins: Logins::default(),
            }),
        }
    }

    /// A ticket for `account` to open `stream`, valid from now for [`PlayTicket::LIFETIME_S`], and what it
    /// says. Whether the account may view the stream was checked by the caller.
    pub fn issue_ticket(&self, account: AccountId, stream: StreamKey) -> (String, PlayTicket) {
        let ticket = PlayTicket::new(account, stream, Utc::now());
        (ticket.sign(self.inner.keys.signing()), ticket)
    }

    /// The ticket that `text` is, if it is one for `stream` and its time is not over.
    ///
    /// # Errors
    /// [`TicketError`] says which of these it fails.
    pub fn check_ticket(&self, text: &str, stream: &StreamKey) -> Result<PlayTicket, TicketError> {
        PlayTicket::verify(text, self.inner.keys.tickets(), stream, Utc::now())
    }

    /// Whether `account` may now watch live video of `terminal`, as of [`Principal::AGE_MAX`] ago at most.
    /// Asked again while a view runs, so that a revoked right ends it.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] where the account is gone or may not be used, [`AccessError::Db`] where
    /// it cannot be said.
    pub async fn may_view(&self, account: AccountId, terminal: TerminalId) -> Result<MayView, AccessError> {
        let principal = self.principal(account).await?;
        if !principal.may(Permission::Live) {
            return Ok(MayView::NoRight);
        }
        let terminal = found(self.inner.db.terminal(&principal.scope, terminal).await)?;
        Ok(if terminal.is_some() { MayView::Yes } else { MayView::NotVisible })
    }

    /// The terminal with this device number, as far as `principal` may see it (the CMSV6 face names
    /// terminals by device number).
    ///
    /// # Errors
    /// [`AccessError::Db`] where it cannot be said.
    pub async fn terminal_by_device_no(
        &self,
        principal: &Principal,
        device_no: &str,
    ) -> Result<Option<TerminalId>, AccessError> {
        let found = found(self.inner.db.terminal_by_device_no(&principal.scope, device_no).await)?;
        Ok(found.map(|terminal| terminal.id))
    }

    /// Accounts, roles or companies were changed: every answer that is kept is forgotten.
    pub fn rights_changed(&self) {
        self.inner.principals.forget();
        self.inner.logins.forget();
        self.inner.opaque_logins.forget();
    }
}

fn found<T>(result: Result<T, DbError>) -> Result<Option<T>, AccessError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(DbError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
