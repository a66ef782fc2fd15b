//! Where etcd is and what a node may assume of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use serde::{Deserialize, Deserializer};

use super::EtcdError;
use crate::NodeId;

/// Leases that etcd grants as asked for (its shortest is 1.5 times its election time-out of 1 s), and that end in a time
/// in which somebody still waits for the next leader.
const LEASE_TTL_S: std::ops::RangeInclusive<u32> = 2..=60;
/// Idle connections are tried this often. Not below 5 s, which etcd takes for abuse.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How to reach etcd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EtcdSettings {
    /// Where etcd's members listen for clients, each `http://host:port` or `https://host:port`. One is in use at a time;
    /// the next one takes its place when it fails. As a list, or in one text with commas between.
    #[serde(deserialize_with = "list")]
    pub endpoints: Vec<String>,
    /// The cluster's name, so that several can share one etcd: 1 to 40 of a-z, 0-9 and -, beginning with a letter.
    pub cluster: String,
    /// For how many seconds nobody else takes a silent node's place; 2 to 60.
    pub lease_ttl_s: u32,
    /// PEM file of the authority that signed etcd's certificates, for `https`.
    pub ca: Option<PathBuf>,
    /// PEM file of this node's certificate towards etcd, with `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of that certificate's key.
    pub key: Option<PathBuf>,
}

impl Default for EtcdSettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            cluster: "motorcade".to_owned(),
            lease_ttl_s: 5,
            ca: None,
            cert: None,
            key: None,
        }
    }
}

impl EtcdSettings {
    /// For how long a lease is valid unless kept alive.
    pub fn lease_ttl(&self) -> Duration {
        Duration::from_secs(self.lease_ttl_s.into())
    }

    /// Whether these can be used, beside what only trying tells.
    pub(super) fn check(&self) -> Result<(), EtcdError> {
        if self.endpoints.is_empty() {
            return Err(EtcdError::NoEndpoint);
        }
        let is_url = |endpoint: &&String| {
            endpoint.starts_with("http://") || (endpoint.starts_with("https://") && self.ca.is_some())
        };
        if let Some(wrong) = self.endpoints.iter().find(|endpoint| !is_url(endpoint)) {
            return Err(EtcdError::Endpoint(wrong.clone()));
        }
        if !LEASE_TTL_S.contains(&self.lease_ttl_s) {
            return Err(EtcdError::LeaseTtl(self.lease_ttl_s));
        }
        // The rule for a node's name is what makes a name safe as part of a key.
        self.cluster.parse::<NodeId>().map_err(|_| EtcdError::ClusterName(self.cluster.clone()))?;
        Ok(())
    }

    /// How to connect to one endpoint.
    pub(super) fn options(&self, connect_limit: Duration) -> Result<ConnectOptions, EtcdError> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(connect_limit)
            .with_keep_alive(PING_EVERY, connect_limit)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if let Some(ca) = &self.ca {
            let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?));
            match (&self.cert, &self.key) {
                (Some(cert), Some(key)) => tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?)),
                (None, None) => {}
                _ => return Err(EtcdError::HalfIdentity),
            }
            options = options.with_tls(tls);
        }
        Ok(options)
    }
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Listed {
        Many(Vec<String>),
        Text(String),
    }
    Ok(match Listed::deserialize(deserializer)? {
        Listed::Many(endpoints) => endpoints,
        Listed::Text(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, EtcdError> {
    fs::read(path).map_err(|source| EtcdError::TlsFile { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_at_once() {
        let good = EtcdSettings { endpoints: vec!["http://127.0.0.1:2379".to_owned()], ..Default::default() };
        assert!(good.check().is_ok());
        let wrong = [
            EtcdSettings { endpoints: Vec::new(), ..good.clone() },
            EtcdSettings { endpoints: vec!["127.0.0.1:2379".to_owned()], ..good.clone() },
            EtcdSettings { endpoints: vec!["https://127.0.0.1:2379".to_owned()], ..good.clone() },
            EtcdSettings { cluster: "../other".to_owned(), ..good.clone() },
            EtcdSettings { lease_ttl_s: 1, ..good.clone() },
            EtcdSettings { lease_ttl_s: 61, ..good },
        ];
        for settings in wrong {
            assert!(settings.check().is_err(), "{settings:?}");
        }
    }
}
