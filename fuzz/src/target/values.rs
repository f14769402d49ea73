//! Keys and values in etcd, written by whoever can reach it.
//!
//! An input is a story in lines, told to a real node before a store that behaves as etcd does: `put KEY VALUE` and `del KEY` by
//! a foreign hand, `wait MILLISECONDS`, `list`; `fail`, `late` and `lost` decide what becomes of the node's next
//! transaction. A line that is none of these is a value, looked at by itself.

use std::str;

use mantle::etcd::{decode, encode};
use mantle_protocol::{Key, Value};

use super::world::{Fate, World};

pub(super) const WORDS: &[&[u8]] = &[
    b"put ",
    b"del ",
    b"wait ",
    b"list\n",
    b"fail\n",
    b"late\n",
    b"lost\n",
    b"node/a ",
    b"node/b ",
    b"vip/10.0.0.1 ",
    b"vip/fd00::1 ",
    b"{\"owner\":null}",
    b"{\"owner\":{\"node\":\"b\",\"session\":1,\"bound_ms\":1000}}",
    b"{\"machine\":\"m\",\"bound_ms\":1000,\"renew_ms\":200,\"links\":{},\"ready\":[],\"priority\":100,\"counter\":7}",
    b"\"addresses\":[\"10.0.0.7\",\"fd00::7\"],",
    b"\"session\":",
    b"\"bound_ms\":",
    b"\"counter\":18446744073709551615",
    b"-9223372036854775808",
    b"9223372036854775807",
];

/// The longest story: more lines only take more time.
const LINES: usize = 64;

pub(super) fn run(input: &[u8]) {
    let mut world = World::new();
    for line in input.split(|byte| *byte == b'\n').take(LINES) {
        let (verb, rest) = cut(line);
        match verb {
            b"put" => {
                let (key, value) = cut(rest);
                if let Some(key) = key_of(key) {
                    world.put(key.clone(), value_of(&key, value));
                }
            }
            b"del" => {
                if let Some(key) = key_of(rest) {
                    world.delete(&key);
                }
            }
            b"wait" => {
                let millis = str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
                world.wait(millis.unwrap_or(100));
            }
            b"list" => world.list(),
            b"fail" => world.next(Fate::Failed),
            b"late" => world.next(Fate::Late),
            b"lost" => world.next(Fate::Lost),
            _ => {
                for key in ["node/a", "vip/10.0.0.1"] {
                    value_of(&key.parse().expect("a key of ours"), line);
                }
            }
        }
    }
}

fn cut(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    (&line[..end], line.get(end + 1..).unwrap_or_default())
}

/// A key is read back as it is written.
fn key_of(text: &[u8]) -> Option<Key> {
    let key: Key = str::from_utf8(text).ok()?.parse().ok()?;
    assert_eq!(key.to_string().parse(), Ok(key.clone()), "{text:?}");
    Some(key)
}

/// What is no garbage is read back as it was understood.
fn value_of(key: &Key, bytes: &[u8]) -> Value {
    let value = decode(key, bytes);
    match (&value, key) {
        (Value::Garbage, _) | (Value::Session(_), Key::Node(_)) | (Value::Record(_), Key::Vip(_)) => {}
        other => panic!("a value of another kind than its key: {other:?}"),
    }
    assert_eq!(decode(key, &encode(&value)), value, "{bytes:?}");
    value
}
