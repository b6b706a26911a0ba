//! Reads Optuna's SQLite file: the tables of its `RDBStorage`, version 3 and later.

use super::optuna::{State, Study, Trial, choose, value};
use super::{FileSelection, ImportError};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the selected study. The file is opened read-only.
pub(super) fn read(path: &Path, selection: &FileSelection) -> Result<Study, ImportError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let base =
        Connection::open_with_flags(path, flags).map_err(|error| unfit_file(path, &error))?;
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

/// Returns the error for a file that is not a database of Optuna.
fn unfit_file(path: &Path, error: &rusqlite::Error) -> ImportError {
    ImportError::unfit(
        format!("`{}` is not an Optuna database: {error}", path.display()),
        "an SQLite file of Optuna 3 or later can be imported; `optuna storage upgrade` brings an \
         older one up to date",
    )
}

/// Returns the ids and names of all studies.
fn studies(base: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut query = base.prepare("SELECT study_id, study_name FROM studies ORDER BY study_id")?;
    query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Returns for each objective whether it is minimised.
fn minimised(base: &Connection, study: i64) -> rusqlite::Result<Vec<bool>> {
    let mut query = base
        .prepare("SELECT direction FROM study_directions WHERE study_id = ? ORDER BY objective")?;
    query
        .query_map([study], |row| Ok(row.get::<_, String>(0)? != "MAXIMIZE"))?
        .collect()
}

/// Returns the trials of a study, by number.
fn trials(base: &Connection, study: i64) -> rusqlite::Result<Vec<Trial>> {
    let mut trials_by_id: BTreeMap<i64, Trial> = BTreeMap::new();
    let mut query = base.prepare(
        "SELECT trial_id, number, state, CAST(datetime_start AS TEXT), CAST(datetime_complete AS TEXT) FROM trials WHERE study_id = ?",
    )?;
    let mut rows = query.query([study])?;
    while let Some(row) = rows.next()? {
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
    }
    each(
        base,
        study,
        "trial_params",
        "param_name, param_value, distribution_json",
        "param_id",
        |row| {
            let (name, internal, distribution): (String, f64, String) =
                (row.get(1)?, row.get(2)?, row.get(3)?);
            if let (Some(trial), Some(value)) = (
                trials_by_id.get_mut(&row.get(0)?),
                value(internal, &distribution),
            ) {
                trial.params.push((name, value));
            }
            Ok(())
        },
    )?;
    each(
        base,
        study,
        "trial_values",
        "value, value_type",
        "objective",
        |row| {
            if let Some(trial) = trials_by_id.get_mut(&row.get(0)?) {
                trial
                    .values
                    .push(number(row.get(1)?, &row.get::<_, String>(2)?));
            }
            Ok(())
        },
    )?;
    let columns = "step, intermediate_value, intermediate_value_type";
    each(
        base,
        study,
        "trial_intermediate_values",
        columns,
        "step",
        |row| {
            if let Some(trial) = trials_by_id.get_mut(&row.get(0)?) {
                trial
                    .intermediate
                    .insert(row.get(1)?, number(row.get(2)?, &row.get::<_, String>(3)?));
            }
            Ok(())
        },
    )?;
    each(
        base,
        study,
        "trial_user_attributes",
        "key, value_json",
        "key",
        |row| {
            let (key, text): (String, String) = (row.get(1)?, row.get(2)?);
            if let (Some(trial), Ok(value)) = (
                trials_by_id.get_mut(&row.get(0)?),
                serde_json::from_str(&text),
            ) {
                trial.attributes.insert(key, value);
            }
            Ok(())
        },
    )?;
    let mut trials: Vec<Trial> = trials_by_id.into_values().collect();
    trials.sort_by_key(|trial| trial.number);
    Ok(trials)
}

/// Calls `take` for each row of a table that belongs to a trial of the study. The first column of a
/// row is the trial's id; `columns` follow.
fn each(
    base: &Connection,
    study: i64,
    table: &str,
    columns: &str,
    order: &str,
    mut take: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let text = format!(
        "SELECT trial_id, {columns} FROM {table} WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?) ORDER BY trial_id, {order}"
    );
    let mut query = base.prepare(&text)?;
    let mut rows = query.query([study])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
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
