//! Commands for hashes.

use std::collections::BTreeMap;

use deadpool_redis::redis::Value;

use super::arguments::{Arguments, integer};
use super::keyspace::{Held, Keyspace, wrong_type};
use super::{Answered, Refused, bulk, bulk_or_nil, count};

type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

/// Answers the command if it is one of these.
pub(super) fn answer(
    name: &str,
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
) -> Option<Answered> {
    Some(match name {
        "HGET" => read(keys, arguments, |fields, arguments| {
            Ok(bulk_or_nil(fields.get(arguments.next()?)))
        }),
        "HMGET" => read(keys, arguments, |fields, arguments| {
            let wanted = arguments.all()?.iter();
            Ok(Value::Array(
                wanted.map(|field| bulk_or_nil(fields.get(field))).collect(),
            ))
        }),
        "HGETALL" => read(keys, arguments, |fields, _| {
            let pairs = fields.iter().flat_map(|(field, value)| [field, value]);
            Ok(Value::Array(pairs.map(|part| bulk(part.clone())).collect()))
        }),
        "HEXISTS" => read(keys, arguments, |fields, arguments| {
            Ok(Value::Int(fields.contains_key(arguments.next()?).into()))
        }),
        "HLEN" => read(keys, arguments, |fields, _| Ok(count(fields.len()))),
        "HSET" | "HMSET" => change(keys, arguments, |fields, arguments| {
            let pairs = arguments.pairs()?.iter();
            let new = pairs
                .filter(|[field, value]| fields.insert(field.clone(), value.clone()).is_none());
            Ok(count(new.count()))
        }),
        "HDEL" => change(keys, arguments, |fields, arguments| {
            let gone = arguments.all()?.iter();
            Ok(count(
                gone.filter(|field| fields.remove(*field).is_some()).count(),
            ))
        }),
        "HINCRBY" => change(keys, arguments, increment),
        _ => return None,
    })
}

fn increment(fields: &mut Fields, arguments: &mut Arguments<'_>) -> Answered {
    let (field, by) = (arguments.next()?, arguments.int()?);
    let present = fields.get(field).map_or(Ok(0), |text| integer(text));
    let present = present.map_err(|_| "ERR hash value is not an integer".to_owned())?;
    let sum = present.checked_add(by);
    let sum = sum.ok_or_else(|| "ERR increment or decrement would overflow".to_owned())?;
    fields.insert(field.to_vec(), sum.to_string().into_bytes());
    Ok(Value::Int(sum))
}

fn read(
    keys: &Keyspace,
    arguments: &mut Arguments<'_>,
    answer: impl Fn(&Fields, &mut Arguments<'_>) -> Answered,
) -> Answered {
    let fields = match keys.get(arguments.next()?) {
        None => &Fields::new(),
        Some(Held::Hash(fields)) => fields,
        Some(_) => return Err(wrong_type()),
    };
    let answered = answer(fields, arguments)?;
    arguments.end()?;
    Ok(answered)
}

fn change(
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
    change: impl Fn(&mut Fields, &mut Arguments<'_>) -> Result<Value, Refused>,
) -> Answered {
    let name = arguments.next()?;
    let Held::Hash(fields) = keys.entry(name, Held::Hash(Fields::new())) else {
        return Err(wrong_type());
    };
    let answered = change(fields, arguments);
    keys.remove_empty(name);
    answered
}
