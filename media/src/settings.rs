//! What an operator may set of a media server. Knows no file and no environment.

use cluster::Listener;
use serde::Deserialize;

use crate::StartError;

/// Settings of a media server: section `media` of the configuration, less what belongs to its listeners. The
/// defaults serve; every bound is on something fed from outside.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where viewers dial (HTTP-FLV, WebSocket-FLV, HLS).
    #[serde(skip)]
    pub viewer: Listener,
    /// Where terminals dial with live video; the first port of the pool.
    #[serde(skip)]
    pub live: Listener,
    /// The host that terminals are sent to where `live` advertises none; None: where they reached their gateway, which
    /// is right where gateway and media server are one machine.
    #[serde(skip)]
    pub live_host: Option<String>,
    /// How many ports the live pool has, 1 to 64: that of `live` and, from `live_pool_port` on, as many more
    /// (all free ones where `live` has port 0). A JT/T 1078 packet names terminal and channel but no request, so
    /// main and sub stream of one channel run at once only on two ports.
    #[serde(skip)]
    pub live_ports: u16,
    /// The second port of the live pool; the others follow it.
    #[serde(skip)]
    pub live_pool_port: u16,
    /// Epoch of this server's ownership: units of a lower epoch than one seen are refused.
    #[serde(skip)]
    pub epoch: u64,

    /// How long a terminal may take from 0x9101 to its first key frame, s.
    pub start_s: u64,
    /// Without a byte from a running source for this long it counts as lost, s.
    pub source_idle_s: u64,
    /// How long a lost source is asked again while somebody watches, s.
    pub recover_s: u64,
    /// First pause before it is asked again, ms; doubles each time up to 8 s.
    pub recover_pause_ms: u64,
    /// How long a stream nobody watches goes on, s, so that a viewer who reloads does not restart it.
    pub linger_s: u64,

    /// Most coded bytes kept of a stream; a stream's newest group of pictures is kept up to this. Watched by
    /// FLV, it takes as much again.
    pub ring_bytes_max: usize,
    /// Most units kept of a stream.
    pub ring_units_max: usize,
    /// Longest media kept of a stream before its newest group of pictures, ms.
    pub ring_ms_max: u64,
    /// How long the sound may come after the picture before a container is begun without it, ms of media.
    pub audio_wait_ms: u64,

    /// Usual HLS segment, ms; it ends at the first key frame after that. Where key frames come more rarely than
    /// the playlist's first segment told, segments end without one.
    pub hls_segment_ms: u64,
    /// How much media an HLS playlist lists, ms.
    pub hls_window_ms: u64,
    /// Most bytes of HLS segments kept for a stream and form.
    pub hls_bytes_max: usize,
    /// An HLS viewer who asks for nothing for this long is gone, s.
    pub hls_idle_s: u64,

    /// Most viewers at once.
    pub viewers_max: usize,
    /// Most viewers of one account at once. A whole application may watch by one account, so this is generous.
    pub viewers_per_account_max: usize,
    /// Most connections to the viewer port at once.
    pub viewer_connections_max: usize,
    /// How long a viewer's connection may take for its request head, s.
    pub request_head_s: u64,
    /// A viewer that takes no byte for this long is closed, s.
    pub viewer_stall_s: u64,
    /// How often a running view's right is checked again, s.
    pub recheck_s: u64,

    /// Most terminal connections to the live ports at once.
    pub live_connections_max: usize,
    /// How long a terminal's connection may take to its first whole packet, s.
    pub first_packet_s: u64,

    /// Most connections of one address, on the live ports together and on the viewer port, that brought nothing
    /// asked for yet or got nothing but refusals. Behind one address may stand a fleet or a proxy.
    pub newcomers_per_address_max: usize,

    /// Threads that encode sound.
    pub audio_threads: usize,
    /// Most snapshots being made or waiting; beyond it the answer is "busy".
    pub snapshots_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            viewer: Listener::on_port(6604),
            live: Listener::on_port(6602),
            live_host: None,
            live_ports: 1,
            live_pool_port: 6620,
            epoch: 1,
            start_s: 20,
            source_idle_s: 15,
            recover_s: 30,
            recover_pause_ms: 1_000,
            linger_s: 10,
            ring_bytes_max: 16 << 20,
            ring_units_max: 8_192,
            ring_ms_max: 10_000,
            audio_wait_ms: 500,
            hls_segment_ms: 2_000,
            hls_window_ms: 60_000,
            hls_bytes_max: 48 << 20,
            hls_idle_s: 60,
            viewers_max: 2_000,
            viewers_per_account_max: 500,
            viewer_connections_max: 4_000,
            request_head_s: 10,
            viewer_stall_s: 30,
            recheck_s: 3,
            live_connections_max: 2_000,
            first_packet_s: 10,
            newcomers_per_address_max: 1_000,
            audio_threads: 2,
            snapshots_max: 4,
        }
    }
}

impl Settings {
    /// Refuses what would not work.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let wrong = |what| Err(StartError::Setting(what));
        if !(1..=64).contains(&self.live_ports) {
            return wrong("live.ports must be 1 to 64");
        }
        let lasting =
            [self.start_s, self.source_idle_s, self.recover_pause_ms, self.hls_idle_s, self.recheck_s];
        let patient = [self.request_head_s, self.viewer_stall_s, self.first_packet_s];
        if lasting.iter().chain(&patient).any(|time| *time == 0) {
            return wrong("no time of [media] may be 0, but recover_s, linger_s and audio_wait_ms");
        }
        // Sequence numbers of playlists rely on it.
        if self.hls_segment_ms < 1_000 {
            return wrong("hls_segment_ms must be at least 1000");
        }
        if self.hls_window_ms < 3 * self.hls_segment_ms {
            return wrong("hls_window_ms must hold three segments");
        }
        if self.ring_bytes_max < 1 << 20 || self.ring_units_max < 64 {
            return wrong("ring_bytes_max must be at least 1 MiB, ring_units_max at least 64");
        }
        Ok(())
    }
}
