//! The private authority of a cluster: made once, kept in a folder, issues a certificate to each node.
//!
//! Whose certificate is believed, [`Credentials`](crate::Credentials) decides; where certificates are copied to, whoever
//! runs the cluster.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::NodeId;
use crate::tls::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, dns_name};

/// The authority's key, in its folder.
const CA_KEY_FILE: &str = "ca.key";

/// Its subject, and thus the issuer of every certificate: what finds it among several in one `ca.pem`.
const CA_NAME: &str = "motorcade cluster";

/// How long before now a certificate begins, for nodes whose clock is behind.
const BEGINS_BEFORE: TimeDelta = TimeDelta::hours(1);

/// The last year that a certificate can name.
const YEAR_MAX: i32 = 9_999;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder has one half of an authority only, or something that is none.
    #[error("{path} holds no whole authority: ca.pem and ca.key belong together")]
    Broken {
        /// Which folder.
        path: PathBuf,
    },
    /// It would end before it begins, or after the last year that a certificate can name.
    #[error("a certificate cannot be valid for {} s from now", .0.num_seconds())]
    Validity(TimeDelta),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
}

/// Who says which process is which node.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key; a secret.
    pub key: String,
}

impl Authority {
    /// Whether `dir` holds an authority or a part of one.
    pub fn is_in(dir: &Path) -> bool {
        [CA_FILE, CA_KEY_FILE].iter().any(|file| dir.join(file).exists())
    }

    /// Makes one, with a new key, valid for `valid` from now, and keeps it in `dir` as `ca.pem` and `ca.key` (mode
    /// 0600). Nothing is overwritten.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn make(dir: &Path, now: DateTime<Utc>, valid: TimeDelta) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = authority_params();
        make_valid(&mut params, now, valid)?;
        let pem = params.self_signed(&key)?.pem();
        make_folder(dir)?;
        // The key first: a certificate without one would be broken for good.
        write_new(&dir.join(CA_KEY_FILE), &key.serialize_pem(), 0o600)?;
        write_new(&dir.join(CA_FILE), &pem, 0o644)?;
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// The one that [`Self::make`] kept in `dir`.
    ///
    /// # Errors
    /// When it is not there whole.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let read = |file: &str| {
            let path = dir.join(file);
            fs::read_to_string(&path).map_err(|source| AuthorityError::Read { path, source })
        };
        let (pem, key) = (read(CA_FILE)?, read(CA_KEY_FILE)?);
        let broken = || AuthorityError::Broken { path: dir.to_owned() };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| broken())?;
        let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| broken())?;
        // That they belong together.
        CertifiedKey::from_der(vec![certificate], der, &aws_lc_rs::default_provider())
            .map_err(|_| broken())?;
        let key = KeyPair::from_pem(&key).map_err(|_| broken())?;
        Ok(Self { pem, issuer: Issuer::new(authority_params(), key) })
    }

    /// Its certificate, as PEM: what every node believes.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate with a new key for `node`, to call and to be called, valid for `valid` from now.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn issue(
        &self,
        node: &NodeId,
        now: DateTime<Utc>,
        valid: TimeDelta,
    ) -> Result<Issued, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([dns_name(node).to_str().into_owned()])?;
        params.distinguished_name = named(node.as_str());
        make_valid(&mut params, now, valid)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }

    /// Puts what `node` needs into its folder `dir`: `ca.pem`, `node.pem` and `node.key` (mode 0600). What is there is
    /// replaced, each file whole or not at all, the certificate last: a process that reads them meanwhile finds a
    /// pair that does not fit, and looks again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn hand_over(&self, issued: &Issued, dir: &Path) -> Result<(), AuthorityError> {
        make_folder(dir)?;
        replace(&dir.join(CA_FILE), &self.pem, 0o644)?;
        replace(&dir.join(KEY_FILE), &issued.key, 0o600)?;
        replace(&dir.join(CERTIFICATE_FILE), &issued.certificate, 0o644)
    }
}

/// Whether `dir` holds a node's certificate or key.
pub fn has_certificate(dir: &Path) -> bool {
    [CERTIFICATE_FILE, KEY_FILE].iter().any(|file| dir.join(file).exists())
}

/// What every authority of this program has in common, so that it needs to be read from no certificate.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

fn make_valid(
    params: &mut CertificateParams,
    now: DateTime<Utc>,
    valid: TimeDelta,
) -> Result<(), AuthorityError> {
    let wrong = || AuthorityError::Validity(valid);
    let end = now.checked_add_signed(valid).ok_or_else(wrong)?;
    if valid <= TimeDelta::zero() || end.year() > YEAR_MAX {
        return Err(wrong());
    }
    let since_epoch =
        |at: DateTime<Utc>| u64::try_from(at.timestamp()).map(Duration::from_secs).map_err(|_| wrong());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now - BEGINS_BEFORE)?;
    params.not_after = epoch + since_epoch(end)?;
    Ok(())
}

fn make_folder(dir: &Path) -> Result<(), AuthorityError> {
    fs::create_dir_all(dir).map_err(|source| AuthorityError::Write { path: dir.to_owned(), source })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| AuthorityError::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    write_new(&beside, text, mode)?;
    fs::rename(&beside, path).map_err(|source| AuthorityError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_its_owners_only() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(!Authority::is_in(dir.path()));
        let made = Authority::make(dir.path(), Utc::now(), TimeDelta::days(1)).expect("made");
        assert!(Authority::is_in(dir.path()));
        assert_eq!(mode(&dir.path().join(CA_KEY_FILE)), 0o600);
        assert_eq!(Authority::open(dir.path()).expect("opened").pem(), made.pem());
        let again = Authority::make(dir.path(), Utc::now(), TimeDelta::days(1));
        assert!(matches!(again, Err(AuthorityError::Write { .. })));
        assert_eq!(Authority::open(dir.path()).expect("opened").pem(), made.pem());
    }

    #[test]
    fn half_an_authority_and_two_halves_are_none() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let [one, other] = dirs.each_ref().map(|dir| {
            Authority::make(dir.path(), Utc::now(), TimeDelta::days(1)).expect("made");
            dir.path()
        });
        fs::copy(other.join(CA_KEY_FILE), one.join(CA_KEY_FILE)).expect("copied");
        assert!(matches!(Authority::open(one), Err(AuthorityError::Broken { .. })));
        fs::remove_file(other.join(CA_KEY_FILE)).expect("removed");
        assert!(matches!(Authority::open(other), Err(AuthorityError::Read { .. })));
        assert!(Authority::is_in(other), "what is left is not to be overwritten");
    }

    #[test]
    fn a_certificate_ends_after_it_began_and_in_a_year_of_four_digits() {
        let dir = tempfile::tempdir().expect("a folder");
        let authority = Authority::make(dir.path(), Utc::now(), TimeDelta::days(1)).expect("made");
        let node: NodeId = "gw1".parse().expect("a name");
        for days in [0, -1, 4_000_000, 90_000_000] {
            let refused = authority.issue(&node, Utc::now(), TimeDelta::days(days));
            assert!(matches!(refused, Err(AuthorityError::Validity(_))), "{days}");
        }
        let issued = authority.issue(&node, Utc::now(), TimeDelta::days(1)).expect("issued");
        assert!(!has_certificate(dir.path()));
        authority.hand_over(&issued, dir.path()).expect("written");
        assert!(has_certificate(dir.path()));
        assert_eq!(mode(&dir.path().join(KEY_FILE)), 0o600);
    }
}
