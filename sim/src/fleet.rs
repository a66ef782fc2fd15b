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
use crate::stream::Camera;
use crate::terminal::Terminal;
use crate::vehicle::Vehicle;
use crate::{Error, Settings};

/// A fleet that drives. Stops when dropped.
#[derive(Debug)]
pub struct Fleet {
    terminals: JoinSet<Account>,
    ledger: Option<PathBuf>,
    stop: CancellationToken,
}

impl Fleet {
    /// Starts every terminal of `settings`; call within a tokio runtime.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        let settings = Arc::new(settings);
        let stop = CancellationToken::new();
        let camera = match &settings.clips {
            Some(folder) => Camera::Clips(Arc::new(Clips::new(folder.clone(), settings.channels))),
            None => Camera::None,
        };
        let mut terminals = JoinSet::new();
        for index in 0..settings.terminals {
            let terminal = one(index, &settings, camera.clone(), stop.clone());
            terminals.spawn(terminal.run());
        }
        info!("{} terminals drive for {}", settings.terminals, settings.gateway);
        Ok(Self { terminals, ledger: settings.ledger.clone(), stop })
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
pub(crate) fn only(settings: Settings, edition: Edition, phone: [u8; 10], camera: Camera) -> Fleet {
    let (settings, stop) = (Arc::new(settings), CancellationToken::new());
    let number = phone.iter().fold(0u64, |number, byte| {
        number.wrapping_mul(100).wrapping_add(u64::from((byte >> 4) * 10 + (byte & 0x0f)))
    });
    let mut terminals = JoinSet::new();
    terminals.spawn(terminal(0, number, edition, phone, &settings, camera, stop.clone()).run());
    Fleet { terminals, ledger: None, stop }
}

fn one(index: u32, settings: &Arc<Settings>, camera: Camera, stop: CancellationToken) -> Terminal {
    let year = settings.editions[index as usize % settings.editions.len()];
    let edition = match year {
        2011 => Edition::V2011,
        2019 => Edition::V2019,
        _ => Edition::V2013,
    };
    let number = settings.first_sim + u64::from(index);
    terminal(index, number, edition, bcd10(number), settings, camera, stop)
}

fn terminal(
    index: u32,
    number: u64,
    edition: Edition,
    phone: [u8; 10],
    settings: &Arc<Settings>,
    camera: Camera,
    stop: CancellationToken,
) -> Terminal {
    let sim = packet_sim(edition, phone);
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
    let session = Session::new(
        Instant::now(),
        terminal::Settings {
            heartbeat: Duration::from_millis(settings.heartbeat_ms),
            answer_timeout: Duration::from_millis(settings.answer_timeout_ms),
            ..terminal::Settings::new(edition, phone, identity)
        },
    );
    let vehicle = Vehicle::new(index, Utc::now(), settings);
    let account = Account { terminal: index, sim: number.to_string(), ..Account::default() };
    Terminal::new(Arc::clone(settings), session, vehicle, camera, sim, account, stop)
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
