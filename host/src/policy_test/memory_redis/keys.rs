//! Commands for keys of any kind, and for the server.

use deadpool_redis::redis::Value;

use super::arguments::Arguments;
use super::keyspace::{Held, Keyspace};
use super::{Answered, Refused, bulk, count};

/// Answers the command if it is one of these.
pub(super) fn answer(
    name: &str,
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
) -> Option<Answered> {
    Some(match name {
        "PING" => Ok(Value::SimpleString("PONG".to_owned())),
        "TIME" => time(keys),
        "DEL" | "UNLINK" => arguments
            .all()
            .map(|names| count(names.iter().filter(|name| keys.remove(name)).count())),
        "EXISTS" => arguments.all().map(|names| {
            let present = names.iter().filter(|name| keys.get(name).is_some());
            count(present.count())
        }),
        "TYPE" => arguments.next().map(|name| kind(keys.get(name))),
        "EXPIRE" => expire(keys, arguments, |seconds, now| now + seconds * 1_000),
        "PEXPIRE" => expire(keys, arguments, |millis, now| now + millis),
        "PEXPIREAT" => expire(keys, arguments, |at, _| at),
        "PERSIST" => arguments.next().map(|name| {
            let had_end = keys.ends_ms(name).flatten().is_some();
            keys.end_at(name, None);
            Value::Int(had_end.into())
        }),
        "TTL" => left(keys, arguments, 1_000),
        "PTTL" => left(keys, arguments, 1),
        _ => return None,
    })
}

fn time(keys: &Keyspace) -> Answered {
    let now = keys.now_us();
    let parts = [now / 1_000_000, now % 1_000_000];
    let parts = parts.map(|part| bulk(part.to_string()));
    Ok(Value::Array(parts.to_vec()))
}

fn kind(held: Option<&Held>) -> Value {
    let name = match held {
        None => "none",
        Some(Held::Text(_)) => "string",
        Some(Held::Hash(_)) => "hash",
        Some(Held::SortedSet(_)) => "zset",
    };
    Value::SimpleString(name.to_owned())
}

fn expire(
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
    ends: impl Fn(i64, i64) -> i64,
) -> Answered {
    let (name, number) = (arguments.next()?, arguments.int()?);
    let ends_ms = ends(number, i64::try_from(keys.now_ms()).unwrap_or(i64::MAX));
    let ends_ms = u64::try_from(ends_ms).unwrap_or(0);
    let before = keys.ends_ms(name).flatten();
    let holds = match arguments.option().as_deref() {
        None => true,
        Some("NX") => before.is_none(),
        Some("XX") => before.is_some(),
        Some("GT") => before.is_some_and(|before| ends_ms > before),
        Some("LT") => before.is_none_or(|before| ends_ms < before),
        Some(_) => return Err(syntax()),
    };
    arguments.end()?;
    Ok(Value::Int(
        (holds && keys.end_at(name, Some(ends_ms))).into(),
    ))
}

fn left(keys: &Keyspace, arguments: &mut Arguments<'_>, unit_ms: u64) -> Answered {
    let name = arguments.next()?;
    Ok(match keys.ends_ms(name) {
        None => Value::Int(-2),
        Some(None) => Value::Int(-1),
        Some(Some(ends_ms)) => {
            let left = ends_ms.saturating_sub(keys.now_ms());
            Value::Int(i64::try_from((left + unit_ms / 2) / unit_ms).unwrap_or(i64::MAX))
        }
    })
}

/// The answer to an option that a command does not have.
pub(super) fn syntax() -> Refused {
    "ERR syntax error".to_owned()
}
