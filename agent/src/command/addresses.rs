//! `mantle addresses`: which of this node's addresses others are to use. Asks the machine, not the agent: etcd may need it
//! to start, and the agent etcd.

use std::collections::BTreeSet;
use std::io::{Write, stderr, stdout};
use std::net::IpAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::{FAILED, WRONG_CONFIG, complain};
use crate::addresses::{
    Choices, Keeper, Kept, Memory, Patience, Purpose, candidates, environment, trouble, write_environments,
};
use crate::clock;
use crate::config::Config;
use crate::link::machine_links;

/// How often the machine is looked at while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line for each purpose.
    #[default]
    Text,
    /// All that is known, with the reason for each address that is left out.
    Json,
    /// What the environment files say.
    Env,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Of whom; of everybody if not given.
    pub consumer: Option<String>,
    /// In what form.
    pub output: Format,
    /// How long to wait for it.
    pub wait: Duration,
    /// Whether to keep the files as the agent does.
    pub write: bool,
}

impl Asked {
    fn is_about(&self, purpose: &Purpose) -> bool {
        self.consumer.as_deref().is_none_or(|consumer| purpose.consumer() == consumer)
    }
}

/// Prints the choice. Exit codes: 0 there is one for everything asked for, if a stale one; 1 there is not; 2 wrong usage.
pub fn run(config: &Config, asked: &Asked) -> anyhow::Result<ExitCode> {
    let wishes = &config.addresses;
    if let Some(consumer) = &asked.consumer
        && !wishes.consumers().any(|known| known == consumer)
    {
        let known = wishes.consumers().collect::<Vec<_>>().join(", ");
        complain(&format!(
            "mantle addresses: nobody is called {consumer:?}; known are {known}, and what is below addresses in the config"
        ));
        return Ok(ExitCode::from(WRONG_CONFIG));
    }
    let memory = Memory::load(&config.state_dir)?;
    let (all, choices) = choose(config, &memory, asked)?;
    if asked.write {
        let (_, errors) = write_environments(&config.runtime_dir, wishes, &all);
        if let Some(error) = errors.into_iter().next() {
            return Err(error.into());
        }
        Memory { choices, ..memory }.save(&config.state_dir)?;
    }
    let shown: Vec<&Kept> = all.iter().filter(|kept| asked.is_about(&kept.purpose)).collect();
    let mut out = stdout();
    match asked.output {
        Format::Text => out.write_all(text(&shown).as_bytes())?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&document(&shown))?)?,
        Format::Env => {
            let consumers = wishes.consumers();
            for consumer in
                consumers.filter(|known| asked.consumer.as_deref().is_none_or(|name| name == *known))
            {
                out.write_all(environment(consumer, wishes, &all).unwrap_or_default().as_bytes())?;
            }
        }
    }
    for trouble in shown.iter().filter_map(|kept| trouble(kept)) {
        writeln!(stderr(), "mantle addresses: {trouble}")?;
    }
    let none = shown.iter().any(|kept| kept.choice.addresses.is_empty());
    Ok(if none { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Chooses as soon as everything that is asked for is there, or when the time is over; and what to remember of it.
fn choose(config: &Config, memory: &Memory, asked: &Asked) -> anyhow::Result<(Vec<Kept>, Choices)> {
    let vips: BTreeSet<IpAddr> =
        config.vips.iter().map(|vip| vip.ip).chain(memory.vips.iter().copied()).collect();
    let began = clock::now();
    let patience =
        Patience { settle: Patience::AGENT.settle.min(asked.wait), lost_after: asked.wait, boot: asked.wait };
    let mut keeper = Keeper::new(&config.addresses, &memory.choices, patience, began);
    while clock::now().since(began) < asked.wait {
        let all = keeper.look(clock::now(), &candidates(&machine_links()?), &vips);
        let is_there = |kept: &&Kept| !kept.choice.addresses.is_empty() && !kept.choice.stale;
        if all.iter().filter(|kept| asked.is_about(&kept.purpose)).all(|kept| is_there(&kept)) {
            return Ok((all, keeper.choices()));
        }
        thread::sleep(LOOK_EVERY);
    }
    let mut keeper = Keeper::new(&config.addresses, &memory.choices, Patience::NONE, began);
    let all = keeper.look(clock::now(), &candidates(&machine_links()?), &vips);
    Ok((all, keeper.choices()))
}

fn text(shown: &[&Kept]) -> String {
    let width = shown.iter().map(|kept| kept.purpose.to_string().len()).max().unwrap_or_default();
    let line = |kept: &&Kept| {
        let addresses = kept.choice.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let stale = if kept.choice.stale { " (stale)" } else { "" };
        let addresses = if addresses.is_empty() { "-" } else { &addresses };
        format!("{:width$}  {addresses}{stale}\n", kept.purpose.to_string())
    };
    shown.iter().map(line).collect()
}

#[derive(Serialize)]
struct Shown<'a> {
    purpose: String,
    consumer: &'a str,
    addresses: &'a [IpAddr],
    stale: bool,
    left_out: Vec<Left<'a>>,
}

#[derive(Serialize)]
struct Left<'a> {
    address: IpAddr,
    link: Option<&'a str>,
    reason: String,
}

fn document<'a>(shown: &[&'a Kept]) -> Vec<Shown<'a>> {
    let one = |kept: &&'a Kept| Shown {
        purpose: kept.purpose.to_string(),
        consumer: kept.purpose.consumer(),
        addresses: &kept.choice.addresses,
        stale: kept.choice.stale,
        left_out: kept
            .choice
            .left_out
            .iter()
            .map(|left| Left {
                address: left.ip,
                link: left.link.as_deref(),
                reason: left.reason.to_string(),
            })
            .collect(),
    };
    shown.iter().map(one).collect()
}
