//! Reads Optuna's SQLite file: the tables of its `RDBStorage`, version 3 and later.

use super::optuna::{State, Study, Trial, choose, value};
use super::{FileSelection, ImportError};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The time that reading a file may take. A query over a view can be endless.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Maximum length of one value in bytes.
const LONGEST_VALUE: i32 = 64 << 20;
/// Number of steps of SQLite's virtual machine after which the time is checked.
const STEPS: i32 = 100_000;

/// Reads the selected study. The file is opened read-only.
pub(super) fn read(path: &Path, selection: &FileSelection) -> Result<Study, ImportError> {
    read_within(path, selection, TIME_LIMIT)
}

fn read_within(
    path: &Path,
    selection: &FileSelection,
    limit: Duration,
) -> Result<Study, ImportError> {
    let base = open(path, limit).map_err(|error| unfit_file(path, &error))?;
    let studies = studies(&base).map_err(|error| unfit_file(path, &error))?;
    let names: Vec<String> = studies.iter().map(|(_, name)| name.clone()).collect();
    let (id, name) = &studies[choose(&names, selection)?];
    let (minimised, trials) = minimised(&base, *id)
        .and_then(|minimised| Ok((minimised, trials(&base, *id)?)))
        .map_err(|error| unfit_file(path, &error))?;
    Ok(Study {
        name: name.clone(),
        minimised,
        trials,
    })
}

/// Opens a file in such a way that its contents cannot take memory or time without bounds.
fn open(path: &Path, limit: Duration) -> rusqlite::Result<Base> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    let deadline = Instant::now() + limit;
    connection.progress_handler(STEPS, Some(move || Instant::now() > deadline))?;
    // Functions that a view calls must be harmless, as the file may come from anybody.
    connection.execute_batch("PRAGMA trusted_schema = OFF")?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
    let pages: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let page_size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    Ok(Base {
        connection,
        rest: Cell::new((u64::from(pages) * u64::from(page_size) * MOST_PER_BYTE).min(MOST_BYTES)),
    })
}

/// Maximum number of bytes that are read from the tables, for each byte of the file. Dates are
/// longer as texts than in the file, but a table never holds several times what the file does. A
/// view may.
const MOST_PER_BYTE: u64 = 4;

/// Maximum number of bytes that are read from the tables: the trials are in memory until they are
/// converted.
const MOST_BYTES: u64 = 512 << 20;

/// An open file.
struct Base {
    connection: Connection,
    /// Number of bytes that may still be read.
    rest: Cell<u64>,
}

impl Base {
    /// Calls `take` for each row of a query.
    fn each(
        &self,
        query: &str,
        params: impl rusqlite::Params,
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut query = self.connection.prepare(query)?;
        let columns = query.column_count();
        let mut rows = query.query(params)?;
        while let Some(row) = rows.next()? {
            let mut size = 1;
            for column in 0..columns {
                size += match row.get_ref(column)? {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
                };
            }
            let Some(rest) = self.rest.get().checked_sub(size) else {
                let reason = "its tables hold more than 512 MiB, or more than the file: they may be \
                              views";
                return Err(rusqlite::Error::ToSqlConversionFailure(reason.into()));
            };
            self.rest.set(rest);
            take(row)?;
        }
        Ok(())
    }
}

/// Returns the error for a file that is not a database of Optuna.
fn unfit_file(path: &Path, error: &rusqlite::Error) -> ImportError {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => ImportError::unfit(
            format!(
                "reading `{path}` took longer than {} s",
                TIME_LIMIT.as_secs()
            ),
            "write its trials into a CSV, and import that",
        ),
        _ => ImportError::unfit(
            format!("`{path}` is not an Optuna database: {error}"),
            "an SQLite file of Optuna 3 or later can be imported; `optuna storage upgrade` brings \
             an older one up to date",
        ),
    }
}

