//! A decoded message as a flat list of named values, which the name map points into.

use std::collections::BTreeMap;
use std::fmt;

use protocol::jt808::message::{LocationBatch, MediaEvent, MediaList, ParametersAnswer};
use protocol::jt808::{Edition, Frame, ItemValue, LocationReport, Message, Text, id};
use protocol::jt1078::signalling::{AttributesQuery, AvAttributes, LiveControl, SetParameters, StartLive};
use serde_json::Value;

/// Names and values; `location.items.0x01.mileage_x10`, `indexes[2]`, `serial`.
#[derive(Default)]
pub(crate) struct Facts(BTreeMap<String, Value>);

impl Facts {
    /// What the header says.
    pub(crate) fn of_frame(frame: &Frame) -> Self {
        let mut facts = Self::default();
        let header = &frame.header;
        facts.put("header", "id", header.id);
        facts.put("header", "phone", header.phone.digits());
        facts.put("header", "sim", header.phone.sim());
        facts.put("header", "serial", header.serial);
        facts.put("header", "encryption", header.encryption);
        facts.put("header", "body_len", frame.body.len());
        facts.put("header", "declared_len", frame.declared_len);
        if let Some(version) = header.version {
            facts.put("header", "version", version);
        }
        if let Some(package) = header.package {
            facts.put("header", "total", package.total);
            facts.put("header", "index", package.index);
        }
        facts
    }

