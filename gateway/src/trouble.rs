//! What goes wrong on terminals' links, counted by kind and summarised each second in the log: never a
//! log line per message. docs/device-links.md says what each kind means for the link.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::jt808::server;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;

/// How often the log says what was counted since.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal,)*) => {
        /// A kind of trouble.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Trouble {
            $($(#[$doc])* $kind,)*
        }

        impl Trouble {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As it is called in logs and statistics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A frame whose check byte is wrong.
    Checksum "checksum",
    /// A frame with an escape that the standard does not know (a lone 0x7d).
    Escape "escape",
    /// A frame longer than the limit.
    Oversized "oversized",
    /// A frame too short for its header, or a header that contradicts itself.
    Header "header",
    /// A body that does not decode.
    Body "body",
    /// Bytes between frames.
    Noise "noise",
    /// A message before the terminal was authenticated.
    BeforeAuthentication "before_authentication",
    /// A message in the name of another SIM than the link's.
    ForeignSim "foreign_sim",
    /// An encrypted body.
    Encrypted "encrypted",
    /// A message that the platform does not take.
    Unsupported "unsupported",
    /// An answer to no command that waits.
    UnmatchedAnswer "unmatched_answer",
    /// A split message that was given up: too old, or no room.
    SplitDropped "split_dropped",
    /// A package that cannot belong to a split message.
    SplitInvalid "split_invalid",
    /// Packages asked for that are not kept any more.
    ResendUnknown "resend_unknown",
    /// A batch of positions whose count disagrees with its items, or whose last item is cut off.
    BatchCount "batch_count",
    /// A location body larger than any that is kept; left unanswered.
    Location "location",
    /// A connection closed on arrival: there are too many.
    ConnectionsFull "connections_full",
    /// A connection closed on arrival: its address has too many that did not authenticate.
    AddressFull "address_full",
    /// A connection closed because it began with a header that no login server of ours wrote.
    SpliceRefused "splice_refused",
    /// A link closed because it did not authenticate in time.
    AuthenticationLate "authentication_late",
    /// A link closed because it sent too much, or tried too often, before it authenticated.
    AuthenticationFlood "authentication_flood",
    /// A registration refused.
    RegistrationRefused "registration_refused",
    /// An authentication refused.
    AuthenticationRefused "authentication_refused",
    /// A registration or authentication unanswered because the database is away.
    AdmissionUnanswered "admission_unanswered",
    /// A link closed because nothing came for too long.
    Idle "idle",
    /// A link closed because too many bytes came without one good frame.
    Garbage "garbage",
    /// A link closed because the terminal takes no bytes.
    WriteStalled "write_stalled",
    /// A link closed because the terminal authenticated on a newer one.
    Replaced "replaced",
    /// Reports unanswered because the spool is full.
    SpoolFull "spool_full",
    /// Reports unanswered because the spool's disk failed.
    SpoolFailed "spool_failed",
    /// Reports unanswered because no other gateway has a copy of them.
    NotCopied "not_copied",
    /// A peer given up as its room for copies is full.
    PeerFull "peer_full",
    /// A peer given up as it failed, was too slow, or is gone.
    PeerLost "peer_lost",
    /// Spooled reports put into quarantine because this program does not know them for reports.
    SpooledInvalid "spooled_invalid",
    /// Reports unanswered because they could not be stored.
    StoreFailed "store_failed",
    /// A batch sent to the database again because its outcome was unknown.
    StoreRepeated "store_repeated",
}

impl From<server::Trouble> for Trouble {
    fn from(trouble: server::Trouble) -> Self {
        match trouble {
            server::Trouble::Checksum => Self::Checksum,
            server::Trouble::Escape => Self::Escape,
            server::Trouble::Oversized => Self::Oversized,
            server::Trouble::Header => Self::Header,
            server::Trouble::Body { .. } => Self::Body,
            server::Trouble::BeforeAuthentication { .. } => Self::BeforeAuthentication,
            server::Trouble::ForeignPhone { .. } => Self::ForeignSim,
            server::Trouble::Encrypted { .. } => Self::Encrypted,
            server::Trouble::Unsupported { .. } => Self::Unsupported,
            server::Trouble::UnmatchedAnswer { .. } => Self::UnmatchedAnswer,
            server::Trouble::SplitDropped => Self::SplitDropped,
            server::Trouble::SplitInvalid => Self::SplitInvalid,
            server::Trouble::ResendUnknown => Self::ResendUnknown,
            server::Trouble::Noise => Self::Noise,
            server::Trouble::BatchCount => Self::BatchCount,
        }
    }
}

/// A count per kind.
#[derive(Debug)]
pub(crate) struct Troubles([AtomicU64; Trouble::ALL.len()]);

impl Default for Troubles {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Troubles {
    pub(crate) fn count(&self, kind: Trouble) {
        self.count_by(kind, 1);
    }

    pub(crate) fn count_by(&self, kind: Trouble, by: usize) {
        self.0[kind as usize].fetch_add(by as u64, Ordering::Relaxed);
    }

    /// What was counted since the start, by name; kinds that never happened are left out.
    pub(crate) fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        Trouble::ALL
            .iter()
            .map(|kind| (kind.name(), self.0[*kind as usize].load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Says each second what was counted in it, until `stop`.
pub(crate) async fn summarise(gate: Arc<Gate>, stop: CancellationToken) {
    let mut said = BTreeMap::new();
    while stop.run_until_cancelled(tokio::time::sleep(SUMMARY_EVERY)).await.is_some() {
        let counted = gate.troubles.snapshot();
        let news: Vec<String> = counted
            .iter()
            .map(|(name, count)| (name, count - said.get(name).copied().unwrap_or(0)))
            .filter(|(_, more)| *more > 0)
            .map(|(name, more)| format!("{name} {more}"))
            .collect();
        if !news.is_empty() {
            tracing::warn!("trouble on terminals' links in the last second: {}", news.join(", "));
        }
        said = counted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_name_and_count() {
        let troubles = Troubles::default();
        for (times, kind) in Trouble::ALL.iter().enumerate() {
            troubles.count_by(*kind, times + 1);
        }
        let snapshot = troubles.snapshot();
        assert_eq!(snapshot.len(), Trouble::ALL.len(), "names are unique");
        assert_eq!(snapshot["checksum"], 1);
        assert_eq!(snapshot["escape"], 2);
    }
}
