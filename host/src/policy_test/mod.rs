//! Test cases for a policy, run on its component: the same sandbox, hooks and limits as in the gateway, in a world
//! whose clock, randomness, keys, Redis and upstreams are the case's.
//!
//! What only a gateway has is not here: listeners, routing, the bounds of retries, other policies' hooks.

mod case_file;
mod claims;
mod expectation;
mod judge;
mod memory_redis;
mod outcall_script;
mod report;
mod seen;
mod series;
mod stage;
mod terms;
mod upstream_script;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_config::{Document, Lines, Problem, pointer_to_path};
use sha2::{Digest as _, Sha256};

use self::case_file::{Case, CaseFile, Step};
use self::claims::Mismatches;
pub use self::report::{Report, Verdict};
use self::stage::Stage;
use self::terms::Terms;
use self::world::World;
use crate::policy::loader::missing_grants;
use crate::wasm::compile::compiler::{Made, PrepareError, Source};
use crate::wasm::component::PolicyComponent;
use crate::wasm::engine::Engines;
use crate::wasm::prepared::Prepared;

/// A component to be tested.
pub struct Tested {
    engines: Engines,
    bytes: Vec<u8>,
}

/// What became of a case's config.
type Ready = Result<Option<Arc<Prepared>>, PrepareError>;

impl Tested {
    /// That component.
    pub fn new(engines: Engines, bytes: Vec<u8>) -> Self {
        Self { engines, bytes }
    }

    /// Runs all cases of a file.
    ///
    /// # Errors
    /// The file can't be read, or the component is no policy: all problems, a line each.
    pub async fn run(&self, path: &Path) -> Result<Vec<Report>, String> {
        let (file, lines) = read(path)?;
        let mut reports = Vec::new();
        let mut terms = Vec::new();
        for (index, case) in file.cases.iter().enumerate() {
            let place = lines.problem(format!("cases[{index}]"), "");
            let name = case.name.clone();
            reports.push(Report::new(path, place.line, name));
            terms.push(Terms::of(case, &file));
        }
        let (component, mut made) = self.make(&terms, &file.cases).await?;
        for (index, (case, terms)) in file.cases.iter().zip(&terms).enumerate() {
            let found = match terms {
                Err(problem) => one(problem.clone()),
                Ok(terms) => {
                    let ready = made.remove(0);
                    let missing = missing_grants(&component, &terms.policy);
                    // A config is right or wrong whatever is granted.
                    if missing.is_empty() || case.refused.is_some() {
                        one_case(case, terms, ready).await
                    } else {
                        one(missing.join("; "))
                    }
                }
            };
            reports[index].found(&found, |path| {
                lines.locate(&format!("cases[{index}].{path}"))
            });
        }
        Ok(reports)
    }

    /// Compiles the policy for all cases in one go; a use of each whose terms are right.
    async fn make(
        &self,
        terms: &[Result<Terms, String>],
        cases: &[Case],
    ) -> Result<(PolicyComponent, Vec<Ready>), String> {
        let source = Source {
            bytes: &self.bytes,
            digest: Sha256::digest(&self.bytes).into(),
            description: None,
        };
        let uses = terms.iter().zip(cases).filter_map(|(terms, case)| {
            let tried = case.refused.is_none();
            Some(terms.as_ref().ok()?.used(tried))
        });
        let uses: Vec<_> = uses.collect();
        let made = self.engines.compiler.make(&source, &uses).await;
        let made = made.map_err(|error| error.to_string())?;
        let Made {
            description, uses, ..
        } = made;
        let component = PolicyComponent::new(self.bytes.clone(), source.digest, description);
        Ok((component?, uses))
    }
}

