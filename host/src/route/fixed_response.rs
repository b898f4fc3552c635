//! A response that is always the same.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use portcullis_config::{FixedBody, FixedResponse as FixedResponseConfig};

use super::field_edits::{FieldMaker, makers};

/// Every snapshot holds the file in memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A response that is always the same.
#[derive(Debug)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: StatusCode,
    /// Its fields, `content-type` among them where there is a body.
    pub headers: Vec<(HeaderName, FieldMaker)>,
    /// Sent with its length.
    pub body: Bytes,
}

impl FixedResponse {
    /// As the config has it. The error is the file's.
    pub fn from_config(config: &FixedResponseConfig) -> Result<Self, String> {
        let (body, media_type) = match &config.body {
            None => (Bytes::new(), None),
            Some(FixedBody::Text(text)) => (text.clone().into(), Some("text/plain; charset=utf-8")),
            Some(FixedBody::File(path)) => (read(path)?, Some("application/octet-stream")),
        };
        let mut headers = makers(&config.headers);
        if let Some(media_type) = media_type
            && !headers.iter().any(|(name, _)| *name == CONTENT_TYPE)
        {
            let value = HeaderValue::from_static(media_type);
            headers.push((CONTENT_TYPE, FieldMaker::Fixed(value)));
        }
        Ok(Self {
            status: StatusCode::from_u16(config.status).unwrap_or(StatusCode::OK),
            headers,
            body,
        })
    }
}

fn read(path: &Path) -> Result<Bytes, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{}: more than 1MiB", path.display()));
    }
    Ok(bytes.into())
}
