//! The rule: registrations (0x0100) and authentications (0x0102), by the setting and by what the database,
//! the door's memory and the code itself say.

use std::time::Instant;

use db::DbError;
use model::{RedirectForm, Scope, Sim, TerminalId};
use protocol::jt808::Edition;
use protocol::jt808::message;
use serde::Deserialize;
use tokio::sync::SemaphorePermit;

use super::code::{CodeError, Grant};
use super::known::Entry;
use super::{Door, TURN_WITHIN};

/// How terminals that nobody entered are met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// Refused: registration result 4, authentication result 1, link closed.
    Known,
    /// Refused, but listed for an operator's approval; the link is closed when it has not authenticated
    /// within the limit for that.
    #[default]
    Pending,
    /// Entered at once under the root company, by registration or by authentication alone.
    Open,
}

/// What to answer to a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Result 0.
    Done {
        /// The code that it may authenticate with: at most [`CODE_CHARS_MAX`](super::CODE_CHARS_MAX) characters.
        code: String,
    },
    /// Result 4: no such terminal.
    Refused {
        /// Whether the link is to be closed, unless it is somebody's.
        close: bool,
    },
    /// Nothing: the database, which alone knows, is away. The terminal asks again.
    Unanswered,
}

/// What to answer to an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Result 0.
    Admitted {
        /// Who it is.
        terminal: TerminalId,
        /// The code's revocation count, where nobody could say whether it is still the current one.
        unchecked: Option<u32>,
        /// How its 0x8105 is written, where its device profile says so, as far as that is known.
        redirect_form: Option<RedirectForm>,
    },
    /// Result 1.
    Refused {
        /// Whether the link is to be closed.
        close: bool,
    },
    /// Nothing: the database, which alone knows, is away. The terminal asks again.
    Unanswered,
}

impl Door {
    /// Answers the registration of `sim`, whose body (of a header of `edition`) is `body`, from the address
    /// `peer`. Registering again is answered like the first time.
    pub async fn register(&self, sim: &Sim, edition: Edition, body: &[u8], peer: &str) -> Registration {
        let Ok(said) = message::Registration::decode(body, edition) else {
            return Registration::Refused { close: false };
        };
        let registration = db::Registration {
            province: said.province,
            city: said.city,
            maker: said.maker.to_str().into_owned(),
            model: said.model.to_str().into_owned(),
            terminal_no: said.terminal_id.to_str().into_owned(),
            plate: said.plate.to_str().into_owned(),
            plate_colour: said.plate_colour,
            edition: Some(match said.layout {
                Edition::V2011 => 2011,
                Edition::V2013 => 2013,
                Edition::V2019 => 2019,
            }),
        };
        match self.enter(sim, &registration, peer).await {
            Ok(Some(entry)) => Registration::Done { code: self.issue(sim, entry) },
            Ok(None) => Registration::Refused { close: self.admission == Admission::Known },
            Err(error) => {
                tracing::debug!(terminal.sim = %sim, %error, "registration without the database");
                match self.known.of(sim) {
                    Some(entry) => Registration::Done { code: self.issue(sim, entry) },
                    None => Registration::Unanswered,
                }
            }
        }
    }

    /// Answers the authentication of `sim` with `code`, as it stands in the message. A genuine code is enough
    /// while the database is away.
    pub async fn authenticate(&self, sim: &Sim, code: &[u8]) -> Authentication {
        let grant = code_text(code).ok_or(CodeError::Foreign).and_then(|code| self.codes.check(sim, code));
        let close = self.admission == Admission::Known;
        match self.lookup(sim, grant.ok()).await {
            Ok(Some(entry)) => match grant {
                Ok(grant) if is_current(grant, entry) => admitted(entry),
                // Terminals with a fixed code of their own never register (open admission takes their word).
                Err(CodeError::Foreign) if self.admission == Admission::Open => admitted(entry),
                Ok(_) | Err(_) => Authentication::Refused { close: false },
            },
            Ok(None) if self.admission == Admission::Open => {
                match self.db.admit(sim, &db::Registration::default()).await {
                    Ok(terminal) => admitted(self.remember(sim, &terminal)),
                    Err(error) => {
                        tracing::warn!(terminal.sim = %sim, %error, "terminal {sim} could not be entered");
                        Authentication::Unanswered
                    }
                }
            }
            Ok(None) => Authentication::Refused { close },
            Err(Away) => match (grant, self.known.of(sim)) {
                (Ok(grant), Some(entry)) if !is_current(grant, entry) => {
                    Authentication::Refused { close: false }
                }
                (Ok(grant), entry) => Authentication::Admitted {
                    terminal: grant.terminal,
                    unchecked: Some(grant.revocations),
                    redirect_form: entry.and_then(|entry| entry.redirect_form),
                },
                (Err(CodeError::Foreign), Some(entry)) if self.admission == Admission::Open => {
                    admitted(entry)
                }
                (Err(CodeError::Foreign), None) if self.admission == Admission::Open => {
                    Authentication::Unanswered
                }
                (Err(_), _) => Authentication::Refused { close: false },
            },
        }
    }

