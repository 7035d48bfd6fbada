//! The paths as OpenAPI 3.1 describes them, made of the wire's definition and
//! its comments.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, MethodDescriptor,
};
use serde_json::{Map, Value, json};

use super::routes::{Route, Routes};

/// Describes the paths of some services for programs, as OpenAPI 3.1.
///
/// # Errors
/// The descriptors are none, or have a path that is not understood.
pub fn openapi(descriptors: &[u8]) -> anyhow::Result<Value> {
    let pool = DescriptorPool::decode(descriptors)?;
    Ok(document(&Routes::of(&pool)?))
}

/// The whole document.
pub(super) fn document(routes: &Routes) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes.all() {
        let (path, _) = route.template.parts();
        let verb = route.verb.as_str().to_ascii_lowercase();
        let operation = operation(route, &mut schemas);
        paths.entry(path).or_default().insert(verb, operation);
    }
    let mut components = schemas.whole();
    components.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "cllm4rec",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "What the services answer over gRPC, as JSON over HTTP. The scorer's port has recommendations and histories, the coordinator's jobs, models and upkeep.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let method = &route.method;
    let mut parameters = in_path(route);
    let input = method.input();
    let rest = beside_path(route);
    let mut operation = json!({
        "operationId": method.name(),
        "tags": [method.parent_service().name()],
        "description": method_comment(method),
        "responses": {
            "200": {
                "description": "Done.",
                "content": content(method, schemas),
            },
            "default": {
                "description": "Refused or failed: the code, what is wrong, and when to come back.",
                "content": {"application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                }},
            },
        },
    });
    if route.has_body {
        let schema = if parameters.is_empty() {
            schemas.reference(&input)
        } else {
            schemas.object(&rest, "")
        };
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": schema}},
        });
    } else {
        for field in rest {
            parameters.push(json!({
                "name": field.name(), "in": "query",
                "description": field_comment(&field),
                "schema": schemas.field(&field),
            }));
        }
    }
    operation["parameters"] = Value::Array(parameters);
    operation
}

/// The fields that the path has.
fn in_path(route: &Route) -> Vec<Value> {
    let input = route.method.input();
    let (_, fields) = route.template.parts();
    let mut parameters = Vec::new();
    for (name, prefix) in fields {
        let field = input.get_field_by_name(name);
        let description = match prefix {
            Some(prefix) => format!("What stands after `{prefix}/`."),
            None => {
                field.map(|field| field_comment(&field)).unwrap_or_default()
            }
        };
        parameters.push(json!({
            "name": name, "in": "path", "required": true,
            "description": description, "schema": {"type": "string"},
        }));
    }
    parameters
}

/// The fields that the path does not have.
fn beside_path(route: &Route) -> Vec<FieldDescriptor> {
    let (_, in_path) = route.template.parts();
    let names: BTreeSet<&str> =
        in_path.into_iter().map(|(name, _)| name).collect();
    let fields = route.method.input();
    let fields = fields.fields();
    fields
        .filter(|field| !names.contains(field.name()))
        .collect()
}

fn content(method: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    let schema = schemas.reference(&method.output());
    if method.is_server_streaming() {
        json!({
            "application/x-ndjson": {"schema": schema},
            "text/event-stream": {"schema": schema},
        })
    } else {
        json!({"application/json": {"schema": schema}})
    }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A refusal (RFC 9457).",
        "required": ["title", "status", "code", "detail"],
        "properties": {
            "title": {"type": "string", "description": "The HTTP status in words."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "code": {"type": "string", "description": "The name of gRPC's code, such as INVALID_ARGUMENT."},
            "detail": {"type": "string", "description": "What is wrong, and what to do."},
            "violations": {
                "type": "array", "description": "Each wrong field.",
                "items": {"type": "object", "properties": {
                    "field": {"type": "string"},
                    "description": {"type": "string"},
                }},
            },
            "retry_after_s": {"type": "number", "description": "When it is worth coming back, in seconds."},
        },
    })
}

