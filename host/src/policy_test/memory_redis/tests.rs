use std::time::Duration;

use super::*;
use crate::capability::clock::VirtualClock;

fn server() -> (Arc<MemoryRedis>, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::at(Duration::from_secs(1_700_000_000)));
    (MemoryRedis::new(Clock::Virtual(clock.clone())), clock)
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// What redis-cli would show, in a line.
fn shown(answered: &Answered) -> String {
    match answered {
        Err(refused) => refused.clone(),
        Ok(Value::Nil) => "nil".to_owned(),
        Ok(Value::Okay) => "OK".to_owned(),
        Ok(Value::Int(number)) => number.to_string(),
        Ok(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Ok(Value::SimpleString(text)) => text.clone(),
        Ok(Value::Array(items)) => {
            let items = items.iter().map(|item| shown(&Ok(item.clone())));
            items.collect::<Vec<_>>().join(" ")
        }
        Ok(other) => format!("{other:?}"),
    }
}

#[test]
fn commands_answer_as_redis_does() {
    let (server, _) = server();
    let table = [
        ("SET a 1", "OK"),
        ("GET a", "1"),
        ("INCRBY a 4", "5"),
        ("SET a 2 NX", "nil"),
        ("SET b x XX", "nil"),
        ("MGET a b", "5 nil"),
        ("INCR b", "1"),
        ("SET s text", "OK"),
        ("INCR s", "ERR value is not an integer or out of range"),
        ("HSET h f 1 g 2", "2"),
        ("HINCRBY h f 2", "3"),
        ("HGETALL h", "f 3 g 2"),
        (
            "HGET a f",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("HDEL h f g", "2"),
        ("EXISTS h a", "1"),
        ("ZADD z 2 two 1 one 3 three", "3"),
        ("ZCOUNT z (1 +inf", "2"),
        ("ZRANGEBYSCORE z 1 2", "one two"),
        ("ZREMRANGEBYSCORE z -inf 2", "2"),
        ("ZCARD z", "1"),
        ("ZREM z three", "1"),
        ("TYPE z", "none"),
        ("DEL a b c", "2"),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        (
            "GEOADD g 1 1 x",
            "ERR unknown command 'GEOADD': the Redis of policy tests does not have it",
        ),
        ("TIME", "1700000000 0"),
    ];
    for (command, expected) in table {
        assert_eq!(
            shown(&server.command(&words(command))),
            expected,
            "{command}"
        );
    }
}

#[test]
fn keys_end_when_their_time_has_passed() {
    let (server, clock) = server();
    let ask = |command: &str| shown(&server.command(&words(command)));
    assert_eq!(ask("SET a 1 PX 1500"), "OK");
    assert_eq!(
        (ask("PTTL a"), ask("TTL a")),
        ("1500".to_owned(), "2".to_owned())
    );
    assert_eq!(
        ask("SET b 1 EX 0"),
        "ERR invalid expire time in 'set' command"
    );
    clock.advance(Duration::from_millis(1_499));
    assert_eq!(ask("GET a"), "1");
    clock.advance(Duration::from_millis(1));
    assert_eq!(
        (ask("GET a"), ask("PTTL a")),
        ("nil".to_owned(), "-2".to_owned())
    );
    assert_eq!(
        (ask("SET c 1"), ask("PEXPIRE c 10 NX")),
        ("OK".to_owned(), "1".to_owned())
    );
    assert_eq!(
        (ask("PEXPIRE c 20 NX"), ask("PEXPIRE c 20 GT")),
        ("0".to_owned(), "1".to_owned())
    );
    assert_eq!(
        (ask("PERSIST c"), ask("TTL c")),
        ("1".to_owned(), "-1".to_owned())
    );
}

#[test]
fn scripts_run_as_in_redis() {
    let (server, clock) = server();
    clock.advance(Duration::from_micros(7));
    let eval = |script: &str| shown(&server.eval(script, &words("k"), &words("5 x")));
    assert_eq!(
        eval("return {KEYS[1], ARGV[1], tonumber(ARGV[1]) + 0.9}"),
        "k 5 5"
    );
    assert_eq!(eval("return redis.call('TIME')"), "1700000000 7");
    assert_eq!(
        eval("redis.call('SET', KEYS[1], 2^53) return redis.call('GET', KEYS[1])"),
        "9007199254740992"
    );
    assert_eq!(eval("return redis.call('GET', 'none')"), "nil");
    assert_eq!(eval("return {1, nil, 3}"), "1");
    assert_eq!(eval("return redis.call('SET', 'a', 'b')['ok']"), "OK");
    assert_eq!(
        eval("return redis.call('HGET', 'a', 'b')"),
        "WRONGTYPE Operation against a key holding the wrong kind of value"
    );
    assert_eq!(
        eval("return redis.pcall('HGET', 'a', 'b')['err']:sub(1, 9)"),
        "WRONGTYPE"
    );
    assert_eq!(eval("return redis.error_reply('MINE no')"), "MINE no");
    assert_eq!(eval("return os"), "nil");
    assert!(
        eval("syntax error").starts_with("ERR "),
        "{}",
        eval("syntax error")
    );
    assert_eq!(
        eval("while true do end"),
        "ERR the script does not come to an end"
    );
}
