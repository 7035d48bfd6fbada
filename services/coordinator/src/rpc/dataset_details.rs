//! What a data set's import said and what it looks like, as answers hold them.

use dataset::{Band, ImportRecord, Manifest, Profile, Split};
use proto::pb::dataset_profile as wire;
use proto::{pb, timestamp};

/// A data set that is not stored.
pub(super) fn dataset_of(manifest: &Manifest) -> pb::Dataset {
    pb::Dataset {
        name: String::new(),
        display_name: manifest.name.clone(),
        catalog: manifest.catalog.to_string(),
        import_time: None,
        n_users: manifest.n_users as u64,
        n_items: manifest.n_items as u64,
        n_train: manifest.n_train as u64,
        n_valid: manifest.n_valid as u64,
        n_test: manifest.n_test as u64,
        n_texts: manifest.n_texts as u64,
        n_titles: manifest.n_titles as u64,
    }
}

pub(super) fn details(
    dataset: pb::Dataset,
    record: Option<&ImportRecord>,
) -> pb::DatasetDetails {
    pb::DatasetDetails {
        dataset: Some(dataset),
        import: record.map(summary),
        profile: record.map(|record| profile(&record.profile)),
    }
}

/// What people should know of a data set whose import was killed.
const CUT_OFF: &str = "the import was cut off: not all of these interactions are in the histories; importing the same data again makes that whole";

fn summary(record: &ImportRecord) -> pb::ImportSummary {
    let mut warnings = record.warnings.clone();
    if !record.is_seeded {
        warnings.insert(0, CUT_OFF.to_owned());
    }
    pb::ImportSummary {
        n_read: record.n_read,
        n_refused: record.n_refused,
        n_repeats: record.n_repeats,
        n_outside_core: record.n_outside_core,
        warnings,
        notes: record.notes.clone(),
        columns: record.columns.clone(),
    }
}

fn profile(profile: &Profile) -> pb::DatasetProfile {
    let (first, last) = profile.times_ms.unzip();
    let popular =
        profile
            .popular_items
            .iter()
            .map(|share| wire::ShareOfItems {
                of_items: share.of_items,
                of_interactions: share.of_interactions,
            });
    let interactions =
        profile
            .interactions
            .iter()
            .map(|sample| wire::SampleInteraction {
                user_id: sample.user.clone(),
                item_id: sample.item.clone(),
                title: sample.title.clone(),
                time: sample.at_ms.map(timestamp),
                split: split(sample.split).to_owned(),
            });
    let items = profile.items.iter().map(|sample| wire::SampleItem {
        item_id: sample.item.clone(),
        title: sample.title.clone(),
        categories: sample.categories.clone(),
        n_interactions: sample.n_interactions,
    });
    pb::DatasetProfile {
        first_time: first.map(timestamp),
        last_time: last.map(timestamp),
        users_by_interactions: bands(&profile.users_by_interactions),
        items_by_interactions: bands(&profile.items_by_interactions),
        popular_items: popular.collect(),
        interactions: interactions.collect(),
        items: items.collect(),
    }
}

fn bands(bands: &[Band]) -> Vec<wire::Band> {
    let bands = bands.iter().map(|band| wire::Band {
        from: band.from,
        to: band.to,
        n: band.n,
    });
    bands.collect()
}

fn split(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Valid => "valid",
        Split::Test => "test",
    }
}
