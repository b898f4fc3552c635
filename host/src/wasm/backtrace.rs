//! Where a guest was when it was stopped, for one line of the log.
//!
//! Names come from the component's name section, and are the guest's own text: cut, and without
//! control characters. A component that was stripped of it shows each function's index. The offset
//! is that in the core module's file, for `wasm-tools print --print-offsets` or `addr2line`.

use wasmtime::{Error, FrameInfo, WasmBacktrace};

use crate::capability::log::one_line;

/// Functions that are named.
const MAX_FRAMES: usize = 16;
/// Bytes of one function's name.
const MAX_NAME_BYTES: usize = 120;
/// Bytes of all of it.
const MAX_BYTES: usize = 2 << 10;

/// The functions that the guest was in, innermost first: `name@0x1a2b < function[7]@0x31`. `None`
/// where the guest was in none.
pub(super) fn render(error: &Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let mut text = String::new();
    for frame in frames.iter().take(MAX_FRAMES) {
        if !text.is_empty() {
            text.push_str(" < ");
        }
        text.push_str(&function(frame));
    }
    if frames.len() > MAX_FRAMES {
        text.push_str(" < …");
    }
    (!text.is_empty()).then(|| one_line(&text, MAX_BYTES))
}

fn function(frame: &FrameInfo) -> String {
    let name = match frame.func_name() {
        Some(name) => {
            let plain = format!("{:#}", rustc_demangle::demangle(name));
            one_line(&plain, MAX_NAME_BYTES)
        }
        None => format!("function[{}]", frame.func_index()),
    };
    match frame.module_offset() {
        Some(offset) => format!("{name}@{offset:#x}"),
        None => name,
    }
}

/// The error's causes on one line, without the backtrace.
pub(super) fn message_without(error: &Error) -> String {
    let backtrace = error
        .downcast_ref::<WasmBacktrace>()
        .map(ToString::to_string);
    let causes: Vec<String> = error
        .chain()
        .map(ToString::to_string)
        .filter(|cause| Some(cause) != backtrace.as_ref())
        .collect();
    let text = causes.join(": ");
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::*;

    /// A core module with one function, `f`, that traps; with a name section if there is a name.
    fn trapping(name: Option<&str>) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend(b"\x01\x04\x01\x60\0\0"); // type: () -> ()
        module.extend(b"\x03\x02\x01\0"); // one function of it
        module.extend(b"\x07\x05\x01\x01f\0\0"); // export "f"
        module.extend(b"\x0a\x05\x01\x03\0\0\x0b"); // its code: unreachable
        if let Some(name) = name {
            let name_bytes = u8::try_from(name.len()).unwrap();
            module.extend([0, 5 + 2 + 3 + name_bytes, 4]);
            module.extend(b"name");
            module.extend([1, 3 + name_bytes, 1, 0, name_bytes]);
            module.extend(name.as_bytes());
        }
        module
    }

    fn stopped(name: Option<&str>) -> Error {
        let engine = Engine::default();
        let module = Module::new(&engine, trapping(name)).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let function = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        function.call(&mut store, ()).unwrap_err()
    }

    #[test]
    fn functions_go_by_their_names_and_offsets() {
        // `module::function` as Rust's compiler writes it.
        let error = stopped(Some("_ZN6policy4trap17h0123456789abcdefE"));
        let text = render(&error).unwrap();
        assert_eq!(text, "policy::trap@0x1e");
        assert_eq!(
            message_without(&error),
            "wasm trap: wasm `unreachable` instruction executed"
        );
    }

    #[test]
    fn a_stripped_function_goes_by_its_index() {
        assert_eq!(render(&stopped(None)).unwrap(), "function[0]@0x1e");
    }

    #[test]
    fn a_name_is_the_guests_text_and_stays_on_its_line() {
        let text = render(&stopped(Some("a\nb"))).unwrap();
        assert_eq!(text, "a b@0x1e");
        assert_eq!(render(&wasmtime::format_err!("no guest")), None);
    }
}
