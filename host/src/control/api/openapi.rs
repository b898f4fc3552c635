//! The API's description (OpenAPI 3.1), made from the code.

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

#[derive(OpenApi)]
#[openapi(
    info(title = "Portcullis control API", description = "What a gateway is doing, what it logs, what it would make of a config, and the versions of its policies."),
    paths(
        super::status::status,
        super::policies::policies,
        super::faults::faults,
        super::store::policies,
        super::store::policy,
        super::store::version,
        super::upload::push,
        super::store_changes::activate,
        super::store_changes::roll_back,
        super::store_changes::delete,
        super::store_changes::delete_unused,
        super::journal::journal,
        super::log::log,
        super::log::change,
        super::log::reset,
        super::validate::validate,
        document
    ),
    security(("token" = []))
)]
struct Api;

/// Describes the API.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = 200, description = "This document")))]
pub(in crate::control) async fn document() -> Json<utoipa::openapi::OpenApi> {
    let mut document = Api::openapi();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", token);
    Json(document)
}
