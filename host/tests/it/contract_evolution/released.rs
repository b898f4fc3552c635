//! Within a version, what was released stays as it was; wit/README.md has the rules.

use std::collections::BTreeMap;
use std::path::Path;

use wit_parser::{
    Function, Handle, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeOwner, WorldItem,
    WorldKey,
};

use super::fixture;

/// A contract as names of what it has, such as `portcullis:policy/http@0.1.0 func exchange.header`, each with its
/// shape in text. Docs and the order of things are not of it.
type Shape = BTreeMap<String, String>;

fn read(folder: &Path) -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_dir(folder).unwrap();
    resolve
}

fn parse(text: &str) -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_str("test.wit", text).unwrap();
    resolve
}

/// Types, functions, and what each world imports and exports.
fn shape(resolve: &Resolve) -> Shape {
    let mut shape = Shape::new();
    for (id, interface) in resolve.interfaces.iter() {
        let name = resolve.id_of(id).unwrap();
        shape.insert(format!("{name} is there"), String::new());
        for (of, id) in &interface.types {
            shape.insert(
                format!("{name} type {of}"),
                definition(resolve, &resolve.types[*id]),
            );
        }
        for (of, function) in &interface.functions {
            shape.insert(format!("{name} func {of}"), signature(resolve, function));
        }
    }
    for (_, world) in resolve.worlds.iter() {
        for (way, items) in [("imports", &world.imports), ("exports", &world.exports)] {
            for (key, item) in items {
                let item = world_item(resolve, key, item);
                shape.insert(format!("world {} {way} {item}", world.name), String::new());
            }
        }
    }
    shape
}

fn world_item(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> String {
    match item {
        WorldItem::Interface { id, .. } => resolve.id_of(*id).unwrap(),
        other => panic!("{key:?}: worlds of the contract have interfaces only: {other:?}"),
    }
}

/// Interfaces that policies export: the host asks an old one for all that is in them.
fn exported(resolve: &Resolve) -> Vec<String> {
    let worlds = resolve.worlds.iter().flat_map(|(_, world)| &world.exports);
    let mut all: Vec<String> = worlds
        .map(|(key, item)| world_item(resolve, key, item))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn definition(resolve: &Resolve, definition: &TypeDef) -> String {
    let named = |(name, of): (&String, String)| format!("{name}: {of}");
    let list = |items: Vec<String>| items.join(", ");
    let of = |of: &Type| text(resolve, of);
    let optional = |of: &Option<Type>| of.as_ref().map_or("_".to_owned(), |of| text(resolve, of));
    match &definition.kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            let fields = fields.map(|field| named((&field.name, of(&field.ty))));
            format!("record {{ {} }}", list(fields.collect()))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            let cases = cases.map(|case| named((&case.name, optional(&case.ty))));
            format!("variant {{ {} }}", list(cases.collect()))
        }
        TypeDefKind::Enum(words) => {
            let cases = words.cases.iter().map(|case| case.name.clone());
            format!("enum {{ {} }}", list(cases.collect()))
        }
        TypeDefKind::Flags(flags) => {
            let flags = flags.flags.iter().map(|flag| flag.name.clone());
            format!("flags {{ {} }}", list(flags.collect()))
        }
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", list(tuple.types.iter().map(of).collect()))
        }
        TypeDefKind::Option(inner) => format!("option<{}>", of(inner)),
        TypeDefKind::List(inner) => format!("list<{}>", of(inner)),
        TypeDefKind::Result(result) => {
            format!(
                "result<{}, {}>",
                optional(&result.ok),
                optional(&result.err)
            )
        }
        TypeDefKind::Type(inner) => format!("type {}", of(inner)),
        TypeDefKind::Resource => "resource".to_owned(),
        TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", of(&Type::Id(*id))),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", of(&Type::Id(*id))),
        other => panic!("say here how {} is written", other.as_str()),
    }
}

/// A type where it is used: by its name where it has one.
fn text(resolve: &Resolve, of: &Type) -> String {
    let Type::Id(id) = of else {
        return format!("{of:?}").to_lowercase();
    };
    let found = &resolve.types[*id];
    match (&found.name, found.owner) {
        (Some(name), TypeOwner::Interface(id)) => format!("{}/{name}", interface(resolve, id)),
        _ => definition(resolve, found),
    }
}

