//! `motorcade user`: accounts without the API, for an operator at the machine.

use std::io::Read as _;

use access::Access;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use db::{Db, DbError, DbSettings, NewAccount, Page, ROOT_COMPANY};
use model::Scope;
use rand::Rng as _;

use crate::cli::{Place, runtime, start_log};
use crate::place::Running;
use crate::secrets::Secrets;

/// `motorcade user`
#[derive(Debug, Args)]
pub(crate) struct User {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add an account to the root company. Its password is read from standard input, or generated and printed.
    Add {
        /// The account's name.
        name: String,
        /// The name of its role.
        #[arg(long, default_value = "administrator")]
        role: String,
        /// Read the password from standard input.
        #[arg(long)]
        stdin: bool,
    },
    /// Set an account's password: read from standard input, or generated and printed.
    SetPassword {
        /// The account's name.
        name: String,
        /// Read the password from standard input.
        #[arg(long)]
        stdin: bool,
    },
}

/// Characters of a generated password: none that is taken for another.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// 20 random characters, some 116 bits.
pub(crate) fn generated_password() -> String {
    let mut random = rand::rng();
    (0..20).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

/// Works beside a running platform and without one.
pub(crate) fn run(user: User) -> Result<()> {
    let config = user.place.config()?;
    start_log(&config.log)?;
    let data = user.place.data_dir()?;
    runtime()?.block_on(async {
        let running = Running::reach(&config, &data).await?;
        let result = async {
            let db = Db::connect(running.conninfo(), DbSettings::default()).await?;
            let access = Access::new(db.clone(), Secrets::read_or_make(&data)?.access);
            change(&db, &access, user.what).await
        }
        .await;
        running.leave().await?;
        result
    })
}

async fn change(db: &Db, access: &Access, what: What) -> Result<()> {
    let scope = Scope::platform();
    match what {
        What::Add { name, role, stdin } => {
            let (password, generated) = password(stdin)?;
            let hashes = access.hash_password(&password).await?;
            let roles = db.roles(&scope, &Page::default()).await?;
            let Some(role) = roles.items.iter().find(|known| known.name == role) else {
                let names: Vec<_> = roles.items.iter().map(|role| role.name.as_str()).collect();
                bail!("no role {role}; there are {}", names.join(", "));
            };
            let account = NewAccount {
                company_id: ROOT_COMPANY,
                role_id: role.id,
                name: name.clone(),
                password_hash: hashes.password,
                md5_hash: hashes.password_md5,
                must_change_password: generated,
                enabled: true,
                expires_at: None,
            };
            db.create_account(&scope, account).await.with_context(|| format!("add the account {name}"))?;
            tell(&name, &password, generated);
        }
        What::SetPassword { name, stdin } => {
            let (password, generated) = password(stdin)?;
            let hashes = access.hash_password(&password).await?;
            let known = db.credentials(&name).await?.ok_or(DbError::NotFound);
            let account = known.with_context(|| format!("find the account {name}"))?.account;
            db.set_password(&scope, account.id, hashes.password, hashes.password_md5, generated).await?;
            tell(&name, &password, generated);
        }
    }
    Ok(())
}

/// The password, and whether it was generated (then it is changed at the first log-in).
fn password(stdin: bool) -> Result<(String, bool)> {
    if !stdin {
        return Ok((generated_password(), true));
    }
    let mut text = String::new();
    std::io::stdin()
        .take(4_096)
        .read_to_string(&mut text)
        .context("read the password from standard input")?;
    let text = text.trim_end_matches(['\r', '\n']);
    ensure!(!text.is_empty(), "standard input holds no password");
    Ok((text.to_owned(), false))
}

fn tell(name: &str, password: &str, generated: bool) {
    if generated {
        println!("password of {name}: {password} (to be changed at the first log-in)");
    } else {
        println!("password of {name} set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_long_and_differ() {
        let (one, other) = (generated_password(), generated_password());
        assert_eq!(one.len(), 20);
        assert_ne!(one, other);
    }
}
