//! Items and fields of a catalogue, as answers hold them.

use proto::{attributes, pb, version_name};

use crate::request::catalogue::{FoundFields, FoundItem};

pub(super) fn item(found: &FoundItem) -> pb::Item {
    let model = &found.model;
    let item = model.item(found.row);
    pb::Item {
        item_id: item.id.to_string(),
        title: item.title.clone(),
        categories: item.categories.clone(),
        attributes: Some(attributes(&item.attributes)),
        model_version: version_name(&model.version),
        n_users: model.n_users_of(found.row),
        catalog: model.catalog.to_string(),
    }
}

pub(super) fn fields(found: &FoundFields) -> pb::ListFieldsResponse {
    use pb::list_fields_response::Field;
    let fields = found.fields.iter().map(|field| Field {
        name: field.name.clone(),
        kind: field.kind.clone(),
        n_items: field.n_items,
        values: field.values.clone(),
    });
    pb::ListFieldsResponse {
        fields: fields.collect(),
        model_version: version_name(&found.model.version),
        catalog: found.model.catalog.to_string(),
    }
}
