//! The protocol's transactions as etcd's, and etcd's answers as the protocol's.

use std::collections::BTreeSet;

use etcd_client::{Compare as EtcdCompare, CompareOp, Txn as EtcdTxn, TxnOp, TxnOpResponse, TxnResponse};

use super::codec;
use super::keyspace::Keyspace;
use mantle_protocol::{Answer, Change, Compare, Key, Txn, Write};

/// The transaction as etcd takes it: all writes if all compares hold, else a reading of the compared keys.
pub(super) fn request(txn: &Txn, keys: &Keyspace) -> EtcdTxn {
    let compares: Vec<_> = txn
        .compares()
        .iter()
        .map(|compare| match compare {
            Compare::Created(key, revision) => {
                EtcdCompare::create_revision(keys.full(key), CompareOp::Equal, *revision)
            }
            Compare::Modified(key, revision) => {
                EtcdCompare::mod_revision(keys.full(key), CompareOp::Equal, *revision)
            }
        })
        .collect();
    let writes: Vec<_> = txn
        .writes()
        .iter()
        .map(|write| match write {
            Write::Put(key, value) => TxnOp::put(keys.full(key), codec::encode(value), None),
            Write::Delete(key) => TxnOp::delete(keys.full(key), None),
        })
        .collect();
    let reads: Vec<_> = compared(txn).into_iter().map(|key| TxnOp::get(keys.full(key), None)).collect();
    EtcdTxn::new().when(compares).and_then(writes).or_else(reads)
}

/// What etcd's response to `txn` says.
pub(super) fn answer(txn: &Txn, response: &TxnResponse, keys: &Keyspace) -> Answer {
    let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
    if response.succeeded() {
        return Answer::Done(revision);
    }
    let found = compared(txn)
        .into_iter()
        .zip(response.op_responses())
        .filter_map(|(key, read)| match read {
            TxnOpResponse::Get(read) => Some(match read.kvs().first() {
                Some(stored) => keys.change(stored).ok()?,
                None => Change { key: key.clone(), revision, entry: None },
            }),
            _ => None,
        })
        .collect();
    Answer::Refused { revision, found }
}

/// Each compared key once, in an order that the request and its answer share.
fn compared(txn: &Txn) -> BTreeSet<&Key> {
    txn.compares().iter().map(Compare::key).collect()
}
