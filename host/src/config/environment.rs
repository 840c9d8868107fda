//! The environment as configuration: `ANCHORHOLD_SECTION__KEY` and a few names
//! that other programs use too.

use std::collections::BTreeMap;

use secrecy::SecretString;
use toml::Value;

use super::{Config, Provider, ProviderKind, Slack};

const PREFIX: &str = "ANCHORHOLD_";

/// A copy of the process environment, taken once.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 are left
    /// out.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Sets every `ANCHORHOLD_SECTION__KEY` in `table`; the environment wins.
    pub(super) fn overlay(&self, table: &mut toml::Table) {
        for (name, raw) in &self.0 {
            let Some(path) = name.strip_prefix(PREFIX).filter(|path| path.contains("__")) else {
                continue;
            };
            let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            set(table, &keys, parse(raw));
        }
    }

    /// Applies the names that are settled outside of this program.
    pub(super) fn apply_well_known(&self, config: &mut Config) {
        if let Some(port) = self.get("PORT").and_then(|port| port.parse::<u16>().ok())
            && self.get("ANCHORHOLD_SERVER__LISTEN").is_none()
        {
            config.server.listen = format!("0.0.0.0:{port}");
        }
        if let Some(token) = self.get("ANCHORHOLD_ADMIN_TOKEN") {
            config.server.admin_token = Some(SecretString::from(token));
        }
        if let Some(endpoint) = self.get("OTEL_EXPORTER_OTLP_ENDPOINT")
            && config.telemetry.endpoint.is_none()
        {
            config.telemetry.endpoint = Some(endpoint.to_owned());
        }
        self.add_provider(config, "openai", ProviderKind::Openai, "OPENAI");
        self.add_provider(config, "anthropic", ProviderKind::Anthropic, "ANTHROPIC");
        self.add_provider(config, "gemini", ProviderKind::Gemini, "GEMINI");
        self.apply_slack(&mut config.slack);
        let kept = ["PATH", "HOME"].map(|name| Some((name.to_owned(), self.get(name)?.to_owned())));
        config.tools.environment = kept.into_iter().flatten().collect();
        for secret in config.secrets.values_mut() {
            if let Some(value) = secret.env.as_deref().and_then(|name| self.get(name)) {
                secret.value = Some(SecretString::from(value));
            }
        }
    }

    fn apply_slack(&self, slack: &mut Slack) {
        for (name, secret) in [
            ("SLACK_BOT_TOKEN", &mut slack.bot_token),
            ("SLACK_SIGNING_SECRET", &mut slack.signing_secret),
            ("SLACK_APP_TOKEN", &mut slack.app_token),
        ] {
            if secret.is_none() {
                *secret = self.get(name).map(SecretString::from);
            }
        }
        if let Some(url) = self.get("SLACK_API_BASE_URL") {
            url.trim_end_matches('/')
                .clone_into(&mut slack.api_base_url);
        }
    }

    /// A key alone is enough to have a provider. So is the address of what speaks as OpenAI does:
    /// servers of one's own often take no key.
    fn add_provider(&self, config: &mut Config, name: &str, kind: ProviderKind, prefix: &str) {
        let key = self.get(&format!("{prefix}_API_KEY"));
        let base_url = self.get(&format!("{prefix}_BASE_URL"));
        let is_new = !config.llm.providers.contains_key(name);
        let is_open = kind == ProviderKind::Openai && base_url.is_some() && is_new;
        if key.is_none() && !is_open {
            return;
        }
        let provider = config
            .llm
            .providers
            .entry(name.to_owned())
            .or_insert_with(|| Provider::of_kind(kind));
        if provider.api_key.is_none() {
            provider.api_key = key.map(SecretString::from);
        }
        if provider.base_url.is_none() {
            provider.base_url = base_url.map(str::to_owned);
        }
        if provider.model.is_none() {
            provider.model = self.get(&format!("{prefix}_MODEL")).map(str::to_owned);
        }
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// A TOML value where the text is one, else the text itself.
fn parse(raw: &str) -> Value {
    toml::from_str::<toml::Table>(&format!("value = {raw}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(raw.to_owned()))
}

fn set(table: &mut toml::Table, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let entry = table
                .entry(section.clone())
                .or_insert_with(|| Value::Table(toml::Table::new()));
            if let Value::Table(inner) = entry {
                set(inner, rest, value);
            }
        }
    }
}
