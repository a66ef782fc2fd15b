//! A JPEG of a key frame, by FFmpeg on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use ffmpeg::format::Pixel;
use ffmpeg::software::scaling;
use ffmpeg::util::frame;
use ffmpeg::{Packet, Rational, codec, color, decoder, encoder};
use ffmpeg_next as ffmpeg;
use protocol::nal::VideoCodec;
use tokio::sync::oneshot;

use crate::unit::{Config, Unit};

/// The largest picture decoded for a snapshot, either side, pixels: 8K. A parameter set may claim anything.
const SIDE_MAX: u32 = 8_192;

/// Why there is no JPEG.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    /// Too many wait.
    #[error("too many snapshots at once")]
    Busy,
    /// The unit is no picture, or none that can be decoded.
    #[error("the picture cannot be decoded")]
    NoPicture,
    /// FFmpeg failed.
    #[error("the picture cannot be decoded or encoded")]
    Ffmpeg(#[from] ffmpeg::Error),
}

struct Job {
    unit: Arc<Unit>,
    reply: oneshot::Sender<Result<Vec<u8>, PictureError>>,
}

/// The thread.
pub(crate) struct PictureThread {
    queue: SyncSender<Job>,
    thread: thread::JoinHandle<()>,
}

impl PictureThread {
    /// Starts it; at most `waiting_max` pictures wait. It ends when this is dropped.
    pub(crate) fn start(waiting_max: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(waiting_max.max(1));
        let thread = thread::Builder::new().name("picture".to_owned()).spawn(move || work(&jobs))?;
        Ok(Self { queue, thread })
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// The JPEG of a key frame.
    pub(crate) async fn jpeg(&self, unit: Arc<Unit>) -> Result<Vec<u8>, PictureError> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Job { unit, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(PictureError::NoPicture)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(PictureError::Busy),
        }
    }
}

/// The first codec that this FFmpeg lacks for pictures.
pub(crate) fn lacking() -> Option<&'static str> {
    let decoders = [("an H.264 decoder", codec::Id::H264), ("an H.265 decoder", codec::Id::HEVC)];
    let decoder = decoders.into_iter().find(|(_, id)| decoder::find(*id).is_none());
    decoder
        .map(|(name, _)| name)
        .or_else(|| encoder::find(codec::Id::MJPEG).is_none().then_some("a JPEG encoder"))
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(Job { unit, reply }) = jobs.recv() {
        // Whoever asked may be gone; then the work is saved.
        if !reply.is_closed() {
            let _ = reply.send(jpeg(&unit));
        }
    }
}

fn jpeg(unit: &Unit) -> Result<Vec<u8>, PictureError> {
    let Config::Video(track) = &unit.config else { return Err(PictureError::NoPicture) };
    if track.width > SIDE_MAX || track.height > SIDE_MAX {
        return Err(PictureError::NoPicture);
    }
    let mut access_unit = Vec::with_capacity(unit.data.len() + 256);
    // Devices may send parameter sets less often than key frames.
    for set in track.parameter_sets.units() {
        access_unit.extend_from_slice(&[0, 0, 0, 1]);
        access_unit.extend_from_slice(set);
    }
    access_unit.extend_from_slice(&unit.data);
    encode(&decode(track.codec, &access_unit)?)
}

fn decode(codec: VideoCodec, access_unit: &[u8]) -> Result<frame::Video, PictureError> {
    let id = match codec {
        VideoCodec::H264 => codec::Id::H264,
        VideoCodec::H265 => codec::Id::HEVC,
    };
    let codec = decoder::find(id).ok_or(ffmpeg::Error::DecoderNotFound)?;
    let mut decoder = codec::Context::new_with_codec(codec).decoder().open_as(codec)?.video()?;
    decoder.send_packet(&Packet::copy(access_unit))?;
    decoder.send_eof()?;
    let mut picture = frame::Video::empty();
    decoder.receive_frame(&mut picture)?;
    if picture.width() == 0 || picture.width() > SIDE_MAX || picture.height() > SIDE_MAX {
        return Err(PictureError::NoPicture);
    }
    Ok(picture)
}

fn encode(picture: &frame::Video) -> Result<Vec<u8>, PictureError> {
    let (width, height) = (picture.width(), picture.height());
    // JPEG wants full range.
    let mut scaler = scaling::Context::get(
        picture.format(),
        width,
        height,
        Pixel::YUVJ420P,
        width,
        height,
        scaling::Flags::BILINEAR,
    )?;
    let mut full = frame::Video::empty();
    scaler.run(picture, &mut full)?;
    full.set_color_range(color::Range::JPEG);
    full.set_pts(Some(0));
    let codec = encoder::find(codec::Id::MJPEG).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(Pixel::YUVJ420P);
    video.set_time_base(Rational(1, 25));
    let mut encoder = video.open_as(codec)?;
    encoder.send_frame(&full)?;
    encoder.send_eof()?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet)?;
    packet.data().map(<[u8]>::to_vec).ok_or(PictureError::NoPicture)
}
