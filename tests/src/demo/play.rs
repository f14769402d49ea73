//! The play: sets the stage, performs scenes on it, and tells what happens meanwhile.

use std::fmt::Display;
use std::time::Duration;

use mantle_protocol::Instant;

use super::news::News;
use super::ribbon;
use super::scenes::Scene;
use super::screen::{Screen, told};
use super::summary::{self, Outcome};
use crate::clock::{now, sleep_until, wait_for};
use crate::echo::{Connection, Echo};
use crate::host::Host;
use crate::stage::{SOON, Setting, Stage, VIP};

/// How often is looked for news.
const LOOK: Duration = Duration::from_millis(40);
/// How long a scene's introduction takes to read.
const READING: Duration = Duration::from_millis(1500);
/// How long each scene is looked at after its last act.
const AFTERWARDS: Duration = Duration::from_millis(1500);
/// A probe that has no answer after this has none.
const UNANSWERED: Duration = Duration::from_millis(200);

/// The stage, and all that is told about it.
pub(super) struct Play {
    /// The nodes, the client, the etcd.
    pub(super) stage: Stage,
    /// Where it is told.
    pub(super) screen: Screen,
    news: News,
    outcomes: Vec<Outcome>,
    /// Who uses the service behind the VIP.
    visitor: Host,
    /// That service, on each node.
    echoes: Vec<Echo>,
    /// The client's count of the scene begins here.
    counts_from: Instant,
}

impl Play {
    /// Sets a stage without nodes.
    pub(super) fn begin(screen: Screen) -> Self {
        let stage = Stage::empty("demo", &Setting { members: 3, ..Setting::default() });
        let visitor = stage.lab.host("visitor");
        Self {
            stage,
            visitor,
            screen,
            news: News::default(),
            outcomes: Vec::new(),
            echoes: Vec::new(),
            counts_from: now(),
        }
    }

    /// Performs a scene, and tells what the client measured.
    pub(super) fn perform(&mut self, scene: &Scene) {
        self.screen.line("");
        self.screen.line(format_args!("{}  {}", self.screen.strong(scene.title), scene.about));
        self.rest(READING);
        let before = self.owner().map(|at| self.name(at));
        self.counts_from = now();
        (scene.play)(self);
        self.rest(AFTERWARDS);
        self.tell(true);
        self.count(scene, before);
    }

    /// Adds a node with a service on it; its place.
    pub(super) fn add(&mut self, name: &str) -> usize {
        let at = self.stage.add(name);
        self.echoes.push(Echo::start(&self.stage.nodes[at].host));
        at
    }

    /// Connects a client to the service behind the VIP.
    pub(super) fn connect(&self) -> Connection {
        Connection::open(&self.visitor, VIP)
    }

    /// Does something, and says so.
    pub(super) fn act(&mut self, what: impl Display) {
        self.tell(true);
        self.event(now(), '▶', self.screen.strong(what));
    }

    /// Something worth telling that no source of news knows.
    pub(super) fn remark(&mut self, what: impl Display) {
        self.tell(true);
        self.event(now(), '·', what);
    }

    /// The client's count of the scene begins only now.
    pub(super) fn count_from_now(&mut self) {
        self.counts_from = now();
    }

    /// Waits, telling the news.
    ///
    /// # Panics
    /// If it takes too long: then the demo is over.
    #[track_caller]
    pub(super) fn until<T>(&mut self, what: &str, mut come: impl FnMut(&mut Self) -> Option<T>) -> T {
        wait_for(what, SOON, || {
            self.tell(false);
            let come = come(self);
            if come.is_none() {
                sleep_until(now() + LOOK);
            }
            come
        })
    }

    /// Waits until another node than `than` answers the client; its place.
    pub(super) fn until_another_answers(&mut self, than: usize) -> usize {
        self.until("another node's answer", |play| play.owner().filter(|at| *at != than))
    }

