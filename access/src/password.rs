//! Passwords: Argon2id, on blocking threads, a few at a time.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use md5::{Digest as _, Md5};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use tokio::sync::Semaphore;

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHashes {
    /// Argon2id of the password, in PHC form.
    pub password: String,
    /// Argon2id of the password's lower-case hexadecimal MD5, in PHC form: CMSV6 clients may send that
    /// instead of the password.
    pub password_md5: String,
}

impl std::fmt::Debug for PasswordHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHashes(…)")
    }
}

/// Why a password could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked at once")]
pub struct PasswordsBusy;

/// Hashes and compares passwords. Each takes some 20 ms of a processor and 19 MiB.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// One at a time on each of half the processors: log-ins must not starve the rest of the node.
    working: Arc<Semaphore>,
    /// Those that work or wait; more are turned away.
    waiting: Arc<Semaphore>,
    /// Compared with where there is no account, so that both take as long.
    decoy: Arc<str>,
}

/// How many may wait for their turn; at about 20 ms each the last waits a second or two.
const WAITING_MAX: usize = 64;

/// The longest password that is hashed, bytes: longer ones only cost time.
pub const PASSWORD_BYTES_MAX: usize = 256;

impl Passwords {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            working: Arc::new(Semaphore::new((processors / 2).max(1))),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            decoy: hash("no such account").into(),
        }
    }

    pub(crate) async fn hash(&self, password: String) -> Result<PasswordHashes, PasswordsBusy> {
        self.run(move || PasswordHashes {
            password_md5: hash(&md5_hex(&password)),
            password: hash(&password),
        })
        .await
    }

    /// Whether `password` is the one that `stored` was made of; false, after the same work, for None.
    pub(crate) async fn matches(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, PasswordsBusy> {
        let decoy = Arc::clone(&self.decoy);
        self.run(move || match stored {
            Some(stored) => verify(&password, &stored),
            None => {
                verify(&password, &decoy);
                false
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordsBusy> {
        let _place = self.waiting.try_acquire().map_err(|_| PasswordsBusy)?;
        let turn = Arc::clone(&self.working).acquire_owned().await.map_err(|_| PasswordsBusy)?;
        let done = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, also when nobody waits for it any more.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| PasswordsBusy)
    }
}

/// Lower-case hexadecimal MD5, as CMSV6 clients send it.
fn md5_hex(password: &str) -> String {
    hex::encode(Md5::digest(password.as_bytes()))
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

fn hash(password: &str) -> String {
    let mut salt = [0u8; 16];
    OsRng.try_fill_bytes(&mut salt).expect("the operating system gives random bytes");
    let salt = SaltString::encode_b64(&salt).expect("16 bytes make a salt");
    argon2().hash_password(password.as_bytes(), &salt).expect("parameters and salt are valid").to_string()
}

fn verify(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|stored| argon2().verify_password(password.as_bytes(), &stored).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_itself_in_both_forms() {
        let passwords = Passwords::new();
        let hashes = passwords.hash("secret".to_owned()).await.expect("not busy");
        assert!(hashes.password.starts_with("$argon2id$"));
        let matches = async |text: &str, stored: &String| {
            passwords.matches(text.to_owned(), Some(stored.clone())).await
        };
        assert_eq!(matches("secret", &hashes.password).await, Ok(true));
        assert_eq!(matches("Secret", &hashes.password).await, Ok(false));
        assert_eq!(matches("5ebe2294ecd0e0f08eab7690d2a6ee69", &hashes.password_md5).await, Ok(true));
        assert_eq!(matches("5ebe2294ecd0e0f08eab7690d2a6ee69", &hashes.password).await, Ok(false));
        assert_eq!(passwords.matches("secret".to_owned(), None).await, Ok(false));
        assert_eq!(matches("secret", &"not a hash".to_owned()).await, Ok(false));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_turned_away() {
        let passwords = Passwords::new();
        let _all = passwords.waiting.acquire_many(WAITING_MAX as u32).await.expect("open");
        assert_eq!(passwords.matches("x".to_owned(), None).await, Err(PasswordsBusy));
    }
}
