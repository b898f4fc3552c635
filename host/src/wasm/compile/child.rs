//! The compile child: `portcullis compile-policy`, started by [`super::compiler::Compiler`] for one component.
//!
//! All code of a component that runs before it serves runs here, and all of it is compiled here. The process
//! confines itself before it reads the component, takes one job from its standard input, writes one answer and ends.
//! It also ends when its input is closed: whoever started it is gone, or does not want the answer any more.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use portcullis_config::{Isolation, schema_problems};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::confinement::confine;
use super::lifecycle::{Configured, Lifecycle};
use super::message::{self, Answer, Job, Trial, UseAnswer, UseTerms};
use super::shape::Shape;
use super::smoke;
use crate::wasm::description::Description;
use crate::wasm::engine::{self, EpochTicker};
use crate::wasm::fault::one_line;
use crate::wasm::limiter::Bounds;
use crate::wasm::linker;
use crate::wasm::policy::{Policy, Running};
use crate::wasm::prepared::Prepared;
use crate::wasm::state::HostState;

/// ENOMEM in words, as mappings beyond the limit end.
pub(super) const NO_MEMORY: &str = "Cannot allocate memory";

/// Does the one job within these bounds.
pub fn main(cpu_seconds: u64, memory_bytes: u64) -> ExitCode {
    match run(cpu_seconds, memory_bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cpu_seconds: u64, memory_bytes: u64) -> io::Result<()> {
    confine(cpu_seconds, memory_bytes)?;
    let (job, component) = read_job()?;
    end_with_the_gateway()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let (answer, codes) = runtime.block_on(perform(&job, &component));
    if let Answer::Refused(reason) = &answer
        && reason.contains(NO_MEMORY)
    {
        // Not what is wrong with the component.
        return Err(io::Error::other(reason.clone()));
    }
    let mut output = io::stdout().lock();
    output.write_all(&message::head(&answer)?)?;
    for code in codes {
        output.write_all(&code)?;
    }
    output.flush()
}

/// The job and the component: the length of both, then both.
fn read_job() -> io::Result<(Job, Vec<u8>)> {
    let mut input = io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    let (job, component) = message::split(&bytes).ok_or(io::ErrorKind::InvalidData)?;
    Ok((job, component.to_vec()))
}

/// Nothing more is written to this process: when its input ends, so does the process.
fn end_with_the_gateway() -> io::Result<()> {
    let wait = || {
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(1);
    };
    std::thread::Builder::new()
        .name("gateway".into())
        .spawn(wait)?;
    Ok(())
}

/// The answer, and the code of the uses that are ready.
async fn perform(job: &Job, component: &[u8]) -> (Answer, Vec<Vec<u8>>) {
    match accept(job, component).await {
        Ok(done) => done,
        Err(reason) => (Answer::Refused(reason), Vec::new()),
    }
}

async fn accept(job: &Job, component: &[u8]) -> Result<(Answer, Vec<Vec<u8>>), String> {
    check_shape(component)?;
    let (lifecycle, interfaces) = Lifecycle::compile(component)?;
    // Makes guests that loop yield, so that their time is kept.
    let _epochs = tick(lifecycle.engine())?;
    let description = lifecycle.describe(interfaces).await?;
    let mut bench = None;
    let (mut uses, mut codes) = (Vec::new(), Vec::new());
    for used in &job.uses {
        let bench = match &mut bench {
            Some(bench) => bench,
            none => none.insert(Bench::new()?),
        };
        match bench.make(component, &lifecycle, &description, used).await {
            Ok(Some((configured, code))) => {
                uses.push(UseAnswer::Ready {
                    configured,
                    code_bytes: code.len(),
                });
                codes.push(code);
            }
            Ok(None) => uses.push(UseAnswer::Checked),
            Err(refused) => uses.push(refused),
        }
    }
    Ok((Answer::Accepted { description, uses }, codes))
}

fn check_shape(component: &[u8]) -> Result<(), String> {
    if component.starts_with(b"\0asm\x01\0\0\0") {
        return Err(
            "this is a core WebAssembly module, not a component; build it for wasm32-unknown-unknown with \
             wasm-component-ld, or wrap it: wasm-tools component new"
                .to_owned(),
        );
    }
    let broken = |reason: &str| {
        format!("not a WebAssembly component ({reason}); build it again, or correct the path")
    };
    if !component.starts_with(b"\0asm") {
        return Err(broken("it does not begin with \\0asm"));
    }
    let shape = Shape::of(component).map_err(|error| broken(&error.to_string()))?;
    shape.check().map_err(|error| error.to_string())
}

/// Where uses are made ready: functions that they have in common are compiled once.
struct Bench {
    engine: Engine,
    linker: Linker<HostState>,
    _epochs: EpochTicker,
}

impl Bench {
    fn new() -> Result<Self, String> {
        let failed = |error| one_line(&error);
        let engine = engine::compiling().map_err(failed)?;
        Ok(Self {
            linker: linker::build(&engine).map_err(failed)?,
            _epochs: tick(&engine)?,
            engine,
        })
    }

    /// The use's code, and whether its config is in it; `None` where only its config was to be checked.
    async fn make(
        &self,
        component: &[u8],
        lifecycle: &Lifecycle<'_>,
        description: &Description,
        used: &UseTerms,
    ) -> Result<Option<(bool, Vec<u8>)>, UseAnswer> {
        check_schema(description.manifest.config_schema.as_ref(), &used.config)?;
        let snapshot = match lifecycle.configure(&used.config).await {
            Configured::Snapshot(snapshot) => Some(snapshot),
            Configured::Accepted => None,
            Configured::Config(problems) => return Err(UseAnswer::Config(problems)),
            Configured::Failed(reason) => return Err(UseAnswer::Configure(reason)),
        };
        let bytes = snapshot.as_deref().unwrap_or(component);
        check_size(bytes, &used.bounds)?;
        let Some(trial) = &used.trial else {
            return Ok(None);
        };
        let failed = |error: wasmtime::Error| UseAnswer::Compile(one_line(&error));
        let compiled = Component::new(&self.engine, bytes).map_err(failed)?;
        let each = snapshot.is_none().then(|| used.config.clone());
        let prepared = Prepared::link(&self.linker, &compiled, &description.interfaces, each);
        self.smoke_call(prepared.map_err(failed)?, used.bounds, trial)
            .await?;
        let code = compiled.serialize().map_err(failed)?;
        Ok(Some((snapshot.is_some(), code)))
    }

    async fn smoke_call(
        &self,
        prepared: Prepared,
        bounds: Bounds,
        trial: &Trial,
    ) -> Result<(), UseAnswer> {
        let running = Running {
            isolation: Isolation::PerRequest,
            time: smoke::SMOKE_TIME,
            bounds,
        };
        let capabilities = Arc::new(smoke::capabilities(trial));
        let policy = Policy::new(Arc::new(prepared), capabilities, running);
        smoke::call(&policy).await.map_err(UseAnswer::Smoke)
    }
}

fn tick(engine: &Engine) -> Result<EpochTicker, String> {
    EpochTicker::start(engine.clone()).map_err(|error| error.to_string())
}

fn check_schema(schema: Option<&serde_json::Value>, config: &str) -> Result<(), UseAnswer> {
    let Some(schema) = schema else { return Ok(()) };
    let no_schema = |error: String| {
        UseAnswer::Configure(format!(
            "the policy's config-schema is no JSON Schema: {error}"
        ))
    };
    let config =
        serde_json::from_str(config).map_err(|error| UseAnswer::Configure(error.to_string()))?;
    let problems = schema_problems(schema, &config).map_err(no_schema)?;
    if problems.is_empty() {
        Ok(())
    } else {
        Err(UseAnswer::Config(problems))
    }
}

/// Whether an instance fits into its limits when it is made.
fn check_size(component: &[u8], bounds: &Bounds) -> Result<(), UseAnswer> {
    let shape = Shape::of(component).map_err(|error| UseAnswer::Compile(error.to_string()))?;
    let memory = usize::try_from(shape.memory_bytes).unwrap_or(usize::MAX);
    if shape.largest_table > bounds.table_elements as u64 {
        Err(UseAnswer::TableElements(shape.largest_table))
    } else if memory > bounds.memory_bytes {
        Err(UseAnswer::Memory(memory))
    } else {
        Ok(())
    }
}
