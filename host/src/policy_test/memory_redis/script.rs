//! Scripts: Lua 5.1, as Redis runs it, with `redis.call`, `KEYS` and `ARGV`.

use std::cell::RefCell;

use deadpool_redis::redis::Value;
use mlua::{
    Error as LuaError, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value as LuaValue,
    VmState,
};

use super::keyspace::Keyspace;
use super::{Answered, Refused, bulk};

/// A script that takes more steps has no end.
const MAX_STEPS: u32 = 10_000_000;
const MAX_MEMORY_BYTES: usize = 64 << 20;
/// How deep a reply may nest.
const MAX_DEPTH: usize = 16;

/// Runs it to its end. What it has changed before an error stays, as with Redis.
pub(super) fn run(
    keys: &mut Keyspace,
    script: &str,
    names: &[Vec<u8>],
    arguments: &[Vec<u8>],
) -> Answered {
    let ran = evaluate(keys, script, names, arguments);
    ran.map_err(|error| refusal(&error))?
}

fn evaluate(
    keys: &mut Keyspace,
    script: &str,
    names: &[Vec<u8>],
    arguments: &[Vec<u8>],
) -> mlua::Result<Answered> {
    let lua = Lua::new_with(
        StdLib::STRING | StdLib::TABLE | StdLib::MATH,
        LuaOptions::default(),
    )?;
    lua.set_memory_limit(MAX_MEMORY_BYTES)?;
    let triggers = HookTriggers::new().every_nth_instruction(MAX_STEPS);
    lua.set_hook(triggers, |_, _| -> mlua::Result<VmState> {
        Err(LuaError::runtime("ERR the script does not come to an end"))
    })?;
    let globals = lua.globals();
    globals.set("KEYS", texts(&lua, names)?)?;
    globals.set("ARGV", texts(&lua, arguments)?)?;
    let keys = RefCell::new(keys);
    lua.scope(|scope| {
        let redis = lua.create_table()?;
        let raising = scope.create_function(|lua, words: MultiValue| {
            let answered = call(&keys, words)?.map_err(LuaError::runtime)?;
            to_lua(lua, answered)
        })?;
        let telling =
            scope.create_function(|lua, words: MultiValue| match call(&keys, words)? {
                Ok(value) => to_lua(lua, value),
                Err(refused) => one_field(lua, "err", refused),
            })?;
        redis.set("call", raising)?;
        redis.set("pcall", telling)?;
        redis.set(
            "error_reply",
            lua.create_function(|lua, text: mlua::LuaString| one_field(lua, "err", text))?,
        )?;
        redis.set(
            "status_reply",
            lua.create_function(|lua, text: mlua::LuaString| one_field(lua, "ok", text))?,
        )?;
        globals.set("redis", redis)?;
        let answer: LuaValue = lua.load(script).set_name("@user_script").eval()?;
        from_lua(answer, MAX_DEPTH)
    })
}

/// A command of the script; an error in it is one of the script, not the server's answer.
fn call(keys: &RefCell<&mut Keyspace>, words: MultiValue) -> mlua::Result<Answered> {
    let words: Vec<_> = words.into_iter().map(word).collect::<mlua::Result<_>>()?;
    Ok(super::run(&mut keys.borrow_mut(), &words))
}

fn texts(lua: &Lua, texts: &[Vec<u8>]) -> mlua::Result<Table> {
    let texts = texts.iter().map(|text| lua.create_string(text));
    lua.create_sequence_from(texts.collect::<mlua::Result<Vec<_>>>()?)
}

fn one_field(lua: &Lua, name: &str, text: impl mlua::IntoLua) -> mlua::Result<LuaValue> {
    let table = lua.create_table()?;
    table.set(name, text)?;
    Ok(LuaValue::Table(table))
}

/// A word of a command, as a script gives it.
fn word(value: LuaValue) -> mlua::Result<Vec<u8>> {
    match value {
        LuaValue::String(text) => Ok(text.as_bytes().to_vec()),
        LuaValue::Integer(number) => Ok(number.to_string().into_bytes()),
        // Redis does not write it as Lua would, but with all its digits.
        LuaValue::Number(number) => Ok(number.to_string().into_bytes()),
        _ => Err(LuaError::runtime(
            "ERR Lua redis lib command arguments must be strings or integers",
        )),
    }
}

/// <https://redis.io/docs/latest/develop/programmability/lua-api/#data-type-conversion>
fn to_lua(lua: &Lua, value: Value) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Nil => LuaValue::Boolean(false),
        // Every number of Lua 5.1 is one.
        Value::Int(number) => LuaValue::Number(number as f64),
        Value::BulkString(bytes) => LuaValue::String(lua.create_string(&bytes)?),
        Value::Okay => one_field(lua, "ok", "OK")?,
        Value::SimpleString(text) => one_field(lua, "ok", text)?,
        Value::Array(items) => {
            let items = items.into_iter().map(|item| to_lua(lua, item));
            let items = items.collect::<mlua::Result<Vec<_>>>()?;
            LuaValue::Table(lua.create_sequence_from(items)?)
        }
        other => {
            let text = format!("ERR no Lua value for {other:?}");
            return Err(LuaError::runtime(text));
        }
    })
}

fn from_lua(value: LuaValue, depth: usize) -> mlua::Result<Answered> {
    Ok(Ok(match value {
        LuaValue::Nil | LuaValue::Boolean(false) => Value::Nil,
        LuaValue::Boolean(true) => Value::Int(1),
        LuaValue::Integer(number) => Value::Int(number),
        // Redis cuts fractions off.
        LuaValue::Number(number) => Value::Int(number as i64),
        LuaValue::String(text) => bulk(text.as_bytes().to_vec()),
        LuaValue::Table(table) => return from_table(&table, depth),
        _ => Value::Nil,
    }))
}

fn from_table(table: &Table, depth: usize) -> mlua::Result<Answered> {
    if let Some(refused) = table.raw_get::<Option<mlua::LuaString>>("err")? {
        return Ok(Err(refused.to_string_lossy()));
    }
    if let Some(status) = table.raw_get::<Option<mlua::LuaString>>("ok")? {
        return Ok(Ok(Value::SimpleString(status.to_string_lossy())));
    }
    if depth == 0 {
        return Ok(Err("ERR reached lua stack limit".to_owned()));
    }
    let mut items = Vec::new();
    // Up to the first nil.
    for item in table.sequence_values::<LuaValue>() {
        match from_lua(item?, depth - 1)? {
            Ok(item) => items.push(item),
            refused => return Ok(refused),
        }
    }
    Ok(Ok(Value::Array(items)))
}

/// An error's first line, as Redis would answer it.
fn refusal(error: &LuaError) -> Refused {
    let mut cause = error;
    while let LuaError::CallbackError { cause: inner, .. } = cause {
        cause = inner;
    }
    let text = match cause {
        LuaError::RuntimeError(text) => text.clone(),
        other => other.to_string(),
    };
    let line = text.lines().next().unwrap_or_default();
    let has_code = line
        .split(' ')
        .next()
        .is_some_and(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase()));
    if has_code {
        line.to_owned()
    } else {
        format!("ERR {line}")
    }
}
