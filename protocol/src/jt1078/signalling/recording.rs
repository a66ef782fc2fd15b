//! Recordings in the terminal: list (0x9205, 0x1205), playback (0x9201, 0x9202), upload by FTP (0x9206, 0x1206,
//! 0x9207).
//!
//! Alarm bits 0-31 are those of JT/T 808, bits 32-63 those of item 0x14. Sources disagree on the order of the
//! two words; here it is one big-endian number, bit 0 in its last byte. Send 0 when in doubt.

use super::field::{Field, body, code, record_field};
use super::{ShortText, SignallingError};
use crate::jt808::BcdTime;
use crate::reader::Reader;

code! {
    /// What a recording holds, or what a query wants.
    pub struct MediaKind {
        /// Sound and pictures.
        AUDIO_VIDEO = 0,
        /// Sound.
        AUDIO = 1,
        /// Pictures.
        VIDEO = 2,
        /// Pictures, with sound or without (queries only).
        VIDEO_OR_AUDIO_VIDEO = 3,
    }
}

code! {
    /// Main or sub stream, in recordings.
    pub struct StreamKind {
        /// Either (queries only).
        ANY = 0,
        /// The main stream.
        MAIN = 1,
        /// The sub stream.
        SUB = 2,
    }
}

code! {
    /// Where a recording lies.
    pub struct StorageKind {
        /// Either (queries only).
        ANY = 0,
        /// The main store.
        MAIN = 1,
        /// The backup store.
        BACKUP = 2,
    }
}

body! {
    /// 0x9205 →T: asks for the list of recordings. The answer is [`RecordingList`].
    #[derive(Copy)]
    pub struct RecordingQuery = 0x9205 {
        /// Logical channel; 0: all.
        channel: u8,
        /// From, GMT+8; zeros: open.
        start: BcdTime,
        /// To, GMT+8; zeros: open.
        end: BcdTime,
        /// Alarm bits wanted; 0: any.
        alarm: u64,
        /// What it holds.
        media: MediaKind,
        /// Main or sub stream.
        stream: StreamKind,
        /// Where it lies.
        storage: StorageKind,
    }
}

/// One recording of a [`RecordingList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Logical channel.
    pub channel: u8,
    /// From, GMT+8.
    pub start: BcdTime,
    /// To, GMT+8.
    pub end: BcdTime,
    /// Alarm bits.
    pub alarm: u64,
    /// What it holds.
    pub media: MediaKind,
    /// Main or sub stream.
    pub stream: StreamKind,
    /// Where it lies.
    pub storage: StorageKind,
    /// Size, bytes.
    pub size_bytes: u32,
}

record_field!(Recording { channel, start, end, alarm, media, stream, storage, size_bytes });

/// 0x1205 →P: the list of recordings. Long lists come in 808 packages: put those together first, only the
/// first holds the two leading fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingList {
    /// Serial of the 0x9205 (or 0x9201) answered.
    pub reply_to: u16,
    /// How many there are, by the terminal's word; `recordings` holds what came.
    pub total: u32,
    /// The recordings.
    pub recordings: Vec<Recording>,
}

impl RecordingList {
    /// The message's number.
    pub const ID: u16 = 0x1205;

    /// Reads the whole body; a recording that ends early is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, SignallingError> {
        let mut reader = Reader::new(bytes);
        let (reply_to, total) = (reader.u16()?, reader.u32()?);
        let mut recordings = Vec::new();
        while !reader.is_empty() {
            recordings.push(Recording::read(&mut reader)?);
        }
        Ok(Self { reply_to, total, recordings })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.reply_to.write(out);
        self.total.write(out);
        self.recordings.iter().for_each(|recording| recording.write(out));
    }
}

