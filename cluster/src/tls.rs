//! The certificate of a node: what it shows, whom it believes, and who may speak for whom. Read anew when its files
//! change.
//!
//! Knows not how certificates are made (see [`Authority`](crate::Authority)), nor what is said on a connection.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::NodeId;

/// The certificate of the cluster's authority, in a node's folder.
pub const CA_FILE: &str = "ca.pem";
/// The node's own certificate, and what leads from it to the authority's, in a node's folder.
pub const CERTIFICATE_FILE: &str = "node.pem";
/// The key of the node's own certificate, in a node's folder.
pub const KEY_FILE: &str = "node.key";

/// How often the files' times are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What two nodes speak inside TLS.
const ALPN: &[u8] = b"h2";

/// Why a node's certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM of the right kind.
    #[error("{path} holds no usable PEM")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// The authority's file holds none, or one that is no certificate.
    #[error("{path} holds no authority's certificate")]
    Authority {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: VerifierBuilderError,
    },
    /// The chain is empty, the key is of no known kind, or they do not belong together.
    #[error("the certificate and the key of {node} do not fit together")]
    Pair {
        /// Whose they should be.
        node: NodeId,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The certificate is another node's, of another authority, or not valid now.
    #[error("the certificate is not one of {node} by this authority, valid now")]
    Certificate {
        /// Whose it should be.
        node: NodeId,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// The name that stands in the certificate of `node`.
///
/// # Panics
/// Never: a [`NodeId`] is one label of a DNS name.
pub fn dns_name(node: &NodeId) -> ServerName<'static> {
    ServerName::try_from(format!("{node}.motorcade")).expect("a node's name is one label of a DNS name")
}

/// A node's certificate and key, and its cluster's authority, from a folder that is watched while this lives.
pub struct Credentials {
    node: NodeId,
    current: Arc<ArcSwap<Pass>>,
    _watch: AbortOnDropHandle<()>,
}

/// What was in the folder at one time.
pub(crate) struct Pass {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Credentials {
    /// Reads the certificate of `node` from `folder` and goes on watching it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When what is there cannot be used now; later what cannot be used is logged and passed over.
    pub fn watch(node: NodeId, folder: &Path) -> Result<Self, CredentialsError> {
        let folder = Folder { node: node.clone(), path: folder.to_owned() };
        let changed = folder.changed();
        let current = Arc::new(ArcSwap::from_pointee(folder.read()?));
        let watch = tokio::spawn(watch(folder, changed, Arc::clone(&current)));
        Ok(Self { node, current, _watch: AbortOnDropHandle::new(watch) })
    }

    /// Whose they are.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// For whoever calls this node now: TLS 1.3, a certificate of the authority is demanded.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    /// What is in force now; another one as soon as the files have changed.
    pub(crate) fn pass(&self) -> Arc<Pass> {
        self.current.load_full()
    }

    /// Whether who showed `chain` may speak for `node` now: a connection may outlive its certificate, and the
    /// authority.
    ///
    /// # Errors
    /// When it may not.
    pub fn vouch(&self, chain: &[CertificateDer<'static>], node: &NodeId) -> Result<(), rustls::Error> {
        vouch(&*self.current.load().verifier, chain, node)
    }
}

impl Pass {
    /// For calling another node: its certificate is to be of the authority.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }
}

fn vouch(
    verifier: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'static>],
    node: &NodeId,
) -> Result<(), rustls::Error> {
    let (own, others) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
    verifier.verify_client_cert(own, others, UnixTime::now())?;
    verify_server_name(&ParsedCertificate::try_from(own)?, &dns_name(node))
}

struct Folder {
    node: NodeId,
    path: PathBuf,
}

/// When each file was last changed; None where it cannot be said.
type Changed = [Option<SystemTime>; 3];

impl Folder {
    fn changed(&self) -> Changed {
        [CA_FILE, CERTIFICATE_FILE, KEY_FILE]
            .map(|file| fs::metadata(self.path.join(file)).and_then(|meta| meta.modified()).ok())
    }

    fn read(&self) -> Result<Pass, CredentialsError> {
        let node = &self.node;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.certificates(CA_FILE)?);
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|source| CredentialsError::Authority { path: self.path.join(CA_FILE), source })?;
        let chain = self.certificates(CERTIFICATE_FILE)?;
        vouch(&*verifier, &chain, node)
            .map_err(|source| CredentialsError::Certificate { node: node.clone(), source })?;
        let pair = CertifiedKey::from_der(chain, self.key()?, &provider)
            .map_err(|source| CredentialsError::Pair { node: node.clone(), source })?;
        let pair = Arc::new(SingleCertAndKey::from(pair));

        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .expect("aws-lc-rs has TLS 1.3")
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::clone(&pair) as _);
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("aws-lc-rs has TLS 1.3")
            .with_root_certificates(roots)
            .with_client_cert_resolver(pair);
        // A resumed session would carry a certificate past its end; connections between nodes last anyway.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        server.alpn_protocols = vec![ALPN.to_vec()];
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Pass { server: Arc::new(server), client: Arc::new(client), verifier })
    }

    fn bytes(&self, file: &str) -> Result<(PathBuf, Vec<u8>), CredentialsError> {
        let path = self.path.join(file);
        match fs::read(&path) {
            Ok(bytes) => Ok((path, bytes)),
            Err(source) => Err(CredentialsError::Read { path, source }),
        }
    }

    fn certificates(&self, file: &str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
        let (path, bytes) = self.bytes(file)?;
        CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|source| CredentialsError::Pem { path, source })
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, CredentialsError> {
        let (path, bytes) = self.bytes(KEY_FILE)?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| CredentialsError::Pem { path, source })
    }
}

