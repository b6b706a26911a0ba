//! Writes the SQLite file of ML Metadata, schema version 10, in one transaction: from scratch, or
//! beside the rows of other writers.
//!
//! The tables are those of ml-metadata 1.15 to 1.17. From scratch, the same rows in the same order
//! give a file with the same bytes. A shared file keeps the rows of others, and rows that were
//! written before are found by their names and keep their ids, which others may refer to.

use rusqlite::{Connection, OptionalExtension as _, Params, Result, Statement, params};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The version of the tables.
const SCHEMA: i64 = 10;

/// Time to wait for another writer of a shared file.
const PATIENCE: Duration = Duration::from_secs(5);

/// The properties of an artifact that a later write may have to take away.
const CHANGING: [&str; 5] = ["best_of_trial", "best_model", "feasible", "Step", "Steps"];

/// The SQL statements that create the tables, verbatim from ml-metadata.
const TABLES: &str = include_str!("mlmd_tables.sql");

/// The SQL statements that create the indexes. They run after the rows are inserted, which is
/// faster.
const INDEXES: &str = include_str!("mlmd_indexes.sql");

/// The types that the library adds to every store. It cannot open a store read-only without them.
const BUILT_IN: [(&str, TypeKind); 9] = [
    ("mlmd.Dataset", TypeKind::Artifact),
    ("mlmd.Model", TypeKind::Artifact),
    ("mlmd.Metrics", TypeKind::Artifact),
    ("mlmd.Statistics", TypeKind::Artifact),
    ("mlmd.Train", TypeKind::Execution),
    ("mlmd.Transform", TypeKind::Execution),
    ("mlmd.Process", TypeKind::Execution),
    ("mlmd.Evaluate", TypeKind::Execution),
    ("mlmd.Deploy", TypeKind::Execution),
];

/// The kind of thing that a type describes, with the number the library gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeKind {
    /// Describes executions.
    Execution = 0,
    /// Describes artifacts.
    Artifact = 1,
    /// Describes contexts.
    Context = 2,
}

/// The direction of an event between an execution and an artifact, with the number the library
/// gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Occurs when the execution read the artifact.
    Input = 3,
    /// Occurs when the execution wrote the artifact.
    Output = 4,
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Property {
    /// An integer. Booleans are stored as 0 or 1, since cmf's queries show a boolean as 0.0.
    Int(i64),
    /// A finite number in double precision.
    Double(f64),
    /// A text.
    Text(String),
}

impl Property {
    /// Returns a number as a property. NaN would become NULL in SQLite, which the library refuses
    /// to read, so NaN and the infinities become texts.
    pub(super) fn number(number: f64) -> Self {
        if number.is_finite() {
            Self::Double(number)
        } else {
            Self::Text(number.to_string().to_lowercase())
        }
    }

