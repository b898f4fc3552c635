//! Services as child processes, of which nothing is left behind.
//!
//! agent ── keeper ── service ── whatever it starts
//!
//! Each service has a *keeper*, a process of this same program ([`keeper::keep`]). It is the subreaper of the service
//! (prctl(2), `PR_SET_CHILD_SUBREAPER`): whatever the service starts and abandons becomes its child, also what makes sessions and groups of
//! its own. It holds one end of a socket ([`message`]); when the agent's end closes, be it that the agent was killed by SIGKILL, it kills
//! everything that it has below it. The service itself also dies with its keeper ([`starter::start`]), by `PR_SET_PDEATHSIG`.
//! Only who kills the agent *and* a keeper by SIGKILL can leave something behind: what the service has started, not the service.

pub(crate) mod keeper;
pub(crate) mod starter;

mod descendants;
mod kept;
mod message;

pub(crate) use kept::KeptProcess;
pub(crate) use message::{Ending, Order, Report};
