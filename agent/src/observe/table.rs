//! The status for a person: an aligned table, coloured where a terminal shows it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::Status;
use super::health;
use super::status::{Check, Fence, Health, Kernel, Link, LinkMode, Peer, Role, SessionState, Try, Vip};

/// Draws the status; with colours if `colour`.
pub fn draw(status: &Status, colour: bool) -> String {
    let ink = Ink(colour);
    let mut text = head(status, ink);
    text.push('\n');
    if status.vips.is_empty() {
        text.push_str("no VIP is configured\n");
    } else {
        let columns = ["VIP", "LINK", "STANCE", "OWNER", "EPOCH", "RIGHT", "FENCE", "SINCE", "WAITS FOR"];
        text.push_str(&grid(columns, status.vips.iter().map(vip_row), ink));
    }
    text.push('\n');
    if status.links.iter().any(|link| link.mode != LinkMode::Off) {
        text.push_str(&kernel(&status.vips, ink));
        text.push('\n');
    }
    if status.peers.is_empty() {
        text.push_str("no other node is known\n");
    } else {
        let columns = ["NODE", "ADDRESS", "SESSION", "PRIORITY", "STATE", "SILENT", "READY FOR"];
        let row = |peer| peer_row(peer, &status.vips);
        text.push_str(&grid(columns, status.peers.iter().map(row), ink));
    }
    text
}

/// The lines on the node, its session and etcd.
fn head(status: &Status, ink: Ink) -> String {
    let (node, session, etcd) = (&status.node, &status.session, &status.etcd);
    let mut text = String::new();
    if let Some(stuck) = health::not_alive(status) {
        line(&mut text, &ink.cell(&Cell::bad(format!("STUCK: {stuck}; what follows is that old"))));
    }
    let name = ink.cell(&Cell::strong(&node.name));
    let cluster = clean(&node.cluster);
    let uptime = age(node.uptime_ms);
    let at =
        if node.addresses.is_empty() { String::new() } else { format!("  at {}", list(&node.addresses)) };
    line(
        &mut text,
        &format!("node     {name}{at}  cluster {cluster}  mantle {}  up {uptime}", node.agent_version),
    );

    let state = ink.cell(&match session.state {
        SessionState::Live => Cell::good("live"),
        SessionState::Starting => Cell::warning("starting"),
        SessionState::None => Cell::warning("none"),
        SessionState::Refused => Cell::bad("refused"),
        SessionState::Ended => Cell::bad("ended"),
    });
    let mut about = format!("session  {state}");
    if let Some(id) = session.id {
        let _ = write!(about, "  E {id}");
    }
    let timing = session.timing;
    let _ = write!(
        about,
        "  right {} of {} ms  renew {} ms  silence {} ms  bound {} ms",
        session.right_left_ms, timing.right_ms, timing.renew_ms, timing.silence_ms, session.bound_ms
    );
    line(&mut text, &about);
    if let Some(reason) = &session.reason {
        line(&mut text, &format!("         {}", clean(reason)));
    }

    let connected =
        ink.cell(&if etcd.connected { Cell::good("connected") } else { Cell::bad("out of reach") });
    line(&mut text, &format!("etcd     {connected}  revision {}", etcd.revision));
    let width = etcd.endpoints.iter().map(|endpoint| endpoint.url.chars().count()).max().unwrap_or(0);
    for endpoint in &etcd.endpoints {
        let verdict = ink.cell(&if endpoint.ok { Cell::good("ok     ") } else { Cell::bad("failing") });
        let detail = match (&endpoint.last_error, endpoint.latency_ms) {
            (Some(error), _) => clean(error),
            (None, Some(latency)) => format!("{latency:.1} ms"),
            (None, None) => String::new(),
        };
        line(&mut text, &format!("         {:width$}  {verdict}  {detail}", clean(&endpoint.url)));
    }
    text.push_str(&links(&status.links, ink));
    text.push_str(&checks(&status.checks, ink));
    text
}

