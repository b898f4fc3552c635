//! The fault circuits of all uses, over revisions of the config: one goes on with the next revision
//! if its use is the same, to the component, the terms and the config; else it starts closed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use portcullis_config::{FaultCircuit as Settings, Policy as PolicyConfig};

use super::fault_circuit::{CircuitState, FaultCircuit};

/// A use as it stands in the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseIdentity {
    /// The component's digest.
    pub digest: String,
    /// The terms on which the policy runs.
    pub terms: PolicyConfig,
    /// The use's own config.
    pub config: serde_json::Value,
}

/// The state of one use's circuit, when the metrics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitReading {
    /// The policy's name.
    pub policy: String,
    /// The route's name.
    pub route: String,
    /// Of several uses of the policy in the route, the worst.
    pub state: CircuitState,
}

type Place = (Arc<str>, Arc<str>, usize);

/// Circuits that a revision in memory has, by route, policy and place in the chain.
#[derive(Default)]
pub struct FaultCircuits {
    known: Mutex<HashMap<Place, Vec<Known>>>,
}

struct Known {
    identity: UseIdentity,
    circuit: Weak<FaultCircuit>,
}

impl FaultCircuits {
    /// The circuit of that use: the one that it has already, or a new one, which is closed.
    pub fn open(
        &self,
        (route, policy, place): (&str, &str, usize),
        identity: UseIdentity,
        settings: Settings,
    ) -> Arc<FaultCircuit> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, uses| {
            uses.retain(|known| known.circuit.strong_count() > 0);
            !uses.is_empty()
        });
        let uses = known
            .entry((route.into(), policy.into(), place))
            .or_default();
        let same = uses.iter().position(|known| known.identity == identity);
        let kept = same.and_then(|at| uses.remove(at).circuit.upgrade());
        let circuit = kept.unwrap_or_else(|| Arc::new(FaultCircuit::new(settings)));
        uses.push(Known {
            identity,
            circuit: Arc::downgrade(&circuit),
        });
        circuit
    }

    /// The states at this moment; of a use that a reload has changed, that of the newest revision.
    pub fn readings(&self) -> Vec<CircuitReading> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = BTreeMap::new();
        for ((route, policy, _), uses) in known.iter() {
            let mut newest_first = uses.iter().rev();
            let Some(circuit) = newest_first.find_map(|known| known.circuit.upgrade()) else {
                continue;
            };
            let state = states
                .entry((policy.to_string(), route.to_string()))
                .or_insert(CircuitState::Closed);
            *state = circuit.state().max(*state);
        }
        states
            .into_iter()
            .map(|((policy, route), state)| CircuitReading {
                policy,
                route,
                state,
            })
            .collect()
    }
}
