//! `anchorhold token`: who may call.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::globals::Setting;
use super::output::{self, Table};
use super::wire::{items, number, text, texts};
use crate::clock::now_ms;
use crate::format::ago;

/// Tokens: create, list, revoke
#[derive(Debug, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token; it is shown this once
    Create {
        /// Who will use it
        #[arg(long)]
        name: String,
        /// What it allows: chat, read, write, admin
        #[arg(long, required = true, value_delimiter = ',')]
        scope: Vec<String>,
    },
    /// List tokens, also revoked ones
    List,
    /// Revoke a token by its id
    Revoke { id: String },
}

impl Token {
    pub(super) async fn run(self, setting: &Setting) -> Result<()> {
        let (client, json) = (setting.client()?, setting.globals.json);
        match self.command {
            Command::Create { name, scope } => {
                let body = json!({ "name": name, "scopes": scope });
                let made: Value = client.call(Method::POST, &["tokens"], Some(&body)).await?;
                show(&made, json)
            }
            Command::List => list(&client.get(&["tokens"], &[]).await?, json),
            Command::Revoke { id } => {
                client
                    .call::<Value>(Method::DELETE, &["tokens", &id], None)
                    .await?;
                eprintln!("Revoked {id}.");
                Ok(())
            }
        }
    }
}

/// The token alone goes to standard output, for `$(…)`.
fn show(made: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(made);
    }
    let scopes = texts(made, "scopes").join(", ");
    eprintln!(
        "Made token {} for {scopes}; it is not shown again:",
        text(made, "id")
    );
    output::line(text(made, "token"));
    Ok(())
}

fn list(tokens: &Value, json: bool) -> Result<()> {
    if json {
        return output::json(tokens);
    }
    let mut table = Table::new(["ID", "NAME", "SCOPES", "MADE", "REVOKED"]);
    for token in items(tokens) {
        let revoked = token.get("revoked_at").and_then(Value::as_i64);
        table.row([
            text(token, "id"),
            text(token, "name"),
            texts(token, "scopes").join(", "),
            ago(number(token, "created_at"), now_ms()),
            revoked.map(|at| ago(at, now_ms())).unwrap_or_default(),
        ]);
    }
    table.print("No tokens.");
    Ok(())
}