async fn watch(folder: Folder, mut seen: Changed, current: Arc<ArcSwap<Pass>>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let now = folder.changed();
        if now == seen {
            continue;
        }
        seen = now;
        match folder.read() {
            Ok(pass) => {
                current.store(Arc::new(pass));
                info!("certificate of {} reloaded from {}", folder.node, folder.path.display());
            }
            // Some of the files are written before the others: the next change is looked at again.
            Err(error) => warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "new certificate of {} not taken, the old one stays: {error}", folder.node
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};

    use super::*;
    use crate::Authority;

    fn node(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    #[tokio::test]
    async fn a_folder_that_would_be_refused_by_others_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let now = Utc::now();
        let days = TimeDelta::days;
        let authority = Authority::make(&dir.path().join("ca"), now, days(10)).expect("an authority");
        let other = Authority::make(&dir.path().join("other"), now, days(10)).expect("an authority");
        let write = |authority: &Authority, name: &str, from, valid| {
            let issued = authority.issue(&node(name), from, valid).expect("a certificate");
            for (file, text) in
                [(CA_FILE, authority.pem()), (CERTIFICATE_FILE, &issued.certificate), (KEY_FILE, &issued.key)]
            {
                fs::write(dir.path().join(file), text).expect("written");
            }
        };
        let read = || Credentials::watch(node("gw1"), dir.path());

        assert!(matches!(read(), Err(CredentialsError::Read { .. })));
        write(&authority, "gw2", now, days(1));
        assert!(matches!(read(), Err(CredentialsError::Certificate { .. })), "another node's");
        write(&authority, "gw1", now - days(3), days(1));
        assert!(matches!(read(), Err(CredentialsError::Certificate { .. })), "expired");
        write(&authority, "gw1", now, days(1));
        assert!(read().is_ok());
        fs::write(dir.path().join(CA_FILE), other.pem()).expect("written");
        assert!(matches!(read(), Err(CredentialsError::Certificate { .. })), "of another authority");
        fs::write(dir.path().join(CA_FILE), "").expect("written");
        assert!(matches!(read(), Err(CredentialsError::Authority { .. })));
        write(&authority, "gw1", now, days(1));
        let foreign = other.issue(&node("gw1"), now, days(1)).expect("a certificate");
        fs::write(dir.path().join(KEY_FILE), foreign.key).expect("written");
        assert!(matches!(read(), Err(CredentialsError::Pair { .. })));
        fs::write(dir.path().join(KEY_FILE), "no key").expect("written");
        assert!(matches!(read(), Err(CredentialsError::Pem { .. })));
    }
}
