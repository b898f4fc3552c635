//! An exchange that outlives its request, for the hook that is asked when all is over.
//!
//! Whoever has an exchange may be gone at any moment, with a client that leaves. So it is not handed on:
//! when it is dropped, wherever that is, what it holds comes here.

use std::sync::{Arc, Mutex, PoisonError};

use crate::exchange::Exchange;

/// Where an exchange goes when it is dropped.
#[derive(Debug, Clone, Default)]
pub struct KeptExchange(Arc<Mutex<Option<Box<Exchange>>>>);

impl KeptExchange {
    /// Keeps it.
    pub fn put(&self, exchange: Box<Exchange>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchange);
    }

    /// The exchange, once it was dropped.
    pub fn take(&self) -> Option<Box<Exchange>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }
}
