//! A component's shape: how much of what is in it. Bounds what the compiler is given.
//!
//! Reads the sections' heads and no instruction, so that it takes a moment for any file. Whether the component
//! is valid is the compiler's matter.

use wasmparser::{Parser, Payload};

use crate::wasm::sandbox::LIFECYCLE_BOUNDS;

/// Components and modules in one another: toolchains nest three deep.
const MAX_DEPTH: u64 = 16;
/// Components and modules: a policy has four to six, Python with its libraries some thirty.
const MAX_PARTS: u64 = 500;
/// Functions of all modules: an interpreter of JavaScript or Python has tens of thousands.
const MAX_FUNCTIONS: u64 = 250_000;
/// A function's bytes: the largest of interpreters take some hundred KiB. Compiling takes more than
/// proportionally long.
const MAX_FUNCTION_BYTES: u64 = 512 << 10;
/// Imports and exports of all parts.
const MAX_NAMES: u64 = 50_000;
/// Types, instances, aliases and adapted functions of all parts.
const MAX_DEFINITIONS: u64 = 200_000;
/// Elements of all tables at the start.
const MAX_TABLE_ELEMENTS: u64 = 1_000_000;
/// Data segments: the wizer makes up to 10,000.
const MAX_DATA_SEGMENTS: u64 = 50_000;

/// A component's measures. Numbers of functions, names and so on are of all its parts together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    depth: u64,
    parts: u64,
    functions: u64,
    largest_function_bytes: u64,
    names: u64,
    definitions: u64,
    table_elements: u64,
    data_segments: u64,
    /// Memory of an instance at its start, all memories together.
    pub(super) memory_bytes: u64,
    /// Elements of its largest table at its start.
    pub(super) largest_table: u64,
}

/// A component that is too large in some respect.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("too large for a policy: it has {found} {what}, and may have {limit}; {remedy}")]
pub(super) struct TooLarge {
    what: &'static str,
    found: u64,
    limit: u64,
    remedy: &'static str,
}

impl Shape {
    /// Measures a component. The error says where it is broken.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut shape = Self::default();
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { .. } => {
                    depth += 1;
                    shape.parts += 1;
                    shape.depth = shape.depth.max(depth);
                }
                Payload::End(_) => depth -= 1,
                _ => {}
            }
            shape.count(payload)?;
            // What is nested without end need not be followed to it.
            if shape.depth > MAX_DEPTH || shape.parts > MAX_PARTS {
                break;
            }
        }
        Ok(shape)
    }

    fn count(&mut self, payload: Payload<'_>) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len() as u64;
                self.largest_function_bytes = self.largest_function_bytes.max(bytes);
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    import?;
                    self.names += 1;
                }
            }
            Payload::ExportSection(section) => self.names += u64::from(section.count()),
            Payload::ComponentImportSection(section) => self.names += u64::from(section.count()),
            Payload::ComponentExportSection(section) => self.names += u64::from(section.count()),
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let page = 1_u64
                        .checked_shl(memory.page_size_log2.unwrap_or(16))
                        .unwrap_or(u64::MAX);
                    let bytes = memory.initial.saturating_mul(page);
                    self.memory_bytes = self.memory_bytes.saturating_add(bytes);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let elements = table?.ty.initial;
                    self.table_elements = self.table_elements.saturating_add(elements);
                    self.largest_table = self.largest_table.max(elements);
                }
            }
            Payload::DataSection(section) => self.data_segments += u64::from(section.count()),
            other => self.definitions += definitions(&other),
        }
        Ok(())
    }

    /// Refuses what is beyond any policy.
    pub(super) fn check(&self) -> Result<(), TooLarge> {
        const SMALLER: &str = "make it smaller, or split it into several policies";
        let limits = [
            ("levels of nested components", self.depth, MAX_DEPTH),
            ("components and modules", self.parts, MAX_PARTS),
            ("functions", self.functions, MAX_FUNCTIONS),
            (
                "bytes of code in its largest function",
                self.largest_function_bytes,
                MAX_FUNCTION_BYTES,
            ),
            ("imports and exports", self.names, MAX_NAMES),
            (
                "types, instances and aliases",
                self.definitions,
                MAX_DEFINITIONS,
            ),
            ("table elements", self.table_elements, MAX_TABLE_ELEMENTS),
            ("data segments", self.data_segments, MAX_DATA_SEGMENTS),
            (
                "bytes of memory from the start",
                self.memory_bytes,
                LIFECYCLE_BOUNDS.memory_bytes as u64,
            ),
        ];
        match limits.into_iter().find(|(_, found, limit)| found > limit) {
            Some((what, found, limit)) => Err(TooLarge {
                what,
                found,
                limit,
                remedy: SMALLER,
            }),
            None => Ok(()),
        }
    }
}

fn definitions(payload: &Payload<'_>) -> u64 {
    u64::from(match payload {
        Payload::TypeSection(section) => section.count(),
        Payload::GlobalSection(section) => section.count(),
        Payload::ElementSection(section) => section.count(),
        Payload::TagSection(section) => section.count(),
        Payload::InstanceSection(section) => section.count(),
        Payload::CoreTypeSection(section) => section.count(),
        Payload::ComponentInstanceSection(section) => section.count(),
        Payload::ComponentAliasSection(section) => section.count(),
        Payload::ComponentTypeSection(section) => section.count(),
        Payload::ComponentCanonicalSection(section) => section.count(),
        _ => 0,
    })
}
