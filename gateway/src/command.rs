//! The way to a terminal: commands become messages, answers become replies.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{LinkChanges, LinkStamp, Links, Terminals};
use model::{
    AudioCodec, AvAttributes, Command, Profile, Reply, SendError, TerminalId, TerminalLink, TerminalServers,
    VideoCodec,
};
use protocol::jt808::id;
use protocol::jt808::message::ParametersAnswer;
use protocol::jt808::server::{Answer, Downlink};
use protocol::jt1078::PayloadType;
use protocol::jt1078::signalling::{
    self, CloseScope, LiveCommand, LiveKind, ShortText, StreamProfile, TextTooLong,
};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::gate::Gate;
use crate::link::{Attributes, Link, Order};
use crate::servers;

/// How long [`Terminals::link`] waits for the attributes of a terminal that is slow to tell them. What it
/// says later is remembered all the same.
const ATTRIBUTES_WITHIN: Duration = Duration::from_secs(3);
/// Beyond the session's own limit, after which it answers that there was no answer.
const SESSION_MARGIN: Duration = Duration::from_secs(2);

/// The terminals that this gateway holds.
pub(crate) struct Held {
    pub(crate) gate: Arc<Gate>,
}

#[async_trait]
impl Terminals for Held {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        let link = self.gate.links.of(terminal).ok_or(SendError::NotConnected(terminal))?;
        let av = attributes(&self.gate, terminal, &link).await;
        Ok(TerminalLink { sim: link.sim.clone(), sim_bytes: link.sim_bytes, av })
    }

    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        let link = self.gate.links.of(terminal).ok_or(SendError::NotConnected(terminal))?;
        if command == Command::ReadServers {
            return read_servers(&self.gate, terminal, &link).await.map(Reply::Servers);
        }
        let downlink = downlink(&command, &link)
            .map_err(|reason| SendError::Unsayable { terminal, reason: reason.to_owned() })?;
        // A terminal that sends an answer of another kind did what it was told.
        general(terminal, ask(&self.gate, terminal, &link, downlink).await?).map(|_| Reply::Accepted)
    }

    async fn disconnect(&self, terminal: TerminalId) {
        self.gate.door.forget(terminal);
        if let Some(link) = self.gate.links.of(terminal) {
            tracing::info!(terminal.sim = %link.sim, "terminal {} is disconnected", link.sim);
            link.close.cancel();
        }
    }
}

impl Links for Held {
    fn follow(&self) -> (Vec<(TerminalId, LinkStamp)>, LinkChanges) {
        self.gate.links.follow()
    }
}

/// The answer of a terminal that did what it was told: with a body where it answers in a kind of its own.
fn general(terminal: TerminalId, answer: Answer) -> Result<Option<Bytes>, SendError> {
    match answer {
        Answer::General(0) => Ok(None),
        Answer::Message { body, .. } => Ok(Some(body)),
        Answer::General(result) => Err(SendError::Refused { terminal, result }),
        Answer::TimedOut => Err(SendError::Timeout(terminal)),
        Answer::Busy => Err(SendError::Busy(terminal)),
        Answer::NotAuthenticated => Err(SendError::NotConnected(terminal)),
        Answer::TooLong => Err(SendError::Unsayable { terminal, reason: "it is too long".to_owned() }),
    }
}

/// The servers that the terminal dials by itself. One that does not know 0x8106 (JT/T 808-2011 has none) is asked for
/// all its parameters.
async fn read_servers(gate: &Gate, terminal: TerminalId, link: &Link) -> Result<TerminalServers, SendError> {
    let some = general(terminal, ask(gate, terminal, link, servers::ask(false)).await?);
    let told = match some {
        Err(SendError::Refused { .. }) => {
            general(terminal, ask(gate, terminal, link, servers::ask(true)).await?)?
        }
        some => some?,
    };
    let body = told.ok_or(SendError::Unreadable(terminal))?;
    let answer = ParametersAnswer::decode(&body).map_err(|_| SendError::Unreadable(terminal))?;
    Ok(servers::told(&answer))
}

/// Sends `downlink` on `link` and waits for its end.
pub(crate) async fn ask(
    gate: &Gate,
    terminal: TerminalId,
    link: &Link,
    downlink: Downlink,
) -> Result<Answer, SendError> {
    let (answer, answered) = oneshot::channel();
    link.orders.try_send(Order { downlink, answer }).map_err(|error| match error {
        TrySendError::Full(_) => SendError::Busy(terminal),
        // It heard nothing of it: whoever asks may look for it elsewhere.
        TrySendError::Closed(_) => SendError::NotConnected(terminal),
    })?;
    let limit = Duration::from_millis(gate.settings.command_timeout_ms) + SESSION_MARGIN;
    match tokio::time::timeout(limit, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(SendError::Disconnected(terminal)),
        Err(_) => Err(SendError::Timeout(terminal)),
    }
}

/// The attributes of the terminal behind `link`, asked for at most once a link.
async fn attributes(gate: &Arc<Gate>, terminal: TerminalId, link: &Arc<Link>) -> Option<AvAttributes> {
    let is_first = link.attributes.send_if_modified(|attributes| {
        let is_first = matches!(attributes, Attributes::Unasked);
        if is_first {
            *attributes = Attributes::Asked;
        }
        is_first
    });
    let mut known = link.attributes.subscribe();
    if is_first {
        let (gate, link) = (Arc::clone(gate), Arc::clone(link));
        tokio::spawn(async move {
            let attributes = ask_attributes(&gate, terminal, &link).await;
            link.attributes.send_replace(Attributes::Known(attributes.clone()));
            if let Some(attributes) = attributes {
                remember_channels(&gate, terminal, &attributes).await;
            }
        });
    }
    let told = known.wait_for(|attributes| matches!(attributes, Attributes::Known(_)));
    match tokio::time::timeout(ATTRIBUTES_WITHIN, told).await {
        Ok(Ok(attributes)) => match &*attributes {
            Attributes::Known(attributes) => attributes.clone(),
            Attributes::Unasked | Attributes::Asked => None,
        },
        Ok(Err(_)) | Err(_) => None,
    }
}

