//! The policy's memory.
//!
//! Without this the first allocation of an instance calls `memory.grow`, which costs a fresh instance
//! 6–8 µs. So the first allocations come from an arena inside the initial memory; only when it is full
//! does the memory grow.
#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::Layout;
use std::arch::wasm32::memory_grow;
use std::ptr::NonNull;

use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// Enough for `describe` and `configure` of a policy with a large schema; pages that are not touched cost nothing.
const ARENA_BYTES: usize = 128 * 1024;

/// Fixed by the WebAssembly specification.
const PAGE_BYTES: usize = 64 * 1024;

static mut ARENA: [u8; ARENA_BYTES] = [0; ARENA_BYTES];

#[global_allocator]
static HEAP: TalcSyncCell<ArenaThenGrow, WasmBinning> = TalcSyncCell::new_wasm(ArenaThenGrow {
    arena_claimed: false,
    grown_end: None,
});

/// Gives the arena first, then pages of the linear memory.
#[derive(Debug)]
struct ArenaThenGrow {
    arena_claimed: bool,
    /// Where the memory that `memory.grow` gave ends.
    grown_end: Option<NonNull<u8>>,
}

// SAFETY: neither allocates nor touches `HEAP`; what it claims belongs to nobody else.
unsafe impl Source for ArenaThenGrow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.arena_claimed {
            talc.source.arena_claimed = true;
            // SAFETY: only this line names `ARENA`, and it runs once.
            return unsafe { talc.claim((&raw mut ARENA).cast(), ARENA_BYTES) }
                .map(drop)
                .ok_or(());
        }
        // The chunk's tags, and room to align both ends.
        let bytes = layout.size() + layout.align() + 4 * CHUNK_UNIT;
        let pages = bytes.div_ceil(PAGE_BYTES);
        let old_pages = memory_grow::<0>(pages);
        if old_pages == usize::MAX {
            return Err(());
        }
        let base = (old_pages * PAGE_BYTES) as *mut u8;
        let end = base.wrapping_add(pages * PAGE_BYTES);
        // SAFETY: `base..end` was made by this call; an earlier heap is extended only where it ends at `base`,
        // but for the few bytes that talc left at its end.
        talc.source.grown_end = match talc.source.grown_end {
            Some(old_end) if base as usize - (old_end.as_ptr() as usize) < CHUNK_UNIT => {
                Some(unsafe { talc.extend(old_end, end) })
            }
            _ => unsafe { talc.claim(base, end as usize - base as usize) },
        };
        talc.source.grown_end.map(drop).ok_or(())
    }
}
