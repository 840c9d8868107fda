//! What an agent's SQL may do: SQLite's authorizer asks for every action of a
//! statement while it is compiled, triggers and views included.
//!
//! What is not known here is refused.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::watch::Watch;

/// Names that begin like this are the host's.
const OURS: &str = "anchorhold_";

/// Virtual tables that may be made. They keep what they store in the database
/// itself.
const MODULES: [&str; 3] = ["fts5", "fts5vocab", "rtree"];

/// Tables that SQLite makes up, about its own insides.
const INSIDES: [&str; 5] = [
    "dbstat",
    "sqlite_dbpage",
    "sqlite_stmt",
    "bytecode",
    "tables_used",
];

/// Functions that reach outside, into SQLite's insides, or whose time grows
/// with the square of their input, which no limit could stop.
const FUNCTIONS: [&str; 12] = [
    "load_extension",
    "readfile",
    "writefile",
    "edit",
    "fts3_tokenizer",
    "sqlite_log",
    "rtreenode",
    "rtreedepth",
    "rtreecheck",
    "json_patch",
    "jsonb_patch",
    "sqlite_offset",
];

/// PRAGMAs that describe a table, an index or the schema; they take its name.
const DESCRIBE: [&str; 7] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
];

/// PRAGMAs that are numbers of the database's own, for the agent's use.
const NUMBERS: [&str; 2] = ["user_version", "application_id"];

/// PRAGMAs that may be read, but not set.
const READ: [&str; 8] = [
    "foreign_keys",
    "encoding",
    "page_count",
    "page_size",
    "freelist_count",
    "max_page_count",
    "collation_list",
    "data_version",
];

const TEMPORARY: &str = "temporary objects would end with the connection, which is not the agent's: use an ordinary table or WITH";

/// Has SQLite ask for every action of the guest's statements. The host's own
/// statements are not asked for.
pub(super) fn install(connection: &Connection, watch: &Arc<Watch>) -> rusqlite::Result<()> {
    let watch = Arc::clone(watch);
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if watch.is_guest() {
            decide(&context, &watch)
        } else {
            Authorization::Allow
        }
    }))
}

fn decide(context: &AuthContext<'_>, watch: &Watch) -> Authorization {
    // ANALYZE of everything leaves our tables out instead of failing.
    if let AuthAction::Analyze { table_name } = context.action
        && is_ours(table_name)
    {
        return Authorization::Ignore;
    }
    let refusal = of_schema(context).or_else(|| refusal(&context.action));
    match refusal {
        None => Authorization::Allow,
        Some(sentence) => {
            watch.refuse(sentence);
            Authorization::Deny
        }
    }
}

/// Why an action is refused, if it is.
fn refusal(action: &AuthAction<'_>) -> Option<String> {
    use AuthAction::*;
    match *action {
        Select | Recursive | Reindex { .. } | Analyze { .. } => None,
        CreateTable { table_name: name }
        | DropTable { table_name: name }
        | CreateView { view_name: name }
        | DropView { view_name: name }
        | Insert { table_name: name }
        | Delete { table_name: name }
        | Update {
            table_name: name, ..
        }
        | AlterTable {
            table_name: name, ..
        }
        | DropVtable {
            table_name: name, ..
        } => of_name(name),
        Read { table_name, .. } => of_name(table_name).or_else(|| of_insides(table_name)),
        CreateIndex {
            index_name: name,
            table_name,
        }
        | DropIndex {
            index_name: name,
            table_name,
        }
        | CreateTrigger {
            trigger_name: name,
            table_name,
        }
        | DropTrigger {
            trigger_name: name,
            table_name,
        } => of_name(name).or_else(|| of_name(table_name)),
        CreateVtable {
            table_name,
            module_name,
        } => of_name(table_name).or_else(|| of_module(module_name)),
        Function { function_name } => of_function(function_name),
        Pragma {
            pragma_name,
            pragma_value,
        } => of_pragma(pragma_name, pragma_value),
        _ => Some(never(action).to_owned()),
    }
}

/// `CREATE TABLE temp.x` is reported like a table that stays.
fn of_schema(context: &AuthContext<'_>) -> Option<String> {
    use AuthAction::*;
    let creates = matches!(
        context.action,
        CreateTable { .. }
            | CreateView { .. }
            | CreateIndex { .. }
            | CreateTrigger { .. }
            | CreateVtable { .. }
    );
    let temporary = context.database_name == Some("temp");
    (creates && temporary).then(|| TEMPORARY.to_owned())
}

/// What no agent may do, whatever the names.
fn never(action: &AuthAction<'_>) -> &'static str {
    use AuthAction::*;
    match action {
        Transaction { .. } | Savepoint { .. } => {
            "transactions are made by the host: pass the statements to `batch`, which does all or none"
        }
        Attach { .. } | Detach { .. } => {
            "an agent has one database: ATTACH, DETACH and VACUUM are not available"
        }
        CreateTempTable { .. }
        | CreateTempIndex { .. }
        | CreateTempTrigger { .. }
        | CreateTempView { .. }
        | DropTempTable { .. }
        | DropTempIndex { .. }
        | DropTempTrigger { .. }
        | DropTempView { .. } => TEMPORARY,
        _ => "this statement is not available to agents",
    }
}

fn of_name(name: &str) -> Option<String> {
    is_ours(name).then(|| format!("names that begin with `{OURS}` belong to the host"))
}

fn of_insides(name: &str) -> Option<String> {
    is_one_of(&INSIDES, name).then(|| format!("the table `{name}` is not available to agents"))
}

fn of_module(name: &str) -> Option<String> {
    (!is_one_of(&MODULES, name)).then(|| {
        format!(
            "virtual tables of `{name}` are not available to agents, only of {}",
            MODULES.join(", ")
        )
    })
}

fn of_function(name: &str) -> Option<String> {
    is_one_of(&FUNCTIONS, name).then(|| format!("the function `{name}` is not available to agents"))
}

fn of_pragma(name: &str, value: Option<&str>) -> Option<String> {
    let allowed = is_one_of(&DESCRIBE, name)
        || is_one_of(&NUMBERS, name)
        || (is_one_of(&READ, name) && value.is_none());
    (!allowed).then(|| match value {
        Some(_) => format!("agents may not set PRAGMA {name}"),
        None => format!("PRAGMA {name} is not available to agents"),
    })
}

fn is_ours(name: &str) -> bool {
    name.get(..OURS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
