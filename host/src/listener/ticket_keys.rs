//! Keys of session tickets: they outlive a reload, so that clients resume their sessions across it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// One set of keys, which rotate by themselves, for each listener and way to authenticate clients: a
/// ticket stands for what the client has proven, so it is worth nothing where more is asked.
#[derive(Default)]
pub struct TicketKeys(Mutex<HashMap<Site, Arc<dyn ProducesTickets>>>);

type Site = (String, [u8; 32]);

impl TicketKeys {
    /// The keys of that listener; made when they are first asked for.
    pub(super) fn of(
        &self,
        listener: &str,
        authentication: [u8; 32],
    ) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let site = (listener.to_owned(), authentication);
        if let Some(ticketer) = keys.get(&site) {
            return Ok(ticketer.clone());
        }
        let ticketer = Ticketer::new()?;
        keys.insert(site, ticketer.clone());
        Ok(ticketer)
    }
}
