//! What an instance may allocate: memory, tables and handles.

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

use super::fault::LimitPassed;

/// Core instances, memories and tables of one store: a component with its shims needs 3, 1 and 2.
const MAX_PARTS: usize = 16;

/// What one sandbox may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Bytes of linear memory.
    pub memory_bytes: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Handles of resources at one time.
    pub handles: usize,
    /// Functions of the host that one hook may call.
    pub host_calls: u32,
    /// Bytes of a body that one hook may read or put in its place; 0 for none.
    pub body_bytes: usize,
}

/// Bounds what an instance may allocate.
#[derive(Debug)]
pub struct Limiter {
    /// `limits.memory`.
    memory_bytes: usize,
    /// What the instance's memories have together.
    used_bytes: usize,
    /// `limits.table_elements`.
    table_elements: usize,
    /// What its tables have together.
    used_elements: usize,
    /// What the guest has asked for in vain, last; tells a trap for want of it from other traps.
    pub refused: Option<Refused>,
}

/// Of what a guest has wanted more than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Memory.
    Memory,
    /// Elements of tables: so many are allowed.
    TableElements(usize),
}

impl Limiter {
    /// Nothing is used yet.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            memory_bytes: bounds.memory_bytes,
            used_bytes: 0,
            table_elements: bounds.table_elements,
            used_elements: 0,
            refused: None,
        }
    }
}

impl Refused {
    /// The limit that was passed, where the fault is not one of memory.
    pub fn limit(self) -> Option<LimitPassed> {
        match self {
            Self::Memory => None,
            Self::TableElements(most) => Some(LimitPassed::table_elements(most)),
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = grow(&mut self.used_bytes, self.memory_bytes, current, desired);
        if !allowed {
            self.refused = Some(Refused::Memory);
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let most = self.table_elements;
        let allowed = grow(&mut self.used_elements, most, current, desired);
        if !allowed {
            self.refused = Some(Refused::TableElements(most));
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

/// Whether one part may go from `current` to `desired`; notes what all of them then have.
fn grow(used: &mut usize, most: usize, current: usize, desired: usize) -> bool {
    let wanted = used.saturating_add(desired.saturating_sub(current));
    let allowed = wanted <= most;
    if allowed {
        *used = wanted;
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        memory_bytes: 100,
        table_elements: 10,
        handles: 0,
        host_calls: 0,
        body_bytes: 0,
    };

    #[test]
    fn the_memory_limit_holds_for_all_memories_together() {
        let mut limiter = Limiter::new(&BOUNDS);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert_eq!(limiter.refused, Some(Refused::Memory));
        assert!(limiter.memory_growing(60, 100, None).unwrap());
    }

    #[test]
    fn the_limit_of_tables_holds_for_all_tables_together() {
        let mut limiter = Limiter::new(&BOUNDS);
        assert!(limiter.table_growing(0, 6, None).unwrap());
        assert!(!limiter.table_growing(0, 5, None).unwrap());
        assert_eq!(limiter.refused, Some(Refused::TableElements(10)));
        assert!(limiter.table_growing(6, 10, None).unwrap());
    }
}