/// The schemas of messages and enums, as far as something refers to them.
#[derive(Default)]
struct Schemas {
    known: BTreeMap<String, Value>,
    /// Messages that are referred to and not described yet.
    wanted: Vec<MessageDescriptor>,
}

impl Schemas {
    fn reference(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        let name = short(message.full_name());
        if !self.known.contains_key(&name) {
            self.known.insert(name.clone(), Value::Null);
            self.wanted.push(message.clone());
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn enumeration(&mut self, of: &EnumDescriptor) -> Value {
        let name = short(of.full_name());
        let values: Vec<String> =
            of.values().map(|value| value.name().to_owned()).collect();
        let file = of.parent_file();
        let schema = json!({
            "type": "string", "enum": values,
            "description": comment(&file, of.path()),
        });
        self.known.insert(name.clone(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn object(
        &mut self,
        fields: &[FieldDescriptor],
        description: &str,
    ) -> Value {
        let mut properties = Map::new();
        for field in fields {
            let mut schema = self.field(field);
            let description = field_comment(field);
            if !description.is_empty() {
                schema["description"] = Value::String(description);
            }
            properties.insert(field.name().to_owned(), schema);
        }
        json!({
            "type": "object", "properties": properties,
            "description": description, "additionalProperties": false,
        })
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map()
            && let Kind::Message(entry) = field.kind()
        {
            let value = self.single(&entry.map_entry_value_field());
            return json!({"type": "object", "additionalProperties": value});
        }
        let single = self.single(field);
        if field.is_list() {
            json!({"type": "array", "items": single})
        } else {
            single
        }
    }

    fn single(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(message) => self.reference(&message),
            Kind::Enum(of) => self.enumeration(&of),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => {
                json!({"type": "string", "contentEncoding": "base64"})
            }
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "minimum": 0})
            }
            // JSON's numbers do not hold all of them.
            Kind::Int64
            | Kind::Sint64
            | Kind::Sfixed64
            | Kind::Uint64
            | Kind::Fixed64 => {
                json!({"type": ["string", "integer"], "format": "int64"})
            }
        }
    }

    /// All that is referred to.
    fn whole(mut self) -> BTreeMap<String, Value> {
        while let Some(message) = self.wanted.pop() {
            let fields: Vec<FieldDescriptor> = message.fields().collect();
            let file = message.parent_file();
            let description = comment(&file, message.path());
            let schema = self.object(&fields, &description);
            self.known.insert(short(message.full_name()), schema);
        }
        self.known
    }
}

/// What protobuf's JSON has for its well-known types.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    match message.full_name() {
        "google.protobuf.Timestamp" => {
            Some(json!({"type": "string", "format": "date-time"}))
        }
        "google.protobuf.Duration" => Some(
            json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"}),
        ),
        "google.protobuf.Struct" => Some(json!({"type": "object"})),
        _ => None,
    }
}

/// A name without its package: `Job.State` of `cllm4rec.v1.Job.State`.
fn short(full_name: &str) -> String {
    let is_package = |part: &&str| part.starts_with(char::is_lowercase);
    let parts: Vec<&str> =
        full_name.split('.').skip_while(is_package).collect();
    parts.join(".")
}

fn method_comment(method: &MethodDescriptor) -> String {
    comment(&method.parent_service().parent_file(), method.path())
}

fn field_comment(field: &FieldDescriptor) -> String {
    comment(&field.parent_message().parent_file(), field.path())
}

/// The comment before the thing at a path of a file.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let file = file.file_descriptor_proto();
    let Some(source) = &file.source_code_info else {
        return String::new();
    };
    let at =
        |location: &&prost_reflect::prost_types::source_code_info::Location| {
            location.path == path
        };
    let location = source.location.iter().find(at);
    let comment = location.and_then(|it| it.leading_comments.as_deref());
    let lines = comment.unwrap_or_default().lines().map(str::trim);
    lines.collect::<Vec<&str>>().join(" ").trim().to_owned()
}
