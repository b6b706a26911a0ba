//! Fills in the placeholders of a sweep that are the same for every trial: variables of the caller,
//! and the names of study, pipeline and stage.

use super::template::{Fill, FreeText, Names};
use super::{Run, Sweep};
use std::path::{Path, PathBuf};
use swath_engine::executor::{Facts, Launch, StudyContext};
use swath_engine::provenance::variables;
use swath_model::source::secret::Secrets;
use swath_model::source::variables::Unset;
use swath_model::space::Params;
use swath_model::study::{Attempt, TrialId};

impl Sweep {
    /// Fills in the placeholders that are the same for every trial, and returns the secrets that no
    /// record may show. `lookup` returns the variables of the caller.
    ///
    /// # Errors
    /// If a variable is not set and has no default.
    pub fn fill(&mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Secrets, Unset> {
        let mut run = std::mem::take(&mut self.run);
        let filled = self.fill_run(&mut run, lookup);
        self.run = run;
        let secrets = filled?;
        let mut failure = None;
        let mut executor = self.executor.section.clone();
        executor.edit_texts("prelude", &mut |text, _| match self.filled(
            text,
            &self.run.data_dir,
            lookup,
        ) {
            Ok(filled) => *text = filled,
            Err(unset) => failure = Some(unset),
        });
        self.executor.section = executor;
        failure.map_or(Ok(secrets), Err)
    }

    fn fill_run(
        &self,
        run: &mut Run,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Secrets, Unset> {
        // The data sets come first, since other texts may name them.
        let mut data_dir = Vec::new();
        for path in &run.data_dir {
            data_dir.push(self.filled(path, &[], lookup)?);
        }
        run.data_dir = data_dir;
        if let Some(workdir) = &run.workdir {
            let workdir = self.filled(&workdir.to_string_lossy(), &run.data_dir, lookup)?;
            run.workdir = Some(PathBuf::from(workdir));
        }
        let env = run.env.iter_mut().map(|(_, value)| value);
        for text in env.chain(&mut run.setup) {
            *text = self.filled(text, &run.data_dir, lookup)?;
        }
        let secrets = variables::secrets(&run.env, &run.secret_env);
        run.of_trial.fill(lookup)?;
        run.command.fill(&secrets, lookup)?;
        Ok(secrets)
    }

    /// Returns a text that is the same for every trial with its placeholders filled in.
    fn filled(
        &self,
        text: &str,
        data_dir: &[String],
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, Unset> {
        let (mut parsed, _) = FreeText::parse(text, &self.template_names());
        parsed.fill(lookup)?;
        let launch = launch(Params::default(), PathBuf::new());
        let study = StudyContext {
            name: self.name.clone(),
            pipeline: self.pipeline.clone(),
            stage: self.stage.clone(),
            ..StudyContext::default()
        };
        let facts = Facts {
            study: &study,
            launch: &launch,
            dir: Path::new(""),
            data_dir,
            port: None,
        };
        let fill = Fill {
            facts,
            space: &self.space,
            configs: &[],
        };
        // A value of a trial in such a text was an error when the file was read.
        let rendered = parsed.render(&fill);
        Ok(rendered.map_or_else(|| text.to_owned(), |rendered| rendered.resolve(&facts)))
    }

    /// Returns the names that placeholders of this sweep can refer to.
    #[must_use]
    pub fn template_names(&self) -> Names {
        Names {
            params: self.space.names(),
            configs: self.run.config_keys(),
        }
    }
}

/// Returns the launch of the first attempt of trial 1, as an example.
#[must_use]
pub fn launch(params: Params, dir: PathBuf) -> Launch {
    Launch {
        trial: TrialId(1),
        attempt: Attempt(1),
        params,
        seed: 0,
        slot: 0,
        dir,
        until: None,
        resume: false,
        resume_step: None,
        from: None,
    }
}
