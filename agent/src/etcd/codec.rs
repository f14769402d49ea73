//! What our keys hold, as JSON: a stable format that other versions of the agent read.
//!
//! - session: `{"machine":"4c4c…","bound_ms":1000,"renew_ms":200,"links":{"eth0":"02:00:00:00:00:01"},
//!   "addresses":["192.168.0.11"],"ready":["192.168.0.15"],"priority":100,"handoffs":true,"counter":7}`, with, while there are any,
//!   `"offers":[{"to":"cp-2","session":4712,"number":61000000,"mac":"02:00:00:00:00:01","vips":["192.168.0.15"]}]` and
//!   `"prepared":[{"session":4711,"number":61000000,"mac":"02:00:00:00:00:02","vips":["192.168.0.15"]}]`, and with
//!   `"answers":true` in it once the node answers
//! - record: `{"owner":{"node":"cp-1","session":4711,"bound_ms":1000}}`, or `{"owner":null}` for nobody
//!
//! Every field must be there and of its type, but for those of handoffs and `addresses`, which older agents know nothing of; fields nobody knows are passed over, so that a newer agent may add some.
//! All else is [`Value::Garbage`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mantle_ebpf::wire::Mac;
use serde::{Deserialize, Serialize};

use mantle_protocol::{Handoffs, Holder, Key, Offer, Preparation, Record, Revision, Session, Timing, Value};

/// A value longer than this is not read: none of ours comes near it, not with 4096 VIPs that are ready and offered at once.
const LONGEST: usize = 512 * 1024;

#[derive(Serialize, Deserialize)]
struct SessionText {
    machine: String,
    bound_ms: u64,
    renew_ms: u64,
    links: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
    ready: BTreeSet<IpAddr>,
    priority: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    handoffs: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    offers: Vec<OfferText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prepared: Vec<PreparationText>,
    counter: u64,
}

/// What is offered alike: all VIPs of an agent that ends, say.
#[derive(Serialize, Deserialize)]
struct OfferText {
    to: String,
    session: Revision,
    number: u64,
    mac: String,
    vips: BTreeSet<IpAddr>,
}

#[derive(Serialize, Deserialize)]
struct PreparationText {
    session: Revision,
    number: u64,
    mac: String,
    #[serde(default, skip_serializing_if = "is_false")]
    answers: bool,
    vips: BTreeSet<IpAddr>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "it is what serde calls")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Serialize, Deserialize)]
struct RecordText {
    // Without this serde takes a missing field for `null`, and any JSON object for a record that names nobody.
    #[serde(deserialize_with = "Option::deserialize")]
    owner: Option<HolderText>,
}

#[derive(Serialize, Deserialize)]
struct HolderText {
    node: String,
    session: Revision,
    bound_ms: u64,
}

/// The value as it is stored. Garbage, which the protocol never writes, becomes `null`.
pub fn encode(value: &Value) -> Vec<u8> {
    let encoded = match value {
        Value::Session(session) => serde_json::to_vec(&SessionText {
            machine: session.machine.clone(),
            bound_ms: whole_millis(session.bound),
            renew_ms: whole_millis(session.renew),
            links: session.links.iter().map(|(link, mac)| (link.clone(), mac.to_string())).collect(),
            addresses: session.addresses.clone(),
            ready: session.ready.clone(),
            priority: session.priority,
            handoffs: session.handoffs.able,
            offers: offers_text(&session.handoffs.offers),
            prepared: prepared_text(&session.handoffs.prepared),
            counter: session.counter,
        }),
        Value::Record(record) => serde_json::to_vec(&RecordText {
            owner: record.owner.as_ref().map(|holder| HolderText {
                node: holder.node.to_string(),
                session: holder.session,
                bound_ms: whole_millis(holder.bound),
            }),
        }),
        Value::Garbage => Ok(b"null".to_vec()),
    };
    encoded.expect("strings, numbers and maps of strings are always JSON")
}

fn offers_text(offers: &BTreeMap<IpAddr, Offer>) -> Vec<OfferText> {
    let text = |(offer, vips): (&Offer, _)| OfferText {
        to: offer.to.to_string(),
        session: offer.session,
        number: offer.number,
        mac: offer.mac.to_string(),
        vips,
    };
    alike(offers).into_iter().map(text).collect()
}

fn prepared_text(prepared: &BTreeMap<IpAddr, Preparation>) -> Vec<PreparationText> {
    let text = |(word, vips): (&Preparation, _)| PreparationText {
        session: word.session,
        number: word.number,
        mac: word.mac.to_string(),
        answers: word.answers,
        vips,
    };
    alike(prepared).into_iter().map(text).collect()
}

/// The VIPs of which the same is said, together.
fn alike<T: Ord>(said: &BTreeMap<IpAddr, T>) -> BTreeMap<&T, BTreeSet<IpAddr>> {
    let mut alike: BTreeMap<&T, BTreeSet<IpAddr>> = BTreeMap::new();
    for (ip, what) in said {
        alike.entry(what).or_default().insert(*ip);
    }
    alike
}

