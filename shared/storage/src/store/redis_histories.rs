//! Histories in Redis: a sorted set of events a user, in the order of a prompt,
//! and a hash of what is known beside them. Scripts change both at once, so that
//! writers of one user never conflict.
//!
//! `history-events:{catalog}:{user}`: a member an event ([`member`]), its score
//! the time. `history-about:{catalog}:{user}`: `d` when the user was deleted,
//! `e…` the ids of events, `a` the hash of an earlier version's record that was
//! taken over at the time `t`.

/// Takes single events back.
mod forget;
/// Lists who has a history.
mod users;

use std::sync::LazyLock;

use domain::{Catalog, EventId, History, Interaction, ItemId, UserId};
use redis::aio::ConnectionManager;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, Script, ServerErrorKind};

use crate::error::Error;
use crate::record::encode;
use crate::store::history::{Additions, name, old_record, old_space};
use crate::store::redis::{Redis, refused};

pub(crate) use forget::forget;
pub(crate) use users::users;

static RECORD: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_histories/record.lua")));
static READ: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_histories/read.lua")));
static DELETE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_histories/delete.lua")));

/// Events in one run of the script: others are served in between.
const EVENTS_A_RUN: usize = 200;
/// Users whose earlier version's records are held in memory at once.
const OLD_RECORDS_AT_ONCE: usize = 100;
/// How often an earlier version's record may change while it is taken over.
const N_TRIES: usize = 50;

/// What is to happen to one user's history.
struct Step<'a> {
    user: &'a UserId,
    /// The earlier version's record that is taken over.
    old: &'a [u8],
    deleted_at_ms: Option<i64>,
    events: &'a [Interaction],
}

/// What the script says of a step.
enum Answer {
    /// So many events were new.
    New(usize),
    /// The record of an earlier version has to be taken over first.
    HasOldRecord,
    Failed(Error),
}

/// Records what is new in one pipelined pass; the number of new events for each
/// entry of the batch, or why that user's were not recorded.
pub(crate) async fn record(
    store: &Redis,
    additions: &Additions,
) -> Result<Vec<Result<usize, Error>>, Error> {
    let mut steps = Vec::with_capacity(additions.batch.len());
    for (user, events) in &additions.batch {
        steps.push(Step::add(user, events));
    }
    let answers = run(store, additions, &steps).await?;

    let mut outcomes = Vec::with_capacity(answers.len());
    let mut with_old_record = Vec::new();
    for (place, answer) in answers.into_iter().enumerate() {
        outcomes.push(match answer {
            Answer::New(n) => Ok(n),
            Answer::Failed(error) => Err(error),
            Answer::HasOldRecord => {
                with_old_record.push(place);
                Ok(0)
            }
        });
    }
    for places in with_old_record.chunks(OLD_RECORDS_AT_ONCE) {
        let taken_over = take_over(store, additions, places).await?;
        for (place, outcome) in places.iter().zip(taken_over) {
            outcomes[*place] = outcome;
        }
    }
    Ok(outcomes)
}

/// Takes the records of an earlier version over for these entries of the batch
/// and records their events; again where a program of that version changed one
/// meanwhile.
async fn take_over(
    store: &Redis,
    additions: &Additions,
    places: &[usize],
) -> Result<Vec<Result<usize, Error>>, Error> {
    let mut outcomes = Vec::with_capacity(places.len());
    let mut users = Vec::with_capacity(places.len());
    for place in places {
        let (user, _) = &additions.batch[*place];
        users.push(user);
        outcomes.push(Err(Error::Contended(name(user))));
    }

    let mut left: Vec<usize> = (0..places.len()).collect();
    for _ in 0..N_TRIES {
        let users: Vec<&UserId> = left.iter().map(|nth| users[*nth]).collect();
        let records = old_records(store, &additions.catalog, &users).await?;
        let mut readable = Vec::new();
        for ((nth, user), bytes) in left.iter().zip(users).zip(&records) {
            match old_record(user, bytes) {
                Ok(history) => readable.push((*nth, bytes, history)),
                Err(error) => outcomes[*nth] = Err(error),
            }
        }

        let mut steps = Vec::new();
        for (nth, bytes, history) in &readable {
            let (user, events) = &additions.batch[places[*nth]];
            steps.push(Step {
                user,
                old: bytes,
                deleted_at_ms: history.deleted_at_ms(),
                events: history.interactions(),
            });
            steps.push(Step::add(user, events));
        }
        let answers = run(store, additions, &steps).await?;

        left.clear();
        let answers = answers.into_iter().skip(1).step_by(2);
        for ((nth, ..), answer) in readable.iter().zip(answers) {
            match answer {
                Answer::New(n) => outcomes[*nth] = Ok(n),
                Answer::Failed(error) => outcomes[*nth] = Err(error),
                Answer::HasOldRecord => left.push(*nth),
            }
        }
        if left.is_empty() {
            break;
        }
    }
    Ok(outcomes)
}

