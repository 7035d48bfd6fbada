//! The request of a method: JSON's body, or what path and query give, becomes
//! the message, and that one frame of gRPC.

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};
use tonic::Status;
use tonic::body::Body;

/// Bytes of a body: the messages of gRPC have the same bound.
const LONGEST: usize = 4 << 20;
/// Values in a body. Each takes a few hundred bytes while it is read; ten
/// thousand interactions have fifty thousand.
const MOST_VALUES: usize = 200_000;

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
        let bytes = if fields.has_body {
            whole(body).await?
        } else {
            Bytes::new()
        };
        let message = message(&input, &fields, &bytes)?;
        Ok::<_, Status>(Frame::data(framed(&message)))
    };
    Body::new(StreamBody::new(stream::once(frame)))
}

async fn whole(body: Body) -> Result<Bytes, Status> {
    match Limited::new(body, LONGEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Status::out_of_range(format!(
                "the body is longer than {} MiB: send it in parts",
                LONGEST >> 20
            )))
        }
        Err(error) => Err(Status::cancelled(format!(
            "the body did not come to its end: {error}"
        ))),
    }
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

fn message(
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