    /// Returns a text as a property.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// A list of properties: the name, whether it is a custom property, and the value.
pub(super) type Properties<'a> = &'a [(Cow<'static, str>, bool, Property)];

/// A store under construction. Rows get their ids in the order in which they are added, except
/// executions, which bring their own.
pub(super) struct Store<'c> {
    kind: Statement<'c>,
    kind_property: Statement<'c>,
    context: Statement<'c>,
    context_property: Statement<'c>,
    execution: Statement<'c>,
    execution_property: Statement<'c>,
    artifact: Statement<'c>,
    artifact_property: Statement<'c>,
    parent: Statement<'c>,
    association: Statement<'c>,
    attribution: Statement<'c>,
    event: Statement<'c>,
    event_path: Statement<'c>,
    connection: &'c Connection,
    /// Whether other writers have rows in the file.
    is_shared: bool,
    /// The events that were written, as pairs of execution and artifact.
    events: BTreeSet<(i64, i64)>,
}

/// The reason why rows could not be added to a shared file.
#[derive(Debug, thiserror::Error)]
pub(super) enum SharedError {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The tables have another version.
    #[error("its tables have version {0}, and swath writes version {SCHEMA}")]
    Version(i64),
}

/// Lets `fill` add all rows of a study to the store at `path`, which other processes may read and
/// write. The store is created if it is empty or absent.
///
/// The transaction takes SQLite's write lock before it looks at the file, so that two studies that
/// append at once wait for each other.
pub(super) fn append(
    path: &Path,
    fill: impl FnOnce(&mut Store<'_>) -> Result<()>,
) -> std::result::Result<(), SharedError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("BEGIN IMMEDIATE;")?;
    let tables = "SELECT count(*) FROM sqlite_master WHERE name = 'MLMDEnv'";
    let is_new = connection.query_row(tables, [], |row| row.get::<_, i64>(0))? == 0;
    if is_new {
        connection.execute_batch(TABLES)?;
        connection.execute_batch(INDEXES)?;
        connection.execute("INSERT INTO MLMDEnv VALUES (?)", [SCHEMA])?;
    }
    let version = "SELECT schema_version FROM MLMDEnv";
    let version = connection.query_row(version, [], |row| row.get(0))?;
    if version != SCHEMA {
        return Err(SharedError::Version(version));
    }
    let mut store = Store::new(&connection, true)?;
    for (name, described) in BUILT_IN {
        store.kind(name, described, &[])?;
    }
    fill(&mut store)?;
    drop(store);
    // Without the commit, SQLite takes all rows back when the connection is dropped.
    connection.execute_batch("COMMIT;")?;
    connection.close().map_err(|(_, error)| error.into())
}

/// Creates the store at `path`, which must be empty or absent, and lets `fill` add all rows.
pub(super) fn create<E: From<rusqlite::Error>>(
    path: &Path,
    fill: impl FnOnce(&mut Store<'_>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let connection = Connection::open(path)?;
    // The file is a draft until it is renamed, so SQLite need not protect it against a crash.
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;")?;
    connection.execute_batch(TABLES)?;
    connection.execute("INSERT INTO MLMDEnv VALUES (?)", [SCHEMA])?;
    let mut store = Store::new(&connection, false)?;
    for (name, described) in BUILT_IN {
        // The library adds these types when it creates a store, so they come before all others.
        store.kind(name, described, &[])?;
    }
    fill(&mut store)?;
    drop(store);
    connection.execute_batch(INDEXES)?;
    connection.execute_batch("COMMIT;")?;
    connection.close().map_err(|(_, error)| error.into())
}

impl<'c> Store<'c> {
    fn new(connection: &'c Connection, is_shared: bool) -> Result<Self> {
        Ok(Self {
            kind: connection.prepare("INSERT INTO Type (name, type_kind) VALUES (?, ?)")?,
            kind_property: connection.prepare("INSERT OR IGNORE INTO TypeProperty VALUES (?, ?, ?)")?,
            context: connection.prepare(
                "INSERT INTO Context (type_id, name, create_time_since_epoch, last_update_time_since_epoch) VALUES (?, ?, ?, ?)",
            )?,
            context_property: insert_property(connection, "Context")?,
            execution: connection.prepare(
                "INSERT INTO Execution (id, type_id, last_known_state, name, create_time_since_epoch, last_update_time_since_epoch) VALUES (?, ?, ?, ?, ?, ?)",
            )?,
            execution_property: insert_property(connection, "Execution")?,
            artifact: connection.prepare(
                "INSERT INTO Artifact (type_id, uri, name, create_time_since_epoch, last_update_time_since_epoch) VALUES (?, ?, ?, ?, ?)",
            )?,
            artifact_property: insert_property(connection, "Artifact")?,
            parent: connection.prepare("INSERT OR IGNORE INTO ParentContext VALUES (?, ?)")?,
            association: connection.prepare("INSERT OR IGNORE INTO Association (context_id, execution_id) VALUES (?, ?)")?,
            attribution: connection.prepare("INSERT OR IGNORE INTO Attribution (context_id, artifact_id) VALUES (?, ?)")?,
            event: connection.prepare(
                "INSERT OR IGNORE INTO Event (artifact_id, execution_id, type, milliseconds_since_epoch) VALUES (?, ?, ?, ?)",
            )?,
            event_path: connection.prepare("INSERT INTO EventPath (event_id, is_index_step, step_key) VALUES (?, 0, ?)")?,
            connection,
            is_shared,
            events: BTreeSet::new(),
        })
    }

    /// Returns the id of a row that a shared file has already.
    fn find(&self, query: &str, values: impl Params) -> Result<Option<i64>> {
        if !self.is_shared {
            return Ok(None);
        }
        let mut query = self.connection.prepare(query)?;
        query.query_row(values, |row| row.get(0)).optional()
    }

    /// Adds a type and returns its id. A property holds integers if its flag is `true`, else texts.
    pub(super) fn kind(
        &mut self,
        name: &str,
        described: TypeKind,
        properties: &[(&str, bool)],
    ) -> Result<i64> {
        let existing = self.find(
            "SELECT id FROM Type WHERE name = ? AND type_kind = ? AND version IS NULL",
            params![name, described as i64],
        )?;
        let id = match existing {
            Some(id) => id,
            None => {
                self.kind.execute(params![name, described as i64])?;
                self.connection.last_insert_rowid()
            }
        };
        for (property, is_integer) in properties {
            self.kind_property
                .execute(params![id, property, if *is_integer { 1 } else { 3 }])?;
        }
        Ok(id)
    }

    /// Adds a context, created at a time in milliseconds since 1970, and returns its id.
    pub(super) fn context(
        &mut self,
        kind: i64,
        name: &str,
        at: i64,
        properties: Properties<'_>,
    ) -> Result<i64> {
        let existing = self.find(
            "SELECT id FROM Context WHERE type_id = ? AND name = ?",
            params![kind, name],
        )?;
        let id = match existing {
            Some(id) => id,
            None => {
                self.context.execute(params![kind, name, at, at])?;
                self.connection.last_insert_rowid()
            }
        };
        insert_properties(&mut self.context_property, id, properties)?;
        Ok(id)
    }

    /// Records that the context `child` is part of the context `parent`.
    pub(super) fn parent(&mut self, child: i64, parent: i64) -> Result<()> {
        self.parent.execute(params![child, parent]).map(drop)
    }

    /// Adds an execution to a context and returns its id. In a shared file the execution of an
    /// earlier write is replaced, and keeps its id.
    pub(super) fn execution(
        &mut self,
        context: i64,
        execution: &Execution<'_>,
        properties: Properties<'_>,
    ) -> Result<i64> {
        let Execution {
            kind,
            uuid,
            state,
            began,
            changed,
            ..
        } = *execution;
        let existing = self.find(
            "SELECT id FROM Execution JOIN ExecutionProperty ON execution_id = id \
             WHERE type_id = ? AND ExecutionProperty.name = 'Execution_uuid' AND string_value = ?",
            params![kind, uuid],
        )?;
        let id = if let Some(id) = existing {
            let update = "UPDATE Execution SET last_known_state = ?, \
                          last_update_time_since_epoch = ? WHERE id = ?";
            self.connection
                .execute(update, params![state, changed, id])?;
            let old = "DELETE FROM ExecutionProperty WHERE execution_id = ?";
            self.connection.execute(old, [id])?;
            id
        } else {
            let name = self.free_execution_name(execution)?;
            let id = (!self.is_shared).then_some(execution.id);
            self.execution
                .execute(params![id, kind, state, name, began, changed])?;
            self.connection.last_insert_rowid()
        };
        insert_properties(&mut self.execution_property, id, properties)?;
        self.association.execute(params![context, id])?;
        Ok(id)
    }

    /// Returns the name of a new execution: with a part of its UUID if another study has the name.
    fn free_execution_name(&self, execution: &Execution<'_>) -> Result<String> {
        let taken = self.find(
            "SELECT id FROM Execution WHERE type_id = ? AND name = ?",
            params![execution.kind, execution.name],
        )?;
        let start = execution.uuid.get(..8).unwrap_or(execution.uuid);
        Ok(match taken {
            Some(_) => format!("{}_{start}", execution.name),
            None => execution.name.to_owned(),
        })
    }

    /// Adds an artifact to a context and returns its id.
    pub(super) fn artifact(
        &mut self,
        context: i64,
        artifact: &Artifact<'_>,
        properties: Properties<'_>,
    ) -> Result<i64> {
        let Artifact {
            kind,
            uri,
            name,
            at,
        } = *artifact;
        let existing = self.find(
            "SELECT id FROM Artifact WHERE type_id = ? AND name = ?",
            params![kind, name],
        )?;
        let id = if let Some(id) = existing {
            for property in CHANGING {
                let old = "DELETE FROM ArtifactProperty WHERE artifact_id = ? AND name = ?";
                self.connection.execute(old, params![id, property])?;
            }
            id
        } else {
            self.artifact.execute(params![kind, uri, name, at, at])?;
            self.connection.last_insert_rowid()
        };
        insert_properties(&mut self.artifact_property, id, properties)?;
        self.attribution.execute(params![context, id])?;
        Ok(id)
    }

    /// Returns the id and the name of a data set or model with these bytes that a shared file has
    /// already, whichever stage has written it. A data set is preferred.
    pub(super) fn artifact_with_bytes(&self, md5: &str) -> Result<Option<(i64, String)>> {
        if !self.is_shared {
            return Ok(None);
        }
        let mut query = self.connection.prepare(
            "SELECT Artifact.id, Artifact.name FROM Artifact JOIN Type ON Type.id = type_id \
             WHERE uri = ? AND Type.name IN ('Dataset', 'Model') \
             ORDER BY Type.name, Artifact.id LIMIT 1",
        )?;
        let found = query.query_row([md5], |row| Ok((row.get(0)?, row.get(1)?)));
        found.optional()
    }

    /// Adds an artifact of another context to a context.
    pub(super) fn attribute(&mut self, context: i64, artifact: i64) -> Result<()> {
        self.attribution
            .execute(params![context, artifact])
            .map(drop)
    }

    /// Records that an execution read or wrote an artifact, at a time in milliseconds since 1970.
    /// `path` names the artifact if it existed before.
    pub(super) fn event(
        &mut self,
        artifact: i64,
        execution: i64,
        direction: Direction,
        at: i64,
        path: Option<&str>,
    ) -> Result<()> {
        // In a shared file, an output with the bytes of an input is the same artifact. As in
        // cmflib, the execution then only reads it: otherwise the artifact would be its own
        // ancestor.
        if !self.events.insert((execution, artifact)) && self.is_shared {
            return Ok(());
        }
        let added = self
            .event
            .execute(params![artifact, execution, direction as i64, at])?;
        if let Some(path) = path.filter(|_| added > 0) {
            self.event_path
                .execute(params![self.connection.last_insert_rowid(), path])?;
        }
        Ok(())
    }

    /// Removes from a shared file what an earlier write connected with these executions and this
    /// one did not: for example, the step metrics of an attempt that started anew. An artifact that
    /// no execution refers to any more is removed, too.
    pub(super) fn remove_stale(&mut self, executions: &BTreeSet<i64>) -> Result<()> {
        if !self.is_shared {
            return Ok(());
        }
        for execution in executions {
            let query = "SELECT id, artifact_id FROM Event WHERE execution_id = ?";
            let mut query = self.connection.prepare(query)?;
            let rows = query.query_map([execution], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows: Vec<(i64, i64)> = rows.collect::<Result<_>>()?;
            let stale = rows
                .iter()
                .filter(|(_, artifact)| !self.events.contains(&(*execution, *artifact)));
            for (event, artifact) in stale {
                self.remove("DELETE FROM EventPath WHERE event_id = ?", *event)?;
                self.remove("DELETE FROM Event WHERE id = ?", *event)?;
                let used = "SELECT id FROM Event WHERE artifact_id = ? LIMIT 1";
                if self.find(used, [artifact])?.is_none() {
                    let properties = "DELETE FROM ArtifactProperty WHERE artifact_id = ?";
                    self.remove(properties, *artifact)?;
                    let contexts = "DELETE FROM Attribution WHERE artifact_id = ?";
                    self.remove(contexts, *artifact)?;
                    self.remove("DELETE FROM Artifact WHERE id = ?", *artifact)?;
                }
            }
        }
        Ok(())
    }

    fn remove(&self, statement: &str, id: i64) -> Result<()> {
        self.connection.execute(statement, [id]).map(drop)
    }
}

/// A row of the table `Execution`. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Execution<'a> {
    /// The id in a file of one study. A shared file gives an id of its own.
    pub(super) id: i64,
    pub(super) kind: i64,
    pub(super) name: &'a str,
    /// The property `Execution_uuid`, which tells executions of several studies apart.
    pub(super) uuid: &'a str,
    pub(super) state: i64,
    pub(super) began: i64,
    pub(super) changed: i64,
}

/// A row of the table `Artifact`. The time `at` is in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Artifact<'a> {
    pub(super) kind: i64,
    pub(super) uri: &'a str,
    pub(super) name: &'a str,
    pub(super) at: i64,
}

/// Prepares the statement that inserts a property of a row in `table`.
fn insert_property<'c>(connection: &'c Connection, table: &str) -> Result<Statement<'c>> {
    connection.prepare(&format!(
        "INSERT OR REPLACE INTO {table}Property ({}_id, name, is_custom_property, int_value, \
         double_value, string_value) VALUES (?, ?, ?, ?, ?, ?)",
        table.to_lowercase()
    ))
}

/// Inserts the properties of the row `id`.
fn insert_properties(
    statement: &mut Statement<'_>,
    id: i64,
    properties: Properties<'_>,
) -> Result<()> {
    for (name, custom, value) in properties {
        let none = None::<i64>;
        match value {
            Property::Int(number) => {
                statement.execute(params![id, name, custom, number, none, none])?
            }
            Property::Double(number) => {
                statement.execute(params![id, name, custom, none, number, none])?
            }
            Property::Text(text) => {
                statement.execute(params![id, name, custom, none, none, text])?
            }
        };
    }
    Ok(())
}
