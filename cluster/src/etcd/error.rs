//! Why etcd could not be asked, by the step that failed.

use std::path::PathBuf;
use std::time::Duration;

use super::agreement::KEYS_MAX;

/// Why etcd could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// The settings name no endpoint.
    #[error("no etcd endpoint is set")]
    NoEndpoint,
    /// An endpoint that is no URL, or `https` without an authority to trust.
    #[error("etcd endpoint `{0}` is neither http://host:port nor https://host:port with a `ca`")]
    Endpoint(String),
    /// A lease that etcd would not grant as asked for, or that is too long to wait for.
    #[error("a lease of {0} s: must be 2 to 60")]
    LeaseTtl(u32),
    /// A name that cannot be part of a key.
    #[error("`{0}` is no cluster's name: 1 to 40 of a-z, 0-9 and -, beginning with a letter")]
    ClusterName(String),
    /// A certificate without its key, or the other way round.
    #[error("a certificate towards etcd needs both `cert` and `key`")]
    HalfIdentity,
    /// A PEM file cannot be read.
    #[error("{} cannot be read", .path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What the node says of itself cannot be written as JSON.
    #[error("the node's own key cannot be written")]
    Info(#[source] serde_json::Error),
    /// No connection to an endpoint, or an error from it.
    #[error("etcd at {endpoint} did not {what}")]
    Failed {
        /// What was asked.
        what: &'static str,
        /// Of whom.
        endpoint: String,
        /// Its answer.
        #[source]
        source: Box<etcd_client::Error>,
    },
    /// No answer within the limit.
    #[error("etcd at {endpoint} did not {what} within {limit:?}")]
    Silent {
        /// What was asked.
        what: &'static str,
        /// Of whom.
        endpoint: String,
        /// The limit.
        limit: Duration,
    },
    /// An answer without what such an answer has.
    #[error("etcd at {endpoint} gave an answer to `{what}` that makes no sense")]
    Senseless {
        /// What was asked.
        what: &'static str,
        /// Of whom.
        endpoint: String,
    },
    /// The changes after the last look are not kept any more.
    #[error("etcd has compacted what came after revision {after}: it keeps from {kept} on")]
    Compacted {
        /// The revision that was known.
        after: i64,
        /// The oldest one that is kept.
        kept: i64,
    },
    /// The watch was ended by etcd, for a reason or without.
    #[error("etcd ended the watch: {0}")]
    WatchEnded(String),
    /// More keys than any cluster has.
    #[error("etcd has more than {KEYS_MAX} keys of this cluster")]
    TooManyKeys,
    /// It shows an earlier revision than before: it has lost its data, and with it the order of epochs.
    #[error("etcd has gone back from revision {seen} to {given}: its data was lost or replaced")]
    WentBack {
        /// The highest one seen.
        seen: i64,
        /// The one it shows.
        given: i64,
    },
}