async fn ask_attributes(gate: &Gate, terminal: TerminalId, link: &Link) -> Option<AvAttributes> {
    let mut body = Vec::new();
    signalling::AttributesQuery {}.encode(&mut body);
    let downlink = Downlink { id: id::QUERY_AV_ATTRIBUTES, body: body.into() };
    match ask(gate, terminal, link, downlink).await {
        Ok(Answer::Message { id: id::AV_ATTRIBUTES, body }) => {
            signalling::AvAttributes::decode(&body).ok().map(|said| attributes_said(&said))
        }
        Ok(answer) => {
            tracing::debug!(terminal.sim = %link.sim, ?answer, "no audio and video attributes");
            None
        }
        Err(error) => {
            tracing::debug!(terminal.sim = %link.sim, %error, "no audio and video attributes");
            None
        }
    }
}

/// The terminal has as many channels as it says. The database may be away; it is told at the next link.
async fn remember_channels(gate: &Gate, terminal: TerminalId, attributes: &AvAttributes) {
    if let Err(error) = gate.db.set_channels(terminal, attributes.video_channels_max).await {
        tracing::debug!(terminal.id = %terminal, %error, "channels not remembered");
    }
}

fn attributes_said(said: &signalling::AvAttributes) -> AvAttributes {
    AvAttributes {
        audio_payload_type: said.audio_codec.0,
        audio_codec: match said.audio_codec {
            PayloadType::G711A => Some(AudioCodec::G711a),
            PayloadType::G711U => Some(AudioCodec::G711u),
            PayloadType::G726 => Some(AudioCodec::G726),
            PayloadType::AAC | PayloadType::AAC_LC => Some(AudioCodec::Aac),
            PayloadType::ADPCM => Some(AudioCodec::Adpcm),
            _ => None,
        },
        audio_channels: said.audio_channels,
        audio_sample_rate_hz: said.sample_rate.hertz().unwrap_or(0),
        audio_sample_bits: said.sample_bits.bits().unwrap_or(0),
        audio_frame_bytes: said.audio_frame_bytes,
        audio_output: said.audio_output != 0,
        video_payload_type: said.video_codec.0,
        video_codec: match said.video_codec {
            PayloadType::H264 => Some(VideoCodec::H264),
            PayloadType::H265 => Some(VideoCodec::H265),
            _ => None,
        },
        audio_channels_max: said.audio_channels_max,
        video_channels_max: said.video_channels_max,
    }
}

/// The message that says it; where none can, why.
fn downlink(command: &Command, link: &Link) -> Result<Downlink, &'static str> {
    let mut body = Vec::new();
    let id = match command {
        Command::ReadServers => return Ok(servers::ask(false)),
        // 10 bytes of its number: the header of 2019.
        Command::SetServers(change) => return servers::set(change, link.sim_bytes == 10),
        Command::StartLive { channel, profile, host, tcp_port } => {
            let host = host.clone().unwrap_or_else(|| link.local.ip().to_string());
            signalling::StartLive {
                address: ShortText::new(&host).map_err(|TextTooLong(_)| "the host's name is too long")?,
                tcp_port: *tcp_port,
                udp_port: 0,
                channel: channel.number(),
                kind: LiveKind::AUDIO_VIDEO,
                profile: wire_profile(*profile),
            }
            .encode(&mut body);
            id::START_LIVE
        }
        Command::StopLive { channel, profile } => {
            signalling::LiveControl {
                channel: channel.number(),
                command: LiveCommand::CLOSE,
                close: CloseScope::BOTH,
                profile: wire_profile(*profile),
            }
            .encode(&mut body);
            id::CONTROL_LIVE
        }
    };
    Ok(Downlink { id, body: body.into() })
}

fn wire_profile(profile: Profile) -> StreamProfile {
    match profile {
        Profile::Main => StreamProfile::MAIN,
        Profile::Sub => StreamProfile::SUB,
    }
}

#[cfg(test)]
mod tests {
    use model::Channel;

    use super::*;
    use crate::link::tests::link;

    #[test]
    fn without_a_host_a_terminal_is_sent_to_the_address_that_it_dialled() {
        let command = Command::StartLive {
            channel: Channel::new(3).expect("not 0"),
            profile: Profile::Sub,
            host: None,
            tcp_port: 6602,
        };
        let downlink = downlink(&command, &link(1)).expect("fits");
        assert_eq!(downlink.id, 0x9101);
        assert_eq!(downlink.body[..], *b"\x09192.0.2.7\x19\xca\x00\x00\x03\x00\x01");
    }

    #[test]
    fn a_stop_closes_sound_and_pictures_of_its_profile() {
        let command = Command::StopLive { channel: Channel::new(3).expect("not 0"), profile: Profile::Main };
        let downlink = downlink(&command, &link(1)).expect("fits");
        assert_eq!((downlink.id, &downlink.body[..]), (0x9102, &[3, 0, 0, 0][..]));
    }
}
