//! Terminals' admission: who among them is let in, by gateways and login servers alike.
//!
//! What a terminal says in 0x0100 and 0x0102 is judged here, by the setting, the database, memory and the
//! code itself. Knows no socket and no session: whoever holds the link sends the answer, counts refusals and
//! bounds attempts.

mod admission;
mod code;
mod form;
mod known;

use std::sync::Arc;
use std::time::Duration;

use db::{DatabaseState, Db};
use model::TerminalId;
use tokio::sync::Semaphore;

use known::Known;

pub use admission::{Admission, Authentication, Registration};
pub use code::{AuthCodes, AuthKey, CODE_CHARS_MAX, CodeError, Grant};
pub use form::control_form;

/// Registrations that ask the database at once; the others wait for their turn here, where each gets it in the end.
/// In the queue for a connection, which is short so that a database that hangs is found out, all but the first of a
/// fleet that registers at once would be turned away, and the database would idle until they ask again. As many as
/// there are connections for terminals' admission, by default: authentications and the leader find the queue for those
/// short.
const REGISTERING_MAX: usize = 2;
/// How long a registration waits for its turn. Then it is left unanswered: few terminals wait for longer before they
/// ask again.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Where terminals are let in or refused. One a listener: its tasks share it, and what it remembers.
///
/// Works while the database is away: a genuine code is enough then, and who is neither known by memory nor by
/// a code is left unanswered, so that it asks again.
pub struct Door {
    db: Db,
    database: Arc<DatabaseState>,
    codes: AuthCodes,
    known: Known,
    admission: Admission,
    registering: Semaphore,
}

impl Door {
    /// Over `db`, which need not be there: while `database` says that it is away it is not asked, and what
    /// is found out about that is noted there.
    pub fn new(db: Db, database: Arc<DatabaseState>, codes: AuthCodes, admission: Admission) -> Self {
        let registering = Semaphore::new(REGISTERING_MAX);
        Self { db, database, codes, known: Known::default(), admission, registering }
    }

    /// How terminals that nobody entered are met.
    pub fn admission(&self) -> Admission {
        self.admission
    }

    /// Forgets what is remembered of `terminal`, so that the database is asked the next time: its code was
    /// revoked, or it was deleted.
    pub fn forget(&self, terminal: TerminalId) {
        self.known.forget(terminal);
    }
}
