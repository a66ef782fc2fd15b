//! The certificate of every HTTP listener, read again when its files change.
//!
//! A new pair is taken without a restart; a broken one is logged and the old one kept.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// How often the files' times are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file could not be opened.
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
    /// The chain is empty, the key is of no known kind, or they do not belong together.
    #[error("certificate and key do not fit together")]
    Pair(#[source] rustls::Error),
}

/// A certificate chain and key in two PEM files, watched while this lives.
pub struct Certificate {
    resolver: Arc<Resolver>,
    _watch: AbortOnDropHandle<()>,
}

impl Certificate {
    /// Reads the pair and goes on watching both files. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the pair cannot be used now; later a pair that cannot be used is logged and passed over.
    pub fn watch(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let files = Files { chain: chain.to_owned(), key: key.to_owned() };
        let changed = files.changed();
        let resolver = Arc::new(Resolver { current: ArcSwap::from_pointee(files.read()?) });
        let watch = tokio::spawn(watch(files, changed, Arc::clone(&resolver)));
        Ok(Self { resolver, _watch: AbortOnDropHandle::new(watch) })
    }

    /// What a TLS listener needs: TLS 1.2 and 1.3, no client certificates, always the newest pair.
    ///
    /// # Panics
    /// Never: the provider supports both versions.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has TLS 1.2 and 1.3");
        Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::clone(&self.resolver) as _))
    }
}

#[derive(Debug)]
struct Resolver {
    current: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

struct Files {
    chain: PathBuf,
    key: PathBuf,
}

/// When each file was last changed; None where it cannot be said.
type Changed = [Option<SystemTime>; 2];

impl Files {
    fn changed(&self) -> Changed {
        [&self.chain, &self.key].map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
    }

    fn read(&self) -> Result<CertifiedKey, CertificateError> {
        let open = |path: &Path| {
            File::open(path)
                .map(BufReader::new)
                .map_err(|source| CertificateError::Read { path: path.to_owned(), source })
        };
        let chain = CertificateDer::pem_reader_iter(open(&self.chain)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| CertificateError::Pem { path: self.chain.clone(), source })?;
        let key = PrivateKeyDer::from_pem_reader(open(&self.key)?)
            .map_err(|source| CertificateError::Pem { path: self.key.clone(), source })?;
        let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(CertificateError::Pair)?;
        Ok(pair)
    }
}

async fn watch(files: Files, mut seen: Changed, resolver: Arc<Resolver>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let now = files.changed();
        if now == seen {
            continue;
        }
        seen = now;
        match files.read() {
            Ok(pair) => {
                resolver.current.store(Arc::new(pair));
                info!("certificate reloaded from {}", files.chain.display());
            }
            // Half of a pair is written before the other: the next change is looked at again.
            Err(error) => warn!(%error, "new certificate not taken, the old one stays: {error}"),
        }
    }
}
