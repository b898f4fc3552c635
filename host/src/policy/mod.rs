//! Policies on a route: the chain, what its members may change, what they answer.

pub mod body_chain;
pub mod body_passage;
pub mod body_stage;
pub mod chain;
pub mod component_bytes;
pub mod edit;
pub mod fault_circuit;
pub mod fault_circuits;
pub mod info;
pub mod lent_body;
pub mod loader;
pub mod log_queue;
pub mod recent_faults;
pub mod verdict;
pub mod wanted;

use std::sync::Arc;

use portcullis_config::OnFailure;

use self::fault_circuit::FaultCircuit;
use crate::telemetry::policy_use::UseSeries;
use crate::wasm::policy::Policy;

/// One policy in one route's chain.
pub struct PolicyUse {
    /// The policy's name in the config.
    pub name: Arc<str>,
    /// Its place in the chain.
    pub place: usize,
    /// Its place among all uses of the snapshot: each worker keeps its idle instances there.
    pub slot: usize,
    /// What becomes of the request when a hook does not end well.
    pub on_failure: OnFailure,
    /// Leaves it alone while it keeps failing; `None`: never.
    pub fault_circuit: Option<Arc<FaultCircuit>>,
    /// The component, configured for this use.
    pub policy: Policy,
    /// What is measured of it.
    pub series: Arc<UseSeries>,
}