/// The records that an earlier version wrote of these users; one that is gone
/// meanwhile is one of a user that nobody has heard of.
async fn old_records(
    store: &Redis,
    catalog: &Catalog,
    users: &[&UserId],
) -> Result<Vec<Vec<u8>>, Error> {
    let mut command = redis::cmd("HMGET");
    command.arg(store.hash(&old_space(catalog)));
    for user in users {
        command.arg(user.as_str());
    }
    let mut connection = store.connection();
    let found: Vec<Option<Vec<u8>>> =
        store.bounded(command.query_async(&mut connection)).await?;
    let mut records = Vec::with_capacity(found.len());
    for record in found {
        records.push(record.unwrap_or_else(|| encode(&History::default())));
    }
    Ok(records)
}

/// Runs the script over all steps, in their order, in one round trip.
async fn run(
    store: &Redis,
    additions: &Additions,
    steps: &[Step<'_>],
) -> Result<Vec<Answer>, Error> {
    let mut pipeline = redis::pipe();
    let mut rest = steps;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(n_in_one_run(rest));
        pipeline.add_command(command(store, additions, now));
        rest = later;
    }
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }

    let mut connection = store.connection();
    let answers: Vec<Vec<redis::Value>> =
        store.bounded(evaluate(&pipeline, &mut connection)).await?;
    let mut steps = steps.iter();
    let mut read = Vec::new();
    for answer in answers.into_iter().flatten() {
        let Some(step) = steps.next() else { break };
        read.push(Answer::read(step.user, answer));
    }
    Ok(read)
}

