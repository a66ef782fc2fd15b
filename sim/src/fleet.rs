//! Many terminals in one process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use protocol::jt808::Edition;
use protocol::jt808::terminal::{self, Identity, Session};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clip::Clips;
use crate::ledger::{Account, Ledger};
use crate::log::Log;
use crate::manner::Manner;
use crate::parameters::Parameters;
use crate::servers::Servers;
use crate::stream::Camera;
use crate::terminal::{Outfit, Terminal};
use crate::vehicle::Vehicle;
use crate::{Error, Settings};

/// A fleet that drives. Stops when dropped.
#[derive(Debug)]
pub struct Fleet {
    terminals: JoinSet<Account>,
    ledger: Option<PathBuf>,
    log: Log,
    stop: CancellationToken,
}

impl Fleet {
    /// Starts every terminal of `settings`; call within a tokio runtime.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        let camera = match &settings.clips {
            Some(folder) => Camera::Clips(Arc::new(Clips::new(folder.clone(), settings.channels))),
            None => Camera::None,
        };
        let depot = Depot::open(settings, camera)?;
        let mut terminals = JoinSet::new();
        for (index, manner) in (0..).zip(Manner::deal(&depot.settings)) {
            terminals.spawn(depot.one(index, manner)?.run());
        }
        info!("{} terminals drive for {}", depot.settings.terminals, depot.settings.gateway);
        Ok(Self { terminals, ledger: depot.settings.ledger.clone(), log: depot.log, stop: depot.stop })
    }

    /// Waits until every terminal has finished ([`Settings::duration_s`], then the last acknowledgements) and writes
    /// the ledger where the settings say so.
    pub async fn finished(mut self) -> Result<Ledger, Error> {
        let mut accounts = Vec::new();
        while let Some(account) = self.terminals.join_next().await {
            accounts.push(account.expect("a terminal neither panics nor is aborted"));
        }
        accounts.sort_by_key(|account| account.terminal);
        let ledger = Ledger::of(accounts);
        if let Some(path) = &self.ledger {
            ledger.write(path)?;
        }
        self.log.finish()?;
        Ok(ledger)
    }

    /// Stops at once and gives the books as they are, written as [`finished`](Self::finished) does.
    pub async fn stop(self) -> Result<Ledger, Error> {
        self.stop.cancel();
        self.finished().await
    }

    /// What [`stop`](Self::stop) does, for whoever waits for [`finished`](Self::finished) elsewhere.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A fleet of one terminal with a camera of its own.
pub(crate) fn only(
    settings: Settings,
    edition: Edition,
    phone: [u8; 10],
    camera: Camera,
) -> Result<Fleet, Error> {
    let number = phone.iter().fold(0u64, |number, byte| {
        number.wrapping_mul(100).wrapping_add(u64::from((byte >> 4) * 10 + (byte & 0x0f)))
    });
    let depot = Depot::open(settings, camera)?;
    let mut terminals = JoinSet::new();
    terminals.spawn(depot.terminal(0, number, edition, phone, Manner::default())?.run());
    Ok(Fleet { terminals, ledger: None, log: depot.log, stop: depot.stop })
}

/// What the terminals of a fleet have in common.
struct Depot {
    settings: Arc<Settings>,
    camera: Camera,
    log: Log,
    stop: CancellationToken,
}

impl Depot {
    fn open(settings: Settings, camera: Camera) -> Result<Self, Error> {
        let log = settings.log.as_deref().map(Log::create).transpose()?.unwrap_or_default();
        Ok(Self { settings: Arc::new(settings), camera, log, stop: CancellationToken::new() })
    }

    fn one(&self, index: u32, manner: Manner) -> Result<Terminal, Error> {
        let year = self.settings.editions[index as usize % self.settings.editions.len()];
        let edition = match year {
            2011 => Edition::V2011,
            2019 => Edition::V2019,
            _ => Edition::V2013,
        };
        let number = self.settings.first_sim + u64::from(index);
        self.terminal(index, number, edition, bcd10(number), manner)
    }

    fn terminal(
        &self,
        index: u32,
        number: u64,
        edition: Edition,
        phone: [u8; 10],
        manner: Manner,
    ) -> Result<Terminal, Error> {
        let settings = &self.settings;
        let identity = Identity {
            province: 44,
            city: 300,
            maker: "MTRCD".into(),
            model: "SIM-1".into(),
            terminal_id: format!("{index:07}"),
            plate_colour: 2,
            plate: format!("粤B{:05}", number % 100_000),
            imei: format!("86{number:013}"),
            software: env!("CARGO_PKG_VERSION").into(),
        };
        let heartbeat = Duration::from_millis(settings.heartbeat_ms);
        let session = Session::new(
            Instant::now(),
            terminal::Settings {
                heartbeat,
                answer_timeout: Duration::from_millis(settings.answer_timeout_ms),
                tells_messages: self.log.is_on(),
                ..terminal::Settings::new(edition, phone, identity)
            },
        );
        let servers = Servers::new(settings.servers()?);
        Ok(Terminal::new(Outfit {
            settings: Arc::clone(settings),
            session,
            vehicle: Vehicle::new(index, Utc::now(), settings),
            camera: self.camera.clone(),
            sim: packet_sim(edition, phone),
            parameters: Parameters::new(edition, heartbeat, &servers),
            servers,
            manner,
            account: Account { terminal: index, sim: number.to_string(), ..Account::default() },
            log: self.log.clone(),
            stop: self.stop.clone(),
        }))
    }
}

/// The SIM in the header of 1078 packets: as long as the phone number in the 808 header.
pub(crate) fn packet_sim(edition: Edition, phone: [u8; 10]) -> Vec<u8> {
    match edition {
        Edition::V2019 => phone.to_vec(),
        Edition::V2011 | Edition::V2013 => phone[4..].to_vec(),
    }
}

/// Twenty digits in BCD.
pub(crate) fn bcd10(number: u64) -> [u8; 10] {
    let mut rest = number;
    let mut bytes = [0; 10];
    for byte in bytes.iter_mut().rev() {
        *byte = (((rest / 10 % 10) << 4) | (rest % 10)) as u8;
        rest /= 100;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_bcd() {
        assert_eq!(hex::encode(bcd10(13_800_000_001)), "00000000013800000001");
        assert_eq!(hex::encode(packet_sim(Edition::V2013, bcd10(13_800_000_001))), "013800000001");
    }
}
