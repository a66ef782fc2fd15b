//! What a login server did and met, in numbers.

cluster::counts! {
    /// Connections that were taken.
    connections: traffic,
    /// Terminals that authenticated.
    authenticated: traffic,
    /// Terminals that were told to go to a gateway.
    redirects: traffic,
    /// Terminals that went.
    redirected: traffic,
    /// Terminals that said they would not.
    redirect_refused: traffic,
    /// Terminals that did not answer, or stayed.
    redirect_ignored: traffic,
    /// Terminals that were spliced through to a gateway that let them in.
    spliced: traffic,
    /// Terminals that are spliced through now: the one number that falls.
    splices: traffic,
    /// HTTP requests.
    requests: traffic,
    /// Connections closed on arrival: there are too many.
    connections_full: trouble,
    /// Connections closed on arrival: their address has too many that did not authenticate.
    address_full: trouble,
    /// Frames and messages that were skipped.
    skipped: trouble,
    /// Links closed because they did not authenticate in time.
    authentication_late: trouble,
    /// Links closed because they sent too much, or tried too often, before they authenticated.
    authentication_flood: trouble,
    /// Registrations refused.
    registration_refused: trouble,
    /// Authentications refused.
    authentication_refused: trouble,
    /// Registrations and authentications unanswered because the database is away.
    admission_unanswered: trouble,
    /// Links closed because too many bytes came without one good frame.
    garbage: trouble,
    /// Links closed because the terminal takes no bytes.
    write_stalled: trouble,
    /// Links closed because no gateway is fit and has room.
    no_gateway: trouble,
    /// Links closed because too many terminals are spliced through.
    splices_full: trouble,
    /// Attempts to reach a gateway that failed.
    gateway_unreachable: trouble,
    /// Spliced terminals that their gateway did not let in, or not in time.
    gateway_refused: trouble,
    /// Spliced links that their gateway ended.
    gateway_lost: trouble,
    /// Spliced links closed because nothing came for too long.
    splice_idle: trouble,
}
