//! VIPs that move, by plan, by crash and by accident: each scenario a story of its own, judged by the wire.

mod crash;
mod life;
mod planned;
mod witness;
