//! A load generator: sends requests at a rate that does not follow the answers (an *open loop*), so that a service that is slow gets no
//! relief, as with people who don't know of each other.
//!
//! [`Arrivals`] says when requests come and [`Mix`] which: both are pure, and the same for the same seed. `run` sends them over `pool`'s
//! connections and counts in a `Tally`.

mod arguments;
mod arrivals;
mod mix;
mod pattern;
mod pool;
mod run;
mod tally;
mod target;

pub use arguments::LoadArguments;
pub use arrivals::Arrivals;
pub use mix::{Mix, Request};
pub use pattern::Pattern;
pub use run::run;
pub use target::Target;