    /// Adds what the body says; gives the body written again, `None` for a message that this crate leaves raw.
    pub(crate) fn read_body(
        &mut self,
        id: u16,
        body: &[u8],
        edition: Edition,
    ) -> Result<Option<Vec<u8>>, String> {
        let message = Message::decode(id, body, edition).map_err(|error| error.to_string())?;
        match &message {
            Message::Other { id, body } => return self.read_other(*id, body),
            Message::Heartbeat(_) | Message::Unregister(_) | Message::AskTime(_) => {}
            Message::TerminalReply(reply) | Message::PlatformReply(reply) => {
                self.put("body", "serial", reply.serial);
                self.put("body", "id", reply.id);
                self.put("body", "result", reply.result.0);
            }
            Message::TerminalRetransmission(message) | Message::PlatformRetransmission(message) => {
                self.put("body", "first_serial", message.first_serial);
                self.put("body", "count", message.indexes.len());
                for (place, index) in message.indexes.iter().enumerate() {
                    self.put("body", &format!("indexes[{place}]"), *index);
                }
            }
            Message::Registration(message) => {
                self.put("body", "layout", year(message.layout));
                self.put("body", "province", message.province);
                self.put("body", "city", message.city);
                self.put("body", "maker", padded(message.maker.to_str()));
                self.put("body", "model", padded(message.model.to_str()));
                self.put("body", "terminal_id", padded(message.terminal_id.to_str()));
                self.put("body", "plate_colour", message.plate_colour);
                self.put("body", "plate", message.plate.to_str());
            }
            Message::Authentication(message) => {
                self.put("body", "layout", year(message.layout));
                self.put("body", "code", message.code.to_str());
                self.put("body", "imei", message.imei.to_str());
                self.put("body", "software", message.software.to_str());
            }
            Message::LocationReport(report) => self.location("location", report),
            Message::LocationAnswer(answer) | Message::VehicleControlAnswer(answer) => {
                self.put("body", "serial", answer.serial);
                self.location("location", &answer.location);
            }
            Message::LocationBatch(batch) => self.batch(batch, edition)?,
            Message::ServerTime(message) => self.put("body", "time_utc", message.time_utc),
            Message::RegisterAnswer(message) => {
                self.put("body", "serial", message.serial);
                self.put("body", "result", message.result.0);
                self.put("body", "code", message.code.to_str());
            }
            Message::MediaEvent(media) => self.media(media),
            Message::MediaData(message) => {
                self.media(&message.media);
                if let Some(location) = &message.location {
                    self.location("location", location);
                }
            }
            Message::MediaList(message) => self.media_list(message),
        }
        let mut again = Vec::new();
        message.encode(&mut again, edition);
        Ok(Some(again))
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The values of every name that ends so, whichever of several locations it is in.
    pub(crate) fn ending<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |(key, _)| key.ends_with(name)).map(|(_, value)| value)
    }

    /// The messages of JT/T 1078 that travel in 808 frames.
    fn read_other(&mut self, id: u16, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut again = Vec::new();
        match id {
            id::QUERY_AV_ATTRIBUTES => {
                AttributesQuery::decode(body).map_err(|error| error.to_string())?.encode(&mut again);
            }
            id::AV_ATTRIBUTES => {
                let message = AvAttributes::decode(body).map_err(|error| error.to_string())?;
                self.put("body", "audio_codec", message.audio_codec.0);
                self.put("body", "audio_channels", message.audio_channels);
                self.put("body", "sample_rate", message.sample_rate.0);
                self.put("body", "sample_bits", message.sample_bits.0);
                self.put("body", "audio_frame_bytes", message.audio_frame_bytes);
                self.put("body", "audio_output", message.audio_output);
                self.put("body", "video_codec", message.video_codec.0);
                self.put("body", "audio_channels_max", message.audio_channels_max);
                self.put("body", "video_channels_max", message.video_channels_max);
                message.encode(&mut again);
            }
            id::PARAMETERS => {
                let message = ParametersAnswer::decode(body).map_err(|error| error.to_string())?;
                self.put("body", "serial", message.serial);
                self.put("body", "count", message.count);
                self.servers(|id| message.value(id));
                message.encode(&mut again);
            }
            id::SET_PARAMETERS => {
                let message = SetParameters::decode(body).map_err(|error| error.to_string())?;
                let of = |id: u32| message.parameters.iter().find(|it| it.id == id).map(|it| it.value);
                self.put("body", "count", message.parameters.len());
                self.servers(of);
                message.encode(&mut again);
            }
            id::START_LIVE => {
                let message = StartLive::decode(body).map_err(|error| error.to_string())?;
                self.put("body", "address", message.address.to_string());
                self.put("body", "tcp_port", message.tcp_port);
                self.put("body", "udp_port", message.udp_port);
                self.put("body", "channel", message.channel);
                self.put("body", "kind", message.kind.0);
                self.put("body", "profile", message.profile.0);
                message.encode(&mut again);
            }
            id::CONTROL_LIVE => {
                let message = LiveControl::decode(body).map_err(|error| error.to_string())?;
                self.put("body", "channel", message.channel);
                self.put("body", "command", message.command.0);
                self.put("body", "scope", message.close.0);
                self.put("body", "profile", message.profile.0);
                message.encode(&mut again);
            }
            _ => return Ok(None),
        }
        Ok(Some(again))
    }

    /// The parameters that name a terminal's servers.
    fn servers<'a>(&mut self, value: impl Fn(u32) -> Option<&'a [u8]>) {
        for (id, name) in [(0x0013, "main_server"), (0x0017, "backup_server")] {
            if let Some(value) = value(id) {
                self.put("body", name, Text(value).to_str().into_owned());
            }
        }
        if let Some(port) = value(0x0018).and_then(|value| value.try_into().ok()) {
            self.put("body", "server_port", u32::from_be_bytes(port));
        }
    }

    fn batch(&mut self, batch: &LocationBatch<'_>, edition: Edition) -> Result<(), String> {
        self.put("body", "count", batch.count);
        self.put("body", "kind", batch.kind);
        for (index, item) in batch.items.iter().enumerate() {
            let report = LocationReport::decode(item.body, edition).map_err(|error| error.to_string())?;
            self.location(&format!("locations[{index}]"), &report);
        }
        self.0.insert("locations".to_owned(), batch.items.iter().count().into());
        Ok(())
    }

    fn media(&mut self, media: &MediaEvent) {
        self.put("body", "media_id", media.id);
        self.put("body", "kind", media.kind);
        self.put("body", "format", media.format);
        self.put("body", "event", media.event);
        self.put("body", "channel", media.channel);
    }

    fn media_list(&mut self, message: &MediaList<'_>) {
        self.put("body", "serial", message.serial);
        self.put("body", "total", message.total);
        for (index, item) in message.items().enumerate() {
            let prefix = format!("body.items[{index}]");
            self.put(&prefix, "media_id", item.id);
            self.put(&prefix, "kind", item.kind);
            self.put(&prefix, "channel", item.channel);
            self.put(&prefix, "event", item.event);
            self.location(&format!("locations[{index}]"), &item.location);
        }
        self.0.insert("locations".to_owned(), message.items().count().into());
    }

    fn location(&mut self, prefix: &str, report: &LocationReport<'_>) {
        self.word(prefix, "alarm", report.alarm, 32);
        self.word(prefix, "status", report.status, 32);
        for (name, value) in [("latitude", report.latitude_e6()), ("longitude", report.longitude_e6())] {
            self.put(prefix, name, f64::from(value) / 1e6);
            self.put(prefix, &format!("{name}_abs"), f64::from(value.unsigned_abs()) / 1e6);
            self.put(prefix, &format!("{name}_e6"), value.unsigned_abs());
        }
        self.put(prefix, "altitude", report.altitude_word);
        self.put(prefix, "speed_x10", report.speed_x10);
        self.put(prefix, "direction", report.direction);
        self.put(prefix, "time", report.time);
        for item in report.items {
            let prefix = format!("{prefix}.items.0x{:02X}", item.id);
            self.put(&prefix, "len", item.value.len());
            self.put(&prefix, "hex", hex::encode(item.value));
            if let [byte] = item.value {
                self.put(&prefix, "byte", *byte);
            }
            self.item(&prefix, item.read());
        }
    }

    fn item(&mut self, prefix: &str, value: ItemValue<'_>) {
        match value {
            ItemValue::Mileage { mileage_x10 } => self.put(prefix, "mileage_x10", mileage_x10),
            ItemValue::Fuel { fuel_x10 } => self.put(prefix, "fuel_x10", fuel_x10),
            ItemValue::RecorderSpeed { speed_x10 } => self.put(prefix, "speed_x10", speed_x10),
            ItemValue::AlarmEvent(event) => self.put(prefix, "event", event),
            ItemValue::TyrePressures(pressures) => {
                for (wheel, pressure) in pressures.iter().enumerate() {
                    self.put(prefix, &format!("pressures[{wheel}]"), *pressure);
                }
            }
            ItemValue::CabinTemperature { temperature_c } => self.put(prefix, "temperature_c", temperature_c),
            ItemValue::Overspeed { place, id } => {
                self.put(prefix, "place", place);
                self.put(prefix, "id", id.unwrap_or(0));
            }
            ItemValue::AreaCrossed { place, id, direction } => {
                self.put(prefix, "place", place);
                self.put(prefix, "id", id);
                self.put(prefix, "direction", direction);
            }
            ItemValue::SectionTime { id, time_s, result } => {
                self.put(prefix, "id", id);
                self.put(prefix, "time_s", time_s);
                self.put(prefix, "result", result);
            }
            ItemValue::VideoAlarms(word)
            | ItemValue::ChannelsLost(word)
            | ItemValue::ChannelsMasked(word)
            | ItemValue::VehicleSignals(word) => self.word(prefix, "bits", word, 32),
            ItemValue::StorageFaults(word) | ItemValue::Io(word) => {
                self.word(prefix, "bits", word.into(), 16)
            }
            ItemValue::AbnormalDriving { behaviours, fatigue } => {
                self.word(prefix, "behaviours", behaviours.into(), 16);
                if let Some(fatigue) = fatigue {
                    self.put(prefix, "fatigue", fatigue);
                }
            }
            ItemValue::Analogue { channel_0, channel_1 } => {
                self.put(prefix, "channel_0", channel_0);
                self.put(prefix, "channel_1", channel_1);
                self.put(prefix, "word", u32::from(channel_1) << 16 | u32::from(channel_0));
            }
            ItemValue::Signal(strength) => self.put(prefix, "strength", strength),
            ItemValue::Satellites(count) => self.put(prefix, "count", count),
            ItemValue::VendorLength(len) => self.put(prefix, "vendor_len", len),
            ItemValue::Unknown(_) => {}
        }
    }

    /// A word, and each of its bits as `bit0` and so on.
    fn word(&mut self, prefix: &str, name: &str, word: u32, bits: u32) {
        self.put(prefix, name, word);
        for bit in 0..bits {
            self.put(prefix, &format!("{name}.bit{bit}"), word >> bit & 1);
        }
    }

    /// The first of several values of one name stays, as a repeated item's first does.
    fn put(&mut self, prefix: &str, name: &str, value: impl Into<Fact>) {
        self.0.entry(format!("{prefix}.{name}")).or_insert(value.into().0);
    }
}

/// Anything that is a JSON value, and times as text.
struct Fact(Value);

macro_rules! fact {
    ($($type:ty)*) => {
        $(impl From<$type> for Fact {
            fn from(value: $type) -> Self {
                Self(Value::from(value))
            }
        })*
    };
}

fact!(u8 u16 u32 i16 usize f64 String &str std::borrow::Cow<'_, str>);

impl From<protocol::jt808::BcdTime> for Fact {
    fn from(time: protocol::jt808::BcdTime) -> Self {
        Self(Value::from(time.to_string()))
    }
}

/// Fixed-width fields are padded on either side.
fn padded(text: impl fmt::Display) -> String {
    text.to_string().trim_matches(['\0', ' ']).to_owned()
}

fn year(edition: Edition) -> &'static str {
    match edition {
        Edition::V2011 => "2011",
        Edition::V2013 => "2013",
        Edition::V2019 => "2019",
    }
}
