//! A decoded packet or body as a flat list of named values, which the name map points into; and the same
//! bytes written again. Every message is taken apart without `..`: a new field must be named here.

use std::collections::BTreeMap;

use protocol::jt808::{BcdTime, Edition, ItemValue, LocationReport};
use protocol::jt1078::signalling::*;
use protocol::jt1078::{IdLength, Packet};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Names and values: `recordings[2].channel`.
#[derive(Default)]
pub(crate) struct Facts(BTreeMap<String, Value>);

impl Facts {
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        let before = self.0.insert(name.to_owned(), value.into());
        assert!(before.is_none(), "fact {name} is there twice");
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn put_all(&mut self, prefix: &str, values: Value) {
        for (name, value) in values.as_object().unwrap() {
            match value {
                Value::Object(_) => self.put_all(&format!("{prefix}{name}."), value.clone()),
                _ => self.put(&format!("{prefix}{name}"), value.clone()),
            }
        }
    }
}

fn digits(time: BcdTime) -> String {
    hex::encode(time.0)
}

/// The facts of a stream packet, and the packet written again.
pub(crate) fn of_packet(bytes: &[u8], id_length: IdLength) -> Result<(Facts, Vec<u8>), String> {
    let Packet { header, body } = Packet::parse(bytes, id_length).map_err(|error| error.to_string())?;
    let mut facts = Facts::default();
    let head = &body[..body.len().min(8)];
    facts.put_all(
        "",
        json!({
            "v": header.flags >> 6, "p": header.flags >> 5 & 1, "x": header.flags >> 4 & 1, "cc": header.flags & 15,
            "marker": u8::from(header.marker), "payload_type": header.payload_type.0, "sequence": header.sequence,
            "sim": header.sim.to_string(), "sim_bytes": header.sim.as_bytes().len(), "channel": header.channel,
            "data_type": header.data_type.nibble(), "sub_package": header.sub_package.nibble(),
            "timestamp_ms": header.timestamp_ms, "since_key_ms": header.since_key_ms,
            "since_frame_ms": header.since_frame_ms, "body_bytes": body.len(), "body_head": hex::encode(head),
            "body_sha256": hex::encode(Sha256::digest(body)),
        }),
    );
    let mut again = Vec::new();
    Packet { header, body }.encode(&mut again);
    Ok((facts, again))
}

/// The facts of a body, and the body written again.
pub(crate) fn of_body(id: u16, body: &[u8]) -> Result<(Facts, Vec<u8>), String> {
    let (mut facts, mut again) = (Facts::default(), Vec::new());
    read_body(id, body, &mut facts, &mut again).map_err(|error| error.to_string())?;
    Ok((facts, again))
}