/// The files that a path stands for: itself, or those of a folder, in the order of their names.
///
/// # Errors
/// There is nothing, and what to do.
pub fn case_files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let place = path.display();
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| format!("{place}: {error}"))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_yaml = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
    };
    let mut files: Vec<PathBuf> = files.filter(is_yaml).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!(
            "{place}: no *.yaml in this folder; name a file of cases"
        ));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<(CaseFile, Lines), String> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
    let told = |problems: Vec<Problem>| {
        let told = problems.iter().map(|problem| match problem.line {
            Some(line) => format!("{place}:{line}: {problem}"),
            None => format!("{place}: {problem}"),
        });
        told.collect::<Vec<_>>().join("\n")
    };
    let document = Document::read(&text).map_err(told)?;
    let file = document.to::<CaseFile>().map_err(told)?;
    Ok((file, document.lines))
}

fn one(problem: String) -> Mismatches {
    let mut found = Mismatches::new();
    found.push(problem);
    found
}

async fn one_case(case: &Case, terms: &Terms, ready: Ready) -> Mismatches {
    match (&case.refused, ready) {
        (Some(refused), Err(PrepareError::Config(problems))) => refusals(refused, &problems),
        (Some(_), Ok(_)) => one("refused: the config was accepted".to_owned()),
        (None, Ok(Some(prepared))) => match steps(case, terms, &prepared).await {
            Ok(found) => found,
            Err(problem) => one(problem),
        },
        (None, Err(PrepareError::Config(problems))) => {
            let mut found = Mismatches::new();
            for (pointer, message) in problems {
                found.push(format!(
                    "{}: {message}",
                    pointer_to_path("config", &pointer)
                ));
            }
            found
        }
        (_, Err(error)) => one(error.to_string()),
        (None, Ok(None)) => one("the policy was not compiled".to_owned()),
    }
}

fn refusals(claimed: &[case_file::Refusal], problems: &[(String, String)]) -> Mismatches {
    let mut found = Mismatches::new();
    for (index, claim) in claimed.iter().enumerate() {
        let holds = |(path, message): &(String, String)| {
            *path == claim.path && message.contains(&claim.message)
        };
        if !problems.iter().any(holds) {
            let shown = |path: &str, message: &str| format!("path {path:?} with {message:?}");
            let problems = problems.iter().map(|(path, message)| shown(path, message));
            let problems = problems.collect::<Vec<_>>().join(", ");
            let claim = shown(&claim.path, &claim.message);
            found.push(format!(
                "refused[{index}]: expected {claim}, got {problems}"
            ));
        }
    }
    found
}

async fn steps(case: &Case, terms: &Terms, prepared: &Arc<Prepared>) -> Result<Mismatches, String> {
    let mut stage = Stage::new(prepared.clone(), terms, World::new(case, terms)?);
    let mut found = Mismatches::new();
    for (index, step) in case.steps.iter().enumerate() {
        let place = format!("steps[{index}]");
        if let Some(wait) = step.wait {
            stage.world.clock.advance(wait.get());
        }
        if let Some(state) = &step.redis {
            stage.world.set_redis(state);
        }
        if !step.secrets.is_empty() {
            stage.world.set_secrets(&step.secrets);
            let reloaded = stage.reloaded(prepared.clone(), terms);
            stage = reloaded.ok_or_else(|| format!("{place}: a hook is still running"))?;
        }
        if is_exchange(step) {
            let step = exchange(&stage, step).await;
            found.extend(
                step.map_err(|problem| format!("{place}: {problem}"))?
                    .under(&place),
            );
        }
    }
    Ok(found)
}

fn is_exchange(step: &Step) -> bool {
    let told = step.request.is_some() || step.expect.is_some() || step.upstream.is_some();
    told || !step.outcalls.is_empty() || !step.shared.is_empty()
}

async fn exchange(stage: &std::rc::Rc<Stage>, step: &Step) -> Result<Mismatches, String> {
    let before = series::read(&stage.world.metrics)?;
    let seen = stage.exchange(step).await?;
    let after = series::read(&stage.world.metrics)?;
    let expected = &step.expect;
    let default = expectation::Expectation::default();
    let expected = expected.as_ref().unwrap_or(&default);
    let mut found = judge::mismatches(expected, &seen, (&before, &after));
    found.extend(stage.world.outcalls.mismatches());
    Ok(found)
}