/// The lines on the links: by what each is fenced.
fn links(links: &[Link], ink: Ink) -> String {
    let mut text = String::new();
    let width = links.iter().map(|link| link.link.chars().count()).max().unwrap_or(0);
    for (at, link) in links.iter().enumerate() {
        let head = if at == 0 { "links" } else { "" };
        let (cell, detail): (fn(&'static str) -> Cell, _) = match link.mode {
            LinkMode::Off => (Cell::warning, "no kernel program: fenced by the addresses' lifetime"),
            LinkMode::Tc | LinkMode::Xdp | LinkMode::XdpGeneric => {
                (Cell::good, "fenced by the kernel program")
            }
        };
        let mode = ink.cell(&cell(link.mode.name()));
        line(&mut text, &format!("{head:9}{:width$}  {mode}  {detail}", clean(&link.link)));
    }
    text
}

/// The lines on the checks: what each is judged to be, and what came of its last try.
fn checks(checks: &[Check], ink: Ink) -> String {
    let mut text = String::new();
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for (at, check) in checks.iter().enumerate() {
        let head = if at == 0 { "checks" } else { "" };
        let health = ink.cell(&match check.health {
            Health::Good => Cell::good("good   "),
            Health::Unknown => Cell::warning("unknown"),
            Health::Failing => Cell::bad("failing"),
        });
        let last = match &check.last {
            Some(Try { failure: Some(failure), .. }) => clean(failure),
            Some(Try { took_ms, .. }) => format!("{took_ms:.1} ms"),
            None => "not tried yet".to_owned(),
        };
        let (name, target) = (clean(&check.name), clean(&check.target));
        let about = format!("{} {target}  for {}  {last}", check.kind, age(check.since_ms));
        line(&mut text, &format!("{head:9}{name:width$}  {health}  {about}"));
    }
    text
}

/// What the kernel program counted, of the VIPs of which it has counted anything.
fn kernel(vips: &[Vip], ink: Ink) -> String {
    let counted = |vip: &Vip| vip.kernel.filter(Kernel::has_counted).map(|kernel| kernel_row(vip, kernel));
    let rows: Vec<_> = vips.iter().filter_map(counted).collect();
    if rows.is_empty() {
        return "the kernel program has counted nothing yet\n".to_owned();
    }
    let columns = ["VIP", "ANSWERED ARP", "NS", "DROPPED ARP", "NS", "IP", "OUT", "CONFLICTS"];
    grid(columns, rows.into_iter(), ink)
}

fn kernel_row(vip: &Vip, kernel: Kernel) -> [Cell; 8] {
    let Kernel { answered, dropped, conflicts } = kernel;
    let count = |count: u64| Cell::plain(count.to_string());
    [
        Cell::strong(vip.vip.to_string()),
        count(answered.arp),
        count(answered.ns),
        count(dropped.arp),
        count(dropped.ns),
        count(dropped.ip),
        count(dropped.out),
        if conflicts == 0 { count(conflicts) } else { Cell::bad(conflicts.to_string()) },
    ]
}

fn vip_row(vip: &Vip) -> [Cell; 9] {
    let owner = vip.owner.as_deref().map_or_else(|| Cell::warning("nobody"), Cell::plain);
    let right = match vip.right_left_ms {
        None => Cell::plain("-"),
        Some(0) => Cell::bad("over"),
        Some(left) => Cell::plain(format!("{left} ms")),
    };
    let waits_for = match (vip.ready, &vip.waits_for) {
        (true, _) => Cell::plain("-"),
        (false, Some(what)) => Cell::warning(what),
        (false, None) => Cell::warning("not ready"),
    };
    [
        Cell::strong(vip.vip.to_string()),
        Cell::plain(&vip.link),
        match vip.stance {
            Role::Owner => Cell::good("owner"),
            Role::Prepared => Cell::plain("prepared"),
            Role::Yielding => Cell::warning("yielding"),
            Role::Forwarding => Cell::warning("forwarding"),
            Role::Off => Cell::plain("off"),
        },
        owner,
        Cell::plain(vip.epoch.to_string()),
        right,
        Cell::plain(match vip.fence {
            Fence::Lifetime => "lifetime",
            Fence::Kernel => "kernel",
        }),
        Cell::plain(age(vip.since_ms)),
        waits_for,
    ]
}

fn peer_row(peer: &Peer, vips: &[Vip]) -> [Cell; 7] {
    // "all" is what it nearly always is, and 256 addresses are no table.
    let lacks = vips.iter().filter(|vip| !peer.ready.contains(&vip.vip)).count();
    let ready = if lacks == 0 && !vips.is_empty() {
        Cell::plain("all")
    } else if peer.ready.is_empty() {
        Cell::warning("none")
    } else {
        Cell::plain(list(&peer.ready))
    };
    [
        Cell::strong(&peer.node),
        Cell::plain(if peer.addresses.is_empty() { "-".to_owned() } else { list(&peer.addresses) }),
        Cell::plain(peer.session.to_string()),
        Cell::plain(peer.priority.to_string()),
        if peer.live { Cell::good("live") } else { Cell::bad("silent") },
        Cell::plain(age(peer.silent_ms)),
        ready,
    ]
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    addresses.into_iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// A duration in its two largest units.
fn age(millis: u64) -> String {
    let seconds = Duration::from_millis(millis).as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => format!("{minutes} m {} s", seconds % 60),
        3600..86400 => format!("{hours} h {} m", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Text from elsewhere without what a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Columns as wide as their widest cell, two spaces apart.
fn grid<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [Cell; N]>, ink: Ink) -> String {
    let mut cells = vec![columns.map(Cell::faint)];
    cells.extend(rows);
    let mut widths = [0; N];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in &cells {
        let padded: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{}{:pad$}", ink.cell(cell), "", pad = width - cell.width()))
            .collect();
        line(&mut text, &padded.join("  "));
    }
    text
}

/// A piece of text and its colour.
struct Cell {
    text: String,
    code: &'static str,
}

impl Cell {
    fn new(text: impl AsRef<str>, code: &'static str) -> Self {
        Self { text: clean(text.as_ref()), code }
    }

    fn plain(text: impl AsRef<str>) -> Self {
        Self::new(text, "")
    }

    fn strong(text: impl AsRef<str>) -> Self {
        Self::new(text, "1")
    }

    fn faint(text: &str) -> Self {
        Self::new(text, "2")
    }

    fn good(text: impl AsRef<str>) -> Self {
        Self::new(text, "32")
    }

    fn warning(text: impl AsRef<str>) -> Self {
        Self::new(text, "33")
    }

    fn bad(text: impl AsRef<str>) -> Self {
        Self::new(text, "31")
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Whether colours are wanted.
#[derive(Clone, Copy)]
struct Ink(bool);

impl Ink {
    fn cell(self, cell: &Cell) -> String {
        if self.0 && !cell.code.is_empty() {
            format!("\x1b[{}m{}\x1b[0m", cell.code, cell.text)
        } else {
            cell.text.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_table_is_what_a_person_expects() {
        assert_eq!(draw(&sample::status(), false), include_str!("golden/status.txt"));
    }

    #[test]
    fn colours_do_not_move_the_columns() {
        let coloured = draw(&sample::status(), true);
        assert!(coloured.contains("\x1b[32mowner\x1b[0m"));
        let codes = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"];
        let plain = codes.iter().fold(coloured, |text, code| text.replace(code, ""));
        let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, draw(&sample::status(), false).lines().collect::<Vec<_>>());
    }

    #[test]
    fn an_agent_without_vips_and_peers_says_so() {
        let mut status = sample::status();
        status.vips.clear();
        status.peers.clear();
        status.node.heartbeat_age_ms = 9_000;
        let text = draw(&status, false);
        assert!(text.contains("no VIP is configured") && text.contains("no other node is known"), "{text}");
        assert!(text.starts_with("STUCK: the core thread has not moved for 9.0 s"), "{text}");
    }

    #[test]
    fn a_link_without_kernel_program_says_what_fences_it() {
        let mut status = sample::status();
        let link = |link: &str, mode| Link { link: link.to_owned(), mode };
        status.links = vec![link("bond0", LinkMode::Off), link("br0", LinkMode::XdpGeneric)];
        let text = draw(&status, false);
        let off = "links    bond0  off  no kernel program: fenced by the addresses' lifetime\n";
        let generic = "         br0    xdp-generic  fenced by the kernel program\n";
        assert!(text.contains(&format!("{off}{generic}")), "{text}");
        assert!(text.contains("ANSWERED ARP"), "{text}");

        status.vips.remove(0);
        assert!(draw(&status, false).contains("\nthe kernel program has counted nothing yet\n"));
        status.links.truncate(1);
        assert!(!draw(&status, false).contains("has counted"), "without it there is nothing to count");
    }

    #[test]
    fn what_comes_from_elsewhere_does_not_drive_the_terminal() {
        let mut status = sample::status();
        status.etcd.endpoints[1].last_error = Some("gone\x1b[2J\nfake line".to_owned());
        assert!(!draw(&status, false).contains('\x1b'));
    }

    #[test]
    fn an_age_has_two_units() {
        let ages = [999, 1_000, 59_999, 61_000, 3_600_000, 90_061_000].map(age);
        assert_eq!(ages, ["999 ms", "1.0 s", "59.9 s", "1 m 1 s", "1 h 0 m", "1 d 1 h"]);
    }
}
