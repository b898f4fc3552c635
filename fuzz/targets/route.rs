//! Fuzzes [`portcullis_fuzz::properties::route`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| portcullis_fuzz::properties::route::hold(data));
