//! Makes policies ready to be served: from memory, from the cache, or by a compile child.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::child_process::{self, ChildError};
use super::code_cache::{CodeCache, Key};
use super::confinement::ChildBounds;
use super::message::{self, Answer, Job, UseAnswer, UseTerms};
use crate::wasm::Phase;
use crate::wasm::description::Description;
use crate::wasm::fault::one_line;
use crate::wasm::linker;
use crate::wasm::prepared::Prepared;
use crate::wasm::state::HostState;

/// Changes whenever other versions' entries of the cache would be misread.
const FORMAT: &[u8] = b"1";

/// What a [`Compiler`] is started with.
#[derive(Debug, Clone)]
pub struct CompilerSettings {
    /// The gateway's own program, which is started as `compile-policy`.
    pub program: PathBuf,
    /// Where compiled code is kept between starts, if it is. The directory is there and must belong to the user of
    /// this process alone, since code from it is run without another check.
    pub cache: Option<PathBuf>,
    /// What a child may use: by the bytes of the component and the number of its uses.
    pub bounds: fn(usize, usize) -> ChildBounds,
}

impl CompilerSettings {
    /// With the usual bounds.
    pub fn new(program: impl Into<PathBuf>, cache: Option<PathBuf>) -> Self {
        Self {
            program: program.into(),
            cache,
            bounds: ChildBounds::of,
        }
    }
}

/// Makes policies ready. At most one child works at a time.
pub struct Compiler {
    engine: Engine,
    linker: Linker<HostState>,
    settings: CompilerSettings,
    cache: Option<CodeCache>,
    /// Of the engine: settings, version of wasmtime, features of the processor.
    identity: [u8; 32],
    turn: Semaphore,
    children: AtomicU64,
    /// What some revision still uses.
    in_use: Mutex<HashMap<Key, Weak<Prepared>>>,
}

/// Bytes that claim to be a policy.
pub struct Source<'a> {
    /// The component's file.
    pub bytes: &'a [u8],
    /// SHA-256 of them.
    pub digest: [u8; 32],
    /// What is known of it already.
    pub description: Option<&'a Description>,
}

/// A component with some of its uses.
pub struct Made {
    /// What it is.
    pub description: Description,
    /// In the order of the terms; `None` for those of which only the config was checked.
    pub uses: Vec<Result<Option<Arc<Prepared>>, PrepareError>>,
    /// What a child took for it, its turn included; `None`: none was needed.
    pub took: Option<Duration>,
}

/// Why a component is not to be had, in words that follow its name.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is no policy for this gateway.
    #[error("{0}")]
    Refused(String),
    /// The child did not come to an answer.
    #[error(transparent)]
    Child(#[from] ChildError),
}

/// Why a use of a policy can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The config is wrong: JSON Pointer and message of each problem.
    #[error("{} problem(s) in the policy's config", .0.len())]
    Config(Vec<(String, String)>),
    /// `configure` did not end well.
    #[error("configure: {0}")]
    Configure(String),
    /// Each request would fail: no instance fits into its limit.
    #[error("needs {needed} bytes of memory from the start, limits.memory is {limit}; raise it")]
    Memory {
        /// The memory of an instance that was configured and not yet called.
        needed: usize,
        /// `limits.memory`.
        limit: usize,
    },
    /// The same of its tables.
    #[error(
        "needs a table of {needed} elements from the start, limits.table_elements is {limit}; raise it"
    )]
    TableElements {
        /// Elements of the largest table of a new instance.
        needed: u64,
        /// `limits.table_elements`.
        limit: usize,
    },
    /// The operator grants it no bodies, and it wants to see them.
    #[error("exports {}, and limits.body is 0, which grants it no body; raise it", .0.name())]
    NoBody(Phase),
    /// The smoke call did not end well.
    #[error(
        "the smoke call, a made-up GET / to smoke.invalid, failed: {0}; it must end with a verdict or an error"
    )]
    Smoke(String),
    /// It could not be compiled or linked.
    #[error("{0}")]
    Compile(String),
}

