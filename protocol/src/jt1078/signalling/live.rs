//! Live sound and pictures: start (0x9101), control (0x9102), loss notice (0x9105).

use super::field::{body, code};
use super::{ShortText, SignallingError};
use crate::reader::Reader;

code! {
    /// What a live request wants.
    pub struct LiveKind {
        /// Sound and pictures.
        AUDIO_VIDEO = 0,
        /// Pictures alone.
        VIDEO = 1,
        /// Two-way talk.
        TALK = 2,
        /// Listen: sound from the terminal.
        LISTEN = 3,
        /// Broadcast: sound to the terminal.
        BROADCAST = 4,
        /// Transparent data.
        TRANSPARENT = 5,
    }
}

code! {
    /// Main or sub stream, in live requests.
    pub struct StreamProfile {
        /// The main stream.
        MAIN = 0,
        /// The sub stream.
        SUB = 1,
    }
}

body! {
    /// 0x9101 →T: start sending a channel to a media server.
    ///
    /// There is no transport field: TCP when its port is not 0, else UDP.
    pub struct StartLive = 0x9101 {
        /// IP address of the media server; some platforms put a host name here.
        address: ShortText,
        /// TCP port; 0: none.
        tcp_port: u16,
        /// UDP port; 0: none.
        udp_port: u16,
        /// Logical channel.
        channel: u8,
        /// What to send.
        kind: LiveKind,
        /// Main or sub stream.
        profile: StreamProfile,
    }
}

code! {
    /// What 0x9102 asks for.
    pub struct LiveCommand {
        /// Close the stream.
        CLOSE = 0,
        /// Switch between main and sub stream on the same connection.
        SWITCH = 1,
        /// Pause all streams of the channel.
        PAUSE = 2,
        /// Resume.
        RESUME = 3,
        /// Close two-way talk.
        CLOSE_TALK = 4,
    }
}

code! {
    /// What a close ends.
    pub struct CloseScope {
        /// Sound and pictures.
        BOTH = 0,
        /// Sound; pictures go on.
        AUDIO = 1,
        /// Pictures; sound goes on.
        VIDEO = 2,
    }
}

body! {
    /// 0x9102 →T: control of a running live stream.
    #[derive(Copy)]
    pub struct LiveControl = 0x9102 {
        /// Logical channel.
        channel: u8,
        /// What to do.
        command: LiveCommand,
        /// For a close: what it ends.
        close: CloseScope,
        /// For a switch: the stream wanted.
        profile: StreamProfile,
    }
}

body! {
    /// 0x9105 →T: how much the platform loses; sent at intervals while it receives.
    #[derive(Copy)]
    pub struct LiveStatus = 0x9105 {
        /// Logical channel.
        channel: u8,
        /// Packets lost, whole percent.
        loss_percent: u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmsv6_appends_two_bytes_to_0x9101_which_a_terminal_ignores() {
        let start = StartLive {
            address: ShortText::new("media.example").unwrap(),
            tcp_port: 6602,
            udp_port: 0,
            channel: 1,
            kind: LiveKind::AUDIO_VIDEO,
            profile: StreamProfile::SUB,
        };
        let mut body = Vec::new();
        start.encode(&mut body);
        assert_eq!(body[..], *b"\x0dmedia.example\x19\xca\x00\x00\x01\x00\x01");
        body.extend_from_slice(&[0, 0]);
        assert_eq!(StartLive::decode(&body), Ok(start));
        assert!(StartLive::decode(&body[..body.len() - 3]).is_err());
    }
}