fn handoffs(able: bool, offers: Vec<OfferText>, prepared: Vec<PreparationText>) -> Option<Handoffs> {
    let mut handoffs = Handoffs { able, ..Handoffs::default() };
    for text in offers {
        let offer = Offer {
            to: text.to.parse().ok()?,
            session: text.session,
            number: text.number,
            mac: parse_mac(&text.mac)?,
        };
        handoffs.offers.extend(text.vips.into_iter().map(|ip| (ip, offer.clone())));
    }
    for text in prepared {
        let word = Preparation {
            session: text.session,
            number: text.number,
            mac: parse_mac(&text.mac)?,
            answers: text.answers,
        };
        handoffs.prepared.extend(text.vips.into_iter().map(|ip| (ip, word.clone())));
    }
    Some(handoffs)
}

/// What `bytes` say, found under `key`.
pub fn decode(key: &Key, bytes: &[u8]) -> Value {
    if bytes.len() > LONGEST {
        return Value::Garbage;
    }
    let decoded = match key {
        Key::Node(_) => decode_session(bytes).map(Value::Session),
        Key::Vip(_) => decode_record(bytes).map(Value::Record),
    };
    decoded.unwrap_or(Value::Garbage)
}

fn decode_session(bytes: &[u8]) -> Option<Session> {
    let text: SessionText = serde_json::from_slice(bytes).ok()?;
    let links =
        text.links.into_iter().map(|(link, mac)| Some((link, parse_mac(&mac)?))).collect::<Option<_>>()?;
    Some(Session {
        machine: text.machine,
        bound: within(text.bound_ms, Timing::LONGEST_BOUND)?,
        renew: within(text.renew_ms, Timing::LONGEST_LEASE)?,
        links,
        addresses: text.addresses,
        ready: text.ready,
        priority: text.priority,
        handoffs: handoffs(text.handoffs, text.offers, text.prepared)?,
        counter: text.counter,
    })
}

fn decode_record(bytes: &[u8]) -> Option<Record> {
    let text: RecordText = serde_json::from_slice(bytes).ok()?;
    let owner = match text.owner {
        None => None,
        Some(holder) => Some(Holder {
            node: holder.node.parse().ok()?,
            session: holder.session,
            bound: within(holder.bound_ms, Timing::LONGEST_BOUND)?,
        }),
    };
    Some(Record { owner })
}