    /// Waits until a node stands by for the owner: its session lives, and it knows who is owner.
    pub(super) fn until_stands_by(&mut self, at: usize) {
        self.until("a node that stands by", |play| {
            let status = play.stage.status(at)?;
            let owner = play.owner().map(|at| play.name(at))?;
            let right = status["session"]["right_left_ms"].as_u64()?;
            (right > 0 && status["session"]["state"] == "live" && status["vips"][0]["owner"] == *owner)
                .then_some(())
        });
        let name = self.node(at);
        self.remark(format_args!("{name} stands by"));
    }

    /// Waits a while, telling the news.
    pub(super) fn rest(&mut self, span: Duration) {
        let end = now() + span;
        while now() < end {
            self.tell(false);
            sleep_until(end.min(now() + LOOK));
        }
    }

    /// The node that answered the client last.
    pub(super) fn owner(&self) -> Option<usize> {
        let name = self.stage.client.look(|probes| {
            let probes = probes.of(VIP);
            probes.latest_answer(Instant::ZERO).map(|answer| probes.node_of(answer).to_owned())
        })?;
        self.stage.nodes.iter().position(|node| node.host.name() == name)
    }

    /// When a node acted as owner, as the tap saw it.
    pub(super) fn acted(&self, at: usize) -> impl DoubleEndedIterator<Item = Instant> {
        let name = self.name(at);
        let frames = self.stage.lab.tap().frames().into_iter();
        frames.filter(move |frame| frame.claim.vip == VIP && *frame.host == name).map(|frame| frame.at)
    }

    /// The node that answered the client last, when there surely is one.
    pub(super) fn the_owner(&mut self) -> usize {
        self.until("an owner", |play| play.owner())
    }

    /// A node's name.
    pub(super) fn name(&self, at: usize) -> String {
        self.stage.nodes[at].host.name().to_owned()
    }

    /// A node's name in its colour.
    pub(super) fn node(&self, at: usize) -> String {
        self.screen.node(self.stage.nodes[at].host.name())
    }

    /// The summary of all scenes.
    pub(super) fn end_of_scenes(&self, begun: Instant) {
        summary::table(&self.screen, &self.outcomes);
        let took = now().since(begun).as_secs();
        self.screen.faint(&format!("{took} s, with every node on its default timing."));
    }

    /// Takes the stage down; says whether the judge found everything in order.
    pub(super) fn end(self) -> bool {
        self.screen.line("");
        let frames = self.stage.lab.tap().frames().len();
        let verdict = self.stage.lab.verdict(Some(&self.stage.history));
        summary::verdict(&self.screen, &verdict, frames);
        verdict.is_in_order()
    }

    /// Tells the news, and draws the living line.
    pub(super) fn tell(&mut self, over: bool) {
        let at = now();
        for item in self.news.read(&self.stage, &self.screen, at, over) {
            self.event(item.at, item.sign, item.text);
        }
        if self.screen.is_living() {
            let ribbon = self
                .stage
                .client
                .look(|probes| ribbon::last_seconds(probes.of(VIP), at - LOOK / 2, &self.screen));
            self.screen.living(format_args!("          {ribbon} the last 3 s"));
        }
    }

    fn event(&self, at: Instant, sign: char, text: impl Display) {
        self.screen.event(at.since(self.stage.lab.started()), sign, text);
    }

    fn count(&mut self, scene: &Scene, before: Option<String>) {
        let end = now() - UNANSWERED;
        let (outcome, drawn) = self.stage.client.look(|probes| {
            let probes = probes.of(VIP);
            let gap =
                probes.longest_gap(self.counts_from..end).unwrap_or_else(|| panic!("no probe was sent"));
            let outcome = Outcome {
                title: scene.title,
                before,
                after: probes.last_answered_by().map(str::to_owned),
                gap: gap.length(),
                lost: probes.lost_in(self.counts_from..end),
                sent: probes.sent_in(self.counts_from, end).len(),
            };
            (outcome, ribbon::around(probes, gap, &self.screen))
        });
        let numbers =
            format!("longest gap {}, {} of {} probes lost", told(outcome.gap), outcome.lost, outcome.sent);
        if outcome.lost > 0 {
            let (ribbon, cell) = drawn;
            self.screen.line(format_args!("          {ribbon} {} each", told(cell)));
        }
        self.screen.line(format_args!("          {}", self.screen.strong(numbers)));
        self.outcomes.push(outcome);
    }
}
