//! What a simulated terminal sends when it is told to: a clip with a tone, or a recorded stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::clip::{Clips, FPS, FRAMES};
use crate::packet::{self, Frame, Packets};
use crate::replay::{Capture, Curtain};
use crate::tone;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A media server that takes nothing for this long has died.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// What the cameras of a terminal show.
#[derive(Clone, Debug)]
pub(crate) enum Camera {
    /// There are none.
    None,
    /// A clip per channel.
    Clips(Arc<Clips>),
    /// A recorded stream, and when it is shown.
    Capture(Arc<Capture>, Arc<Curtain>),
}

/// Where a stream goes, and under which name.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) tcp_port: u16,
    /// 6 or 10 bytes of BCD.
    pub(crate) sim: Vec<u8>,
    pub(crate) channel: u8,
    pub(crate) sound: bool,
}

impl Camera {
    /// Whether there is such a channel.
    pub(crate) fn has(&self, channel: u8) -> bool {
        match self {
            Self::None => false,
            Self::Clips(clips) => (1..=clips.channels).contains(&channel),
            Self::Capture(..) => true,
        }
    }

    /// It is told to send: whether it does.
    pub(crate) fn admits(&self) -> bool {
        match self {
            Self::None => false,
            Self::Clips(_) => true,
            Self::Capture(_, curtain) => curtain.admits(),
        }
    }

    /// The body of 0x1003.
    pub(crate) fn attributes(&self) -> [u8; 10] {
        let [high, low] = (tone::PACKET_SAMPLES as u16).to_be_bytes();
        match self {
            // Mono, 8 kHz, 16 bits, no sound output.
            Self::None => [packet::G711A, 1, 0, 1, high, low, 0, packet::H264, 0, 0],
            Self::Clips(clips) => {
                [packet::G711A, 1, 0, 1, high, low, 0, packet::H264, clips.channels, clips.channels]
            }
            Self::Capture(capture, _) => capture.attributes.encode(),
        }
    }

    /// Dials the media server and sends, a clip until it is cut off, a recorded stream until its end.
    pub(crate) async fn send(&self, target: Target) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::None => Err("there is no camera".into()),
            Self::Clips(clips) => {
                let clip = clips.of(target.channel).await?;
                let mut stream = dial(&target).await?;
                let mut packets = Packets::new(target.sim, target.channel);
                let (begin, base_ms) = (Instant::now(), Utc::now().timestamp_millis().unsigned_abs());
                let (mut picture, mut sound, mut out) = (0u64, 0u64, Vec::new());
                loop {
                    let picture_ms = picture * 1_000 / FPS;
                    let sound_ms = sound * u64::from(tone::PACKET_SAMPLES) * 1_000 / u64::from(tone::RATE_HZ);
                    out.clear();
                    if target.sound && sound_ms < picture_ms {
                        sleep_until(begin + Duration::from_millis(sound_ms)).await;
                        let tone = tone::packet(target.channel, sound);
                        packets.put(Frame::Audio, base_ms + sound_ms, &tone, &mut out);
                        sound += 1;
                    } else {
                        sleep_until(begin + Duration::from_millis(picture_ms)).await;
                        let shown = &clip.frames[(picture % u64::from(FRAMES)) as usize];
                        // On a key picture, the length of the group that has just ended; 0 on the first.
                        let in_group = if picture > 0 { (picture - 1) % FPS + 1 } else { 0 };
                        let frame = Frame::Video {
                            key: shown.key,
                            since_key_ms: (in_group * 1_000 / FPS) as u16,
                            since_last_ms: if picture > 0 { (1_000 / FPS) as u16 } else { 0 },
                        };
                        packets.put(frame, base_ms + picture_ms, &shown.data, &mut out);
                        picture += 1;
                    }
                    write(&mut stream, &out).await?;
                }
            }
            Self::Capture(capture, curtain) => {
                curtain.up().await;
                let mut stream = dial(&target).await?;
                let begin = Instant::now();
                for (due, packet) in capture.packets() {
                    sleep_until(begin + due).await;
                    write(&mut stream, &packet).await?;
                }
                // Before its end is seen: who asks for more of it comes after its last show.
                curtain.shown();
                stream.shutdown().await?;
                Ok(())
            }
        }
    }
}

async fn dial(target: &Target) -> io::Result<TcpStream> {
    let dialled = TcpStream::connect((target.host.as_str(), target.tcp_port));
    let stream = timeout(CONNECT_LIMIT, dialled).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Notices a media server that closed its side, too: terminals stop then, and bytes would be lost in silence.
async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut ignored = [0; 1024];
    match stream.try_read(&mut ignored) {
        Ok(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    timeout(WRITE_LIMIT, stream.write_all(bytes)).await?
}