    /// Makes the terminal's code void: it left its vehicle and has to register again.
    ///
    /// # Errors
    /// Where the database did not take it; the code may still be good then.
    pub async fn unregister(&self, terminal: TerminalId) -> Result<(), DbError> {
        self.known.forget(terminal);
        let change = db::TerminalChange { revoke_auth: true, ..db::TerminalChange::default() };
        self.db.change_terminal(&Scope::platform(), terminal, change).await.map(|_| ())
    }

    /// What is known of the terminal, from memory where that is fresh and agrees with the code.
    async fn lookup(&self, sim: &Sim, grant: Option<Grant>) -> Result<Option<Entry>, Away> {
        if self.database.is_away() {
            return Err(Away);
        }
        if let Some(entry) = self.known.of(sim)
            && entry.is_fresh(Instant::now())
            && grant.is_some_and(|grant| is_current(grant, entry))
        {
            return Ok(Some(entry));
        }
        match self.db.terminal_by_sim(sim).await {
            Ok(Some(terminal)) => Ok(Some(self.remember(sim, &terminal))),
            Ok(None) => {
                self.known.forget_sim(sim);
                Ok(None)
            }
            Err(error) => {
                tracing::debug!(terminal.sim = %sim, %error, "authentication without the database");
                if matches!(error, DbError::Unavailable(_)) {
                    // The next ones need not wait to find the same.
                    self.database.lost(&error);
                }
                Err(Away)
            }
        }
    }

    /// The terminal, entered as the setting allows; None where it is unknown and stays so.
    async fn enter(
        &self,
        sim: &Sim,
        registration: &db::Registration,
        peer: &str,
    ) -> Result<Option<Entry>, DbError> {
        let _turn = self.turn().await?;
        let terminal = match self.admission {
            Admission::Open => Some(self.db.note_or_admit(sim, registration).await?),
            Admission::Known | Admission::Pending => self.db.note_registration(sim, registration).await?,
        };
        let Some(terminal) = terminal else {
            self.known.forget_sim(sim);
            if self.admission == Admission::Pending {
                self.db.note_pending(sim, registration, peer).await?;
                tracing::info!(terminal.sim = %sim, "terminal {sim} waits for approval");
            }
            return Ok(None);
        };
        Ok(Some(self.remember(sim, &terminal)))
    }

    /// Waits until it is this registration's turn to ask the database. Who had to wait does not ask one that was found
    /// to be away meanwhile.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, DbError> {
        if let Ok(turn) = self.registering.try_acquire() {
            return Ok(turn);
        }
        match tokio::time::timeout(TURN_WITHIN, self.registering.acquire()).await {
            Ok(Ok(_)) if self.database.is_away() => {
                Err(DbError::Unavailable("it was found to be away".into()))
            }
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(DbError::Busy("too many terminals register at once")),
        }
    }

    fn remember(&self, sim: &Sim, terminal: &db::Terminal) -> Entry {
        let db::Terminal { id, auth_revocations, redirect_form, .. } = terminal;
        self.known.remember(Instant::now(), sim, *id, *auth_revocations, *redirect_form)
    }

    fn issue(&self, sim: &Sim, entry: Entry) -> String {
        self.codes.issue(sim, Grant { terminal: entry.terminal, revocations: entry.revocations })
    }
}

/// The database cannot be asked.
struct Away;

fn is_current(grant: Grant, entry: Entry) -> bool {
    grant.terminal == entry.terminal && grant.revocations == entry.revocations
}

fn admitted(entry: Entry) -> Authentication {
    let Entry { terminal, redirect_form, .. } = entry;
    Authentication::Admitted { terminal, unchecked: None, redirect_form }
}

