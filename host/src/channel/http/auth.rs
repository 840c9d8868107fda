//! Who calls: bearer tokens, known by their hash, with scopes.

use anyhow::{Context, Result};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tracing::info;
use uuid::Uuid;

use super::{Api, Code, Problem};
use crate::config;
use crate::store::{DEFAULT_TENANT, Scope, Store};

/// What the file in the data folder is called that the CLI on the same machine
/// takes its token from.
const CLI_TOKEN_FILE: &str = "cli.token";

/// How tokens begin, so that they are known when they leak.
const TOKEN_PREFIX: &str = "ah_";

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 256;

/// Checks tokens.
pub struct Credentials {
    /// `ANCHORHOLD_ADMIN_TOKEN`, by hash.
    admin_hash: Option<String>,
}

/// Who made a request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub tenant: String,
    /// The id of the token.
    pub token: String,
    pub name: String,
    scopes: Vec<Scope>,
}

impl Credentials {
    /// Takes the administrator's token from the configuration, or makes one at
    /// the first start. The second value is the new token, to be shown once.
    ///
    /// # Errors
    ///
    /// If the token cannot be stored.
    pub async fn prepare(
        store: &Store,
        server: &config::Server,
    ) -> Result<(Self, Option<SecretString>)> {
        let admin_hash = server
            .admin_token
            .as_ref()
            .map(|token| hash(token.expose_secret()));
        let path = store.data_dir().join(CLI_TOKEN_FILE);
        if let Some(token) = &server.admin_token {
            write_private(&path, token.expose_secret())?;
            return Ok((Self { admin_hash }, None));
        }
        let known = match std::fs::read_to_string(&path) {
            Ok(token) => store.token_by_hash(&hash(token.trim())).await?.is_some(),
            Err(_) => false,
        };
        if known {
            return Ok((Self { admin_hash }, None));
        }
        let (_, token) = create(
            store,
            DEFAULT_TENANT,
            "local administrator",
            &[Scope::Admin],
        )
        .await?;
        write_private(&path, token.expose_secret())?;
        info!(file = %path.display(), "made a token for the CLI on this machine");
        Ok((Self { admin_hash }, Some(token)))
    }

    async fn check(&self, store: &Store, token: &str) -> Result<Option<Caller>> {
        if token.len() > MAX_TOKEN_BYTES {
            return Ok(None);
        }
        let hash = hash(token);
        if let Some(admin) = &self.admin_hash
            && bool::from(admin.as_bytes().ct_eq(hash.as_bytes()))
        {
            return Ok(Some(Caller {
                tenant: DEFAULT_TENANT.to_owned(),
                token: "admin".to_owned(),
                name: "administrator".to_owned(),
                scopes: vec![Scope::Admin],
            }));
        }
        let row = store.token_by_hash(&hash).await?;
        Ok(row.map(|row| Caller {
            scopes: row.scopes(),
            tenant: row.tenant_id,
            token: row.id,
            name: row.name,
        }))
    }
}

/// Makes a token; answers its id and, for the only time, itself.
pub(super) async fn create(
    store: &Store,
    tenant: &str,
    name: &str,
    scopes: &[Scope],
) -> Result<(String, SecretString)> {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    let token = format!("{TOKEN_PREFIX}{}", hex::encode(bytes));
    let id = Uuid::now_v7().to_string();
    store
        .add_token(tenant, &id, name, &hash(&token), scopes)
        .await?;
    Ok((id, SecretString::from(token)))
}

impl Caller {
    /// Whether a token allows this; `admin` allows everything.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Refuses a caller whose token does not allow this.
    ///
    /// # Errors
    ///
    /// `forbidden`, naming the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            format!(
                "this token lacks the scope {:?}; make one with: anchorhold token create --scope {}",
                scope.name(),
                scope.name()
            ),
        ))
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller =
            <Self as OptionalFromRequestParts<Api>>::from_request_parts(parts, api).await?;
        caller.ok_or_else(|| {
            Problem::new(
                Code::Unauthenticated,
                "send a token: authorization: Bearer TOKEN (anchorhold token create makes one)",
            )
        })
    }
}

/// Without a token nobody; with one that is not known a refusal.
impl OptionalFromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Option<Self>, Problem> {
        let Some(token) = bearer(parts) else {
            return Ok(None);
        };
        let caller = api.credentials.check(&api.host.store, token).await?;
        let unknown = || {
            Problem::new(
                Code::Unauthenticated,
                "this token is not known or was revoked",
            )
        };
        caller.ok_or_else(unknown).map(Some)
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Writes a file that only its owner may read.
fn write_private(path: &std::path::Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{text}")?;
    Ok(())
}
