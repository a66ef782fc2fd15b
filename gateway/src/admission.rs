//! Who is let in: registrations (0x0100) and authentications (0x0102), by the setting and by what the
//! database, this gateway's memory and the code itself say.

use std::time::Instant;

use db::DbError;
use model::{Scope, Sim, TerminalId};
use protocol::jt808::Edition;
use protocol::jt808::message;

use crate::code::{CodeError, Grant};
use crate::gate::Gate;
use crate::known::Entry;
use crate::settings::Admission;

/// What to answer to a registration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    /// Result 0 with this code.
    Done { code: String },
    /// Result 4: no such terminal.
    Refused { close: bool },
    /// Nothing: the database, which alone knows, is away. The terminal asks again.
    Unanswered,
}

/// What to answer to an authentication.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// Result 0.
    Admitted {
        terminal: TerminalId,
        /// The code's revocation count, where nobody could say whether it is still the current one.
        unchecked: Option<u32>,
    },
    /// Result 1.
    Refused { close: bool },
    /// Nothing: the database, which alone knows, is away. The terminal asks again.
    Unanswered,
}

/// Answers a registration. Registering again is answered like the first time.
pub(crate) async fn register(
    gate: &Gate,
    sim: &Sim,
    edition: Edition,
    body: &[u8],
    peer: &str,
) -> Registration {
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
    match enter(gate, sim, &registration, peer).await {
        Ok(Some(entry)) => Registration::Done { code: issue(gate, sim, entry) },
        Ok(None) => Registration::Refused { close: gate.settings.admission == Admission::Known },
        Err(error) => {
            tracing::debug!(terminal.sim = %sim, %error, "registration without the database");
            match gate.known.of(sim) {
                Some(entry) => Registration::Done { code: issue(gate, sim, entry) },
                None => Registration::Unanswered,
            }
        }
    }
}

/// Answers an authentication. A genuine code is enough while the database is away.
pub(crate) async fn authenticate(gate: &Gate, sim: &Sim, code: &[u8]) -> Authentication {
    let grant = code_text(code).ok_or(CodeError::Foreign).and_then(|code| gate.codes.check(sim, code));
    let close = gate.settings.admission == Admission::Known;
    match lookup(gate, sim, grant.ok()).await {
        Ok(Some(entry)) => match grant {
            Ok(grant) if is_current(grant, entry) => admitted(entry.terminal),
            // Terminals with a fixed code of their own never register (open admission takes their word).
            Err(CodeError::Foreign) if gate.settings.admission == Admission::Open => admitted(entry.terminal),
            Ok(_) | Err(_) => Authentication::Refused { close: false },
        },
        Ok(None) if gate.settings.admission == Admission::Open => {
            match gate.db.admit(sim, &db::Registration::default()).await {
                Ok(terminal) => {
                    gate.known.remember(Instant::now(), sim, terminal.id, terminal.auth_revocations);
                    admitted(terminal.id)
                }
                Err(error) => {
                    tracing::warn!(terminal.sim = %sim, %error, "terminal {sim} could not be entered");
                    Authentication::Unanswered
                }
            }
        }
        Ok(None) => Authentication::Refused { close },
        Err(Away) => match (grant, gate.known.of(sim)) {
            (Ok(grant), Some(entry)) if !is_current(grant, entry) => Authentication::Refused { close: false },
            (Ok(grant), _) => {
                Authentication::Admitted { terminal: grant.terminal, unchecked: Some(grant.revocations) }
            }
            (Err(CodeError::Foreign), Some(entry)) if gate.settings.admission == Admission::Open => {
                admitted(entry.terminal)
            }
            (Err(CodeError::Foreign), None) if gate.settings.admission == Admission::Open => {
                Authentication::Unanswered
            }
            (Err(_), _) => Authentication::Refused { close: false },
        },
    }
}

/// Makes the terminal's code void: it left its vehicle and has to register again.
pub(crate) async fn unregister(gate: &Gate, terminal: TerminalId) -> Result<(), DbError> {
    gate.known.forget(terminal);
    let change = db::TerminalChange { revoke_auth: true, ..db::TerminalChange::default() };
    gate.db.change_terminal(&Scope::platform(), terminal, change).await.map(|_| ())
}

/// The database cannot be asked.
struct Away;

/// What is known of the terminal, from memory where that is fresh and agrees with the code.
async fn lookup(gate: &Gate, sim: &Sim, grant: Option<Grant>) -> Result<Option<Entry>, Away> {
    if gate.database.is_away() {
        return Err(Away);
    }
    if let Some(entry) = gate.known.of(sim)
        && entry.is_fresh(Instant::now())
        && grant.is_some_and(|grant| is_current(grant, entry))
    {
        return Ok(Some(entry));
    }
    match gate.db.terminal_by_sim(sim).await {
        Ok(Some(terminal)) => {
            Ok(Some(gate.known.remember(Instant::now(), sim, terminal.id, terminal.auth_revocations)))
        }
        Ok(None) => {
            gate.known.forget_sim(sim);
            Ok(None)
        }
        Err(error) => {
            tracing::debug!(terminal.sim = %sim, %error, "authentication without the database");
            if matches!(error, DbError::Unavailable(_)) {
                // The next ones need not wait to find the same.
                gate.database.lost(&error);
            }
            Err(Away)
        }
    }
}

/// The terminal, entered as the setting allows; None where it is unknown and stays so.
async fn enter(
    gate: &Gate,
    sim: &Sim,
    registration: &db::Registration,
    peer: &str,
) -> Result<Option<Entry>, DbError> {
    let terminal = match gate.db.note_registration(sim, registration).await? {
        Some(terminal) => terminal,
        None => match gate.settings.admission {
            Admission::Known => {
                gate.known.forget_sim(sim);
                return Ok(None);
            }
            Admission::Pending => {
                gate.known.forget_sim(sim);
                gate.db.note_pending(sim, registration, peer).await?;
                tracing::info!(terminal.sim = %sim, "terminal {sim} waits for approval");
                return Ok(None);
            }
            Admission::Open => gate.db.admit(sim, registration).await?,
        },
    };
    Ok(Some(gate.known.remember(Instant::now(), sim, terminal.id, terminal.auth_revocations)))
}

fn issue(gate: &Gate, sim: &Sim, entry: Entry) -> String {
    gate.codes.issue(sim, Grant { terminal: entry.terminal, revocations: entry.revocations })
}

fn is_current(grant: Grant, entry: Entry) -> bool {
    grant.terminal == entry.terminal && grant.revocations == entry.revocations
}

fn admitted(terminal: TerminalId) -> Authentication {
    Authentication::Admitted { terminal, unchecked: None }
}

/// Some terminals end the text, or fill it up, with zeros or spaces.
fn code_text(code: &[u8]) -> Option<&str> {
    std::str::from_utf8(code).ok().map(|code| code.trim_end_matches(['\0', ' ']))
}
