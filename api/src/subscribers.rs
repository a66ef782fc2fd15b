//! Who holds event streams open: so many of an account, so many in all, and one question at a time about each login.
//!
//! Knows nothing of what the streams carry.

use std::collections::HashMap;
use std::sync::Arc;

use access::Login;
use model::AccountId;
use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;

/// Event streams at most: each looks at every event of the platform. The document tells both bounds.
const STREAMS_MAX: usize = 1_000;
/// Of these, of one account: a control room's tabs and programs, but never the whole.
const PER_ACCOUNT_MAX: usize = 50;

/// The open event streams, counted.
#[derive(Default)]
pub(crate) struct Subscribers {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    of: HashMap<AccountId, usize>,
    /// Of each login with a stream, what its streams share, and how many they are.
    turns: HashMap<Login, (Arc<Turn<()>>, usize)>,
}

/// One open stream; it is counted until this is dropped.
pub(crate) struct Subscriber {
    among: Arc<Subscribers>,
    account: AccountId,
    login: Login,
    /// Who holds it may ask what became of the login; the others find the answer where it was kept.
    turn: Arc<Turn<()>>,
}

impl Subscribers {
    /// Counts one more stream of this account and login; None where there are as many as there may be.
    pub(crate) fn admit(self: &Arc<Self>, account: AccountId, login: Login) -> Option<Subscriber> {
        let mut open = self.open.lock();
        let of = open.of.get(&account).copied().unwrap_or_default();
        if open.all >= STREAMS_MAX || of >= PER_ACCOUNT_MAX {
            return None;
        }
        open.all += 1;
        open.of.insert(account, of + 1);
        let (turn, sharing) = open.turns.entry(login).or_default();
        *sharing += 1;
        let turn = Arc::clone(turn);
        Some(Subscriber { among: Arc::clone(self), account, login, turn })
    }
}

impl Subscriber {
    /// Whose turn it is to ask.
    pub(crate) fn turn(&self) -> Arc<Turn<()>> {
        Arc::clone(&self.turn)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let mut open = self.among.open.lock();
        open.all -= 1;
        if let Some(of) = open.of.get_mut(&self.account) {
            *of -= 1;
            if *of == 0 {
                open.of.remove(&self.account);
            }
        }
        if let Some((_, sharing)) = open.turns.get_mut(&self.login) {
            *sharing -= 1;
            if *sharing == 0 {
                open.turns.remove(&self.login);
            }
        }
    }
}