/// Returns the ids and names of all studies.
fn studies(base: &Base) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut studies = Vec::new();
    base.each("SELECT study_id, study_name FROM studies", [], |row| {
        studies.push((row.get(0)?, row.get(1)?));
        Ok(())
    })?;
    studies.sort();
    Ok(studies)
}

/// Returns for each objective whether it is minimised.
fn minimised(base: &Base, study: i64) -> rusqlite::Result<Vec<bool>> {
    let mut directions: Vec<(i64, bool)> = Vec::new();
    let query = "SELECT objective, direction FROM study_directions WHERE study_id = ?";
    base.each(query, [study], |row| {
        directions.push((row.get(0)?, row.get::<_, String>(1)? != "MAXIMIZE"));
        Ok(())
    })?;
    directions.sort();
    Ok(directions
        .into_iter()
        .map(|(_, minimised)| minimised)
        .collect())
}

/// Returns the trials of a study, by number. The queries do not sort, because SQLite would read a
/// whole table, or an endless view, before it returns the first row.
fn trials(base: &Base, study: i64) -> rusqlite::Result<Vec<Trial>> {
    let mut trials_by_id: BTreeMap<i64, Trial> = BTreeMap::new();
    let query = "SELECT trial_id, number, state, CAST(datetime_start AS TEXT), \
                 CAST(datetime_complete AS TEXT) FROM trials WHERE study_id = ?";
    base.each(query, [study], |row| {
        let state = match row.get::<_, String>(2)?.as_str() {
            "COMPLETE" => State::Complete,
            "PRUNED" => State::Pruned,
            "FAIL" => State::Failed,
            "WAITING" => State::Waiting,
            _ => State::Running,
        };
        let number = row
            .get::<_, Option<i64>>(1)?
            .and_then(|number| u64::try_from(number).ok());
        let trial = Trial {
            number: number.unwrap_or_default(),
            state,
            started: row.get(3)?,
            ended: row.get(4)?,
            ..Trial::default()
        };
        trials_by_id.insert(row.get(0)?, trial);
        Ok(())
    })?;
    let columns = "param_name, param_value, distribution_json";
    for (trial, (name, value)) in
        rows_of(base, study, "trial_params", "param_id", columns, |row| {
            let (name, internal, distribution): (String, f64, String) =
                (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(value(internal, &distribution).map(|value| (name, value)))
        })?
    {
        if let Some(trial) = trials_by_id.get_mut(&trial) {
            trial.params.push((name, value));
        }
    }
    let columns = "value, value_type";
    for (trial, value) in rows_of(base, study, "trial_values", "objective", columns, |row| {
        Ok(Some(number(row.get(2)?, &row.get::<_, String>(3)?)))
    })? {
        if let Some(trial) = trials_by_id.get_mut(&trial) {
            trial.values.push(value);
        }
    }
    let columns = "intermediate_value, intermediate_value_type";
    let table = "trial_intermediate_values";
    for (trial, (step, value)) in rows_of(base, study, table, "step", columns, |row| {
        let value = number(row.get(2)?, &row.get::<_, String>(3)?);
        Ok(Some((row.get(1)?, value)))
    })? {
        if let Some(trial) = trials_by_id.get_mut(&trial) {
            trial.intermediate.insert(step, value);
        }
    }
    let table = "trial_user_attributes";
    for (trial, (key, value)) in rows_of(base, study, table, "0", "key, value_json", |row| {
        let (key, text): (String, String) = (row.get(2)?, row.get(3)?);
        Ok(serde_json::from_str(&text).ok().map(|value| (key, value)))
    })? {
        if let Some(trial) = trials_by_id.get_mut(&trial) {
            trial.attributes.insert(key, value);
        }
    }
    let mut trials: Vec<Trial> = trials_by_id.into_values().collect();
    trials.sort_by_key(|trial| trial.number);
    Ok(trials)
}

/// Returns the result of `read` for each row of a table that belongs to a trial of the study, with
/// the trial's id, by trial and by the column `order`. The first columns of a row are these two;
/// `columns` follow. Rows without a result are left out.
fn rows_of<T>(
    base: &Base,
    study: i64,
    table: &str,
    order: &str,
    columns: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<Option<T>>,
) -> rusqlite::Result<impl Iterator<Item = (i64, T)>> {
    let query = format!(
        "SELECT trial_id, {order}, {columns} FROM {table} \
         WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)"
    );
    let mut results = Vec::new();
    base.each(&query, [study], |row| {
        if let Some(result) = read(row)? {
            results.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, result));
        }
        Ok(())
    })?;
    results.sort_by_key(|(trial, order, _)| (*trial, *order));
    Ok(results
        .into_iter()
        .map(|(trial, _, result)| (trial, result)))
}

