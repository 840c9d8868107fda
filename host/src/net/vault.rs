//! Secrets by placeholder: `{{secret:NAME}}` becomes the value on the way to an
//! approved host, and the value becomes the placeholder on the way back.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};

use super::errors::{denied, limit};
use super::target::{Target, matches_pattern};
use crate::config::Secret;
use crate::runtime::bindings::types::Error;

const OPEN: &[u8] = b"{{secret:";
const CLOSE: &[u8] = b"}}";

/// The longest name of a secret; what is longer is not a placeholder.
const NAME_BYTES: usize = 64;

/// By how much placeholders may make a header or a body grow.
const GROWTH_BYTES: usize = 256 << 10;

/// Who may use a secret: `Err` is the sentence that the agent is told.
pub(super) type Allowed<'a> = &'a (dyn Fn(&str) -> Result<(), String> + Sync);

/// The operator's secrets.
pub(super) struct Vault(BTreeMap<String, Secret>);

/// The names of the secrets that an exchange has used.
pub(super) type Used = BTreeSet<String>;

impl Vault {
    pub(super) fn new(secrets: BTreeMap<String, Secret>) -> Self {
        Self(secrets)
    }

    /// Whether `text` has a placeholder.
    pub(super) fn is_in(text: &[u8]) -> bool {
        next(text).is_some()
    }

    /// `text` with its placeholders filled in, as far as the agent may use the
    /// secrets and the target may see them.
    pub(super) fn fill(
        &self,
        text: &[u8],
        target: &Target,
        allowed: Allowed<'_>,
        used: &mut Used,
    ) -> Result<Vec<u8>, Error> {
        let mut filled = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next(rest) {
            filled.extend_from_slice(before);
            let value = self.value(name, target, allowed)?;
            filled.extend_from_slice(value.expose_secret().as_bytes());
            used.insert(name.to_owned());
            if filled.len() > text.len().saturating_add(GROWTH_BYTES) {
                return Err(limit("the request has too many secrets in it"));
            }
            rest = after;
        }
        filled.extend_from_slice(rest);
        Ok(filled)
    }

    fn value(
        &self,
        name: &str,
        target: &Target,
        allowed: Allowed<'_>,
    ) -> Result<&SecretString, Error> {
        allowed(name).map_err(denied)?;
        let secret = self.0.get(name);
        let Some((secret, value)) =
            secret.and_then(|secret| Some((secret, secret.value.as_ref()?)))
        else {
            return Err(denied(format!(
                "there is no secret `{name}`: the operator sets it under `[secrets.{name}]`"
            )));
        };
        target.check_for_secrets()?;
        let approved = secret
            .hosts
            .iter()
            .any(|pattern| matches_pattern(pattern, &target.host));
        if !approved {
            return Err(denied(format!(
                "the secret `{name}` may not be sent to {}: `[secrets.{name}] hosts` does not list it",
                target.host
            )));
        }
        Ok(value)
    }

    /// `bytes` with the values of used secrets replaced by their placeholders.
    pub(super) fn mask(&self, bytes: Vec<u8>, used: &Used) -> Vec<u8> {
        let mut values: Vec<(&str, &str)> = used
            .iter()
            .filter_map(|name| Some((name.as_str(), self.0.get(name)?.value.as_ref()?)))
            .map(|(name, value)| (name, value.expose_secret()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        // The longest first: one secret may be a part of another.
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        values
            .into_iter()
            .fold(bytes, |bytes, (name, value)| replace(bytes, name, value))
    }

    /// As `mask`, of text.
    pub(super) fn mask_text(&self, text: &str, used: &Used) -> String {
        String::from_utf8_lossy(&self.mask(text.as_bytes().to_vec(), used)).into_owned()
    }
}

fn replace(bytes: Vec<u8>, name: &str, value: &str) -> Vec<u8> {
    let finder = memmem::Finder::new(value);
    if finder.find(&bytes).is_none() {
        return bytes;
    }
    let placeholder = format!("{{{{secret:{name}}}}}");
    let mut masked = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some(at) = finder.find(rest) {
        let (before, from) = rest.split_at(at);
        masked.extend_from_slice(before);
        masked.extend_from_slice(placeholder.as_bytes());
        rest = from.get(value.len()..).unwrap_or_default();
    }
    masked.extend_from_slice(rest);
    masked
}

/// The first placeholder: what is before it, its name, what is after it.
fn next(text: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    let mut from = 0;
    loop {
        let at = from + memmem::find(text.get(from..)?, OPEN)?;
        let inner = at + OPEN.len();
        let window = text.get(inner..text.len().min(inner + NAME_BYTES + CLOSE.len()))?;
        let name = memmem::find(window, CLOSE)
            .and_then(|end| window.get(..end))
            .and_then(|name| std::str::from_utf8(name).ok())
            .filter(|name| is_name(name));
        match name {
            Some(name) => {
                let after = inner + name.len() + CLOSE.len();
                return Some((text.get(..at)?, name, text.get(after..)?));
            }
            None => from = inner,
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
