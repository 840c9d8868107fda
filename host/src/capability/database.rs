//! Agents' own databases.

mod applied;
mod databases;
mod errors;
mod ffi;
mod functions;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod open;
mod real_text;
mod rules;
mod statement;
mod values;
mod watch;

pub use applied::Call;
pub use databases::{Databases, Owner};

use wasmtime::component::HasData;

use crate::registry::Grant;
use crate::runtime::HostState;
use crate::runtime::bindings::{database, types};
use crate::turn::{self, Commit, Place, Window};

/// The view of a turn that `database` needs.
pub(super) struct Database<'a> {
    window: &'a mut Window,
    databases: &'a Databases,
}

pub(super) struct HasDatabase;

impl HasData for HasDatabase {
    type Data<'a> = Database<'a>;
}

impl<'a> Database<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        Self {
            window: &mut state.window,
            databases: &state.services.databases,
        }
    }

    fn owner(&self) -> Owner {
        Owner {
            tenant: self.window.identity().tenant.clone(),
            agent: self.window.agent().name.clone(),
        }
    }
}

impl database::Host for Database<'_> {
    async fn query(
        &mut self,
        sql: String,
        params: Vec<database::Value>,
    ) -> wasmtime::Result<Result<database::RowSet, types::Error>> {
        let (owner, agent) = (self.owner(), std::sync::Arc::clone(self.window.agent()));
        let args = (&sql, &params);
        let call = turn::Call {
            kind: "database.query",
            grant: Some(Grant::Database),
            args: &args,
        };
        let effect =
            self.databases
                .query(&owner, &agent.limits.database, sql.clone(), params.clone());
        Ok(self.window.perform(call, Commit::Later, effect).await?)
    }

    async fn execute(
        &mut self,
        sql: String,
        params: Vec<database::Value>,
    ) -> wasmtime::Result<Result<database::Outcome, types::Error>> {
        let (owner, agent) = (self.owner(), std::sync::Arc::clone(self.window.agent()));
        let turn = self.window.identity().turn.clone();
        self.window.will_write_database();
        let statement = database::Statement { sql, params };
        let call = turn::Call {
            kind: "database.execute",
            grant: Some(Grant::Database),
            args: &statement,
        };
        // What was read before is written first: a re-run must come to the same
        // statement, for its record lies in the agent's database.
        let effect = |place: Place| {
            let call = Call {
                turn,
                seq: place.seq,
                args_hash: place.args_hash,
            };
            self.databases
                .execute(&owner, &agent.limits.database, call, statement.clone())
        };
        Ok(self
            .window
            .perform_placed(call, Commit::Intent, effect)
            .await?)
    }

    async fn batch(
        &mut self,
        statements: Vec<database::Statement>,
    ) -> wasmtime::Result<Result<Vec<database::Outcome>, types::Error>> {
        let (owner, agent) = (self.owner(), std::sync::Arc::clone(self.window.agent()));
        let turn = self.window.identity().turn.clone();
        self.window.will_write_database();
        let call = turn::Call {
            kind: "database.batch",
            grant: Some(Grant::Database),
            args: &statements,
        };
        let effect = |place: Place| {
            let call = Call {
                turn,
                seq: place.seq,
                args_hash: place.args_hash,
            };
            self.databases
                .batch(&owner, &agent.limits.database, call, statements.clone())
        };
        Ok(self
            .window
            .perform_placed(call, Commit::Intent, effect)
            .await?)
    }
}

#[cfg(test)]
mod tests;
