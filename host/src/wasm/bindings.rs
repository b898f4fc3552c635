//! The contract in `wit/` as Rust: generated, nothing by hand.
//!
//! Reads and edits are plain calls; what may wait (bodies, Redis) is async on the host's side, while the
//! guest sees an ordinary function. A host function's error is a trap, which costs the guest its
//! store and the host nothing.

#![expect(
    missing_docs,
    reason = "generated from wit/, where the documentation stands"
)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "everything",
    imports: {
        "portcullis:policy/http.[method]exchange.read-body": async | trappable,
        "portcullis:policy/http.[method]response.read-body": async | trappable,
        "portcullis:policy/body.[method]reader.read": async | trappable,
        "portcullis:policy/body.[method]writer.write": async | trappable,
        "portcullis:capability/redis.get": async | trappable,
        "portcullis:capability/redis.set": async | trappable,
        "portcullis:capability/redis.delete": async | trappable,
        "portcullis:capability/redis.increment": async | trappable,
        "portcullis:capability/redis.eval": async | trappable,
        "portcullis:capability/outcall.send": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "portcullis:policy/http.exchange": crate::wasm::state::ExchangeHandle,
        "portcullis:policy/http.response": crate::wasm::state::ResponseHandle,
        "portcullis:policy/body.reader": crate::wasm::body_host::ReaderHandle,
        "portcullis:policy/body.writer": crate::wasm::body_host::WriterHandle,
    },
});
