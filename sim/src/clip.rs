//! The clips that simulated cameras show: made by the `ffmpeg` program when first wanted, kept in a folder.
//!
//! H.264 baseline, 640x360, 15 pictures a second, a key picture each second, 20 seconds long; every picture carries
//! the [`blockcode`](crate::blockcode) of its channel and number.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::Error;
use crate::blockcode::{Code, HEIGHT_PX, WIDTH_PX};

/// Pictures a second.
pub(crate) const FPS: u64 = 15;
/// Pictures of a clip, after which it begins again.
pub(crate) const FRAMES: u16 = 300;

/// Changes with the pictures, so that clips of an older version are not shown.
const VERSION: u32 = 1;
const NAL_DELIMITER: u8 = 9;
const NAL_IDR: u8 = 5;

/// The clips of a fleet, one per channel.
#[derive(Debug)]
pub(crate) struct Clips {
    folder: PathBuf,
    pub(crate) channels: u8,
    ready: Mutex<HashMap<u8, Arc<Clip>>>,
}

/// A clip's pictures.
#[derive(Debug)]
pub(crate) struct Clip {
    pub(crate) frames: Vec<Picture>,
}

/// One picture: an access unit in Annex B form, with parameter sets where it is a key picture.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) key: bool,
    pub(crate) data: Bytes,
}

impl Clips {
    pub(crate) fn new(folder: PathBuf, channels: u8) -> Self {
        Self { folder, channels, ready: Mutex::default() }
    }

    /// The clip of a channel, made now where there is none yet (about two seconds).
    pub(crate) async fn of(&self, channel: u8) -> Result<Arc<Clip>, Error> {
        // Held over the making, so that one channel is made once and a small machine makes one at a time.
        let mut ready = self.ready.lock().await;
        if let Some(clip) = ready.get(&channel) {
            return Ok(Arc::clone(clip));
        }
        let path = self.folder.join(format!("channel-{channel:02}-v{VERSION}.h264"));
        let made = tokio::task::spawn_blocking(move || load_or_make(&path, channel));
        let clip = made.await.expect("making a clip does not panic");
        let clip = Arc::new(clip.map_err(|source| Error::Clip { channel, source })?);
        ready.insert(channel, Arc::clone(&clip));
        Ok(clip)
    }
}

fn load_or_make(path: &Path, channel: u8) -> io::Result<Clip> {
    if !path.exists() {
        make(path, channel)?;
    }
    let clip = Clip::parse(fs::read(path)?.into());
    if clip.frames.len() != usize::from(FRAMES) || !clip.frames[0].key {
        fs::remove_file(path)?;
        return Err(io::Error::other(format!("ffmpeg made {} pictures of {FRAMES}", clip.frames.len())));
    }
    Ok(clip)
}

fn make(path: &Path, channel: u8) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Another process may make the same one: each writes its own file, and the last one stays.
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &format!("{WIDTH_PX}x{HEIGHT_PX}")])
        .args(["-r", &FPS.to_string(), "-i", "pipe:0"])
        .args(["-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-tune", "zerolatency"])
        .args(["-crf", "27", "-g", &FPS.to_string(), "-threads", "1"])
        .args(["-x264-params", "aud=1:scenecut=0:sliced-threads=0", "-f", "h264"])
        .arg(&partial)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let written = paint(ffmpeg.stdin.take().expect("stdin is a pipe"), channel);
    let status = ffmpeg.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("ffmpeg ended with {status}")));
    }
    written?;
    fs::rename(partial, path)
}

/// Writes the raw pictures: a bar that wanders over a gradient, tinted by channel, under the block code.
fn paint(mut to: impl Write, channel: u8) -> io::Result<()> {
    let (u, v) = (96 + channel.wrapping_mul(37) % 64, 96 + channel.wrapping_mul(83) % 64);
    let mut picture = vec![0; WIDTH_PX * HEIGHT_PX * 3 / 2];
    for frame in 0..FRAMES {
        let (luma, chroma) = picture.split_at_mut(WIDTH_PX * HEIGHT_PX);
        let bar = usize::from(frame) * 4 % WIDTH_PX;
        for (y, row) in luma.chunks_exact_mut(WIDTH_PX).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let in_bar = (x + WIDTH_PX - bar) % WIDTH_PX < 40;
                *pixel = if in_bar { 200 } else { 40 + (x / 8 + y / 4) as u8 % 120 };
            }
        }
        Code { channel, frame }.paint(luma);
        let (blue, red) = chroma.split_at_mut(WIDTH_PX * HEIGHT_PX / 4);
        blue.fill(u);
        red.fill(v);
        to.write_all(&picture)?;
    }
    Ok(())
}

impl Clip {
    /// Cuts an Annex B stream at its access unit delimiters, which are left out.
    fn parse(stream: Bytes) -> Self {
        let mut starts: Vec<(usize, usize)> = Vec::new();
        for at in 0..stream.len().saturating_sub(3) {
            if stream[at..at + 3] == [0, 0, 1] {
                let begin = if at > 0 && stream[at - 1] == 0 { at - 1 } else { at };
                starts.push((begin, at + 3));
            }
        }
        let mut frames: Vec<(bool, Vec<u8>)> = Vec::new();
        for (index, (begin, nal)) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(stream.len(), |(begin, _)| *begin);
            let kind = stream.get(*nal).map_or(0, |header| header & 0x1f);
            match (kind, frames.last_mut()) {
                (NAL_DELIMITER, _) | (_, None) => frames.push((false, Vec::new())),
                _ => {}
            }
            if let Some((key, data)) = frames.last_mut().filter(|_| kind != NAL_DELIMITER) {
                *key |= kind == NAL_IDR;
                // Four-byte start codes, as devices send them.
                if nal - begin == 3 {
                    data.push(0);
                }
                data.extend_from_slice(&stream[*begin..end]);
            }
        }
        let frames = frames.into_iter().map(|(key, data)| Picture { key, data: data.into() }).collect();
        Self { frames }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_delimiters_and_lengthens_start_codes() {
        let stream: &[u8] = &[
            0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 2, 0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x41, 3,
        ];
        let clip = Clip::parse(Bytes::from_static(stream));
        let frames: Vec<_> = clip.frames.iter().map(|frame| (frame.key, &frame.data[..])).collect();
        assert_eq!(
            frames,
            [(true, &[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 2][..]), (false, &[0, 0, 0, 1, 0x41, 3][..])]
        );
    }

    #[tokio::test]
    async fn a_clip_is_made_once_and_decodes_to_its_block_code() {
        if Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_err() {
            println!("skipped: ffmpeg is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let clip = Clips::new(folder.path().to_owned(), 1).of(3).await.expect("made");
        let keys: Vec<_> = clip.frames.iter().enumerate().filter(|(_, f)| f.key).map(|(n, _)| n).collect();
        assert_eq!(keys, (0..20).map(|second| second * 15).collect::<Vec<_>>());

        let file = folder.path().join("channel-03-v1.h264");
        let decoded = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-i"])
            .arg(&file)
            .args(["-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"])
            .output()
            .unwrap();
        let pictures: Vec<_> = decoded.stdout.chunks_exact(WIDTH_PX * HEIGHT_PX).collect();
        assert_eq!(pictures.len(), usize::from(FRAMES));
        for (frame, picture) in (0..).zip(pictures) {
            assert_eq!(Code::read_gray(picture, WIDTH_PX), Some(Code { channel: 3, frame }));
        }

        let made_at = fs::metadata(&file).unwrap().modified().unwrap();
        Clips::new(folder.path().to_owned(), 1).of(3).await.expect("read");
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), made_at);
    }
}
