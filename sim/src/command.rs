//! The commands that a simulated terminal obeys, read with code of its own (JT/T 1078-2016 section 5).

use protocol::reader::Reader;

/// 0x9101: send live sound and pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartLive {
    /// Address or name of the media server.
    pub(crate) host: String,
    /// Its TCP port.
    pub(crate) tcp_port: u16,
    /// The channel, from 1.
    pub(crate) channel: u8,
    /// 0 sound and pictures, 1 pictures, 2 talk, 3 listen, 4 broadcast, 5 transparent.
    pub(crate) kind: u8,
}

impl StartLive {
    /// None where it is too short; what follows the last field is ignored, since platforms append bytes.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let len = reader.u8().ok()?;
        let host = reader.bytes(len.into()).ok()?;
        let host = String::from_utf8_lossy(host).trim_end_matches('\0').to_owned();
        let tcp_port = reader.u16().ok()?;
        reader.u16().ok()?; // UDP port: a port for TCP means TCP
        Some(Self { host, tcp_port, channel: reader.u8().ok()?, kind: reader.u8().ok()? })
    }
}

/// What 0x9102 wants of a stream that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiveControl {
    /// Close it, sound and pictures.
    Close,
    /// Something that makes no difference to a clip: another profile, a pause.
    Other,
}

/// 0x9102: the channel and what it should do.
pub(crate) fn live_control(body: &[u8]) -> Option<(u8, LiveControl)> {
    let mut reader = Reader::new(body);
    let (channel, command, scope) = (reader.u8().ok()?, reader.u8().ok()?, reader.u8().ok()?);
    let closes = matches!((command, scope), (0, 0) | (4, _));
    Some((channel, if closes { LiveControl::Close } else { LiveControl::Other }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_0x9101_with_and_without_trailing_bytes() {
        let body = b"\x09127.0.0.1\x19\xca\0\0\x02\x00\x01".to_vec();
        let command = StartLive { host: "127.0.0.1".into(), tcp_port: 6602, channel: 2, kind: 0 };
        assert_eq!(StartLive::decode(&body), Some(command.clone()));
        assert_eq!(StartLive::decode(&[&body[..], &[0, 0]].concat()), Some(command));
        assert_eq!(StartLive::decode(&body[..12]), None);
    }

    #[test]
    fn reads_0x9102() {
        assert_eq!(live_control(&[3, 0, 0, 0]), Some((3, LiveControl::Close)));
        assert_eq!(live_control(&[3, 0, 1, 0]), Some((3, LiveControl::Other)), "sound only");
        assert_eq!(live_control(&[3, 1, 0, 1]), Some((3, LiveControl::Other)));
        assert_eq!(live_control(&[3]), None);
    }
}