fn read_body(
    id: u16,
    body: &[u8],
    facts: &mut Facts,
    again: &mut Vec<u8>,
) -> Result<(), Box<dyn std::error::Error>> {
    let values = match id {
        0x0200 => {
            let report = LocationReport::decode(body, Edition::V2013)?;
            report.encode(again, Edition::V2013);
            location(&report, facts);
            json!({})
        }
        AttributesQuery::ID => {
            AttributesQuery::decode(body)?.encode(again);
            json!({})
        }
        AvAttributes::ID => {
            let message = AvAttributes::decode(body)?;
            message.encode(again);
            let AvAttributes {
                audio_codec,
                audio_channels,
                sample_rate,
                sample_bits,
                audio_frame_bytes,
                audio_output,
                video_codec,
                audio_channels_max,
                video_channels_max,
            } = message;
            json!({
                "audio_codec": audio_codec.0, "audio_channels": audio_channels, "sample_rate": sample_rate.0,
                "sample_bits": sample_bits.0, "audio_frame_bytes": audio_frame_bytes,
                "audio_output": audio_output, "video_codec": video_codec.0,
                "audio_channels_max": audio_channels_max, "video_channels_max": video_channels_max,
            })
        }
        PassengerCount::ID => {
            let message = PassengerCount::decode(body)?;
            message.encode(again);
            let PassengerCount { start, end, boarded, left } = message;
            json!({"start": digits(start), "end": digits(end), "boarded": boarded, "left": left})
        }
        RecordingList::ID => {
            let message = RecordingList::decode(body)?;
            message.encode(again);
            let RecordingList { reply_to, total, recordings } = message;
            for (index, entry) in recordings.iter().enumerate() {
                recording(entry, &format!("recordings[{index}]."), facts);
            }
            json!({"reply_to": reply_to, "total": total})
        }
        FtpUploadDone::ID => {
            let message = FtpUploadDone::decode(body)?;
            message.encode(again);
            let FtpUploadDone { reply_to, result } = message;
            json!({"reply_to": reply_to, "result": result})
        }
        SetParameters::ID => {
            let SetParameters { parameters } = SetParameters::decode(body)?;
            let mut values = Vec::new();
            for (index, Parameter { id, value }) in parameters.iter().enumerate() {
                values.push((*id, parameter(*id, value, &format!("parameters[{index}]."), facts)?));
            }
            let parameters = values.iter().map(|(id, value)| Parameter { id: *id, value });
            SetParameters { parameters: parameters.collect() }.encode(again);
            json!({})
        }
        StartLive::ID => {
            let message = StartLive::decode(body)?;
            message.encode(again);
            let StartLive { address, tcp_port, udp_port, channel, kind, profile } = message;
            json!({
                "address": address.to_string(), "tcp_port": tcp_port, "udp_port": udp_port, "channel": channel,
                "kind": kind.0, "profile": profile.0,
            })
        }
        LiveControl::ID => {
            let message = LiveControl::decode(body)?;
            message.encode(again);
            let LiveControl { channel, command, close, profile } = message;
            json!({"channel": channel, "command": command.0, "close": close.0, "profile": profile.0})
        }
        LiveStatus::ID => {
            let message = LiveStatus::decode(body)?;
            message.encode(again);
            let LiveStatus { channel, loss_percent } = message;
            json!({"channel": channel, "loss_percent": loss_percent})
        }
        StartPlayback::ID => {
            let message = StartPlayback::decode(body)?;
            message.encode(again);
            let StartPlayback {
                address,
                tcp_port,
                udp_port,
                channel,
                media,
                stream,
                storage,
                mode,
                speed,
                start,
                end,
            } = message;
            json!({
                "address": address.to_string(), "tcp_port": tcp_port, "udp_port": udp_port, "channel": channel,
                "media": media.0, "stream": stream.0, "storage": storage.0, "mode": mode.0, "speed": speed,
                "start": digits(start), "end": digits(end),
            })
        }
        PlaybackControl::ID => {
            let message = PlaybackControl::decode(body)?;
            message.encode(again);
            let PlaybackControl { channel, command, speed, position } = message;
            json!({"channel": channel, "command": command.0, "speed": speed, "position": digits(position)})
        }
        RecordingQuery::ID => {
            let message = RecordingQuery::decode(body)?;
            message.encode(again);
            let RecordingQuery { channel, start, end, alarm, media, stream, storage } = message;
            json!({
                "channel": channel, "start": digits(start), "end": digits(end), "alarm": alarm, "media": media.0,
                "stream": stream.0, "storage": storage.0,
            })
        }
        FtpUpload::ID => {
            let message = FtpUpload::decode(body)?;
            message.encode(again);
            let FtpUpload {
                address,
                port,
                user,
                password,
                path,
                channel,
                start,
                end,
                alarm,
                media,
                stream,
                storage,
                condition,
            } = message;
            json!({
                "address": address.to_string(), "port": port, "user": user.to_string(),
                "password": password.to_string(), "path": path.to_string(), "channel": channel,
                "start": digits(start), "end": digits(end), "alarm": alarm, "media": media.0, "stream": stream.0,
                "storage": storage.0, "condition": condition,
            })
        }
        FtpUploadControl::ID => {
            let message = FtpUploadControl::decode(body)?;
            message.encode(again);
            let FtpUploadControl { upload, command } = message;
            json!({"upload": upload, "command": command.0})
        }
        PtzRotate::ID => {
            let message = PtzRotate::decode(body)?;
            message.encode(again);
            let PtzRotate { channel, direction, speed } = message;
            json!({"channel": channel, "direction": direction.0, "speed": speed})
        }
        PtzSwitch::FOCUS_ID..=PtzSwitch::ZOOM_ID => {
            let message = PtzSwitch::decode(body)?;
            message.encode(again);
            let PtzSwitch { channel, value } = message;
            json!({"channel": channel, "value": value})
        }
        _ => return Err(format!("message {id:#06x} is not of this part").into()),
    };
    facts.put_all("", values);
    Ok(())
}

pub(crate) fn recording(entry: &Recording, prefix: &str, facts: &mut Facts) {
    let Recording { channel, start, end, alarm, media, stream, storage, size_bytes } = *entry;
    facts.put_all(
        prefix,
        json!({
            "channel": channel, "start": digits(start), "end": digits(end), "alarm": alarm, "media": media.0,
            "stream": stream.0, "storage": storage.0, "size_bytes": size_bytes,
        }),
    );
}

