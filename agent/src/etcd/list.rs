//! Listing our keys, page by page, as they were at one revision.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{GetOptions, KeyValue};

use super::endpoint::{Connection, Endpoint};
use super::failure::{Cause, Errand, Failure};
use super::keyspace::Keyspace;
use mantle_protocol::Revision;

/// How many keys to ask for at once: with values as long as we read them this stays below the longest answer.
const PAGE: i64 = 200;

/// All keys below our prefix at one revision.
pub(super) struct Listing {
    pub(super) revision: Revision,
    pub(super) stored: Vec<KeyValue>,
}

/// Lists everything below our prefix, each page within `limit`.
pub(super) async fn list(
    endpoint: &Arc<Endpoint>,
    connection: &Connection,
    keys: &Keyspace,
    limit: Duration,
) -> Result<Listing, Failure> {
    let mut kv = connection.kv.clone();
    let mut listing = Listing { revision: 0, stored: Vec::new() };
    let mut from = keys.prefix().as_bytes().to_vec();
    let mut page = PAGE;
    loop {
        let mut options = GetOptions::new().with_range(keys.end()).with_limit(page);
        if listing.revision != 0 {
            // The first page was read through the leader, so the member has this revision: no need to go there again.
            options = options.with_revision(listing.revision).with_serializable();
        }
        let call = kv.get(from.clone(), Some(options));
        let mut answer = match endpoint.attempt(connection, Errand::List, limit, call).await {
            // Somebody keeps values among our keys that are longer than any of ours: fewer of them at once.
            Err(Failure { cause: Cause::TooLong(_), .. }) if page > 1 => {
                page = 1.max(page / 8);
                continue;
            }
            other => other?,
        };
        if listing.revision == 0 {
            listing.revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        }
        let more = answer.more();
        listing.stored.append(&mut answer.take_kvs());
        match listing.stored.last() {
            Some(last) if more => {
                from = last.key().to_vec();
                from.push(0);
            }
            _ => return Ok(listing),
        }
    }
}