/// Returns the value of a column pair. SQLite has no infinities and no NaN, so Optuna stores the
/// kind of the number in a second column.
fn number(value: Option<f64>, kind: &str) -> f64 {
    match kind {
        "INF_POS" => f64::INFINITY,
        "INF_NEG" => f64::NEG_INFINITY,
        "NAN" => f64::NAN,
        _ => value.unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const SCHEMA: &str = "
        CREATE TABLE studies (study_id INTEGER, study_name TEXT);
        CREATE TABLE study_directions (study_id INTEGER, objective INTEGER, direction TEXT);
        CREATE TABLE trial_params (trial_id, param_id, param_name, param_value, distribution_json);
        CREATE TABLE trial_values (trial_id, objective, value, value_type);
        CREATE TABLE trial_intermediate_values
            (trial_id, step, intermediate_value, intermediate_value_type);
        CREATE TABLE trial_user_attributes (trial_id, key, value_json);
        INSERT INTO studies VALUES (1, 's');
        INSERT INTO study_directions VALUES (1, 0, 'MINIMIZE');";

    /// Writes a database whose trials are a view over `query`.
    fn database(folder: &Path, query: &str) -> PathBuf {
        let path = folder.join("optuna.db");
        let base = Connection::open(&path).unwrap();
        base.execute_batch(SCHEMA).unwrap();
        base.execute_batch(&format!("CREATE VIEW trials AS {query}"))
            .unwrap();
        path
    }

    fn error(query: &str, limit: Duration) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), query);
        let error = read_within(&path, &FileSelection::default(), limit).unwrap_err();
        error.to_string()
    }

    const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    const COLUMNS: &str = "1 AS study_id, i AS trial_id, i AS number, 'COMPLETE' AS state,
        NULL AS datetime_start, NULL AS datetime_complete";

    #[test]
    fn a_view_without_end_is_refused_as_soon_as_it_holds_more_than_the_file() {
        let endless = format!("{NUMBERS} SELECT {COLUMNS} FROM n");
        let message = error(&endless, Duration::from_secs(600));
        assert!(message.contains("or more than the file"), "{message}");
    }

    #[test]
    fn a_view_that_returns_no_row_is_refused_when_its_time_is_up() {
        let fruitless = format!("{NUMBERS} SELECT {COLUMNS} FROM n WHERE i < 0");
        let message = error(&fruitless, Duration::from_millis(200));
        assert!(message.contains("took longer than"), "{message}");
    }

    #[test]
    fn a_view_of_a_few_trials_is_read_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let few =
            format!("SELECT {COLUMNS} FROM (SELECT 3 AS i UNION ALL SELECT 1 UNION ALL SELECT 2)");
        let path = database(folder.path(), &few);
        let base = Connection::open(&path).unwrap();
        base.execute_batch(
            "INSERT INTO trial_values VALUES (2, 1, 0.25, 'FINITE'), (2, 0, 0.5, 'FINITE');",
        )
        .unwrap();
        let study = read(&path, &FileSelection::default()).unwrap();
        let numbers: Vec<u64> = study.trials.iter().map(|trial| trial.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(study.trials[1].values, [0.5, 0.25]);
    }
}
