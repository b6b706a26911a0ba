//! Writes the SQLite file of ML Metadata, schema version 10, from scratch in one transaction.
//!
//! The tables are those of ml-metadata 1.15 to 1.17. The same rows in the same order give a file
//! with the same bytes.

use rusqlite::{Connection, Result, Statement, params};
use std::path::Path;

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
pub(super) type Properties<'a> = &'a [(&'a str, bool, Property)];

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
    connection.execute_batch("INSERT INTO MLMDEnv VALUES (10);")?;
    let mut store = Store::new(&connection)?;
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
    fn new(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            kind: connection.prepare("INSERT INTO Type (name, type_kind) VALUES (?, ?)")?,
            kind_property: connection.prepare("INSERT INTO TypeProperty VALUES (?, ?, ?)")?,
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
            parent: connection.prepare("INSERT INTO ParentContext VALUES (?, ?)")?,
            association: connection.prepare("INSERT INTO Association (context_id, execution_id) VALUES (?, ?)")?,
            attribution: connection.prepare("INSERT INTO Attribution (context_id, artifact_id) VALUES (?, ?)")?,
            event: connection.prepare(
                "INSERT INTO Event (artifact_id, execution_id, type, milliseconds_since_epoch) VALUES (?, ?, ?, ?)",
            )?,
            event_path: connection.prepare("INSERT INTO EventPath (event_id, is_index_step, step_key) VALUES (?, 0, ?)")?,
            connection,
        })
    }

    /// Adds a type and returns its id. A property holds integers if its flag is `true`, else texts.
    pub(super) fn kind(
        &mut self,
        name: &str,
        described: TypeKind,
        properties: &[(&str, bool)],
    ) -> Result<i64> {
        self.kind.execute(params![name, described as i64])?;
        let id = self.connection.last_insert_rowid();
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
        self.context.execute(params![kind, name, at, at])?;
        let id = self.connection.last_insert_rowid();
        insert_properties(&mut self.context_property, id, properties)?;
        Ok(id)
    }

    /// Records that the context `child` is part of the context `parent`.
    pub(super) fn parent(&mut self, child: i64, parent: i64) -> Result<()> {
        self.parent.execute(params![child, parent]).map(drop)
    }

    /// Adds an execution to a context.
    pub(super) fn execution(
        &mut self,
        context: i64,
        execution: &Execution<'_>,
        properties: Properties<'_>,
    ) -> Result<()> {
        let Execution {
            id,
            kind,
            name,
            state,
            began,
            changed,
        } = *execution;
        self.execution
            .execute(params![id, kind, state, name, began, changed])?;
        insert_properties(&mut self.execution_property, id, properties)?;
        self.association.execute(params![context, id]).map(drop)
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
        self.artifact.execute(params![kind, uri, name, at, at])?;
        let id = self.connection.last_insert_rowid();
        insert_properties(&mut self.artifact_property, id, properties)?;
        self.attribution.execute(params![context, id])?;
        Ok(id)
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
        self.event
            .execute(params![artifact, execution, direction as i64, at])?;
        if let Some(path) = path {
            self.event_path
                .execute(params![self.connection.last_insert_rowid(), path])?;
        }
        Ok(())
    }
}

/// A row of the table `Execution`. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Execution<'a> {
    pub(super) id: i64,
    pub(super) kind: i64,
    pub(super) name: &'a str,
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