impl Compiler {
    /// For code that runs in `engine`.
    pub(in crate::wasm) fn new(
        engine: Engine,
        settings: CompilerSettings,
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            linker: linker::build(&engine)?,
            cache: settings.cache.clone().map(CodeCache::new),
            settings,
            identity: identity(&engine),
            engine,
            turn: Semaphore::new(1),
            children: AtomicU64::new(0),
            in_use: Mutex::default(),
        })
    }

    /// Children that were started so far.
    pub fn children(&self) -> u64 {
        self.children.load(Ordering::Relaxed)
    }

    /// The component's description and its uses, made ready. Starts a child only for what is not to be had otherwise.
    pub async fn make(&self, source: &Source<'_>, uses: &[UseTerms]) -> Result<Made, CompileError> {
        let described = self.key(b"description", &source.digest, b"");
        let known = source.description.cloned();
        let mut description = known.or_else(|| self.kept_description(&described));
        let mut made: Vec<Option<Result<_, PrepareError>>> = Vec::new();
        for terms in uses {
            let of = description.as_ref();
            let found = of.and_then(|of| self.find(&source.digest, of, terms));
            made.push(found.map(|prepared| Ok(Some(prepared))));
        }
        let missing = uses.iter().zip(&made).filter(|(_, made)| made.is_none());
        let mut took = None;
        let missing: Vec<UseTerms> = missing.map(|(terms, _)| terms.clone()).collect();
        if description.is_none() || !missing.is_empty() {
            let asked = Instant::now();
            let (found, answers) = self.ask_child(source.bytes, missing).await?;
            took = Some(asked.elapsed());
            self.keep_description(&described, &found);
            let open = uses
                .iter()
                .zip(&mut made)
                .filter(|(_, made)| made.is_none());
            for ((terms, slot), (answer, code)) in open.zip(answers) {
                *slot = Some(self.accept(&source.digest, &found, terms, answer, code));
            }
            description = Some(found);
        }
        let nothing = || Err(CompileError::Child(ChildError::Garbage));
        let uses: Option<Vec<_>> = made.into_iter().collect();
        match (description, uses) {
            (Some(description), Some(uses)) => Ok(Made {
                description,
                uses,
                took,
            }),
            _ => nothing(),
        }
    }

    /// What a child says of the component, and of each use with its code.
    async fn ask_child(
        &self,
        component: &[u8],
        uses: Vec<UseTerms>,
    ) -> Result<(Description, Vec<(UseAnswer, Vec<u8>)>), CompileError> {
        let bounds = (self.settings.bounds)(component.len(), uses.len());
        let count = uses.len();
        let mut job = message::head(&Job { uses }).map_err(ChildError::Start)?;
        job.extend_from_slice(component);
        let answer = {
            let _turn = self.turn.acquire().await;
            self.children.fetch_add(1, Ordering::Relaxed);
            let program = &self.settings.program;
            child_process::ask(program, bounds, component.len(), count, &job).await?
        };
        let garbage = ChildError::Garbage;
        match message::split::<Answer>(&answer) {
            Some((Answer::Refused(reason), _)) => Err(CompileError::Refused(reason)),
            Some((Answer::Accepted { description, uses }, codes)) if uses.len() == count => {
                Ok((description, with_code(uses, codes).ok_or(garbage)?))
            }
            _ => Err(garbage.into()),
        }
    }

    /// What the child has made of a use; its code is kept, and linked.
    fn accept(
        &self,
        digest: &[u8; 32],
        description: &Description,
        terms: &UseTerms,
        answer: UseAnswer,
        code: Vec<u8>,
    ) -> Result<Option<Arc<Prepared>>, PrepareError> {
        let configured = match answer {
            UseAnswer::Ready { configured, .. } => configured,
            UseAnswer::Checked => return Ok(None),
            UseAnswer::Config(problems) => return Err(PrepareError::Config(problems)),
            UseAnswer::Configure(reason) => return Err(PrepareError::Configure(reason)),
            UseAnswer::Memory(needed) => {
                let limit = terms.bounds.memory_bytes;
                return Err(PrepareError::Memory { needed, limit });
            }
            UseAnswer::TableElements(needed) => {
                let limit = terms.bounds.table_elements;
                return Err(PrepareError::TableElements { needed, limit });
            }
            UseAnswer::Compile(reason) => return Err(PrepareError::Compile(reason)),
            UseAnswer::Smoke(reason) => return Err(PrepareError::Smoke(reason)),
        };
        let mut entry = vec![u8::from(configured)];
        entry.extend(code);
        let prepared = self
            .load(description, terms, &entry)
            .map_err(|error| PrepareError::Compile(one_line(&error)))?;
        let key = self.use_key(digest, terms);
        if let Some(cache) = &self.cache {
            cache.put(&key, &entry);
        }
        Ok(Some(self.remember(key, prepared)))
    }

    /// A use that some revision has, or that the cache has.
    fn find(
        &self,
        digest: &[u8; 32],
        description: &Description,
        terms: &UseTerms,
    ) -> Option<Arc<Prepared>> {
        terms.trial.as_ref()?;
        let key = self.use_key(digest, terms);
        if let Some(prepared) = self.in_use().get(&key).and_then(Weak::upgrade) {
            return Some(prepared);
        }
        let entry = self.cache.as_ref()?.get(&key)?;
        // What this engine can't run is compiled anew.
        let prepared = self.load(description, terms, &entry).ok()?;
        Some(self.remember(key, prepared))
    }

    fn remember(&self, key: Key, prepared: Prepared) -> Arc<Prepared> {
        let prepared = Arc::new(prepared);
        let mut in_use = self.in_use();
        in_use.retain(|_, known| known.strong_count() > 0);
        in_use.insert(key, Arc::downgrade(&prepared));
        prepared
    }

    /// Links an entry of the cache: whether the config is in the code, then the code.
    fn load(
        &self,
        description: &Description,
        terms: &UseTerms,
        entry: &[u8],
    ) -> wasmtime::Result<Prepared> {
        let (configured, code) = match entry.split_first() {
            Some((1, code)) => (true, code),
            Some((0, code)) => (false, code),
            _ => wasmtime::bail!("no code"),
        };
        let component = self.deserialize(code)?;
        let each = (!configured).then(|| terms.config.clone());
        Prepared::link(&self.linker, &component, &description.interfaces, each)
    }

    #[expect(
        unsafe_code,
        reason = "compiled code is run as it is: that it comes from our own compiler can't be seen in it"
    )]
    fn deserialize(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes come from a child of our own program, by its pipe or by way of the cache. The cache's
        // directory can be written by the user of this process alone (`CompilerSettings::cache`), and its entries are
        // whole and of this key (`CodeCache::get`). Code for another version or processor is refused by wasmtime.
        unsafe { Component::deserialize(&self.engine, code) }
    }

    fn kept_description(&self, key: &Key) -> Option<Description> {
        let description = self.cache.as_ref()?.get(key)?;
        let description: Description = serde_json::from_slice(&description).ok()?;
        // What another version has accepted need not be right for this one; the child says why.
        description.interfaces.hooks().ok()?;
        Some(description)
    }

    fn keep_description(&self, key: &Key, description: &Description) {
        if let (Some(cache), Ok(json)) = (&self.cache, serde_json::to_vec(description)) {
            cache.put(key, &json);
        }
    }

    fn use_key(&self, digest: &[u8; 32], terms: &UseTerms) -> Key {
        let mut terms = terms.clone();
        if let Some(trial) = &mut terms.trial {
            trial.secrets.values_mut().for_each(String::clear);
        }
        let terms = serde_json::to_vec(&terms).unwrap_or_default();
        self.key(b"use", digest, &terms)
    }

    fn key(&self, kind: &[u8], digest: &[u8; 32], terms: &[u8]) -> Key {
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        Key::of(&[FORMAT, version, &self.identity, kind, digest, terms])
    }

    fn in_use(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Weak<Prepared>>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives each use that is ready its part of the code; `None` if they do not go together.
fn with_code(uses: Vec<UseAnswer>, mut codes: &[u8]) -> Option<Vec<(UseAnswer, Vec<u8>)>> {
    let mut answers = Vec::new();
    for answer in uses {
        let length = match &answer {
            UseAnswer::Ready { code_bytes, .. } => *code_bytes,
            _ => 0,
        };
        let (code, rest) = codes.split_at_checked(length)?;
        answers.push((answer, code.to_vec()));
        codes = rest;
    }
    codes.is_empty().then_some(answers)
}

/// What compiled code must have been made for.
fn identity(engine: &Engine) -> [u8; 32] {
    struct Wide(Sha256);
    impl Hasher for Wide {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Wide(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}