code! {
    /// How 0x9201 plays. The numbers differ from those of [`PlaybackCommand`].
    pub struct PlaybackMode {
        /// At normal speed.
        NORMAL = 0,
        /// Fast forward.
        FAST_FORWARD = 1,
        /// Backwards, key frames only.
        KEY_FRAME_REWIND = 2,
        /// Key frames only.
        KEY_FRAMES = 3,
        /// A single frame.
        SINGLE_FRAME = 4,
    }
}

body! {
    /// 0x9201 →T: play a recording back to a media server. Terminals answer with 0x1205 or with 0x0001 only.
    pub struct StartPlayback = 0x9201 {
        /// IP address of the media server.
        address: ShortText,
        /// TCP port; 0: none.
        tcp_port: u16,
        /// UDP port; 0: none.
        udp_port: u16,
        /// Logical channel.
        channel: u8,
        /// What to send.
        media: MediaKind,
        /// Main or sub stream.
        stream: StreamKind,
        /// Where it lies.
        storage: StorageKind,
        /// How to play.
        mode: PlaybackMode,
        /// For fast forward and rewind: 1 ×1, 2 ×2, 3 ×4, 4 ×8, 5 ×16; else 0.
        speed: u8,
        /// From, GMT+8.
        start: BcdTime,
        /// To, GMT+8; zeros: to the end. Ignored for a single frame.
        end: BcdTime,
    }
}

code! {
    /// What 0x9202 asks for. The numbers differ from those of [`PlaybackMode`].
    pub struct PlaybackCommand {
        /// Start or resume.
        RESUME = 0,
        /// Pause.
        PAUSE = 1,
        /// End.
        END = 2,
        /// Fast forward.
        FAST_FORWARD = 3,
        /// Backwards, key frames only.
        KEY_FRAME_REWIND = 4,
        /// Jump to a time.
        SEEK = 5,
        /// Key frames only.
        KEY_FRAMES = 6,
    }
}

body! {
    /// 0x9202 →T: control of a running playback.
    #[derive(Copy)]
    pub struct PlaybackControl = 0x9202 {
        /// Logical channel.
        channel: u8,
        /// What to do.
        command: PlaybackCommand,
        /// For fast forward and rewind: 1 ×1, 2 ×2, 3 ×4, 4 ×8, 5 ×16.
        speed: u8,
        /// For a seek: where to, GMT+8.
        position: BcdTime,
    }
}

body! {
    /// 0x9206 →T: upload recordings to an FTP server. Followed by [`FtpUploadDone`] when it is over.
    pub struct FtpUpload = 0x9206 {
        /// Address of the FTP server.
        address: ShortText,
        /// Its port.
        port: u16,
        /// User name.
        user: ShortText,
        /// Password.
        password: ShortText,
        /// Folder to store into; the standard does not fix the file names.
        path: ShortText,
        /// Logical channel.
        channel: u8,
        /// From, GMT+8.
        start: BcdTime,
        /// To, GMT+8.
        end: BcdTime,
        /// Alarm bits.
        alarm: u64,
        /// What it holds.
        media: MediaKind,
        /// Main or sub stream.
        stream: StreamKind,
        /// Where it lies.
        storage: StorageKind,
        /// Over what to upload: bit 0 Wi-Fi, bit 1 LAN, bit 2 mobile network.
        condition: u8,
    }
}

body! {
    /// 0x1206 →P: an FTP upload is over.
    #[derive(Copy)]
    pub struct FtpUploadDone = 0x1206 {
        /// Serial of the 0x9206.
        reply_to: u16,
        /// 0 done, 1 failed.
        result: u8,
    }
}

code! {
    /// What 0x9207 asks for.
    pub struct UploadCommand {
        /// Pause.
        PAUSE = 0,
        /// Resume.
        RESUME = 1,
        /// Cancel.
        CANCEL = 2,
    }
}

body! {
    /// 0x9207 →T: control of a running FTP upload.
    #[derive(Copy)]
    pub struct FtpUploadControl = 0x9207 {
        /// Serial of the 0x9206.
        upload: u16,
        /// What to do.
        command: UploadCommand,
    }
}
