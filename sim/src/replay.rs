//! A terminal that shows a recorded JT/T 1078 stream, byte for byte and at its own time stamps.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::jt808::Edition;
use tokio::sync::watch;

use crate::fleet::{Fleet, only};
use crate::stream::Camera;
use crate::{Error, Settings};

const MAGIC: &[u8] = b"01cd";
/// A gap between two time stamps that is longer is no pause of the camera but a jump of its clock.
const GAP_MAX_MS: u64 = 2_000;

/// A recorded stream and the terminal that sends it.
#[derive(Clone, Debug)]
pub struct Replay {
    gateway: String,
    edition: Edition,
    sim: Vec<u8>,
    capture: Arc<Capture>,
    curtain: Arc<Curtain>,
}

/// Whether a recording is shown yet, and how often: whoever holds it lets viewers come first.
#[derive(Debug)]
pub struct Curtain {
    is_up: watch::Sender<bool>,
    shows_max: usize,
    /// Shows that came to their end.
    shows: AtomicUsize,
    refused: AtomicUsize,
}

impl Curtain {
    /// Down; the recording is shown to its end `shows_max` times, and then the terminal refuses.
    pub fn new(shows_max: usize) -> Self {
        Self {
            is_up: watch::Sender::new(false),
            shows_max,
            shows: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    /// Lets the recording be shown, at once to who asked already.
    pub fn rise(&self) {
        self.is_up.send_replace(true);
    }

    /// How often the terminal was told to send (0x9101) after its last show.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// The terminal is told to send: whether it does.
    pub(crate) fn admits(&self) -> bool {
        let admits = self.shows.load(Ordering::Relaxed) < self.shows_max;
        if !admits {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        admits
    }

    /// Returns when it is up.
    pub(crate) async fn up(&self) {
        // An error would say that the sender is gone, which is here.
        let _ = self.is_up.subscribe().wait_for(|is_up| *is_up).await;
    }

    /// The recording was shown to its end. One that was broken off does not count.
    pub(crate) fn shown(&self) {
        self.shows.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the terminal says of its sound and pictures (0x1003).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Payload type of its sound, such as 6 for G.711A or 26 for ADPCMA.
    pub audio_codec: u8,
    /// Bytes of one sound packet.
    pub audio_frame_len: u16,
    /// Payload type of its pictures, such as 98 for H.264.
    pub video_codec: u8,
    /// How many channels it has.
    pub channels: u8,
}

impl Attributes {
    /// The body of 0x1003: mono, 8 kHz, 16 bits, no sound output.
    pub(crate) fn encode(self) -> [u8; 10] {
        let [high, low] = self.audio_frame_len.to_be_bytes();
        [self.audio_codec, 1, 0, 1, high, low, 0, self.video_codec, self.channels, self.channels]
    }
}

impl Replay {
    /// Reads the capture at `path`, whose packets carry the SIM in `sim_bytes` (6 or 10) bytes. The terminal registers
    /// under that SIM, in JT/T 808-2013 where it has 6 bytes and in 2019 where it has 10, at `gateway` (host:port).
    pub fn read(
        gateway: String,
        path: &Path,
        sim_bytes: usize,
        attributes: Attributes,
    ) -> Result<Self, Error> {
        Settings { gateway: gateway.clone(), ..Settings::default() }.check()?;
        let failed = |source| Error::Capture { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(failed)?;
        let capture = Capture::parse(bytes.into(), sim_bytes, attributes)
            .ok_or_else(|| failed(std::io::Error::other("not packets from end to end")))?;
        let sim = capture.bytes.slice(8..8 + sim_bytes).to_vec();
        let edition = if sim_bytes == 10 { Edition::V2019 } else { Edition::V2013 };
        let curtain = Arc::new(Curtain::new(usize::MAX));
        curtain.rise();
        Ok(Self { gateway, edition, sim, capture: Arc::new(capture), curtain })
    }

    /// Shown as `curtain` says, which every fleet of this replay has in common; without one at once and always.
    pub fn behind(self, curtain: Arc<Curtain>) -> Self {
        Self { curtain, ..self }
    }

    /// The SIM of the capture: 6 or 10 bytes of BCD.
    pub fn sim(&self) -> &[u8] {
        &self.sim
    }

    /// The channel of its first packet.
    pub fn channel(&self) -> u8 {
        self.capture.bytes[8 + self.sim.len()]
    }

    /// Connects the terminal. It waits for 0x9101, sends the capture once each time, and closes the media link at
    /// its end.
    pub fn start(&self) -> Fleet {
        let mut phone = [0; 10];
        phone[10 - self.sim.len()..].copy_from_slice(&self.sim);
        let settings = Settings { gateway: self.gateway.clone(), terminals: 1, ..Settings::default() };
        only(
            settings,
            self.edition,
            phone,
            Camera::Capture(Arc::clone(&self.capture), Arc::clone(&self.curtain)),
        )
        .expect("the settings were checked when the capture was read")
    }
}

/// A recorded stream, cut into packets.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) attributes: Attributes,
    bytes: Bytes,
    /// Where each packet ends, and when it is due after the first one.
    packets: Vec<(usize, Duration)>,
}

impl Capture {
    /// None where the bytes are not packets from end to end.
    fn parse(bytes: Bytes, sim_bytes: usize, attributes: Attributes) -> Option<Self> {
        let mut packets = Vec::new();
        let (mut at, mut last_ms, mut due_ms) = (0, None::<u64>, 0u64);
        while at < bytes.len() {
            let packet = &bytes[at..];
            if !packet.starts_with(MAGIC) {
                return None;
            }
            let data_type = packet.get(9 + sim_bytes)? >> 4;
            // Fields between data type and length: time stamp, and two intervals for pictures.
            let (timed, fields) = match data_type {
                0..=2 => (true, 12),
                3 => (true, 8),
                _ => (false, 0),
            };
            let field = 10 + sim_bytes;
            if timed {
                let stamp = u64::from_be_bytes(*packet.get(field..)?.first_chunk()?);
                let forward = last_ms.and_then(|last| stamp.checked_sub(last));
                due_ms += forward.filter(|gap| *gap <= GAP_MAX_MS).unwrap_or(0);
                // Sound may lie a little behind the pictures that were sent before it.
                last_ms = Some(
                    last_ms
                        .filter(|last| last.abs_diff(stamp) <= GAP_MAX_MS)
                        .map_or(stamp, |last| last.max(stamp)),
                );
            }
            let len = u16::from_be_bytes(*packet.get(field + fields..)?.first_chunk()?);
            at += field + fields + 2 + usize::from(len);
            if at > bytes.len() {
                return None;
            }
            packets.push((at, Duration::from_millis(due_ms)));
        }
        (!packets.is_empty()).then_some(Self { attributes, bytes, packets })
    }

    /// The packets with the time at which each is due.
    pub(crate) fn packets(&self) -> impl Iterator<Item = (Duration, Bytes)> + '_ {
        let starts = std::iter::once(0).chain(self.packets.iter().map(|(end, _)| *end));
        starts.zip(&self.packets).map(|(start, (end, due))| (*due, self.bytes.slice(start..*end)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The folder of recorded streams: `MOTORCADE_TEST_SHARED`, or beside the repository.
    fn shared() -> PathBuf {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        std::env::var_os("MOTORCADE_TEST_SHARED").map_or_else(beside, PathBuf::from).join("captures")
    }

    const ATTRIBUTES: Attributes =
        Attributes { audio_codec: 6, audio_frame_len: 320, video_codec: 98, channels: 1 };

    #[test]
    fn the_recorded_captures_are_cut_from_end_to_end() {
        for (file, sim_bytes, sim, packets, span_ms) in [
            ("dev640x480_h264_g711a_10bcd_part1.bin", 10, "00000000020232609559", 170, 1_979),
            ("gen720x576_h264_g711a_6bcd.bin", 6, "156987000796", 0, 0),
        ] {
            let path = shared().join(file);
            if !path.exists() {
                println!("skipped: {} is absent", path.display());
                continue;
            }
            let replay = Replay::read("127.0.0.1:1".into(), &path, sim_bytes, ATTRIBUTES).expect("reads");
            assert_eq!(hex::encode(replay.sim()), sim);
            let sent: Vec<_> = replay.capture.packets().collect();
            assert_eq!(sent.iter().map(|(_, p)| p.len()).sum::<usize>(), replay.capture.bytes.len());
            assert!(sent.is_sorted_by_key(|(due, _)| *due));
            if packets > 0 {
                assert_eq!(sent.len(), packets);
                let last = sent[packets - 1].0.as_millis();
                assert!(last.abs_diff(span_ms) < 100, "{last} ms of {span_ms}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_curtain_holds_a_recording_back_and_lets_it_be_shown_so_often() {
        let curtain = Curtain::new(1);
        assert!(curtain.admits());
        let waits = tokio::time::timeout(Duration::from_secs(3_600), curtain.up());
        assert!(waits.await.is_err(), "it is down");
        curtain.rise();
        curtain.up().await;
        assert!(curtain.admits(), "it was broken off");
        assert_eq!(curtain.refused(), 0);
        curtain.shown();
        assert!(!curtain.admits());
        assert_eq!(curtain.refused(), 1);
    }

    #[test]
    fn a_torn_capture_is_refused() {
        let mut bytes = b"01cd\x81\x86\0\0".to_vec();
        bytes.extend([0; 6]);
        bytes.extend([1, 0x30, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 9, 9]);
        assert!(Capture::parse(bytes.clone().into(), 6, ATTRIBUTES).is_some());
        bytes.pop();
        assert!(Capture::parse(bytes.into(), 6, ATTRIBUTES).is_none());
    }
}