/// Some terminals end the text, or fill it up, with zeros or spaces.
fn code_text(code: &[u8]) -> Option<&str> {
    std::str::from_utf8(code).ok().map(|code| code.trim_end_matches(['\0', ' ']))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use db::{DatabaseState, Db, DbSettings};
    use protocol::jt808::Text;

    use super::*;
    use crate::terminal::{AuthCodes, AuthKey};

    fn codes(key: u8) -> AuthCodes {
        AuthCodes::new(AuthKey { id: 1, secret: [key; 32] }, vec![])
    }

    /// A door whose database was never reached.
    fn door(admission: Admission) -> Door {
        let db = Db::closed("host=/nowhere dbname=none", DbSettings::default()).expect("a handle");
        Door::new(db, Arc::new(DatabaseState::default()), codes(1), admission)
    }

    fn registration() -> Vec<u8> {
        let said = message::Registration {
            layout: Edition::V2013,
            province: 44,
            city: 300,
            maker: Text(b"MAKER"),
            model: Text(b"model"),
            terminal_id: Text(b"1"),
            plate_colour: 1,
            plate: Text(b""),
        };
        let mut body = Vec::new();
        said.encode(&mut body, Edition::V2013);
        body
    }

    #[tokio::test]
    async fn a_genuine_code_is_enough_while_the_database_is_away() {
        let sim: Sim = "13912345678".parse().expect("a SIM");
        let grant = Grant { terminal: TerminalId(42), revocations: 3 };
        for admission in [Admission::Known, Admission::Pending, Admission::Open] {
            let door = door(admission);
            let code = codes(1).issue(&sim, grant);
            let admitted = Authentication::Admitted {
                terminal: grant.terminal,
                unchecked: Some(3),
                redirect_form: None,
            };
            assert_eq!(door.authenticate(&sim, code.as_bytes()).await, admitted);
            assert!(door.database.is_away(), "found out, and noted for the others");
            let padded = format!("{code}\0 ");
            assert_eq!(door.authenticate(&sim, padded.as_bytes()).await, admitted, "filled up");
            let forged = codes(2).issue(&sim, grant);
            let refused = Authentication::Refused { close: false };
            assert_eq!(door.authenticate(&sim, forged.as_bytes()).await, refused);
        }
    }

    #[tokio::test]
    async fn whom_only_the_database_knows_is_left_unanswered_while_it_is_away() {
        let sim: Sim = "13912345678".parse().expect("a SIM");
        for admission in [Admission::Known, Admission::Pending, Admission::Open] {
            let door = door(admission);
            let said = door.register(&sim, Edition::V2013, &registration(), "192.0.2.8").await;
            assert_eq!(said, Registration::Unanswered);
        }
        let open = door(Admission::Open);
        assert_eq!(open.authenticate(&sim, b"its own").await, Authentication::Unanswered);
        let pending = door(Admission::Pending);
        let refused = Authentication::Refused { close: false };
        assert_eq!(pending.authenticate(&sim, b"its own").await, refused);
    }

    #[tokio::test]
    async fn memory_stands_in_for_the_database_until_it_is_told_to_forget() {
        let sim: Sim = "13912345678".parse().expect("a SIM");
        let door = door(Admission::Pending);
        let terminal = TerminalId(42);
        let form = Some(RedirectForm::RawWords);
        let entry = door.known.remember(Instant::now(), &sim, terminal, 3, form);
        let Registration::Done { code } =
            door.register(&sim, Edition::V2013, &registration(), "192.0.2.8").await
        else {
            panic!("remembered");
        };
        assert_eq!(codes(1).check(&sim, &code), Ok(Grant { terminal, revocations: 3 }));
        let older = codes(1).issue(&sim, Grant { terminal, revocations: 2 });
        let refused = Authentication::Refused { close: false };
        assert_eq!(door.authenticate(&sim, code.as_bytes()).await, admitted(entry));
        door.database.lost(&DbError::Unavailable("gone".into()));
        assert_eq!(door.authenticate(&sim, older.as_bytes()).await, refused, "revoked since");
        let kept = Authentication::Admitted { terminal, unchecked: Some(3), redirect_form: form };
        assert_eq!(door.authenticate(&sim, code.as_bytes()).await, kept, "its profile is remembered, too");
        door.forget(terminal);
        let unchecked = Authentication::Admitted { terminal, unchecked: Some(2), redirect_form: None };
        assert_eq!(door.authenticate(&sim, older.as_bytes()).await, unchecked, "nobody can say");
        let said = door.register(&sim, Edition::V2013, &registration(), "192.0.2.8").await;
        assert_eq!(said, Registration::Unanswered);
    }

    #[tokio::test]
    async fn a_registration_that_does_not_decode_is_refused() {
        let sim: Sim = "13912345678".parse().expect("a SIM");
        let refused = Registration::Refused { close: false };
        assert_eq!(door(Admission::Open).register(&sim, Edition::V2013, &[0; 3], "192.0.2.8").await, refused);
    }
}
