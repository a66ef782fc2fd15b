//! The secrets file: what signs log-ins, play tickets and terminals' authentication codes.
//!
//! Made at first start, readable by its owner only, part of every backup. Losing it logs everybody out and
//! makes every terminal register anew; leaking it lets anybody sign.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use access::Keys;
use anyhow::{Context, Result, ensure};
use gateway::{AuthCodes, AuthKey};
use serde::{Deserialize, Serialize};

/// Its name in the data folder.
pub(crate) const FILE: &str = "secrets.json";

/// Every secret of the platform.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    /// Log-ins and play tickets.
    pub(crate) access: Keys,
    /// Terminals' authentication codes: the first signs, all of them verify.
    terminals: Vec<TerminalSecret>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TerminalSecret {
    id: u8,
    secret: String,
}

impl Secrets {
    /// From the file in `data_dir`, made with new random secrets where there is none.
    pub(crate) fn read_or_make(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("read {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secrets = Self {
                    access: Keys::generate(),
                    terminals: vec![TerminalSecret {
                        id: 1,
                        secret: hex::encode(rand::random::<[u8; 32]>()),
                    }],
                };
                secrets.write(&path).with_context(|| format!("write {}", path.display()))?;
                Ok(secrets)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Into the file in `folder`, instead of what is there: for another node of the same cluster.
    pub(crate) fn copy_to(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        self.write(&path).with_context(|| format!("write {}", path.display()))
    }

    /// What signs terminals' authentication codes.
    pub(crate) fn auth_codes(&self) -> Result<AuthCodes> {
        let mut keys = Vec::new();
        for terminal in &self.terminals {
            let mut secret = [0u8; 32];
            hex::decode_to_slice(&terminal.secret, &mut secret)
                .context("a terminal secret is 64 hex digits")?;
            keys.push(AuthKey { id: terminal.id, secret });
        }
        ensure!(!keys.is_empty(), "{FILE} holds no terminal secret");
        let signing = keys.remove(0);
        Ok(AuthCodes::new(signing, keys))
    }

    /// Whole or not at all: a torn secrets file would log everybody out.
    fn write(&self, path: &Path) -> Result<()> {
        let beside = path.with_extension("new");
        let _ = fs::remove_file(&beside);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(path.parent().context("the file is in a folder")?)?.sync_all()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_readable_by_their_owner_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Secrets::read_or_make(dir.path()).expect("made");
        let again = Secrets::read_or_make(dir.path()).expect("read");
        assert!(first.access == again.access);
        assert_eq!(first.terminals[0].secret, again.terminals[0].secret);
        let mode = fs::metadata(dir.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        first.auth_codes().expect("a key");
    }
}