fn location(report: &LocationReport<'_>, facts: &mut Facts) {
    facts.put_all(
        "",
        json!({
            "alarm": report.alarm, "status": report.status, "latitude_e6": report.latitude_e6(),
            "longitude_e6": report.longitude_e6(), "altitude_m": report.altitude_m(),
            "speed_x10": report.speed_x10, "direction": report.direction, "time": digits(report.time),
        }),
    );
    for (index, item) in report.items.iter().enumerate() {
        facts.put(&format!("items[{index}]"), format!("{:02x}:{}", item.id, item.value.len()));
        match item.read() {
            ItemValue::VideoAlarms(bits) => facts.put("video_alarms", bits),
            ItemValue::ChannelsLost(bits) => facts.put("channels_lost", bits),
            ItemValue::ChannelsMasked(bits) => facts.put("channels_masked", bits),
            ItemValue::StorageFaults(bits) => facts.put("storage_faults", bits),
            ItemValue::AbnormalDriving { behaviours, fatigue } => {
                facts.put_all("", json!({"behaviours": behaviours, "fatigue": fatigue}));
            }
            other => panic!("{other:?} is no item of JT/T 1078"),
        }
    }
}

/// Puts a parameter's facts; gives its value written again.
fn parameter(id: u32, value: &[u8], prefix: &str, facts: &mut Facts) -> Result<Vec<u8>, SignallingError> {
    let mut again = Vec::new();
    facts
        .put_all(prefix, json!({"id": format!("{id:#06X}").replace("0X", "0x"), "value_bytes": value.len()}));
    let values = match id {
        AvSettings::ID => {
            let settings = AvSettings::decode(value)?;
            settings.encode(&mut again);
            let AvSettings { live, stored, osd, audio_output } = settings;
            json!({"live": video(live), "stored": video(stored), "osd": osd, "audio_output": audio_output})
        }
        AvChannels::ID => {
            let channels = AvChannels::decode(value)?;
            channels.encode(&mut again);
            let AvChannels { audio_video, audio, video, table } = channels;
            for (index, AvChannel { physical, logical, kind, ptz }) in table.into_iter().enumerate() {
                let row = json!({"physical": physical, "logical": logical, "kind": kind, "ptz": ptz});
                facts.put_all(&format!("{prefix}table[{index}]."), row);
            }
            json!({"audio_video": audio_video, "audio": audio, "video": video})
        }
        ChannelSettings::ID => {
            let channels = channel_settings(value)?;
            encode_channel_settings(&channels, &mut again);
            for (index, settings) in channels.into_iter().enumerate() {
                let ChannelSettings { channel, live, stored, osd } = settings;
                let values =
                    json!({"channel": channel, "live": video(live), "stored": video(stored), "osd": osd});
                facts.put_all(&format!("{prefix}channels[{index}]."), values);
            }
            json!({})
        }
        AlarmStorage::ID => {
            let storage = AlarmStorage::decode(value)?;
            storage.encode(&mut again);
            let AlarmStorage { share_percent, duration_min, before_min } = storage;
            json!({"share_percent": share_percent, "duration_min": duration_min, "before_min": before_min})
        }
        // a mask over item 0x14, a plain DWORD
        0x007A => {
            again.extend_from_slice(value);
            json!({"mask": u32::from_be_bytes(value.try_into().unwrap())})
        }
        FatigueSettings::ID => {
            let settings = FatigueSettings::decode(value)?;
            settings.encode(&mut again);
            let FatigueSettings { seats, threshold } = settings;
            json!({"seats": seats, "threshold": threshold})
        }
        WakeSettings::ID => {
            let settings = WakeSettings::decode(value)?;
            settings.encode(&mut again);
            let WakeSettings { mode, conditions, weekdays, enabled, periods } = settings;
            let times = periods.into_iter().flat_map(|OnOff { on, off }| [on, off]);
            for (index, time) in times.enumerate() {
                facts.put(&format!("{prefix}times[{index}]"), hex::encode(time));
            }
            json!({"mode": mode, "conditions": conditions, "weekdays": weekdays, "enabled": enabled})
        }
        _ => panic!("parameter {id:#06x} is not of JT/T 1078"),
    };
    facts.put_all(prefix, values);
    Ok(again)
}

fn video(settings: VideoSettings) -> Value {
    let VideoSettings { mode, resolution, gop_frames, frame_rate, bit_rate_kbps } = settings;
    json!({
        "mode": mode, "resolution": resolution, "gop_frames": gop_frames, "frame_rate": frame_rate,
        "bit_rate_kbps": bit_rate_kbps,
    })
}
