//! One direction of one link: bytes in, through the faults, out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::faults::{Fate, Faults, Luck, Side, Silence, Way};

/// The most bytes taken at once.
const READ_BYTES: usize = 16 * 1024;
/// How many pieces may be under way in one direction (4 MiB at most): beyond, the sender waits, as on a full wire.
const PIECES_MAX: usize = 256;
/// How much of a connection that has not reached its server yet is kept: beyond, whoever dialled waits.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// Why a link ends at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// A fault wanted it, or the proxy ends.
    Here,
    /// One side broke off; the other one learns it over this direction.
    Peer(Side),
}

/// Bytes that went one way.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) passed: AtomicU64,
    pub(super) swallowed: AtomicU64,
}

/// The faults of one direction, as they are now.
#[derive(Clone, Debug)]
pub(super) struct View {
    faults: watch::Receiver<Faults>,
    side: Side,
}

impl View {
    pub(super) fn new(faults: watch::Receiver<Faults>, side: Side) -> Self {
        Self { faults, side }
    }

    fn way(&mut self) -> Way {
        self.side.of(&self.faults.borrow_and_update())
    }

    /// Waits for a change since [`way`](Self::way).
    async fn changed(&mut self) -> Result<(), Broken> {
        self.faults.changed().await.map_err(|_| Broken::Here)
    }

    /// Waits until bytes come through.
    pub(super) async fn passes(&mut self) -> Result<(), Broken> {
        while self.way().silence != Silence::Off {
            self.changed().await?;
        }
        Ok(())
    }
}

/// Bytes under way; none at all is the end of this direction.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// What came of a connection before its server could be dialled. Err where it ended before: its server never hears of
/// it.
pub(super) async fn early(
    near: &mut TcpStream,
    mut view: View,
    counted: &Counted,
) -> Result<Vec<u8>, Broken> {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        let has_room = kept.len() < EARLY_BYTES_MAX;
        if view.way().silence == Silence::Off {
            return Ok(kept);
        }
        tokio::select! {
            changed = view.changed() => changed?,
            read = near.read(&mut buffer), if has_room => match read {
                Ok(0) | Err(_) => return Err(Broken::Here),
                Ok(count) if view.way().silence == Silence::Swallow => {
                    counted.swallowed.fetch_add(count as u64, Ordering::Relaxed);
                }
                Ok(count) => kept.extend_from_slice(&buffer[..count]),
            },
        }
    }
}

/// Carries bytes, `early` ones first, until their end came through.
pub(super) async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    early: Vec<u8>,
    view: View,
    luck: Luck,
    counted: &Counted,
) -> Result<(), Broken> {
    let (queue, pieces) = mpsc::channel(PIECES_MAX);
    let (reading, writing) =
        (read(from, early, queue, view.clone(), luck, counted), write(to, pieces, view, counted));
    tokio::try_join!(reading, writing).map(|((), ())| ())
}

async fn read(
    mut from: ReadHalf<'_>,
    early: Vec<u8>,
    queue: mpsc::Sender<Piece>,
    mut view: View,
    mut luck: Luck,
    counted: &Counted,
) -> Result<(), Broken> {
    let mut bytes = early;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // Asked after the read: bytes that were sent under a fault meet it.
        let way = view.way();
        if !bytes.is_empty() {
            if way.silence == Silence::Swallow {
                counted.swallowed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                bytes.clear();
            } else {
                let Fate::Due(due) = luck.deal(Instant::now(), way, bytes.len()) else {
                    return Err(Broken::Here);
                };
                let piece = Piece { due, bytes: std::mem::take(&mut bytes) };
                queue.send(piece).await.map_err(|_| Broken::Here)?;
            }
        }
        tokio::select! {
            changed = view.changed() => changed?,
            read = from.read(&mut buffer), if way.silence != Silence::Hold => match read {
                Err(_) => return Err(Broken::Peer(view.side)),
                // The last; the queue ends with it.
                Ok(0) => return queue
                    .send(Piece { due: Instant::now(), bytes: Vec::new() })
                    .await
                    .map_err(|_| Broken::Here),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            },
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut pieces: mpsc::Receiver<Piece>,
    mut view: View,
    counted: &Counted,
) -> Result<(), Broken> {
    let broken = Broken::Peer(view.side.other());
    while let Some(Piece { due, bytes }) = pieces.recv().await {
        sleep_until(due.into()).await;
        if bytes.is_empty() {
            view.passes().await?;
            return to.shutdown().await.map_err(|_| broken);
        }
        let silence = loop {
            match view.way().silence {
                Silence::Hold => view.changed().await?,
                silence => break silence,
            }
        };
        let count = match silence {
            Silence::Swallow => &counted.swallowed,
            _ => {
                to.write_all(&bytes).await.map_err(|_| broken)?;
                &counted.passed
            }
        };
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}
