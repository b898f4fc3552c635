//! As in the gateway.

#[path = "../../host/src/route/condition.rs"]
pub mod condition;
#[path = "../../host/src/route/matcher.rs"]
pub mod matcher;
#[path = "../../host/src/route/route_key.rs"]
pub mod route_key;
#[path = "../../host/src/route/table.rs"]
pub mod table;
