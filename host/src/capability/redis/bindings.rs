//! The bindings of all revisions of the config: one that a reload leaves as it is keeps its connections and its
//! circuit; a changed one is a new one, and the old one goes with its last call.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use portcullis_config::RedisBinding as Config;

use super::binding::RedisBinding;
use super::circuit::CircuitState;
use super::connector::BindingProblem;
use super::tls_files::TlsFiles;
use crate::telemetry::metrics::Metrics;

/// Bindings that a revision in memory uses, by name.
#[derive(Default)]
pub struct RedisBindings {
    known: Mutex<HashMap<String, Vec<Known>>>,
}

struct Known {
    config: Config,
    files: TlsFiles,
    binding: Weak<RedisBinding>,
}

/// The state of a binding's circuit at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingReading {
    /// The binding's name.
    pub binding: String,
    /// Of the newest revision that uses it.
    pub circuit: CircuitState,
}

impl RedisBindings {
    /// The binding of that config: the one that there is, or a new one for `workers`.
    pub fn open(
        &self,
        name: &str,
        config: &Config,
        workers: usize,
        metrics: &Metrics,
    ) -> Result<Arc<RedisBinding>, BindingProblem> {
        let files = TlsFiles::read(config.tls.as_ref())?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, bindings| {
            bindings.retain(|known| known.binding.strong_count() > 0);
            !bindings.is_empty()
        });
        let bindings = known.entry(name.to_owned()).or_default();
        let same = |known: &Known| known.config == *config && known.files == files;
        let same = bindings.iter().position(same);
        let kept = same.and_then(|at| bindings.remove(at).binding.upgrade());
        let binding = match kept {
            Some(kept) => kept,
            None => {
                let metrics = metrics.redis_binding(name);
                let made = RedisBinding::new(name, config, &files, workers, metrics)?;
                Arc::new(made)
            }
        };
        bindings.push(Known {
            config: config.clone(),
            files,
            binding: Arc::downgrade(&binding),
        });
        Ok(binding)
    }

    /// The states at this moment, by name.
    pub fn readings(&self) -> Vec<BindingReading> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let states: BTreeMap<&str, CircuitState> = known
            .iter()
            .filter_map(|(name, bindings)| {
                let mut newest_first = bindings.iter().rev();
                let binding = newest_first.find_map(|known| known.binding.upgrade())?;
                Some((name.as_str(), binding.circuit_state()))
            })
            .collect();
        states
            .into_iter()
            .map(|(binding, circuit)| BindingReading {
                binding: binding.to_owned(),
                circuit,
            })
            .collect()
    }
}
