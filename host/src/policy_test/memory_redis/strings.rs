//! Commands for texts and numbers.

use deadpool_redis::redis::Value;

use super::arguments::{Arguments, integer};
use super::keys::syntax;
use super::keyspace::{Held, Keyspace, wrong_type};
use super::{Answered, Refused, bulk_or_nil, count};

/// Answers the command if it is one of these.
pub(super) fn answer(
    name: &str,
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
) -> Option<Answered> {
    Some(match name {
        "GET" => get(keys, arguments),
        "MGET" => arguments.all().map(|names| {
            let texts = names
                .iter()
                .map(|name| text(keys, name).unwrap_or_default());
            Value::Array(texts.map(bulk_or_nil).collect())
        }),
        "SET" => set(keys, arguments),
        "MSET" => arguments.pairs().map(|pairs| {
            for [name, value] in pairs {
                keys.put(name, Held::Text(value.clone()));
            }
            Value::Okay
        }),
        "STRLEN" => strlen(keys, arguments),
        "INCR" => add(keys, arguments, |_| Ok(1)),
        "DECR" => add(keys, arguments, |_| Ok(-1)),
        "INCRBY" => add(keys, arguments, |arguments| arguments.int()),
        "DECRBY" => add(keys, arguments, |arguments| {
            arguments.int().map(i64::wrapping_neg)
        }),
        _ => return None,
    })
}

fn text<'a>(keys: &'a Keyspace, name: &[u8]) -> Result<Option<&'a Vec<u8>>, Refused> {
    match keys.get(name) {
        None => Ok(None),
        Some(Held::Text(text)) => Ok(Some(text)),
        Some(_) => Err(wrong_type()),
    }
}

fn get(keys: &Keyspace, arguments: &mut Arguments<'_>) -> Answered {
    let name = arguments.next()?;
    arguments.end()?;
    text(keys, name).map(bulk_or_nil)
}

fn strlen(keys: &Keyspace, arguments: &mut Arguments<'_>) -> Answered {
    let text = text(keys, arguments.next()?)?;
    Ok(count(text.map_or(0, Vec::len)))
}

fn set(keys: &mut Keyspace, arguments: &mut Arguments<'_>) -> Answered {
    let (name, value) = (arguments.next()?, arguments.next()?);
    let is_there = keys.get(name).is_some();
    let (mut may, mut ends_ms) = (true, None);
    while let Some(option) = arguments.option() {
        match option.as_str() {
            "NX" => may = !is_there,
            "XX" => may = is_there,
            "PX" => ends_ms = Some(end(keys, arguments.int()?)?),
            "EX" => ends_ms = Some(end(keys, arguments.int()?.saturating_mul(1_000))?),
            "KEEPTTL" => ends_ms = keys.ends_ms(name).flatten(),
            _ => return Err(syntax()),
        }
    }
    if !may {
        return Ok(Value::Nil);
    }
    keys.put(name, Held::Text(value.to_vec()));
    keys.end_at(name, ends_ms);
    Ok(Value::Okay)
}

fn end(keys: &Keyspace, millis: i64) -> Result<u64, Refused> {
    let millis = u64::try_from(millis).ok().filter(|millis| *millis > 0);
    let millis = millis.ok_or_else(|| "ERR invalid expire time in 'set' command".to_owned())?;
    Ok(keys.now_ms().saturating_add(millis))
}

fn add(
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
    by: impl Fn(&mut Arguments<'_>) -> Result<i64, Refused>,
) -> Answered {
    let name = arguments.next()?;
    let by = by(arguments)?;
    arguments.end()?;
    let Held::Text(text) = keys.entry(name, Held::Text(b"0".to_vec())) else {
        return Err(wrong_type());
    };
    let sum = integer(text)?.checked_add(by);
    let sum = sum.ok_or_else(|| "ERR increment or decrement would overflow".to_owned())?;
    *text = sum.to_string().into_bytes();
    Ok(Value::Int(sum))
}