/// Rounded up: others wait for as long as is written, so it must never be less than what was meant.
fn whole_millis(bound: Duration) -> u64 {
    u64::try_from(bound.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A time that a node of ours could have written: others wait by it, so a foreign hand must not make them wait for no
/// time, or for ever.
fn within(millis: u64, longest: Duration) -> Option<Duration> {
    let time = Duration::from_millis(millis);
    (!time.is_zero() && time <= longest).then_some(time)
}

fn parse_mac(text: &str) -> Option<Mac> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        // `from_str_radix` would take a sign.
        *byte = part.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(part, 16).ok())??;
    }
    parts.next().is_none().then_some(Mac(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node() -> Key {
        "node/cp-1".parse().unwrap()
    }

    fn vip() -> Key {
        "vip/192.168.0.15".parse().unwrap()
    }

    fn said() -> impl Strategy<Value = Handoffs> {
        let mac = || any::<[u8; 6]>().prop_map(Mac);
        let offer = ("[A-Za-z0-9._-]{1,8}", any::<i64>(), 0..3_u64, mac())
            .prop_map(|(to, session, number, mac)| Offer { to: to.parse().unwrap(), session, number, mac });
        let word = (any::<i64>(), 0..3_u64, mac(), any::<bool>());
        let word =
            word.prop_map(|(session, number, mac, answers)| Preparation { session, number, mac, answers });
        (
            any::<bool>(),
            proptest::collection::btree_map(any::<IpAddr>(), offer, 0..4),
            proptest::collection::btree_map(any::<IpAddr>(), word, 0..4),
        )
            .prop_map(|(able, offers, prepared)| Handoffs { able, offers, prepared })
    }

    fn session() -> impl Strategy<Value = Value> {
        (
            ".*",
            1..=12_000_u64,
            1..=10_000_u64,
            proptest::collection::btree_map(".{1,15}", any::<[u8; 6]>().prop_map(Mac), 0..4),
            proptest::collection::vec(any::<IpAddr>(), 0..3),
            proptest::collection::btree_set(any::<IpAddr>(), 0..8),
            any::<u32>(),
            any::<u64>(),
            said(),
        )
            .prop_map(
                |(machine, bound, renew, links, addresses, ready, priority, counter, handoffs)| {
                    let (bound, renew) = (Duration::from_millis(bound), Duration::from_millis(renew));
                    Value::Session(Session {
                        machine,
                        bound,
                        renew,
                        links,
                        addresses,
                        ready,
                        priority,
                        handoffs,
                        counter,
                    })
                },
            )
    }

    fn record() -> impl Strategy<Value = Value> {
        proptest::option::of(("[A-Za-z0-9._-]{1,253}", any::<i64>(), 1..=12_000_u64)).prop_map(|owner| {
            let owner = owner.map(|(node, session, bound)| Holder {
                node: node.parse().unwrap(),
                session,
                bound: Duration::from_millis(bound),
            });
            Value::Record(Record { owner })
        })
    }

    proptest! {
        #[test]
        fn a_session_is_read_back_as_it_was_written(value in session()) {
            prop_assert_eq!(decode(&node(), &encode(&value)), value);
        }

        #[test]
        fn a_record_is_read_back_as_it_was_written(value in record()) {
            prop_assert_eq!(decode(&vip(), &encode(&value)), value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            decode(&node(), &bytes);
            decode(&vip(), &bytes);
        }

        #[test]
        fn a_value_cut_short_is_garbage(value in session(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&value);
            prop_assert_eq!(decode(&node(), &bytes[..cut.index(bytes.len())]), Value::Garbage);
        }
    }

    #[test]
    fn the_stored_format_stays_what_it_is() {
        let session = r#"{"machine":"m","bound_ms":1000,"renew_ms":200,"links":{"eth0":"02:00:00:00:00:0a"},"ready":["192.168.0.15","fd00::15"],"priority":100,"counter":7}"#;
        let handing = r#"{"machine":"m","bound_ms":1000,"renew_ms":200,"links":{},"ready":[],"priority":100,"handoffs":true,"offers":[{"to":"b","session":7,"number":1,"mac":"02:00:00:00:00:0a","vips":["10.0.0.1","fd00::15"]},{"to":"b","session":7,"number":2,"mac":"02:00:00:00:00:0a","vips":["10.0.0.2"]}],"prepared":[{"session":8,"number":1,"mac":"02:00:00:00:00:0a","vips":["10.0.0.3"]}],"counter":7}"#;
        let published = r#"{"machine":"m","bound_ms":1000,"renew_ms":200,"links":{},"addresses":["10.0.0.7","fd00::7"],"ready":[],"priority":100,"counter":7}"#;
        let record = r#"{"owner":{"node":"cp-1","session":4711,"bound_ms":1000}}"#;
        let nobody = r#"{"owner":null}"#;
        let sessions = [session, handing, published].map(|text| (node(), text));
        for (key, text) in sessions.into_iter().chain([(vip(), record), (vip(), nobody)]) {
            let value = decode(&key, text.as_bytes());
            assert_ne!(value, Value::Garbage, "{text}");
            assert_eq!(String::from_utf8(encode(&value)).unwrap(), text);
        }
    }

    #[test]
    fn what_a_newer_agent_adds_is_passed_over() {
        let text = br#"{"owner":{"node":"a","session":1,"bound_ms":1,"mood":"calm"},"since":[1,2]}"#;
        assert!(matches!(decode(&vip(), text), Value::Record(Record { owner: Some(_) })));
    }

    #[test]
    fn what_is_not_ours_is_garbage() {
        let session = encode(&Value::Session(Session {
            machine: String::new(),
            bound: Duration::from_secs(1),
            renew: Duration::from_secs(1),
            links: BTreeMap::new(),
            addresses: Vec::new(),
            ready: BTreeSet::new(),
            priority: 0,
            handoffs: Handoffs::default(),
            counter: 0,
        }));
        assert_ne!(decode(&node(), &session), Value::Garbage);
        assert_eq!(decode(&vip(), &session), Value::Garbage, "a session is no record that names nobody");

        let too_long = format!(r#"{{"owner":null,"x":"{}"}}"#, "x".repeat(LONGEST));
        for text in [
            "",
            "null",
            "{}",
            "[]",
            "42",
            r#"{"owner":{}}"#,
            r#"{"owner":"cp-1"}"#,
            r#"{"owner":null,"owner":null}"#,
            r#"{"owner":null} x"#,
            r#"{"owner":{"node":"a b","session":1,"bound_ms":1}}"#,
            r#"{"owner":{"node":"a","session":"1","bound_ms":1}}"#,
            r#"{"owner":{"node":"a","session":1.0,"bound_ms":1}}"#,
            r#"{"owner":{"node":"a","session":1,"bound_ms":-1}}"#,
            &too_long,
            &"[".repeat(10_000),
        ] {
            assert_eq!(decode(&vip(), text.as_bytes()), Value::Garbage, "{text:.80}");
        }
    }

    #[test]
    fn an_ethernet_address_has_one_form() {
        assert_eq!(parse_mac("02:00:00:00:00:Ff"), Some(Mac([2, 0, 0, 0, 0, 255])));
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "2:0:0:0:0:0",
            "+2:00:00:00:00:00",
            "gg:00:00:00:00:00",
        ] {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }

    #[test]
    fn a_bound_is_never_written_shorter_than_it_is() {
        assert_eq!(whole_millis(Duration::from_micros(1_000_001)), 1001);
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
    }
}
