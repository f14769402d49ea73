//! The steps of a handoff, as etcd's keys show them. Read without the agent's own code, like what the judge goes by.

use mantle_tests::etcd::EtcdCluster;
use mantle_tests::lab::PREFIX;
use mantle_tests::stage::VIP;
use serde_json::Value;

/// How far a handoff has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The owner has offered the VIP.
    Offered,
    /// The successor says that it is prepared.
    Prepared,
    /// The record names the successor, which does not answer yet.
    Handed,
    /// The successor answers, and the old owner serves the connections that it has.
    Draining,
}

/// A handoff at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) step: Step,
    /// The number of the offer.
    offer: u64,
}

/// A key's create revision, and what it holds.
type Entry = (i64, Value);

impl Course {
    /// How far the handoff from one node to the other has come, if there is one. All of it is read at once.
    pub(super) fn read(etcd: &EtcdCluster, from: &str, to: &str) -> Option<Self> {
        let found = etcd.list(PREFIX);
        let entry = |key: String| -> Option<Entry> {
            let kv = found.iter().find(|kv| kv.key() == format!("{PREFIX}/{key}").as_bytes())?;
            Some((kv.create_revision(), serde_json::from_slice(kv.value()).ok()?))
        };
        let [owner, successor] = [from, to].map(|name| entry(format!("node/{name}")));
        let ((session, owner), (successor_session, successor)) = (owner?, successor?);
        let (_, record) = entry(format!("vip/{VIP}"))?;

        let offer = said_of_the_vip(&owner["offers"])
            .find(|offer| offer["to"] == to && offer["session"] == successor_session)?;
        let word = said_of_the_vip(&successor["prepared"])
            .find(|word| word["session"] == session && word["number"] == offer["number"]);
        let is_prepared = word.is_some();
        let answers = word.is_some_and(|word| word["answers"] == true);
        let named = &record["owner"];
        let step = if named["node"] == from && named["session"] == session {
            if is_prepared { Step::Prepared } else { Step::Offered }
        } else if named["node"] == to && named["session"] == successor_session {
            if answers { Step::Draining } else { Step::Handed }
        } else {
            return None;
        };
        Some(Self { step, offer: offer["number"].as_u64()? })
    }
}

fn said_of_the_vip(words: &Value) -> impl Iterator<Item = &Value> {
    let is_of_it = |word: &&Value| {
        word["vips"].as_array().is_some_and(|vips| vips.iter().any(|vip| *vip == VIP.to_string()))
    };
    words.as_array().into_iter().flatten().filter(is_of_it)
}
