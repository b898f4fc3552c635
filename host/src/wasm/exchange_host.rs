//! The contract's `http` interface: a sandbox's view of the exchange that is lent to it.

use http::HeaderMap;
use http::header::HeaderName;
use wasmtime::component::Resource;

use super::Phase;
use super::bindings::portcullis::policy::http::{
    BodyError, EditError as GuestEditError, FieldOp, Head, Host, HostExchange, HostResponse,
    ResponseSource,
};
use super::fault::HostDefect;
use super::state::{ExchangeHandle, HostState, ResponseHandle};
use crate::capability::log::one_line;
use crate::exchange;
use crate::policy::edit::{EditError, FieldEdit, Side, editable_name, field_value, target};
use crate::policy::lent_body::has_no_body;

/// Bytes of a guest's name that an answer repeats.
const MAX_NAME_BYTES: usize = 64;

type Fields = Vec<(String, Vec<u8>)>;
type Edited = wasmtime::Result<Result<(), GuestEditError>>;

impl Host for HostState {}

impl HostExchange for HostState {
    fn id(&mut self, _: Resource<ExchangeHandle>) -> wasmtime::Result<String> {
        self.called()?;
        Ok(self.exchange()?.id.clone())
    }

    fn attribute(
        &mut self,
        _: Resource<ExchangeHandle>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        self.called()?;
        Ok(self.exchange()?.attribute(&name))
    }

    fn head(&mut self, _: Resource<ExchangeHandle>) -> wasmtime::Result<Head> {
        self.called()?;
        let exchange = self.exchange()?;
        let request = &exchange.request;
        Ok(Head {
            method: request.method.as_str().to_owned(),
            scheme: exchange.scheme.to_owned(),
            authority: first_value(&request.headers, "host").unwrap_or_default(),
            path_with_query: request.target.as_str().to_owned(),
        })
    }

    fn header(
        &mut self,
        _: Resource<ExchangeHandle>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        self.called()?;
        Ok(first_value(&self.exchange()?.request.headers, &name))
    }

    fn header_values(
        &mut self,
        _: Resource<ExchangeHandle>,
        name: String,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        self.called()?;
        Ok(values(&self.exchange()?.request.headers, &name))
    }

    fn headers(&mut self, _: Resource<ExchangeHandle>) -> wasmtime::Result<Fields> {
        self.called()?;
        Ok(all_fields(&self.exchange()?.request.headers))
    }

    fn edit_headers(&mut self, _: Resource<ExchangeHandle>, ops: Vec<FieldOp>) -> Edited {
        self.called()?;
        if self.phase != Some(Phase::OnRequest) {
            return Ok(Err(GuestEditError::TooLate));
        }
        Ok(stage_fields(self.exchange()?, Side::Request, ops))
    }

    fn set_head(&mut self, _: Resource<ExchangeHandle>, head: Head) -> Edited {
        self.called()?;
        if self.phase != Some(Phase::OnRequest) {
            return Ok(Err(GuestEditError::TooLate));
        }
        let exchange = self.exchange()?;
        let present = first_value(&exchange.request.headers, "host").unwrap_or_default();
        let staged = target(&head.path_with_query, &exchange.route.paths).and_then(|target| {
            let edits = &mut exchange.edits;
            edits.head(&head.method, &head.authority, &present, target)
        });
        Ok(staged.map_err(Into::into))
    }

    fn set_upstream(&mut self, _: Resource<ExchangeHandle>, name: String) -> Edited {
        self.called()?;
        if self.phase != Some(Phase::OnRequest) {
            return Ok(Err(GuestEditError::TooLate));
        }
        let capabilities = self.capabilities.clone();
        let exchange = self.exchange()?;
        if exchange.upstream.is_none() {
            return Ok(Err(GuestEditError::Forbidden(
                "the route answers itself: it has no upstream to replace".into(),
            )));
        }
        let mut granted = capabilities.upstreams.iter();
        Ok(match granted.find(|target| *target.name == *name) {
            Some(target) => {
                exchange.edits.upstream(target.clone());
                Ok(())
            }
            // The same for one that does not exist: a policy can't find out what there is.
            None => Err(GuestEditError::Forbidden(format!(
                "upstream {:?} is not granted",
                one_line(&name, MAX_NAME_BYTES)
            ))),
        })
    }

