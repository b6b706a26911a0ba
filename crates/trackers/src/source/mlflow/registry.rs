//! Answers the calls about models: logged models of MLflow 3, and the registry.

use super::attempt::AttemptServer;
use super::call::{Answer, Refusal, list, now, read_pairs, required, text};
use super::runs::{LoggedModel, RegisteredModel};
use serde_json::{Value, json};
use std::path::PathBuf;
use swath_model::space::{Name, Value as Setting};

/// The status of a logged model whose files are complete.
const READY: &str = "LOGGED_MODEL_READY";

/// Logged models of MLflow 3.
impl AttemptServer {
    pub(super) fn logged_model_call(
        &mut self,
        method: &str,
        call: &[&str],
        args: &Value,
    ) -> Answer {
        match (method, call) {
            ("POST", []) => {
                let name = match text(args, "name") {
                    "" => "model",
                    name => name,
                };
                let folder = self.files.of_model(name);
                // The folder is there at once, so that the next model of this name gets another.
                std::fs::create_dir_all(&folder)?;
                let model = LoggedModel {
                    id: format!("m-{:032x}", rand::random::<u128>()),
                    experiment: text(args, "experiment_id").to_owned(),
                    name: name.to_owned(),
                    kind: text(args, "model_type").to_owned(),
                    run: text(args, "source_run_id").to_owned(),
                    status: "LOGGED_MODEL_PENDING".to_owned(),
                    created: now(),
                    artifact_uri: folder.to_string_lossy().into_owned(),
                    params: read_pairs(args, "params"),
                    tags: read_pairs(args, "tags"),
                    step: None,
                    is_recorded: false,
                };
                let answer = json!({ "model": model.json() });
                self.models.push(model);
                Ok(answer)
            }
            ("POST", ["search"]) => {
                let models: Vec<_> = self.models.iter().rev().map(LoggedModel::json).collect();
                Ok(json!({ "models": models }))
            }
            (_, [id, rest @ ..]) => {
                let model = self.models.iter().position(|model| model.id == *id);
                let Some(index) = model else {
                    return Err(Refusal::missing(format!(
                        "Logged model with ID '{id}' not found."
                    )));
                };
                self.one_model_call(method, index, rest, args)
            }
            _ => Err(self.unknown()),
        }
    }

    fn one_model_call(
        &mut self,
        method: &str,
        index: usize,
        call: &[&str],
        args: &Value,
    ) -> Answer {
        let model = &mut self.models[index];
        match (method, call) {
            ("GET", []) => {}
            ("PATCH", []) => {
                text(args, "status").clone_into(&mut model.status);
                if model.status == READY && !model.is_recorded {
                    model.is_recorded = true;
                    let path = PathBuf::from(&model.artifact_uri);
                    let description = std::fs::read_to_string(path.join("MLmodel"));
                    let framework = framework_of(&description.unwrap_or_default());
                    let facts = facts(&model.name, framework);
                    self.recorder.model(&model.run, &path, model.step, facts)?;
                    self.forward_files(&path, &path);
                }
            }
            ("PATCH", ["tags"]) => model.tags.extend(read_pairs(args, "tags")),
            ("DELETE", ["tags", key]) => {
                model.tags.remove(*key);
            }
            ("POST", ["params"]) => model.params.extend(read_pairs(args, "params")),
            ("DELETE", []) => {
                self.models.remove(index);
                return Ok(json!({}));
            }
            ("GET", ["artifacts", "directories"]) => return Ok(json!({ "files": [] })),
            _ => return Err(self.unknown()),
        }
        Ok(json!({ "model": self.models[index].json() }))
    }
}