fn interface(resolve: &Resolve, id: InterfaceId) -> String {
    resolve.id_of(id).unwrap()
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params = function.params.iter();
    let params: Vec<String> = params
        .map(|param| format!("{}: {}", param.name, text(resolve, &param.ty)))
        .collect();
    let result = function.result.as_ref();
    let result = result.map_or("_".to_owned(), |of| text(resolve, of));
    format!("({}) -> {result}", params.join(", "))
}

/// What of `old` is gone or different in `new`, or added where nothing may be.
fn breaks(old: &Resolve, new: &Resolve) -> Vec<String> {
    let (before, now) = (shape(old), shape(new));
    let changed = before
        .iter()
        .filter_map(|(name, shape)| match now.get(name) {
            None => Some(format!("{name} is gone")),
            Some(other) if other != shape => Some(format!("{name} was {shape}, is {other}")),
            Some(_) => None,
        });
    let mut all: Vec<String> = changed.collect();
    let frozen = exported(old);
    let is_frozen = |name: &str| {
        let of = |interface: &String| name.starts_with(&format!("{interface} "));
        frozen.iter().any(of)
    };
    let added = now.keys().filter(|name| !before.contains_key(*name));
    all.extend(
        added.filter(|name| is_frozen(name)).map(|name| {
            format!("{name} is new, in an interface that old policies export without it")
        }),
    );
    all
}

#[test]
fn nothing_that_was_released_is_gone_or_different() {
    let present = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let broken = breaks(&read(&fixture("wit")), &read(&present));
    assert!(
        broken.is_empty(),
        "this breaks policies that were built for 0.1.0:\n{}",
        broken.join("\n")
    );
}

const OLD: &str = "
package a:b@0.1.0;
interface imported {
  record r { x: u32, y: option<string> }
  variant v { one, two(u8) }
  resource thing { get: func(of: r) -> result<v, string>; }
  enum e { up, down }
  f: func(r: r, l: list<tuple<string, e>>) -> v;
}
interface hook { use imported.{thing}; call: func(t: borrow<thing>); }
world w { import imported; export hook; }
";

#[test]
fn a_function_a_type_and_an_interface_may_be_added() {
    for (from, to) in [
        ("enum e", "record more { z: u8 } g: func() -> more; enum e"),
        ("get: func", "other: func(); get: func"),
        (
            "interface hook",
            "interface another { h: func(); } interface hook",
        ),
        ("import imported;", "import imported; import another;"),
        ("record r", "/// Docs are not of it.\n record r"),
    ] {
        let mut new = OLD.replace(from, to);
        if to.contains("import another") {
            new += "interface another { h: func(); }";
        }
        assert_ne!(new, OLD);
        assert_eq!(
            breaks(&parse(OLD), &parse(&new)),
            Vec::<String>::new(),
            "{to}"
        );
    }
}

#[test]
fn anything_else_is_seen() {
    for (from, to, seen) in [
        ("x: u32", "x: u64", "type r was record { x: u32, "),
        (
            "y: option<string>",
            "y: option<string>, z: u8",
            "type r was ",
        ),
        (
            "x: u32, y: option<string>",
            "y: option<string>, x: u32",
            "type r was ",
        ),
        (
            "one, two(u8)",
            "two(u8), one",
            "type v was variant { one: _, two: u8 }",
        ),
        ("one, two(u8)", "one, two(u8), three", "type v was "),
        ("two(u8)", "two", "type v was "),
        ("up, down", "up, down, left", "type e was enum { up, down }"),
        (
            "l: list<tuple<string, e>>",
            "l: list<tuple<e, string>>",
            "func f was ",
        ),
        ("r: r, l", "s: r, l", "func f was "),
        (
            "result<v, string>",
            "result<v>",
            "func [method]thing.get was ",
        ),
        (
            "get: func(of: r) -> result<v, string>;",
            "",
            "func [method]thing.get is gone",
        ),
        ("t: borrow<thing>", "t: thing", "hook@0.1.0 func call was "),
        (
            "call: func",
            "more: func(); call: func",
            "hook@0.1.0 func more is new",
        ),
        ("export hook;", "", "exports a:b/hook@0.1.0 is gone"),
        ("import imported; export hook;", "export hook;", "NOTHING"),
    ] {
        let new = OLD.replace(from, to);
        assert_ne!(new, OLD);
        let broken = breaks(&parse(OLD), &parse(&new)).join("\n");
        match seen {
            // It is imported by what the hook uses.
            "NOTHING" => assert_eq!(broken, ""),
            seen => assert!(broken.contains(seen), "{to}: {broken}"),
        }
    }
}
