//! The contract's `body` interface: the stream that is lent to a body hook.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::bindings::portcullis::policy::body::{Host, HostReader, HostWriter};
use super::bindings::portcullis::policy::http::BodyError;
use super::exchange_host::all_fields;
use super::fault::HostDefect;
use super::state::HostState;
use super::stream_desk::{Aborted, StreamDesk};
use crate::trailers;

/// Bytes that one reading brings at most: a guest can't have the host copy more at once.
const MAX_READ_BYTES: u32 = 256 << 10;

/// Stands for the body as it comes; like the exchange there is one at most.
#[derive(Debug)]
pub enum ReaderHandle {}

/// Stands for what it becomes.
#[derive(Debug)]
pub enum WriterHandle {}

impl Host for HostState {}

impl HostReader for HostState {
    async fn read(
        &mut self,
        _: Resource<ReaderHandle>,
        max: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, BodyError>> {
        self.called()?;
        let desk = self.stream()?;
        if max == 0 {
            return Ok(Ok(Some(Vec::new())));
        }
        Ok(match desk.read(max.min(MAX_READ_BYTES) as usize).await {
            Ok(Some(bytes)) => {
                self.body_moved();
                Ok(Some(bytes.into()))
            }
            Ok(None) => Ok(None),
            Err(Aborted) => Err(BodyError::Aborted),
        })
    }

    fn trailers(&mut self, _: Resource<ReaderHandle>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.called()?;
        let received = self.stream()?.received_trailers();
        Ok(received.as_ref().map(all_fields).unwrap_or_default())
    }

    fn drop(&mut self, _: Resource<ReaderHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostWriter for HostState {
    async fn write(
        &mut self,
        _: Resource<WriterHandle>,
        chunk: Vec<u8>,
    ) -> wasmtime::Result<Result<(), BodyError>> {
        self.called()?;
        let desk = self.stream()?;
        // An empty chunk is nothing to HTTP/2 and the end to HTTP/1.1.
        if !chunk.is_empty() {
            desk.write(chunk.into()).await;
            self.body_moved();
        }
        Ok(Ok(()))
    }

    fn set_trailers(
        &mut self,
        _: Resource<WriterHandle>,
        fields: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), BodyError>> {
        self.called()?;
        let desk = self.stream()?;
        Ok(match trailers::of_a_policy(fields) {
            Ok(fields) => {
                desk.set_trailers(fields);
                Ok(())
            }
            Err(error) => Err(BodyError::Other(error.to_string())),
        })
    }

    fn drop(&mut self, _: Resource<WriterHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostState {
    fn stream(&self) -> wasmtime::Result<Arc<StreamDesk>> {
        match &self.stream {
            Some(desk) => Ok(desk.clone()),
            None => Err(HostDefect("no body is lent to this call").into()),
        }
    }
}
