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

impl Resolver {
    /// Takes the pair that stands in `files` now, if they changed since they were `seen` and it can be used.
    fn look(&self, files: &Files, seen: &mut Changed) {
        let now = files.changed();
        if now == *seen {
            return;
        }
        *seen = now;
        match files.read() {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                info!("certificate reloaded from {}", files.chain.display());
            }
            // Half of a pair is written before the other: the next change is looked at again.
            Err(error) => warn!(%error, "new certificate not taken, the old one stays: {error}"),
        }
    }
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
        resolver.look(&files, &mut seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two files in a folder of their own, and how often they were written.
    struct Written {
        files: Files,
        times: u64,
        _folder: tempfile::TempDir,
    }

    impl Written {
        fn new(pair: &Pair) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let file = |name| folder.path().join(name);
            let files = Files { chain: file("cert.pem"), key: file("key.pem") };
            let mut written = Self { files, times: 0, _folder: folder };
            written.write(Some(&pair.cert), Some(&pair.key));
            written
        }

        /// Each time some seconds later by the files' own times.
        fn write(&mut self, chain: Option<&str>, key: Option<&str>) {
            self.times += 1;
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 10 * self.times);
            for (path, text) in [(&self.files.chain, chain), (&self.files.key, key)] {
                if let Some(text) = text {
                    fs::write(path, text).expect("written");
                    File::options().write(true).open(path).expect("there").set_modified(at).expect("ours");
                }
            }
        }

        fn watched(&self) -> (Resolver, Changed) {
            let pair = self.files.read().expect("a pair");
            (Resolver { current: ArcSwap::from_pointee(pair) }, self.files.changed())
        }
    }

    /// A self-signed pair, in PEM, and the certificate as it is shown.
    struct Pair {
        cert: String,
        key: String,
        shown: CertificateDer<'static>,
    }

    impl Pair {
        fn new() -> Self {
            let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
            let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
            Self { cert, key, shown: pair.cert.der().clone() }
        }

        fn is_shown_by(&self, resolver: &Resolver) -> bool {
            resolver.current.load().cert == [self.shown.clone()]
        }
    }

    #[test]
    fn a_new_pair_is_taken_once_it_is_whole() {
        let (first, second) = (Pair::new(), Pair::new());
        let mut written = Written::new(&first);
        let (resolver, mut seen) = written.watched();
        assert!(first.is_shown_by(&resolver));
        written.write(Some(&second.cert), None);
        resolver.look(&written.files, &mut seen);
        assert!(first.is_shown_by(&resolver), "half a pair");
        written.write(None, Some(&second.key));
        resolver.look(&written.files, &mut seen);
        assert!(second.is_shown_by(&resolver));
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        let pair = Pair::new();
        let mut written = Written::new(&pair);
        let (resolver, mut seen) = written.watched();
        for chain in ["", "no PEM", &pair.key] {
            written.write(Some(chain), None);
            resolver.look(&written.files, &mut seen);
            assert!(pair.is_shown_by(&resolver), "{chain:?}");
        }
        fs::remove_file(&written.files.chain).expect("there");
        resolver.look(&written.files, &mut seen);
        assert!(pair.is_shown_by(&resolver), "gone");
        let next = Pair::new();
        written.write(Some(&next.cert), Some(&next.key));
        resolver.look(&written.files, &mut seen);
        assert!(next.is_shown_by(&resolver), "and there again");
    }

    #[tokio::test]
    async fn a_pair_that_cannot_be_used_at_the_start_is_said_to_be_so() {
        let (one, other) = (Pair::new(), Pair::new());
        let mut written = Written::new(&one);
        let watch =
            |written: &Written| Certificate::watch(&written.files.chain, &written.files.key).map(|_| ());
        watch(&written).expect("a pair");
        written.write(None, Some(&other.key));
        assert!(matches!(watch(&written), Err(CertificateError::Pair(_))), "not its key");
        written.write(None, Some("no PEM"));
        let failed = watch(&written);
        let path = |wanted: &Path| wanted == written.files.key;
        assert!(matches!(&failed, Err(CertificateError::Pem { path: of, .. }) if path(of)), "{failed:?}");
        fs::remove_file(&written.files.key).expect("there");
        let failed = watch(&written);
        assert!(matches!(&failed, Err(CertificateError::Read { path: of, .. }) if path(of)), "{failed:?}");
    }
}
