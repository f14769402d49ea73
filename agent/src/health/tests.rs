//! The checks as a whole: against real sockets and commands, on this machine's loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::config::{CheckKind, CheckPace, CommandCheck, HttpCheck};

const LONG: Duration = Duration::from_secs(20);

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn check(name: &str, vips: Option<&[u8]>, kind: CheckKind) -> Check {
    let ms = Duration::from_millis;
    let pace = CheckPace { interval: ms(100), timeout: ms(200), rise: 1, fall: 2, recovery: Duration::ZERO };
    let vips = vips.map(|vips| vips.iter().map(|last| ip(*last)).collect());
    Check { name: name.to_owned(), vips, kind, pace }
}

fn shell(line: &str) -> CheckKind {
    CheckKind::Command(CommandCheck::Shell(line.to_owned()))
}

fn start(checks: &[Check]) -> (Checks, mpsc::Receiver<Report>) {
    let (told, reports) = mpsc::channel();
    let vips = [ip(1), ip(2)].into();
    let tell = move |report| {
        // A test that has seen enough listens no more.
        let _ = told.send(report);
    };
    (Checks::start(checks, &vips, tell).unwrap(), reports)
}

/// Waits for a report that is as it should be.
fn wait(reports: &mpsc::Receiver<Report>, is_so: impl Fn(&Report) -> bool) -> Report {
    let began = std::time::Instant::now();
    loop {
        let report = reports.recv_timeout(LONG).expect("there is a report every so often");
        if is_so(&report) {
            return report;
        }
        assert!(began.elapsed() < LONG, "still {report:#?}");
    }
}

#[test]
fn nothing_is_known_before_the_first_result() {
    let (_checks, reports) = start(&[check("slow", Some(&[2]), shell("sleep 60"))]);
    let first = reports.try_recv().expect("told before anything is tried");
    assert_eq!(first.vips, [(ip(2), Health::Unknown)].into(), "a VIP without a check has no verdict");
    assert_eq!(first.objection(ip(2)).as_deref(), Some("check slow has not decided yet"));
    assert_eq!(first.objection(ip(1)), None);
}

#[test]
fn a_vip_is_as_well_as_the_worst_of_its_checks() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let open = CheckKind::Tcp(listener.local_addr().unwrap());
    let (_checks, reports) =
        start(&[check("open", None, open), check("no", Some(&[2]), shell("echo no disk; exit 1"))]);
    let report =
        wait(&reports, |report| report.vips == [(ip(1), Health::Good), (ip(2), Health::Failing)].into());
    let why = "check no fails: the command ended with exit status: 1: no disk";
    assert_eq!(report.objection(ip(2)).as_deref(), Some(why));
    let no = &report.checks[1];
    assert_eq!((no.kind, &*no.target, no.tries, no.failures), ("command", "sh", 2, 2));
}

#[test]
fn one_that_hangs_holds_up_no_other() {
    // It takes connections, by the kernel's hand, and never answers.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mute = HttpCheck { address, path: "/".to_owned(), statuses: vec![200], tls: None };
    let (_checks, reports) = start(&[
        check("mute", Some(&[1]), CheckKind::Http(mute)),
        check("hung", Some(&[1]), shell("sleep 60")),
        check("quick", Some(&[2]), CheckKind::Tcp(address)),
    ]);
    let report =
        wait(&reports, |report| report.vips[&ip(1)] == Health::Failing && report.checks[2].tries > 9);
    let last = |at: usize| report.checks[at].last.as_ref().and_then(|last| last.failure.clone());
    assert_eq!(report.vips[&ip(2)], Health::Good);
    assert_eq!(last(0).as_deref(), Some("no answer within 200ms"));
    assert_eq!(last(1).as_deref(), Some("the command still ran after 200ms and was killed"));
}

#[test]
fn one_that_dies_fails_and_comes_back() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (_checks, reports) = start(&[check("port", None, CheckKind::Tcp(address))]);
    wait(&reports, |report| report.vips[&ip(1)] == Health::Good);
    drop(listener);
    let report = wait(&reports, |report| report.vips[&ip(1)] == Health::Failing);
    assert!(report.objection(ip(1)).unwrap().contains("Connection refused"), "{report:?}");
    let _listener = TcpListener::bind(address).unwrap();
    wait(&reports, |report| report.vips[&ip(1)] == Health::Good);
}

#[test]
fn the_end_is_not_held_up_by_a_command_that_hangs() {
    let mut hung = check("hung", None, shell("sleep 60"));
    hung.pace.timeout = Duration::from_mins(1);
    let (checks, reports) = start(&[hung]);
    reports.recv_timeout(LONG).unwrap();
    // Whether it is being started or runs by now.
    thread::sleep(Duration::from_millis(50));
    let began = std::time::Instant::now();
    drop(checks);
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
}