/// The registry.
impl AttemptServer {
    pub(super) fn registry_call(&mut self, method: &str, call: &[&str], args: &Value) -> Answer {
        if call == ["search"] {
            let models = self.registry.iter();
            let models: Vec<_> = models.map(|(name, model)| model.json(name)).collect();
            return Ok(json!({ "registered_models": models }));
        }
        let name = required(args, "name")?;
        if call == ["create"] {
            if self.registry.contains_key(name) {
                let message = format!("Registered Model (name={name}) already exists.");
                return Err(Refusal::exists(message));
            }
            let model = RegisteredModel {
                tags: read_pairs(args, "tags"),
                description: text(args, "description").to_owned(),
                ..RegisteredModel::default()
            };
            let answer = json!({ "registered_model": model.json(name) });
            self.registry.insert(name.to_owned(), model);
            return Ok(answer);
        }
        let Some(model) = self.registry.get_mut(name) else {
            return Err(Refusal::missing(format!(
                "Registered Model with name={name} not found"
            )));
        };
        let (key, alias) = (text(args, "key"), text(args, "alias"));
        match (method, call) {
            (_, ["get"]) => {}
            (_, ["update"]) => text(args, "description").clone_into(&mut model.description),
            (_, ["set-tag"]) => {
                model
                    .tags
                    .insert(key.to_owned(), text(args, "value").to_owned());
            }
            (_, ["delete-tag"]) => {
                model.tags.remove(key);
            }
            ("POST", ["alias"]) => {
                let version = text(args, "version").to_owned();
                model.aliases.insert(alias.to_owned(), version);
            }
            ("DELETE", ["alias"]) => {
                model.aliases.remove(alias);
            }
            ("GET", ["alias"]) => {
                let version = model.aliases.get(alias);
                let mut versions = model.versions.iter();
                let version = versions.find(|other| {
                    Some(text(other, "version")) == version.map(|version| &**version)
                });
                return match version {
                    Some(version) => Ok(json!({ "model_version": version })),
                    None => Err(Refusal::missing(format!(
                        "Registered model alias {alias} not found."
                    ))),
                };
            }
            (_, ["get-latest-versions"]) => {
                let last: Vec<_> = model.versions.last().into_iter().collect();
                return Ok(json!({ "model_versions": last }));
            }
            _ => return Err(self.unknown()),
        }
        Ok(json!({ "registered_model": model.json(name) }))
    }

    pub(super) fn version_call(&mut self, call: &[&str], args: &Value) -> Answer {
        if call == ["search"] {
            let models = self.registry.values();
            let versions: Vec<_> = models.flat_map(|model| &model.versions).collect();
            return Ok(json!({ "model_versions": versions }));
        }
        let name = required(args, "name")?;
        let Some(model) = self.registry.get_mut(name) else {
            return Err(Refusal::missing(format!(
                "Registered Model with name={name} not found"
            )));
        };
        if call == ["create"] {
            let run = text(args, "run_id").to_owned();
            let version = json!({
                "name": name,
                "version": (model.versions.len() + 1).to_string(),
                "creation_timestamp": now(),
                "last_updated_timestamp": now(),
                "current_stage": "None",
                "description": text(args, "description"),
                "source": text(args, "source"),
                "run_id": run,
                "status": "READY",
                "tags": list(args, "tags"),
            });
            model.versions.push(version.clone());
            let number = text(&version, "version");
            let note = format!("registered as version {number} of the model `{name}`");
            let run = match self
                .models
                .iter()
                .find(|model| model.id == text(args, "model_id"))
            {
                Some(model) => model.run.clone(),
                None => run,
            };
            self.recorder.note(&run, note)?;
            return Ok(json!({ "model_version": version }));
        }
        let number = text(args, "version");
        let mut versions = model.versions.iter_mut();
        let Some(version) = versions.find(|version| text(version, "version") == number) else {
            let message = format!("Model Version (name={name}, version={number}) not found");
            return Err(Refusal::missing(message));
        };
        match call {
            ["get"] => {}
            ["update"] => version["description"] = json!(text(args, "description")),
            ["transition-stage"] => version["current_stage"] = json!(text(args, "stage")),
            ["set-tag" | "delete-tag" | "delete"] => return Ok(json!({})),
            ["get-download-uri"] => return Ok(json!({ "artifact_uri": version["source"] })),
            _ => return Err(self.unknown()),
        }
        Ok(json!({ "model_version": version }))
    }
}

/// Returns the framework that a description of a model names: its flavor apart from the general
/// one.
pub(super) fn framework(description: &Value) -> Option<String> {
    let flavors = description.get("flavors")?.as_object()?;
    let mut names = flavors.keys().filter(|name| *name != "python_function");
    names.next().cloned()
}

/// Returns the framework that the file `MLmodel` names.
fn framework_of(description: &str) -> Option<String> {
    let flavors = description
        .lines()
        .skip_while(|line| *line != "flavors:")
        .skip(1);
    let mut names = flavors
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' ') && *name != "python_function");
    names.next().map(str::to_owned)
}

pub(super) fn facts(name: &str, framework: Option<String>) -> Vec<(Name, Setting)> {
    let fact = |key: &str, text: &str| (Name::from(key), Setting::Text(text.into()));
    let name = Some(fact("name", name)).filter(|_| !name.is_empty());
    let framework = framework.map(|framework| fact("framework", &framework));
    name.into_iter().chain(framework).collect()
}
