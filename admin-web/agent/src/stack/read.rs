//! From files to a stack.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use portcullis_config::{Document, Lines, Problem};

use super::check;
use super::file::{ServiceFile, StackFile};
use super::problems::{Place, Problems};
use super::service::Service;
use super::{Stack, env_file, program};

/// A service as its file has it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) place: Place,
    /// What its relative paths start from.
    pub(super) base: PathBuf,
    pub(super) file: ServiceFile,
}

/// Reads files that make one stack; services of one may depend on those of another.
///
/// # Errors
/// Every problem of all files: a line for each, with file, line, path and remedy.
pub fn load(files: &[PathBuf]) -> Result<Stack, String> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut problems = Problems::default();
    let mut drafts = Vec::new();
    let mut hints = Vec::new();
    for path in files {
        hints.extend(read_file(path, &mut problems, &mut drafts));
    }
    // Services of a file that can't be read are unknown to the others only because of that.
    if !problems.is_empty() {
        return Err(problems.into_text());
    }
    let services = services(&drafts, &search, &mut problems);
    if problems.is_empty() {
        Ok(Stack { services, hints })
    } else {
        Err(problems.into_text())
    }
}

/// Adds the services of a file; gives its hint.
fn read_file(path: &Path, problems: &mut Problems, drafts: &mut Vec<Draft>) -> Option<String> {
    let (lines, read) = parse(path);
    let file = problems.add_file(path.to_owned(), lines.clone());
    let read = match read {
        Ok(read) => read,
        Err(found) => {
            problems.extend(file, found);
            return None;
        }
    };
    // The parent of "stack.yaml" is empty, which is no path.
    let own = Path::new(".").join(path.parent().unwrap_or(Path::new("")));
    let base = std::path::absolute(own.join(read.directory.unwrap_or_default()));
    // Fails only where there is no working directory.
    let base = base.unwrap_or(own);
    let mut services: Vec<_> = read.services.into_iter().collect();
    services.sort_by_key(|(name, _)| lines.locate(&format!("services.{name}")));
    drafts.extend(services.into_iter().map(|(name, service)| Draft {
        place: Place {
            file,
            path: format!("services.{name}"),
        },
        name,
        base: base.clone(),
        file: service,
    }));
    read.hint
}

fn parse(path: &Path) -> (Lines, Result<StackFile, Vec<Problem>>) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let lines = Lines::default();
            let problem = lines.problem("", format!("cannot read the file: {error}"));
            return (lines, Err(vec![problem]));
        }
    };
    match Document::read(&text) {
        Ok(document) => {
            let read = document.to();
            (document.lines, read)
        }
        Err(found) => (Lines::default(), Err(found)),
    }
}

fn services(drafts: &[Draft], search: &OsStr, problems: &mut Problems) -> Vec<Service> {
    check::names(drafts, problems);
    let depends_on = check::dependences(drafts, problems);
    let services: Vec<Service> = drafts
        .iter()
        .zip(depends_on)
        .map(|(draft, depends_on)| service(draft, depends_on, search, problems))
        .collect();
    check::addresses(drafts, &services, problems);
    services
}

fn service(
    draft: &Draft,
    depends_on: Vec<usize>,
    search: &OsStr,
    problems: &mut Problems,
) -> Service {
    let Draft { place, file, .. } = draft;
    let directory = directory(draft, problems);
    let mut command = |key: &str, words: &[String]| {
        let program = &words[0];
        let found = program::find(program, &directory, search).unwrap_or_else(|message| {
            problems.add(place, &format!("{key}[0]"), message);
            OsString::new()
        });
        let arguments = words[1..].iter().map(OsString::from);
        std::iter::once(found).chain(arguments).collect()
    };
    let check = file.check.as_ref().map(|words| command("check", words));
    let command = command("command", &file.command);
    let health = check::health(draft, problems);
    Service {
        name: draft.name.clone(),
        command,
        check,
        env: environment(draft, problems),
        listens: check::listens(draft, health.as_ref(), problems),
        health,
        depends_on,
        restart: check::restart(draft, problems),
        stop: check::stop(&file.stop),
        log_lines: file.log_lines.unwrap_or(200),
        directory,
    }
}

fn directory(draft: &Draft, problems: &mut Problems) -> PathBuf {
    let named = draft.file.directory.as_deref();
    let path = draft.base.join(named.unwrap_or(Path::new("")));
    if !path.is_dir() {
        let message = format!(
            "no directory {}: make it, or correct the path",
            path.display()
        );
        problems.add(&draft.place, "directory", message);
    }
    path
}

fn environment(
    draft: &Draft,
    problems: &mut Problems,
) -> std::collections::BTreeMap<String, String> {
    let mut env = std::collections::BTreeMap::new();
    if let Some(file) = &draft.file.env_file {
        let path = draft.base.join(file);
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read it: {error}"));
        match text.and_then(|text| env_file::parse(&text)) {
            Ok(variables) => env.extend(variables),
            Err(message) => {
                let message = format!("{}: {message}", path.display());
                problems.add(&draft.place, "env_file", message);
            }
        }
    }
    for (name, value) in &draft.file.env {
        if !env_file::is_variable(name) || value.contains('\0') {
            let message = "no environment variable can be so: a name has letters, digits and \"_\", a value no NUL";
            problems.add(&draft.place, &format!("env.{name}"), message);
        }
        env.insert(name.clone(), value.clone());
    }
    env
}
