//! Commands for sorted sets.

use std::collections::BTreeMap;

use deadpool_redis::redis::Value;

use super::arguments::{Arguments, float};
use super::keys::syntax;
use super::keyspace::{Held, Keyspace, wrong_type};
use super::{Answered, Refused, bulk, count};

type Members = BTreeMap<Vec<u8>, f64>;

/// Answers the command if it is one of these.
pub(super) fn answer(
    name: &str,
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
) -> Option<Answered> {
    Some(match name {
        "ZCARD" => read(keys, arguments, |members, _| Ok(count(members.len()))),
        "ZSCORE" => read(keys, arguments, |members, arguments| {
            let score = members.get(arguments.next()?);
            Ok(score.map_or(Value::Nil, |score| bulk(score.to_string())))
        }),
        "ZCOUNT" => read(keys, arguments, |members, arguments| {
            let within = Scores::next(arguments)?;
            Ok(count(
                members
                    .values()
                    .filter(|score| within.hold(**score))
                    .count(),
            ))
        }),
        "ZRANGEBYSCORE" => read(keys, arguments, |members, arguments| {
            let within = Scores::next(arguments)?;
            let names = in_order(members).into_iter();
            let found = names.filter(|(_, score)| within.hold(*score));
            Ok(Value::Array(
                found.map(|(name, _)| bulk(name.clone())).collect(),
            ))
        }),
        "ZADD" => change(keys, arguments, add),
        "ZREM" => change(keys, arguments, |members, arguments| {
            let gone = arguments.all()?.iter();
            Ok(count(
                gone.filter(|member| members.remove(*member).is_some())
                    .count(),
            ))
        }),
        "ZREMRANGEBYSCORE" => change(keys, arguments, |members, arguments| {
            let within = Scores::next(arguments)?;
            let before = members.len();
            members.retain(|_, score| !within.hold(*score));
            Ok(count(before - members.len()))
        }),
        _ => return None,
    })
}

/// Members by score, and by name where those are equal.
fn in_order(members: &Members) -> Vec<(&Vec<u8>, f64)> {
    let mut all: Vec<_> = members.iter().map(|(name, score)| (name, *score)).collect();
    all.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    all
}

/// Between two scores, as `ZCOUNT` takes them: `(1` is without 1 itself.
struct Scores {
    least: (f64, bool),
    most: (f64, bool),
}

impl Scores {
    fn next(arguments: &mut Arguments<'_>) -> Result<Self, Refused> {
        Ok(Self {
            least: bound(arguments.next()?)?,
            most: bound(arguments.next()?)?,
        })
    }

    fn hold(&self, score: f64) -> bool {
        let ((least, without_least), (most, without_most)) = (self.least, self.most);
        let above = if without_least {
            score > least
        } else {
            score >= least
        };
        let below = if without_most {
            score < most
        } else {
            score <= most
        };
        above && below
    }
}

fn bound(text: &[u8]) -> Result<(f64, bool), Refused> {
    let number = match text.strip_prefix(b"(") {
        Some(rest) => float(rest).map(|number| (number, true)),
        None => float(text).map(|number| (number, false)),
    };
    number.map_err(|_| "ERR min or max is not a float".to_owned())
}

fn add(members: &mut Members, arguments: &mut Arguments<'_>) -> Answered {
    let mut new = 0;
    for [score, member] in arguments.pairs()? {
        if matches!(
            &*score.to_ascii_uppercase(),
            b"NX" | b"XX" | b"GT" | b"LT" | b"CH" | b"INCR"
        ) {
            return Err(syntax());
        }
        let score = float(score)?;
        new += usize::from(members.insert(member.clone(), score).is_none());
    }
    Ok(count(new))
}

fn read(
    keys: &Keyspace,
    arguments: &mut Arguments<'_>,
    answer: impl Fn(&Members, &mut Arguments<'_>) -> Answered,
) -> Answered {
    let members = match keys.get(arguments.next()?) {
        None => &Members::new(),
        Some(Held::SortedSet(members)) => members,
        Some(_) => return Err(wrong_type()),
    };
    let answered = answer(members, arguments)?;
    arguments.end()?;
    Ok(answered)
}

fn change(
    keys: &mut Keyspace,
    arguments: &mut Arguments<'_>,
    change: impl Fn(&mut Members, &mut Arguments<'_>) -> Answered,
) -> Answered {
    let name = arguments.next()?;
    let Held::SortedSet(members) = keys.entry(name, Held::SortedSet(Members::new())) else {
        return Err(wrong_type());
    };
    let answered = change(members, arguments);
    keys.remove_empty(name);
    answered
}
