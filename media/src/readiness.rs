//! Whether a media server can do its work now.

use std::sync::Weak;

use tokio::task::AbortHandle;

use crate::picture::{self, PictureThread};
use crate::sound::{self, SoundThreads};

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// A task has ended that takes connections or runs the streams.
    #[error("a port of it takes no connections any more, or its streams are not run")]
    Task,
    /// A thread has ended that works with FFmpeg.
    #[error("a thread for pictures or sound has ended")]
    Thread,
    /// FFmpeg is another one than it was built for.
    #[error("FFmpeg has not {0}")]
    Ffmpeg(&'static str),
}

/// What has to run. Keeps nothing running.
pub(crate) struct Running {
    /// Those without which nothing is served.
    pub(crate) tasks: Vec<AbortHandle>,
    pub(crate) sounds: Weak<SoundThreads>,
}

impl Running {
    pub(crate) fn check(&self, pictures: &PictureThread) -> Result<(), Unready> {
        if self.tasks.iter().any(AbortHandle::is_finished) {
            return Err(Unready::Task);
        }
        let sounds_run = self.sounds.upgrade().is_some_and(|sounds| sounds.are_running());
        if !sounds_run || !pictures.is_running() {
            return Err(Unready::Thread);
        }
        picture::lacking().or_else(sound::lacking).map_or(Ok(()), |codec| Err(Unready::Ffmpeg(codec)))
    }
}
