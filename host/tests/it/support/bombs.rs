//! Components that are made to be dear: each is refused within limits, by name of what is too much of it.

use wasm_encoder::{
    CodeSection, Component, ConstExpr, DataSection, DataSegment, DataSegmentMode, Encode,
    ExportKind, ExportSection, Function, FunctionSection, Instruction, MemorySection, MemoryType,
    Module, ModuleSection, NestedComponentSection, RefType, TableSection, TableType, TypeSection,
};

/// A component that has nothing but this module in it.
fn with(module: &Module) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(module));
    component.finish()
}

/// Functions without parameters and results, each with this body.
fn functions(count: u32, body: &Function) -> Module {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for _ in 0..count {
        functions.function(0);
        code.function(body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module
}

/// Sums that no compiler can leave out, in a body of about that many bytes.
fn computing(bytes: usize) -> Function {
    let mut body = Function::new([(2, wasm_encoder::ValType::I64)]);
    for _ in 0..bytes / 11 {
        body.instruction(&Instruction::LocalGet(0));
        body.instruction(&Instruction::LocalGet(1));
        body.instruction(&Instruction::I64DivS);
        body.instruction(&Instruction::LocalGet(0));
        body.instruction(&Instruction::I64Add);
        body.instruction(&Instruction::LocalSet(1));
    }
    body.instruction(&Instruction::End);
    body
}

/// One function of a MiB.
pub(crate) fn huge_function() -> Vec<u8> {
    with(&functions(1, &computing(1 << 20)))
}

/// More functions than any interpreter has.
pub(crate) fn many_functions() -> Vec<u8> {
    let mut body = Function::new([]);
    body.instruction(&Instruction::End);
    with(&functions(300_000, &body))
}

/// Within all limits of shape, and minutes of work for a compiler: functions of half a MiB, so many that the file
/// takes that many of them.
pub(crate) fn slow(functions_of_half_a_mib: u32) -> Vec<u8> {
    with(&functions(functions_of_half_a_mib, &computing(500 << 10)))
}

/// The same behind a policy that works, as a module that nothing uses.
pub(crate) fn slow_behind(policy: &[u8], functions_of_half_a_mib: u32) -> Vec<u8> {
    let mut bytes = policy.to_vec();
    let module = functions(functions_of_half_a_mib, &computing(500 << 10)).finish();
    // Section 1 of a component is a core module.
    bytes.push(1);
    module.len().encode(&mut bytes);
    bytes.extend(module);
    bytes
}

/// One function under a hundred thousand names.
pub(crate) fn many_exports() -> Vec<u8> {
    let mut body = Function::new([]);
    body.instruction(&Instruction::End);
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    functions.function(0);
    code.function(&body);
    let mut exports = ExportSection::new();
    for number in 0..100_000 {
        exports.export(&format!("f{number}"), ExportKind::Func, 0);
    }
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&exports)
        .section(&code);
    with(&module)
}

/// A thousand components, one in another.
pub(crate) fn nested_components() -> Vec<u8> {
    let mut component = Component::new();
    for _ in 0..1_000 {
        let mut outer = Component::new();
        outer.section(&NestedComponentSection(&component));
        component = outer;
    }
    component.finish()
}

/// Ten thousand components, one beside another.
pub(crate) fn many_components() -> Vec<u8> {
    let mut component = Component::new();
    for _ in 0..10_000 {
        component.section(&NestedComponentSection(&Component::new()));
    }
    component.finish()
}

/// A memory of 1 GiB from the start.
pub(crate) fn huge_memory() -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 16_384,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut module = Module::new();
    module.section(&memories);
    with(&module)
}

/// Ten tables of the largest size.
pub(crate) fn huge_tables() -> Vec<u8> {
    let mut tables = TableSection::new();
    for _ in 0..10 {
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            minimum: 10_000_000,
            maximum: None,
            table64: false,
            shared: false,
        });
    }
    let mut module = Module::new();
    module.section(&tables);
    with(&module)
}

/// Ninety thousand data segments.
pub(crate) fn many_data_segments() -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut data = DataSection::new();
    let offset = ConstExpr::i32_const(0);
    for _ in 0..90_000 {
        let mode = DataSegmentMode::Active {
            memory_index: 0,
            offset: &offset,
        };
        data.segment(DataSegment { mode, data: [0; 4] });
    }
    let mut module = Module::new();
    module.section(&memories).section(&data);
    with(&module)
}