    async fn read_body(
        &mut self,
        _: Resource<ExchangeHandle>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, BodyError>> {
        self.called()?;
        // Later it has gone on its way.
        if self.phase != Some(Phase::OnRequest) {
            return Ok(Err(BodyError::Taken));
        }
        Ok(self.read_lent_body(limit).await)
    }

    fn replace_body(&mut self, _: Resource<ExchangeHandle>, body: Vec<u8>) -> Edited {
        self.called()?;
        if self.phase != Some(Phase::OnRequest) {
            return Ok(Err(GuestEditError::TooLate));
        }
        self.replace_lent_body(body)
    }

    fn get_state(&mut self, _: Resource<ExchangeHandle>) -> wasmtime::Result<Option<Vec<u8>>> {
        self.called()?;
        let place = self.place;
        let exchange = self.exchange()?;
        let staged = exchange.edits.staged_state().map(<[u8]>::to_vec);
        Ok(staged.or_else(|| exchange.state(place)))
    }

    fn set_state(&mut self, _: Resource<ExchangeHandle>, value: Vec<u8>) -> wasmtime::Result<()> {
        self.called()?;
        // The contract gives this function no error to answer with: too much state is a fault.
        self.exchange()?
            .edits
            .state(value)
            .map_err(|error| wasmtime::format_err!("set-state: {error}"))
    }

    fn get_shared(
        &mut self,
        _: Resource<ExchangeHandle>,
        key: String,
    ) -> wasmtime::Result<Option<String>> {
        self.called()?;
        Ok(self.exchange()?.shared(&key))
    }

    fn set_shared(&mut self, _: Resource<ExchangeHandle>, key: String, value: String) -> Edited {
        self.called()?;
        if self.phase == Some(Phase::OnLog) {
            return Ok(Err(GuestEditError::TooLate));
        }
        Ok(self.exchange()?.edits.share(key, value).map_err(Into::into))
    }

    fn drop(&mut self, _: Resource<ExchangeHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostResponse for HostState {
    fn source(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<ResponseSource> {
        self.called()?;
        Ok(match &self.response()?.source {
            exchange::ResponseSource::Upstream => ResponseSource::Upstream,
            exchange::ResponseSource::Gateway(code) => ResponseSource::Gateway((*code).to_owned()),
            exchange::ResponseSource::Policy(name) => ResponseSource::Policy(name.to_string()),
        })
    }

    fn status(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<u16> {
        self.called()?;
        Ok(self.response()?.status.as_u16())
    }

    fn header(
        &mut self,
        _: Resource<ResponseHandle>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        self.called()?;
        Ok(first_value(&self.response()?.headers, &name))
    }

    fn header_values(
        &mut self,
        _: Resource<ResponseHandle>,
        name: String,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        self.called()?;
        Ok(values(&self.response()?.headers, &name))
    }

    fn headers(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<Fields> {
        self.called()?;
        Ok(all_fields(&self.response()?.headers))
    }

    fn set_status(&mut self, _: Resource<ResponseHandle>, status: u16) -> Edited {
        self.called()?;
        if self.phase != Some(Phase::OnResponse) {
            return Ok(Err(GuestEditError::TooLate));
        }
        Ok(self.exchange()?.edits.status(status).map_err(Into::into))
    }

    fn edit_headers(&mut self, _: Resource<ResponseHandle>, ops: Vec<FieldOp>) -> Edited {
        self.called()?;
        if self.phase != Some(Phase::OnResponse) {
            return Ok(Err(GuestEditError::TooLate));
        }
        Ok(stage_fields(self.exchange()?, Side::Response, ops))
    }

    async fn read_body(
        &mut self,
        _: Resource<ResponseHandle>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, BodyError>> {
        self.called()?;
        if self.phase != Some(Phase::OnResponse) {
            return Ok(Err(BodyError::NotGranted));
        }
        if has_no_body(self.exchange()?).is_some() {
            return Ok(Ok(Vec::new()));
        }
        Ok(self.read_lent_body(limit).await)
    }

    fn replace_body(&mut self, _: Resource<ResponseHandle>, body: Vec<u8>) -> Edited {
        self.called()?;
        if self.phase != Some(Phase::OnResponse) {
            return Ok(Err(GuestEditError::TooLate));
        }
        self.replace_lent_body(body)
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostState {
    fn response(&mut self) -> wasmtime::Result<&mut exchange::ResponseHead> {
        match &mut self.exchange()?.response {
            Some(response) => Ok(response),
            None => Err(HostDefect("no response is lent to this call").into()),
        }
    }
}

impl From<EditError> for GuestEditError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::TooLate => GuestEditError::TooLate,
            EditError::Forbidden(what) => GuestEditError::Forbidden(what),
            EditError::Invalid(what) => GuestEditError::Invalid(what),
        }
    }
}

/// Stages all of `ops`, or none: a call that is refused has changed nothing.
fn stage_fields(
    exchange: &mut exchange::Exchange,
    side: Side,
    ops: Vec<FieldOp>,
) -> Result<(), GuestEditError> {
    let edits = ops.into_iter().map(field_edit).collect::<Result<_, _>>()?;
    Ok(exchange.edits.fields(side, edits)?)
}

fn field_edit(op: FieldOp) -> Result<FieldEdit, EditError> {
    Ok(match op {
        FieldOp::Set((name, value)) => {
            let name = editable_name(&name)?;
            let value = field_value(&name, &value)?;
            FieldEdit::Set(name, value)
        }
        FieldOp::Append((name, value)) => {
            let name = editable_name(&name)?;
            let value = field_value(&name, &value)?;
            FieldEdit::Append(name, value)
        }
        FieldOp::Remove(name) => FieldEdit::Remove(editable_name(&name)?),
    })
}

fn first_value(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn values(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect(),
        Err(_) => Vec::new(),
    }
}

pub(super) fn all_fields(headers: &HeaderMap) -> Fields {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}
