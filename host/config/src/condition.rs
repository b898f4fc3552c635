//! The validated conditions on values of a request.

/// What a value of a request must be. Where there are several of one name, one of them must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Exactly this.
    Exact(String),
    /// This at its start.
    Prefix(String),
    /// Anything.
    Present,
    /// There is none of the name.
    Absent,
}
