//! Which endpoint a request goes to: the algorithms, which know no sockets and no clock.

pub mod key;
pub mod least_request;
pub mod ring;
pub mod round_robin;
pub mod shares;
