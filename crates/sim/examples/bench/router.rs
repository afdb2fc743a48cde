//! Router: what our data plane carries, and what it adds to a request, beside HAProxy and beside no proxy at all.
//!
//! The three ways lead to the same upstream under the same load, in turn, each proxy a process of its own. Latency is measured over one connection, where
//! nobody waits for anybody else; what a way adds is its quantile less that of going direct in the same round.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use crate::proxies;
use crate::requests::send;
use crate::rounds::{median, quantile_us, whole};
use crate::table::{Aim, Row};

/// Many short rounds: what disturbs the machine for a second then disturbs all sides alike.
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(600);
const CONNECTIONS: usize = 16;

pub(crate) fn run() -> Result<Vec<Row>> {
    crate::runtime()?.block_on(measure())
}

async fn measure() -> Result<Vec<Row>> {
    let upstream = proxies::upstream().await?;
    let ours = proxies::ours(&upstream).await?;
    let haproxy = proxies::haproxy(&upstream).await?;
    let mut direct = Way::to(upstream.addresses[0]);
    let mut through_ours = Way::to(ours.addresses[0]);
    let mut through_haproxy = haproxy.as_ref().map(|proxy| Way::to(proxy.addresses[0]));
    for round in 0..=ROUNDS {
        for way in [&mut direct, &mut through_ours].into_iter().chain(&mut through_haproxy) {
            way.measure().await?;
            // The first round warms everyone up.
            if round == 0 {
                way.rounds.clear();
            }
        }
    }
    Ok(rows(&direct, &through_ours, through_haproxy.as_ref()))
}

/// A way to the upstream, and what each round has shown of it.
#[derive(Debug)]
struct Way {
    address: SocketAddr,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Way {
    fn to(address: SocketAddr) -> Self {
        Self { address, rounds: vec![] }
    }

    async fn measure(&mut self) -> Result<()> {
        let many = send(self.address, CONNECTIONS, ROUND).await?;
        let mut one = send(self.address, 1, ROUND).await?;
        self.rounds.push(Round {
            per_second: many.len() as f64 / ROUND.as_secs_f64(),
            p50_us: quantile_us(&mut one, 0.5),
            p99_us: quantile_us(&mut one, 0.99),
        });
        Ok(())
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// The median over the rounds of what `of` makes of a round of this way and the same round of another.
    fn beside(&self, other: &Way, of: impl Fn(&Round, &Round) -> f64) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(own, other)| of(own, other)).collect())
    }
}

fn rows(direct: &Way, ours: &Way, haproxy: Option<&Way>) -> Vec<Row> {
    let throughput = |name: &str, peer: &Way, whose: &str, aim: Aim| Row {
        name: format!("router: {CONNECTIONS} connections, {name}"),
        figure: format!("{}/s", whole(ours.median(|r| r.per_second))),
        beside: format!("{}/s {whose}", whole(peer.median(|r| r.per_second))),
        ratio: Some(ours.beside(peer, |own, peer| own.per_second / peer.per_second)),
        aim,
    };
    let added = |name: &str, of: fn(&Round) -> f64| {
        let adds = |way: &Way| way.beside(direct, |own, direct| of(own) - of(direct));
        let base = direct.median(of);
        let (figure, peer) = (adds(ours), haproxy.map(adds));
        Row {
            name: format!("router: 1 connection, added at {name}"),
            figure: format!("{figure:.0} µs"),
            beside: match peer {
                Some(peer) => format!("{peer:.0} µs HAProxy ({base:.0} µs direct)"),
                None => format!("{base:.0} µs direct"),
            },
            ratio: Some(figure / peer.unwrap_or(base)),
            aim: if peer.is_some() { Aim::AtMost(2.0) } else { Aim::None },
        }
    };
    let beside_haproxy = match haproxy {
        Some(peer) => throughput("beside HAProxy", peer, "HAProxy", Aim::AtLeast(0.5)),
        None => Row {
            name: "router: haproxy: not installed".into(),
            figure: "-".into(),
            beside: "compared with going direct only".into(),
            ratio: None,
            aim: Aim::None,
        },
    };
    vec![
        beside_haproxy,
        throughput("beside none", direct, "direct", Aim::None),
        added("p50", |r| r.p50_us),
        added("p99", |r| r.p99_us),
    ]
}
