//! What a media server counts: traffic and trouble.

cluster::counts! {
    /// Connections of terminals accepted on live ports.
    live_connections: traffic,
    /// JT/T 1078 packets taken.
    packets: traffic,
    /// Units put into rings.
    units: traffic,
    /// Streams whose source came.
    sources: traffic,
    /// Views opened, HLS ones counted once.
    views: traffic,
    /// Connections accepted on the viewer port.
    viewer_connections: traffic,
    /// Snapshots made.
    snapshots: traffic,
    /// Connections to a live port that never brought a whole packet in time or within the byte bound.
    connections_without_packet: trouble,
    /// Connections whose first packet no request asked for.
    connections_without_request: trouble,
    /// Packets, on an accepted connection, of a terminal and channel that no request asked for.
    packets_for_nobody: trouble,
    /// Second connections for a source that runs.
    sources_refused: trouble,
    /// Connections beyond the bound, on either port.
    connections_over_bound: trouble,
    /// Bytes of a media connection that were no packet.
    bytes_skipped: trouble,
    /// Frames with a gap in them or before them.
    frames_with_gap: trouble,
    /// Frames of a codec that cannot be passed on.
    frames_unsupported: trouble,
    /// Frames of sound that could not be decoded or encoded, came faster than the encoder, held more sound
    /// than time passed, or began before the end of silence that stood in for them.
    audio_dropped: trouble,
    /// Units that slow viewers skipped.
    units_dropped_for_viewers: trouble,
    /// Viewers closed because they took no byte.
    viewers_stalled: trouble,
    /// Views refused: ticket or login wrong, expired, of another stream, or without the right.
    views_refused: trouble,
    /// Running views ended because the right was revoked.
    views_revoked: trouble,
    /// Connections to the viewer port in a protocol that is not spoken there.
    viewer_protocol_unknown: trouble,
}
