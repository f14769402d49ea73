//! What there is to tell since the last time: from the records, from the wire, from the client.

use std::time::Duration;

use mantle_protocol::Instant;

use super::screen::{Screen, told};
use crate::stage::{Stage, VIP};

/// What is younger than this waits: its sources are read one after the other, and it is told in the order it happened.
const SETTLE: Duration = Duration::from_millis(80);
/// A shorter time without an answer is told by its number afterwards.
const NOTABLE: Duration = Duration::from_millis(100);

/// Something that happened.
pub(super) struct Item {
    /// When.
    pub(super) at: Instant,
    /// Its kind, as a sign.
    pub(super) sign: char,
    /// What.
    pub(super) text: String,
}

/// What has been told, and what waits to be.
#[derive(Default)]
pub(super) struct News {
    changes: usize,
    frames: usize,
    announcer: Option<String>,
    answerer: Option<(String, Instant)>,
    silent: bool,
    waiting: Vec<Item>,
}

impl News {
    /// What is to be told now, in the order it happened; all of it if the scene is `over`.
    pub(super) fn read(&mut self, stage: &Stage, screen: &Screen, now: Instant, over: bool) -> Vec<Item> {
        self.read_records(stage, screen);
        self.read_wire(stage, screen);
        self.read_client(stage, screen, now);
        self.waiting.sort_by_key(|item| item.at);
        let ripe = self.waiting.partition_point(|item| over || item.at + SETTLE < now);
        self.waiting.drain(..ripe).collect()
    }

    fn read_records(&mut self, stage: &Stage, screen: &Screen) {
        let changes = stage.history.changes_so_far().remove(&VIP).unwrap_or_default();
        for change in &changes[self.changes.min(changes.len())..] {
            let owner = change.owner.as_deref();
            let owner = owner.map_or_else(|| "nobody".to_owned(), |name| screen.node(name));
            let text = format!("etcd: the record names {owner} (epoch {})", change.revision);
            self.add(change.at, '≡', text);
        }
        self.changes = changes.len();
    }

    fn read_wire(&mut self, stage: &Stage, screen: &Screen) {
        let frames = stage.lab.tap().frames_beyond(self.frames);
        self.frames += frames.len();
        for frame in frames {
            if frame.claim.kind.is_announcement()
                && frame.claim.vip == VIP
                && self.announcer.as_deref() != Some(&*frame.host)
            {
                self.announcer = Some(frame.host.to_string());
                let text = format!("wire: {} announces {VIP}", screen.node(&frame.host));
                self.add(frame.at, '»', text);
            }
        }
    }

    fn read_client(&mut self, stage: &Stage, screen: &Screen, now: Instant) {
        let since = self.answerer.as_ref().map_or(Instant::ZERO, |(_, at)| *at);
        let latest = stage.client.look(|probes| {
            let probes = probes.of(VIP);
            let answer = probes.latest_answer(since)?;
            let node = probes.node_of(answer).to_owned();
            let first = probes.first_answer(&node, since).unwrap_or(answer.at);
            Some((node, first, answer.at))
        });
        match (latest, self.answerer.take()) {
            (Some((node, first, at)), before) => {
                if self.silent || before.as_ref().is_none_or(|(before, _)| *before != node) {
                    let dark = before.map(|(_, last)| first.since(last)).filter(|_| self.silent);
                    let after = dark.map_or_else(String::new, |dark| format!(", after {}", told(dark)));
                    self.add(first, '●', format!("client: {} answers{after}", screen.node(&node)));
                }
                self.silent = false;
                self.answerer = Some((node, at));
            }
            (None, Some((node, last))) => {
                if !self.silent && now.since(last) > NOTABLE {
                    self.silent = true;
                    self.add(last, '○', screen.bad("client: no answer any more"));
                }
                self.answerer = Some((node, last));
            }
            (None, None) => {}
        }
    }

    fn add(&mut self, at: Instant, sign: char, text: String) {
        self.waiting.push(Item { at, sign, text });
    }
}
