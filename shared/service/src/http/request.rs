//! The request of a method: JSON's body, or what path and query give, becomes
//! the message, and that one frame of gRPC.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Bytes of a body: the messages of gRPC have the same bound.
const LONGEST: usize = 4 << 20;
/// Values in a body. Each takes a few hundred bytes while it is read; ten
/// thousand interactions have fifty thousand.
const MOST_VALUES: usize = 60_000;
/// How long a body may take to come to its end.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bytes up to which a body is small: it has a budget of its own, and is read
/// on the spot. Larger ones take milliseconds.
const SMALL: usize = 64 << 10;

/// Bytes that the small bodies of a process may hold, in KiB.
static OF_SMALL: Semaphore = Semaphore::const_new(16 << 10);
/// Bytes that the others may hold, in KiB.
static OF_LARGE: Semaphore = Semaphore::const_new(64 << 10);
/// Who may read a large body: the other cores go on answering.
static READERS: Semaphore = Semaphore::const_new(1);

/// What a request says beside its body.
#[derive(Debug)]
pub(super) struct Fields {
    /// Fields that the path gives, with their texts.
    pub(super) path: Vec<(String, String)>,
    /// The query, as it stands in the address.
    pub(super) query: String,
    /// Whether the body has the rest.
    pub(super) has_body: bool,
}

/// A body of gRPC that is made of a JSON body when somebody reads it: whoever
/// may not call the method is refused before.
pub(super) fn body(
    input: MessageDescriptor,
    fields: Fields,
    body: Body,
) -> Body {
    let frame = async move {
        if !fields.has_body {
            let message = message(&input, &fields, b"{}")?;
            return Ok(Frame::data(message));
        }
        let n_most = n_most(&body);
        let _held = hold(n_most)?;
        let bytes = whole(body, n_most).await?;
        let message = if bytes.len() <= SMALL {
            message(&input, &fields, &bytes)?
        } else {
            read_apart(input, fields, bytes).await?
        };
        Ok::<_, Status>(Frame::data(message))
    };
    Body::new(StreamBody::new(stream::once(frame)))
}

/// How many bytes a body can have: what its length says, and never more than
/// any may have.
fn n_most(body: &Body) -> usize {
    let said = http_body::Body::size_hint(body).exact();
    let said = said.and_then(|said| usize::try_from(said).ok());
    said.unwrap_or(LONGEST).min(LONGEST)
}

/// A share of what bodies may hold in memory until they are read.
fn hold(n_bytes: usize) -> Result<SemaphorePermit<'static>, Status> {
    let budget = if n_bytes <= SMALL {
        &OF_SMALL
    } else {
        &OF_LARGE
    };
    let kib = u32::try_from(n_bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
    budget.try_acquire_many(kib.max(1)).map_err(|_| {
        let details = ErrorDetails::with_retry_info(Some(AGAIN));
        Status::with_error_details(
            Code::ResourceExhausted,
            "too many bodies are on their way at once",
            details,
        )
    })
}

/// When it is worth sending a body again.
const AGAIN: Duration = Duration::from_secs(1);

async fn whole(body: Body, n_most: usize) -> Result<Bytes, Status> {
    let collected = Limited::new(body, n_most).collect();
    match tokio::time::timeout(BODY_TIME, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Status::out_of_range(format!(
                "the body is longer than {} MiB: send it in parts",
                LONGEST >> 20
            )))
        }
        Ok(Err(error)) => Err(Status::invalid_argument(format!(
            "the body did not come to its end: {error}"
        ))),
        Err(_) => Err(Status::invalid_argument(format!(
            "the body took longer than {} s",
            BODY_TIME.as_secs()
        ))),
    }
}

/// Reads a large body on a thread of its own.
async fn read_apart(
    input: MessageDescriptor,
    fields: Fields,
    bytes: Bytes,
) -> Result<Bytes, Status> {
    let failed = |error: &dyn std::fmt::Display| {
        Status::internal(format!("the body was not read: {error}"))
    };
    let _turn = READERS.acquire().await.map_err(|error| failed(&error))?;
    let reading =
        tokio::task::spawn_blocking(move || message(&input, &fields, &bytes));
    reading.await.map_err(|error| failed(&error))?
}

/// One uncompressed message with its length before it.
fn framed(message: &DynamicMessage) -> Bytes {
    let n = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + n);
    bytes.put_u8(0);
    // A body of 4 MiB makes no message of 4 GiB.
    bytes.put_u32(u32::try_from(n).unwrap_or(u32::MAX));
    bytes.put_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// The frame with the message of a request.
fn message(
    input: &MessageDescriptor,
    fields: &Fields,
    body: &[u8],
) -> Result<Bytes, Status> {
    Ok(framed(&dynamic(input, fields, body)?))
}

