//! `portcullis policy test`.

use std::path::{Path, PathBuf};

use portcullis_config::ComponentSource;

use super::OWN_PROGRAM;
use crate::policy::component_bytes;
use crate::policy_store::active::ActiveVersions;
use crate::policy_test::{Tested, Verdict, case_files};
use crate::wasm::compile::compiler::CompilerSettings;
use crate::wasm::engine::Engines;

/// Instances that are live at once: one for each hook, and those that are kept.
const INSTANCES: u32 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct PolicyTest {
    /// A .wasm file, or builtin:NAME
    component: String,
    /// Files of cases, or folders of them
    #[arg(required = true)]
    cases: Vec<PathBuf>,
}

/// Runs all cases and prints what became of them; fails if one did.
pub(super) async fn test(arguments: &PolicyTest) -> Result<(), String> {
    let source = match arguments.component.strip_prefix("builtin:") {
        Some(name) => ComponentSource::Builtin(name.to_owned()),
        None => ComponentSource::File(Path::new(&arguments.component).to_owned()),
    };
    let bytes = component_bytes::read(&source, &ActiveVersions::default())?;
    let engines = Engines::start(CompilerSettings::new(OWN_PROGRAM, None), INSTANCES)
        .map_err(|error| format!("portcullis: {error}"))?;
    let tested = Tested::new(engines, bytes);
    let (mut passed, mut failed) = (0, 0);
    for path in &arguments.cases {
        for file in case_files(path)? {
            for report in tested.run(&file).await? {
                println!("{report}");
                match report.verdict() {
                    Verdict::Passed => passed += 1,
                    Verdict::Failed => failed += 1,
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {} cases failed", passed + failed)),
    }
}
