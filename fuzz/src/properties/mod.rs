//! What must hold whatever the input. Included by the fuzz targets and by the gateway's tests.

pub mod config;
pub mod fields;
pub mod path;
pub mod route;