fn dynamic(
    input: &MessageDescriptor,
    fields: &Fields,
    body: &[u8],
) -> Result<DynamicMessage, Status> {
    let n_values = body.iter().filter(|byte| b",{[".contains(byte)).count();
    if n_values > MOST_VALUES {
        return Err(Status::out_of_range(format!(
            "the body has more than {MOST_VALUES} values: send it in parts"
        )));
    }
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    if fields.path.is_empty() && fields.query.is_empty() {
        return read_body(input, body);
    }
    let mut object: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    for (name, value) in url::form_urlencoded::parse(fields.query.as_bytes()) {
        if fields.has_body {
            return Err(Status::invalid_argument(format!(
                "the query has `{name}`: it belongs into the body"
            )));
        }
        set(&mut object, input, &name, &value)?;
    }
    for (name, value) in &fields.path {
        set(&mut object, input, name, value)?;
    }
    let object = Value::Object(object);
    DynamicMessage::deserialize(input.clone(), object)
        .map_err(|error| unreadable(&error))
}

fn read_body(
    input: &MessageDescriptor,
    body: &[u8],
) -> Result<DynamicMessage, Status> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let message = DynamicMessage::deserialize(input.clone(), &mut json)
        .map_err(|error| unreadable(&error))?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(message)
}

fn not_json(error: &serde_json::Error) -> Status {
    Status::invalid_argument(format!("the body is no JSON object: {error}"))
}

fn unreadable(error: &serde_json::Error) -> Status {
    Status::invalid_argument(format!(
        "the request cannot be read: {error}; /v1/openapi.json describes it"
    ))
}

/// Sets the field at a path such as `schedule.queue` to a text, as JSON has
/// it; a repeated field gets one more.
fn set(
    object: &mut Map<String, Value>,
    message: &MessageDescriptor,
    path: &str,
    text: &str,
) -> Result<(), Status> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let by_name = message.get_field_by_name(name);
    let field = by_name.or_else(|| message.get_field_by_json_name(name));
    let Some(field) = field else {
        let names: Vec<String> = message
            .fields()
            .map(|field| field.name().to_owned())
            .collect();
        return Err(Status::invalid_argument(format!(
            "there is no field `{name}`: there are {}",
            names.join(", ")
        )));
    };
    let key = field.name().to_owned();
    let Some(rest) = rest else {
        let value = value_of(&field, text)?;
        if field.is_list() {
            let list = object.entry(key).or_insert(Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(value);
            }
            return Ok(());
        }
        if let Some(other) = object.get(&key)
            && *other != value
        {
            return Err(Status::invalid_argument(format!(
                "`{key}` is given twice, with different values"
            )));
        }
        object.insert(key, value);
        return Ok(());
    };
    let (Kind::Message(inner), false) =
        (field.kind(), field.is_list() || field.is_map())
    else {
        return Err(Status::invalid_argument(format!(
            "`{name}` has no fields of its own"
        )));
    };
    let value = object.entry(key).or_insert(Value::Object(Map::new()));
    let Value::Object(inside) = value else {
        return Err(Status::invalid_argument(format!(
            "`{name}` is no object in the body"
        )));
    };
    set(inside, &inner, rest, text)
}

/// What JSON has for a text of the path or the query.
///
/// # Errors
/// The text is none of the field's kind; the field is named.
fn value_of(field: &FieldDescriptor, text: &str) -> Result<Value, Status> {
    let kind = field.kind();
    if kind == Kind::Bool && matches!(text, "true" | "1") {
        return Ok(Value::Bool(true));
    }
    if kind == Kind::Bool && matches!(text, "false" | "0") {
        return Ok(Value::Bool(false));
    }
    let is_number = matches!(kind, Kind::Double | Kind::Float);
    let wanted = if kind == Kind::Bool {
        "true or false".to_owned()
    } else if is_number && text.parse::<f64>().is_err() {
        "a number".to_owned()
    } else if is_whole(&kind) && text.parse::<i128>().is_err() {
        "a whole number".to_owned()
    } else if let Kind::Enum(of) = &kind
        && of.get_value_by_name(text).is_none()
    {
        let names: Vec<String> =
            of.values().map(|value| value.name().to_owned()).collect();
        format!("one of {}", names.join(", "))
    } else {
        // Numbers and times are texts in the JSON of protobuf, too.
        return Ok(Value::String(text.to_owned()));
    };
    let name = field.name();
    Err(Status::invalid_argument(format!(
        "`{name}` must be {wanted}, not {text:?}"
    )))
}

fn is_whole(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Int32
            | Kind::Sint32
            | Kind::Sfixed32
            | Kind::Uint32
            | Kind::Fixed32
            | Kind::Int64
            | Kind::Sint64
            | Kind::Sfixed64
            | Kind::Uint64
            | Kind::Fixed64
    )
}