/// How many of the next steps one run of the script takes.
fn n_in_one_run(steps: &[Step<'_>]) -> usize {
    let mut n_events = 0;
    for (place, step) in steps.iter().enumerate() {
        n_events += step.events.len();
        if place > 0 && n_events > EVENTS_A_RUN {
            return place;
        }
    }
    steps.len()
}

fn command(store: &Redis, additions: &Additions, steps: &[Step<'_>]) -> Cmd {
    let catalog = &additions.catalog;
    let mut command = redis::cmd("EVALSHA");
    command.arg(RECORD.get_hash()).arg(1 + 2 * steps.len());
    command.arg(store.hash(&old_space(catalog)));
    for step in steps {
        let [events, about] = keys(store, catalog, step.user);
        command.arg(events).arg(about);
    }

    command.arg(additions.kept.max_events);
    command.arg(text(additions.kept.oldest_ms));
    for step in steps {
        command.arg(step.user.as_str()).arg(step.old);
        command.arg(text(step.deleted_at_ms)).arg(step.events.len());
        for event in step.events {
            let id = event.event.as_ref().map_or("", EventId::as_str);
            command.arg(event.at_ms).arg(member(event)).arg(id);
        }
    }
    command
}

/// Runs a pipeline of the script, which a Redis that was started again does not
/// know.
async fn evaluate(
    pipeline: &Pipeline,
    connection: &mut ConnectionManager,
) -> RedisResult<Vec<Vec<redis::Value>>> {
    let unknown = ErrorKind::Server(ServerErrorKind::NoScript);
    match pipeline.query_async(connection).await {
        Err(error) if error.kind() == unknown => {
            RECORD.prepare_invoke().load_async(connection).await?;
            pipeline.query_async(connection).await
        }
        other => other,
    }
}

/// Reads a user's history; empty for a user that nobody has heard of.
pub(crate) async fn read(
    store: &Redis,
    catalog: &Catalog,
    user: &UserId,
) -> Result<History, Error> {
    type Found = (Option<i64>, Option<Vec<u8>>, Vec<Vec<u8>>);
    let [events, about] = keys(store, catalog, user);
    let mut call = READ.prepare_invoke();
    call.key(store.hash(&old_space(catalog)));
    call.key(events).key(about).arg(user.as_str());
    let mut connection = store.connection();
    let (deleted_at_ms, old, members): Found =
        store.bounded(call.invoke_async(&mut connection)).await?;

    let mut interactions = Vec::with_capacity(members.len());
    for member in members {
        let Some(interaction) = interaction(&member) else {
            let text = String::from_utf8_lossy(&member).into_owned();
            let reason = format!("`{text}` is no event");
            return Err(Error::corrupt(name(user), reason));
        };
        interactions.push(interaction);
    }
    let history = History::stored(interactions, deleted_at_ms);
    match old {
        Some(bytes) => Ok(history.merged(&old_record(user, &bytes)?)),
        None => Ok(history),
    }
}

/// Forgets a user's events and remembers when that was.
pub(crate) async fn delete(
    store: &Redis,
    catalog: &Catalog,
    user: &UserId,
    now_ms: i64,
) -> Result<(), Error> {
    let [events, about] = keys(store, catalog, user);
    let mut tombstone = History::default();
    tombstone.delete(now_ms);
    let mut call = DELETE.prepare_invoke();
    call.key(store.hash(&old_space(catalog)));
    call.key(events).key(about);
    call.arg(user.as_str()).arg(now_ms).arg(encode(&tombstone));
    let mut connection = store.connection();
    store.bounded(call.invoke_async(&mut connection)).await
}

/// Where a user's events are, and what is known beside them.
fn keys(store: &Redis, catalog: &Catalog, user: &UserId) -> [String; 2] {
    ["history-events", "history-about"]
        .map(|kind| store.hash(&format!("{kind}:{catalog}:{user}")))
}

fn text(at_ms: Option<i64>) -> String {
    at_ms.map(|ms| ms.to_string()).unwrap_or_default()
}

impl<'a> Step<'a> {
    fn add(user: &'a UserId, events: &'a [Interaction]) -> Self {
        Self {
            user,
            old: &[],
            deleted_at_ms: None,
            events,
        }
    }
}

impl Answer {
    fn read(user: &UserId, answer: redis::Value) -> Self {
        if let redis::Value::Int(n) = answer {
            return usize::try_from(n).map_or(Self::HasOldRecord, Self::New);
        }
        let why = redis::from_redis_value::<String>(answer)
            .unwrap_or_else(|error| error.to_string());
        if why.starts_with("WRONGTYPE") {
            return Self::Failed(Error::corrupt(name(user), why));
        }
        Self::Failed(refused(&why))
    }
}

/// An event as a member of the sorted set. Members sort as items do: the item
/// comes first, a zero byte in it is followed by 255 and its end is a zero byte.
/// Then come the time in milliseconds, a zero byte, and the event's id, if any.
fn member(event: &Interaction) -> Vec<u8> {
    let mut member = Vec::new();
    for byte in event.item.as_str().bytes() {
        member.push(byte);
        if byte == 0 {
            member.push(255);
        }
    }
    member.push(0);
    member.extend(event.at_ms.to_string().bytes());
    member.push(0);
    if let Some(id) = &event.event {
        member.extend(id.as_str().bytes());
    }
    member
}

/// The event of a member; none when it is no member of ours.
fn interaction(member: &[u8]) -> Option<Interaction> {
    let mut item = Vec::new();
    let mut at = 0;
    loop {
        match member.get(at..)? {
            [0, 255, ..] => at += 1,
            [0, ..] => break,
            [] => return None,
            [_, ..] => {}
        }
        item.push(if member[at] == 255 { 0 } else { member[at] });
        at += 1;
    }

    let rest = std::str::from_utf8(member.get(at + 1..)?).ok()?;
    let (at_ms, id) = rest.split_once('\0')?;
    let event = match id {
        "" => None,
        id => Some(EventId::new(id).ok()?),
    };
    Some(Interaction {
        item: ItemId::new(String::from_utf8(item).ok()?).ok()?,
        at_ms: at_ms.parse().ok()?,
        event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(item: &str, id: &str) -> Interaction {
        Interaction {
            item: ItemId::new(item).unwrap(),
            at_ms: -5,
            event: EventId::new(id).ok(),
        }
    }

    #[test]
    fn members_are_read_as_they_were_written_and_sort_as_items_do() {
        let mut members = Vec::new();
        for item in ["a", "a\0", "a\0-5\0", "a\0b", "a ", "ab", "ä"] {
            for id in ["", "e", "\0e\0"] {
                let event = event(item, id);
                let member = member(&event);
                assert_eq!(interaction(&member), Some(event));
                members.push(member);
            }
        }
        assert!(members.chunks(3).is_sorted_by(|a, b| a[2] < b[0]));
        assert_eq!(interaction(b"a"), None);
        assert_eq!(interaction(b"a\0five\0"), None);
    }
}
